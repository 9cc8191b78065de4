//! Worker processes, as people see them.

use async_trait::async_trait;
use pawl_domain::id::WorkerId;
use sqlx::Row;

use super::Postgres;
use crate::Result;
use crate::workers::{DrainAsked, GoneWorker, WorkerRow, Workers, no_worker};

#[async_trait]
impl Workers for Postgres {
    async fn workers(&self) -> Result<Vec<WorkerRow>> {
        let rows = sqlx::query(
            "select id, host, pid, slots, running, queues, draining, expires_at > clock_timestamp() as alive,
                    drain_asked_at is not null as drain_asked, version, clock_ahead_ms,
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
                drain_asked: row.try_get("drain_asked")?,
                version: row.try_get("version")?,
                clock_ahead_ms: row.try_get("clock_ahead_ms")?,
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

    async fn ask_to_drain(&self, worker: WorkerId) -> Result<DrainAsked> {
        let asked = sqlx::query_scalar(
            "update worker w set drain_asked_at = coalesce(w.drain_asked_at, clock_timestamp())
             from (select id, drain_asked_at is not null or draining as again from worker where id = $1) as b
             where w.id = b.id and w.expires_at > clock_timestamp()
             returning b.again",
        );
        if let Some(again) = asked.bind(worker.0).fetch_optional(&self.pool).await? {
            return Ok(if again { DrainAsked::Before } else { DrainAsked::Now });
        }
        let known = sqlx::query_scalar(
            "select exists (select from worker where id = $1) or exists (select from gone_worker where id = $1)",
        );
        match known.bind(worker.0).fetch_one(&self.pool).await? {
            true => Ok(DrainAsked::Gone),
            false => Err(no_worker(worker)),
        }
    }
}
