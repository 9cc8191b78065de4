//! What a run that has not ended waits for: the facts of `pawl run explain`.

use async_trait::async_trait;
use pawl_domain::id::{RunId, StepNo, WorkerId};
use pawl_domain::pipeline::Priority;
use pawl_domain::ready::unless_shelved;
use pawl_domain::status::StepStatus;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::leases::streams;
use super::{Postgres, parse};
use crate::Result;
use crate::live::{
    Backlog, COUNTED_BEFORE, CircuitCount, DEAD_LOOKED_AT, Doing, DownHost, Live, LiveStep, PARKED_LOOKED_AT,
    PAUSED_COUNTED, PausedCount,
};

#[async_trait]
impl Live for Postgres {
    async fn unserved_queues(&self) -> Result<Vec<String>> {
        // From one queue to the next in the index, however many steps are in each.
        let queues = sqlx::query_scalar(
            "with recursive filled as (
                 (select s.queue from step s where s.ready_at is not null order by s.queue limit 1)
                 union all
                 select (select s.queue from step s where s.ready_at is not null and s.queue > f.queue
                         order by s.queue limit 1)
                 from filled f where f.queue is not null
             )
             select f.queue from filled f
             where f.queue is not null and not exists (
                 select from worker w where w.expires_at > clock_timestamp() and not w.draining and f.queue = any (w.queues))
             order by f.queue",
        );
        Ok(queues.fetch_all(&self.pool).await?)
    }

    async fn backlog(&self) -> Result<Backlog> {
        // Of each stream the oldest. Not on the connections that requests share: while somebody holds an old snapshot, it
        // walks over what is gone.
        let rows = sqlx::query(concat!(
            streams!(),
            " select t.queue, t.priority, (extract(epoch from clock_timestamp() - o.ready_at) * 1000)::bigint as age_ms
             from stream t
             cross join lateral (select s.ready_at from step s
                                 where s.queue = t.queue and s.priority = t.priority and s.ready_at < pawl_shelved_v1()
                                 order by s.ready_at limit 1) as o",
        ))
        .fetch_all(&self.sweeps)
        .await?;
        let parked: i32 = sqlx::query_scalar(
            "select count(*) filter (where p.status = 'parked')::int
             from (select s.status from step s where s.parked_at is not null limit $1) as p",
        )
        .bind(i64::from(PARKED_LOOKED_AT))
        .fetch_one(&self.sweeps)
        .await?;
        let failed: i32 = sqlx::query_scalar(
            "select count(*) filter (where d.state = 'failed')::int from (select state from dead_letter limit $1) as d",
        )
        .bind(i64::from(DEAD_LOOKED_AT))
        .fetch_one(&self.sweeps)
        .await?;
        let stream = |row: &PgRow| -> Result<(String, Priority, u64)> {
            let age_ms = row.try_get::<i64, _>("age_ms")?;
            Ok((row.try_get("queue")?, parse(row, "priority")?, u64::try_from(age_ms).unwrap_or(0)))
        };
        let oldest_ready_ms = rows.iter().map(stream).collect::<Result<_>>()?;
        let paused = sqlx::query(
            "select (select count(*)::int from (select from run where paused_at is not null and ended_at is null
                                                limit $1) as r) as runs,
                    count(*) filter (where kind = 'pipeline')::int as pipelines,
                    count(*) filter (where kind = 'queue')::int as queues
             from pause where ended_at is null",
        )
        .bind(i64::from(PAUSED_COUNTED))
        .fetch_one(&self.sweeps)
        .await?;
        let circuits = sqlx::query(
            "select count(*) filter (where not p.is_probed)::int as open, count(*) filter (where p.is_probed)::int as half_open
             from circuit c
             cross join lateral (select pawl_is_probed_v1(c.probed_by, c.probe_until, clock_timestamp()) as is_probed) as p
             where c.closed_at is null",
        )
        .fetch_one(&self.sweeps)
        .await?;
        let count = |row: &PgRow, column: &str| Ok::<_, crate::Error>(row.try_get::<i32, _>(column)?.cast_unsigned());
        let paused = PausedCount {
            runs: count(&paused, "runs")?,
            pipelines: count(&paused, "pipelines")?,
            queues: count(&paused, "queues")?,
        };
        let circuits = CircuitCount { open: count(&circuits, "open")?, half_open: count(&circuits, "half_open")? };
        let (parked, failed) = (parked.cast_unsigned(), failed.cast_unsigned());
        Ok(Backlog { oldest_ready_ms, parked, failed, paused, circuits })
    }

    async fn live_steps(&self, run: RunId, limit: u32) -> Result<Vec<LiveStep>> {
        let rows = sqlx::query(
            "with live as (
                 select * from step s
                 where s.run_id = $1 and s.status in ('ready', 'running', 'waiting', 'parked')
                 order by s.step_no
                 limit $2
             ), ahead as (
                 -- Steps that became ready by one commit have the same before them: it is counted once, and not to the end.
                 select q.queue, q.priority, q.ready_at,
                        (select count(*)::int from (select from step o
                                                    where o.queue = q.queue and o.priority = q.priority
                                                      and o.ready_at < q.ready_at limit $3) as o) as ready_before
                 from (select distinct queue, priority, ready_at from live where ready_at is not null) as q
             ), served as (
                 select q.queue, count(w.id)::int as workers
                 from (select distinct queue from live) as q
                 left join worker w on q.queue = any (w.queues) and w.expires_at > clock_timestamp() and not w.draining
                 group by q.queue
             )
             select l.step_no, l.status as step_status, l.worker_id, l.queue, l.priority, l.error, l.awaits,
                    v.workers as queue_workers,
                    coalesce(a.ready_before, 0) as ready_before,
                    (extract(epoch from w.expires_at) * 1000)::bigint as lease_end_ms,
                    (extract(epoch from l.due_at) * 1000)::bigint as due_at_ms,
                    (extract(epoch from l.ready_at) * 1000)::bigint as ready_at_ms,
                    l.failures, l.journal_length, l.checkpoint_position, l.progress, l.progress_message,
                    (extract(epoch from l.claimed_at) * 1000)::bigint as claimed_at_ms,
                    c.origin, c.reason,
                    (extract(epoch from c.opened_at) * 1000)::bigint as opened_at_ms,
                    (extract(epoch from c.retry_at) * 1000)::bigint as retry_at_ms,
                    (extract(epoch from clock_timestamp()) * 1000)::bigint as now_ms
             from live l
             join served v on v.queue = l.queue
             left join ahead a on a.queue = l.queue and a.priority = l.priority and a.ready_at = l.ready_at
             left join worker w on w.id = l.worker_id
             left join circuit c on c.id = l.deferred_by and c.closed_at is null and l.status = 'waiting'
             order by l.step_no",
        )
        .bind(run.0)
        .bind(i64::from(limit))
        .bind(i64::from(COUNTED_BEFORE))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(live_step).collect()
    }
}

