//! Worker processes, as people see them.

use async_trait::async_trait;
use pawl_domain::id::WorkerId;

use super::ledger::now_ms;
use super::{Sqlite, rows};
use crate::Result;
use crate::workers::{GoneWorker, WorkerRow, Workers};

/// How long those who are gone are remembered.
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

#[async_trait]
impl Workers for Sqlite {
    async fn workers(&self) -> Result<Vec<WorkerRow>> {
        self.read(|conn| {
            let now_ms = now_ms();
            rows(conn, "select * from worker order by started_at desc, id desc", [], |row| {
                let expires_at_ms = row.get("expires_at")?;
                Ok(WorkerRow {
                    id: WorkerId(row.get("id")?),
                    host: row.get("host")?,
                    pid: row.get("pid")?,
                    slots: row.get("slots")?,
                    running: row.get("running")?,
                    queues: queues_of(&row.get::<_, String>("queues")?),
                    draining: row.get("draining")?,
                    alive: expires_at_ms > now_ms,
                    started_at_ms: row.get("started_at")?,
                    renewed_at_ms: row.get("renewed_at")?,
                    expires_at_ms,
                })
            })
        })
        .await
    }

    async fn gone_workers(&self, limit: u32) -> Result<Vec<GoneWorker>> {
        self.read(move |conn| {
            let sql = "select * from gone_worker where gone_at > ?1 order by gone_at desc, id desc limit ?2";
            rows(conn, sql, (now_ms() - DAY_MS, limit), |row| {
                Ok(GoneWorker {
                    id: WorkerId(row.get("id")?),
                    host: row.get("host")?,
                    pid: row.get("pid")?,
                    slots: row.get("slots")?,
                    queues: queues_of(&row.get::<_, String>("queues")?),
                    started_at_ms: row.get("started_at")?,
                    gone_at_ms: row.get("gone_at")?,
                    said_goodbye: row.get("said_goodbye")?,
                })
            })
        })
        .await
    }
}

/// The queues that a worker's row names.
pub(super) fn queues_of(json: &str) -> Vec<String> {
    serde_json::from_str(json).unwrap_or_default()
}
