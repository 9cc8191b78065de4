//! What a run that has not ended waits for: the facts of `pawl run explain`.

use async_trait::async_trait;
use pawl_domain::id::{RunId, StepNo, WorkerId};
use rusqlite::Connection;

use super::ledger::now_ms;
use super::workers::queues_of;
use super::{Sqlite, parse, rows};
use crate::Result;
use crate::live::{COUNTED_BEFORE, Live, LiveStep};

#[async_trait]
impl Live for Sqlite {
    async fn unserved_queues(&self) -> Result<Vec<String>> {
        self.read(|conn| {
            let served = served_queues(conn, now_ms())?;
            let sql = "select distinct queue from step where ready_at is not null order by queue";
            let mut queues: Vec<String> = rows(conn, sql, [], |row| Ok(row.get("queue")?))?;
            queues.retain(|queue| !served.iter().any(|queues| queues.contains(queue)));
            Ok(queues)
        })
        .await
    }

    async fn live_steps(&self, run: RunId, limit: u32) -> Result<Vec<LiveStep>> {
        self.read(move |conn| {
            let now_ms = now_ms();
            let served = served_queues(conn, now_ms)?;
            let sql = "select s.step_no, s.status, s.worker_id, s.queue, s.priority, s.error, s.awaits, s.due_at, s.ready_at, w.expires_at,
                              (select count(*) from (select 1 from step o
                                                     where o.queue = s.queue and o.priority = s.priority
                                                       and o.ready_at < s.ready_at limit ?3)) as ready_before
                       from step s left join worker w on w.id = s.worker_id
                       where s.run_id = ?1 and s.status in ('ready', 'running', 'waiting', 'parked')
                       order by s.step_no limit ?2";
            rows(conn, sql, (run.0, limit, COUNTED_BEFORE), |row| {
                let queue: String = row.get("queue")?;
                Ok(LiveStep {
                    no: StepNo(row.get("step_no")?),
                    status: parse(row, "status")?,
                    worker: row.get::<_, Option<_>>("worker_id")?.map(WorkerId),
                    lease_end_ms: row.get("expires_at")?,
                    due_at_ms: row.get("due_at")?,
                    awaits: row.get("awaits")?,
                    ready_at_ms: row.get("ready_at")?,
                    priority: parse(row, "priority")?,
                    queue_workers: served.iter().filter(|queues| queues.contains(&queue)).count() as u32,
                    queue,
                    ready_before: row.get("ready_before")?,
                    error: row.get("error")?,
                    now_ms,
                })
            })
        })
        .await
    }
}

/// Of each live worker the queues that it serves.
fn served_queues(conn: &Connection, now_ms: i64) -> Result<Vec<Vec<String>>> {
    let sql = "select queues from worker where expires_at > ?1 and not draining";
    rows(conn, sql, [now_ms], |row| Ok(queues_of(&row.get::<_, String>("queues")?)))
}