fn live_step(row: &PgRow) -> Result<LiveStep> {
    Ok(LiveStep {
        no: StepNo(row.try_get("step_no")?),
        status: parse(row, "step_status")?,
        worker: row.try_get::<Option<_>, _>("worker_id")?.map(WorkerId),
        lease_end_ms: row.try_get("lease_end_ms")?,
        due_at_ms: row.try_get("due_at_ms")?,
        awaits: row.try_get("awaits")?,
        ready_at_ms: unless_shelved(row.try_get("ready_at_ms")?),
        queue: row.try_get("queue")?,
        priority: parse(row, "priority")?,
        queue_workers: row.try_get::<i32, _>("queue_workers")?.cast_unsigned(),
        ready_before: row.try_get::<i32, _>("ready_before")?.cast_unsigned(),
        error: row.try_get("error")?,
        down: down_host(row)?,
        doing: doing(row)?,
        now_ms: row.try_get("now_ms")?,
    })
}

fn doing(row: &PgRow) -> Result<Option<Doing>> {
    let Some(claimed_at_ms) = row.try_get("claimed_at_ms")? else { return Ok(None) };
    if parse::<StepStatus>(row, "step_status")? != StepStatus::Running {
        return Ok(None);
    }
    let count = |column: &str| Ok::<_, crate::Error>(row.try_get::<i32, _>(column)?.cast_unsigned());
    Ok(Some(Doing {
        failures: count("failures")?,
        claimed_at_ms,
        journal_length: count("journal_length")?,
        checkpoint_position: row.try_get::<Option<i32>, _>("checkpoint_position")?.map(i32::cast_unsigned),
        progress: row.try_get("progress")?,
        progress_message: row.try_get("progress_message")?,
    }))
}

fn down_host(row: &PgRow) -> Result<Option<DownHost>> {
    let Some(origin) = row.try_get("origin")? else { return Ok(None) };
    Ok(Some(DownHost {
        origin,
        reason: row.try_get("reason")?,
        opened_at_ms: row.try_get("opened_at_ms")?,
        retry_at_ms: row.try_get("retry_at_ms")?,
    }))
}
