//! Worker processes, as people see them.

use async_trait::async_trait;
use pawl_domain::id::WorkerId;
use sqlx::Row;

use super::Postgres;
use crate::Result;
use crate::workers::{WorkerRow, Workers};

#[async_trait]
impl Workers for Postgres {
    async fn workers(&self) -> Result<Vec<WorkerRow>> {
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
