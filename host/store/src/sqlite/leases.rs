//! The heartbeat, as `pawl_heartbeat_v1` does it for Postgres (`migrations/0009_leases.sql`).

use super::ledger::Ledger;
use super::row;
use crate::Result;
use crate::leases::{Heartbeat, Pulse};

/// Begins or renews a worker's lease. `queues` is a JSON list.
pub(super) fn heartbeat(ledger: &Ledger<'_>, beat: &Heartbeat<'_>, host: &str, queues: &str) -> Result<Pulse> {
    let now_ms = ledger.now_ms;
    let expires_at = now_ms + i64::from(beat.lease_ms);
    let worker = beat.worker.0;
    let alive = if beat.begin {
        let mut insert = ledger.conn.prepare_cached(
            "insert into worker (id, host, pid, slots, queues, started_at, renewed_at, expires_at)
             values (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7) on conflict (id) do nothing",
        )?;
        insert.execute((worker, host, beat.pid, beat.slots as i64, queues, now_ms, expires_at))?;
        true
    } else {
        let mut update = ledger.conn.prepare_cached(
            "update worker set renewed_at = ?2, expires_at = ?3, running = ?4, draining = ?5
             where id = ?1 and expires_at > ?2",
        )?;
        update.execute((worker, now_ms, expires_at, beat.running as i64, beat.draining))? == 1
    };
    let sql = "select (select min(expires_at) from worker where id <> ?1) as next_lease_end,
                      (select min(due_at) from step where due_at is not null) as next_due,
                      (select min(ready_at) from step where ready_at is not null) as oldest_ready,
                      (select max(wanted_at) from plugin_version) as newest_wanted";
    let pulse = row(ledger.conn, sql, [worker], |row| {
        Ok(Pulse {
            alive,
            now_ms,
            next_lease_end_ms: row.get("next_lease_end")?,
            next_due_ms: row.get("next_due")?,
            oldest_ready_ms: row.get("oldest_ready")?,
            newest_wanted_us: row.get("newest_wanted")?,
        })
    })?;
    Ok(pulse.unwrap_or_default())
}
