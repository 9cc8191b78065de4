//! What a run that has not ended waits for: the facts of `pawl run explain`.

use async_trait::async_trait;
use pawl_domain::id::{RunId, StepNo, WorkerId};
use pawl_domain::ready::{SHELVED_MS, unless_shelved};
use pawl_domain::status::StepStatus;
use rusqlite::Connection;

use super::circuits::counted;
use super::ledger::now_ms;
use super::workers::queues_of;
use super::{Sqlite, parse, row, rows};
use crate::Result;
use crate::live::{
    Backlog, COUNTED_BEFORE, DEAD_LOOKED_AT, Doing, DownHost, Live, LiveStep, PARKED_LOOKED_AT, PAUSED_COUNTED,
    PausedCount,
};

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

    async fn backlog(&self) -> Result<Backlog> {
        self.read(|conn| {
            let now_ms = now_ms();
            // From one stream to the next in the index; the first of each is its oldest.
            let sql = "select queue, priority, ready_at from step
                       where ready_at < ?3 and (queue, priority) > (?1, ?2)
                       order by queue, priority, ready_at limit 1";
            let mut last = (String::new(), String::new());
            let mut oldest_ready_ms = Vec::new();
            while let Some((words, oldest)) = row(conn, sql, (&last.0, &last.1, SHELVED_MS), |row| {
                let age_ms = u64::try_from(now_ms - row.get::<_, i64>("ready_at")?).unwrap_or(0);
                let queue: String = row.get("queue")?;
                Ok(((queue.clone(), row.get("priority")?), (queue, parse(row, "priority")?, age_ms)))
            })? {
                oldest_ready_ms.push(oldest);
                last = words;
            }
            let sql = "select count(*) as parked from (select 1 from step where status = 'parked' limit ?1)";
            let parked = row(conn, sql, [PARKED_LOOKED_AT], |row| Ok(row.get("parked")?))?.unwrap_or(0);
            let sql = "select count(*) filter (where state = 'failed') as failed from (select state from dead_letter limit ?1)";
            let failed = row(conn, sql, [DEAD_LOOKED_AT], |row| Ok(row.get("failed")?))?.unwrap_or(0);
            let sql = "select (select count(*) from (select 1 from run where paused_at is not null and ended_at is null
                                                     limit ?1)) as runs,
                              count(*) filter (where kind = 'pipeline') as pipelines,
                              count(*) filter (where kind = 'queue') as queues
                       from pause where ended_at is null";
            let paused = row(conn, sql, [PAUSED_COUNTED], |row| {
                let (runs, pipelines) = (row.get("runs")?, row.get("pipelines")?);
                Ok(PausedCount { runs, pipelines, queues: row.get("queues")? })
            })?;
            let circuits = counted(conn, now_ms)?;
            Ok(Backlog { oldest_ready_ms, parked, failed, paused: paused.unwrap_or_default(), circuits })
        })
        .await
    }

    async fn live_steps(&self, run: RunId, limit: u32) -> Result<Vec<LiveStep>> {
        self.read(move |conn| {
            let now_ms = now_ms();
            let served = served_queues(conn, now_ms)?;
            let sql = "select s.step_no, s.status, s.worker_id, s.queue, s.priority, s.error, s.awaits, s.due_at, s.ready_at, w.expires_at,
                              s.failures, s.journal_length, s.checkpoint_position, s.progress, s.progress_message, s.claimed_at,
                              c.origin, c.reason, c.opened_at, c.retry_at,
                              (select count(*) from (select 1 from step o
                                                     where o.queue = s.queue and o.priority = s.priority
                                                       and o.ready_at < s.ready_at limit ?3)) as ready_before
                       from step s left join worker w on w.id = s.worker_id
                       left join circuit c on c.id = s.deferred_by and c.closed_at is null and s.status = 'waiting'
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
                    ready_at_ms: unless_shelved(row.get("ready_at")?),
                    priority: parse(row, "priority")?,
                    queue_workers: served.iter().filter(|queues| queues.contains(&queue)).count() as u32,
                    queue,
                    ready_before: row.get("ready_before")?,
                    error: row.get("error")?,
                    down: down_host(row)?,
                    doing: doing(row)?,
                    now_ms,
                })
            })
        })
        .await
    }
}

/// Of each live worker the queues that it serves.
pub(super) fn served_queues(conn: &Connection, now_ms: i64) -> Result<Vec<Vec<String>>> {
    let sql = "select queues from worker where expires_at > ?1 and not draining";
    rows(conn, sql, [now_ms], |row| Ok(queues_of(&row.get::<_, String>("queues")?)))
}

fn doing(row: &rusqlite::Row<'_>) -> Result<Option<Doing>> {
    let Some(claimed_at_ms) = row.get("claimed_at")? else { return Ok(None) };
    if parse::<StepStatus>(row, "status")? != StepStatus::Running {
        return Ok(None);
    }
    Ok(Some(Doing {
        failures: row.get("failures")?,
        claimed_at_ms,
        journal_length: row.get("journal_length")?,
        checkpoint_position: row.get("checkpoint_position")?,
        progress: row.get("progress")?,
        progress_message: row.get("progress_message")?,
    }))
}

fn down_host(row: &rusqlite::Row<'_>) -> Result<Option<DownHost>> {
    let Some(origin) = row.get("origin")? else { return Ok(None) };
    let (opened_at_ms, retry_at_ms) = (row.get("opened_at")?, row.get("retry_at")?);
    Ok(Some(DownHost { origin, reason: row.get("reason")?, opened_at_ms, retry_at_ms }))
}
