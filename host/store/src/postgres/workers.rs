//! Worker processes, as people see them.

use async_trait::async_trait;
use pawl_domain::id::WorkerId;
use sqlx::Row;

use super::Postgres;
use crate::Result;
use crate::workers::{GoneWorker, WorkerRow, Workers};

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

    async fn gone_workers(&self, limit: u32) -> Result<Vec<GoneWorker>> {
        let rows = sqlx::query(
            "select id, host, pid, slots, queues, said_goodbye,
                    (extract(epoch from started_at) * 1000)::bigint as started_at_ms,
                    (extract(epoch from gone_at) * 1000)::bigint as gone_at_ms
             from gone_worker where gone_at > clock_timestamp() - interval '1 day'
             order by gone_at desc, id desc limit $1",
        )
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        let gone = rows.iter().map(|row| {
            Ok(GoneWorker {
                id: WorkerId(row.try_get("id")?),
                host: row.try_get("host")?,
                pid: row.try_get::<i32, _>("pid")?.cast_unsigned(),
                slots: row.try_get::<i32, _>("slots")?.cast_unsigned(),
                queues: row.try_get("queues")?,
                started_at_ms: row.try_get("started_at_ms")?,
                gone_at_ms: row.try_get("gone_at_ms")?,
                said_goodbye: row.try_get("said_goodbye")?,
            })
        });
        gone.collect()
    }
}
