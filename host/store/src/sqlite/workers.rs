//! Worker processes, as people see them.

use async_trait::async_trait;
use pawl_domain::id::WorkerId;

use super::ledger::now_ms;
use super::{Sqlite, row, rows};
use crate::Result;
use crate::workers::{DrainAsked, GoneWorker, WorkerRow, Workers, no_worker};

/// How long those who are gone are remembered.
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

#[async_trait]
impl Workers for Sqlite {
    async fn workers(&self) -> Result<Vec<WorkerRow>> {
        let asked = self.asked_to_drain();
        self.read(move |conn| {
            let now_ms = now_ms();
            rows(conn, "select * from worker order by started_at desc, id desc", [], |row| {
                let expires_at_ms = row.get("expires_at")?;
                let id = WorkerId(row.get("id")?);
                Ok(WorkerRow {
                    id,
                    host: row.get("host")?,
                    pid: row.get("pid")?,
                    slots: row.get("slots")?,
                    running: row.get("running")?,
                    queues: queues_of(&row.get::<_, String>("queues")?),
                    draining: row.get("draining")?,
                    drain_asked: asked.contains(&id),
                    version: None,
                    clock_ahead_ms: None,
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

    async fn ask_to_drain(&self, worker: WorkerId) -> Result<DrainAsked> {
        let found = self
            .read(move |conn| {
                let lease = row(conn, "select expires_at, draining from worker where id = ?1", [worker.0], |row| {
                    Ok((row.get::<_, i64>("expires_at")?, row.get::<_, bool>("draining")?))
                })?;
                let gone = row(conn, "select 1 from gone_worker where id = ?1", [worker.0], |_| Ok(()))?;
                Ok((lease, gone.is_some()))
            })
            .await?;
        match found {
            (Some((expires_at_ms, draining)), _) if expires_at_ms > now_ms() => {
                let is_new = self.note_drain(worker);
                Ok(if is_new && !draining { DrainAsked::Now } else { DrainAsked::Before })
            }
            (None, false) => Err(no_worker(worker)),
            _ => Ok(DrainAsked::Gone),
        }
    }
}

/// The queues that a worker's row names.
pub(super) fn queues_of(json: &str) -> Vec<String> {
    serde_json::from_str(json).unwrap_or_default()
}
