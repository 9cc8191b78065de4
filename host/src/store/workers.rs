//! Worker processes, as people see them.

use sqlx::Row;

use super::{Result, Store};
use crate::domain::id::WorkerId;

/// A worker process and its lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerRow {
    /// New at every start.
    pub id: WorkerId,
    /// The machine.
    pub host: String,
    /// The process there.
    pub pid: u32,
    /// How many steps it executes at once.
    pub slots: u32,
    /// How many it said it executes.
    pub running: u32,
    /// The queues it reads.
    pub queues: Vec<String>,
    /// Whether it takes no more steps.
    pub draining: bool,
    /// Whether its lease is good, by the database's clock.
    pub alive: bool,
    /// Start.
    pub started_at_ms: i64,
    /// The last heartbeat.
    pub renewed_at_ms: i64,
    /// The end of its lease.
    pub expires_at_ms: i64,
}

impl Store {
    /// All workers that have not been forgotten, newest first.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn workers(&self) -> Result<Vec<WorkerRow>> {
        let rows = sqlx::query(
            "select id, host, pid, slots, running, queues, draining, expires_at > clock_timestamp() as alive,
                    (extract(epoch from started_at) * 1000)::bigint as started_at_ms,
                    (extract(epoch from renewed_at) * 1000)::bigint as renewed_at_ms,
                    (extract(epoch from expires_at) * 1000)::bigint as expires_at_ms
             from worker order by started_at desc, id desc",
        )
        .fetch_all(&self.pool)
        .await?;
        let mut workers = Vec::with_capacity(rows.len());
        for row in rows {
            let count = |column: &str| row.try_get::<i32, _>(column).map(i32::cast_unsigned);
            workers.push(WorkerRow {
                id: WorkerId(row.try_get("id")?),
                host: row.try_get("host")?,
                pid: count("pid")?,
                slots: count("slots")?,
                running: count("running")?,
                queues: row.try_get("queues")?,
                draining: row.try_get("draining")?,
                alive: row.try_get("alive")?,
                started_at_ms: row.try_get("started_at_ms")?,
                renewed_at_ms: row.try_get("renewed_at_ms")?,
                expires_at_ms: row.try_get("expires_at_ms")?,
            });
        }
        Ok(workers)
    }
}
