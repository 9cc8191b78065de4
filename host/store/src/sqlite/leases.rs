//! The heartbeat and the look, as `pawl_heartbeat_v2` and `pawl_look_v2` do them for Postgres
//! (`migrations/0012_sweeps.sql`).

use pawl_domain::id::WorkerId;
use pawl_domain::pipeline::Priority;
use rusqlite::Connection;

use super::circuits::are_there;
use super::ledger::{Ledger, now_ms};
use super::pauses::has_ended;
use super::row;
use crate::Result;
use crate::leases::{Heartbeat, Pulse, Renewal};

/// Begins or renews a worker's lease. `queues` is a JSON list.
pub(super) fn heartbeat(ledger: &Ledger<'_>, beat: &Heartbeat<'_>, host: &str, queues: &str) -> Result<Renewal> {
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
    Ok(Renewal { alive, now_ns: u64::try_from(now_ms).unwrap_or(0) * 1_000_000, drain: false })
}

/// Whether the worker's lease stands.
pub(super) fn is_alive(conn: &Connection, worker: WorkerId) -> Result<bool> {
    let sql = "select id from worker where id = ?1 and expires_at > ?2";
    Ok(row(conn, sql, (worker.0, now_ms()), |_| Ok(()))?.is_some())
}

/// Tells when there is something to do. Nothing is left behind in a SQLite file that a look would walk over: bounds save
/// nothing here.
pub(super) fn look(
    conn: &Connection,
    worker: WorkerId,
    margin_ms: u32,
    streams: &[(String, Priority)],
) -> Result<Pulse> {
    let now_ms = now_ms();
    let mut oldest_ready_ms = Vec::with_capacity(streams.len());
    for (queue, priority) in streams {
        let sql = "select min(ready_at) as oldest from step where queue = ?1 and priority = ?2 and ready_at < ?3";
        let before_ms = now_ms - i64::from(margin_ms);
        let oldest = row(conn, sql, (queue, priority.as_str(), before_ms), |row| Ok(row.get("oldest")?))?;
        oldest_ready_ms.push(oldest.flatten());
    }
    let (releases, circuits) = (has_ended(conn)?, are_there(conn)?);
    let sql = "select (select min(expires_at) from worker where id <> ?1) as next_lease_end,
                      (select min(due_at) from step where due_at is not null) as next_due,
                      (select max(wanted_at) from plugin_version) as newest_wanted";
    let pulse = row(conn, sql, [worker.0], |row| {
        Ok(Pulse {
            now_ms,
            next_lease_end_ms: row.get("next_lease_end")?,
            next_due_ms: row.get("next_due")?,
            oldest_ready_ms,
            newest_wanted_us: row.get("newest_wanted")?,
            releases,
            circuits,
        })
    })?;
    Ok(pulse.unwrap_or_default())
}
