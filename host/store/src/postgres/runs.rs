//! Runs, as people read them: lists and states without payloads, payloads one by one and verified by their
//! digest.

use std::collections::BTreeMap;

use async_trait::async_trait;
use pawl_domain::id::{Digest, RunId, StepId, StepNo, WorkerId};
use pawl_domain::namespace::Namespace;
use pawl_domain::pipeline::Pipeline;
use pawl_domain::ready::unless_shelved;
use pawl_domain::status::RunStatus;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::{Postgres, digest_of, maybe_digest_of, parse};
use crate::runs::{RunFilter, RunRow, RunTimes, Runs, StepMark, StepRow, no_output, no_run, no_such_output};
use crate::{Result, verified};

/// What is read of a run; a macro, so that statements stay constants.
macro_rules! run_columns {
    () => {
        "r.id, r.pipeline, r.pipeline_digest, r.status, r.steps as step_count, r.live, r.failing, r.kept, r.event_count, r.pause_reason,
         r.idempotency_key, (extract(epoch from r.created_at) * 1000)::bigint as run_created_at_ms,
         (extract(epoch from r.started_at) * 1000)::bigint as run_started_at_ms,
         (extract(epoch from r.ended_at) * 1000)::bigint as run_ended_at_ms,
         (extract(epoch from r.paused_at) * 1000)::bigint as run_paused_at_ms,
         case when r.status = 'running' and r.running = 0 and not r.failing
              then exists (select from step p where p.run_id = r.id and p.parked_at is not null and p.status = 'parked')
              else false end as parked"
    };
}

pub(super) use run_columns;

/// The same of a step.
macro_rules! step_columns {
    () => {
        "s.step_no, s.status as step_status, s.component, s.attempts, s.failures, s.crashes, s.fence,
         s.worker_id, s.journal_length, s.checkpoint_position, s.error, s.progress, s.progress_message,
         case when s.status = 'waiting' then s.awaits end as awaits,
         (extract(epoch from s.ready_at) * 1000)::bigint as ready_at_ms,
         (extract(epoch from s.due_at) * 1000)::bigint as due_at_ms,
         (extract(epoch from s.claimed_at) * 1000)::bigint as claimed_at_ms,
         (extract(epoch from s.started_at) * 1000)::bigint as started_at_ms,
         (extract(epoch from s.ended_at) * 1000)::bigint as ended_at_ms"
    };
}

/// A page of runs: up to `$2` of those of a namespace in the states `$4` that are older than `$3` and `$6`, and no older than
/// `$5`, of what is given, newest first. Times are those that are told, in whole ms. The page is put together from a page of each state: each is read in the order of an index that begins with what it asks
/// for, so that a page reads itself and nothing else, and no index is there for the mixture.
macro_rules! page_where {
    ($also:literal) => {
        concat!(
            "with told as (
                 select timestamptz 'epoch' + ($5::bigint - 0.5) * interval '1 millisecond' as since,
                        timestamptz 'epoch' + ($6::bigint - 0.5) * interval '1 millisecond' as until
             ), place as (
                 select case when $3::uuid is null then 'infinity' else (select created_at from run where id = $3) end as at,
                        coalesce($3, 'ffffffff-ffff-ffff-ffff-ffffffffffff') as id
             ), bound as materialized (
                 -- One place where the index is entered: the older one of both.
                 select case when t.until <= p.at then t.until else p.at end as at,
                        case when t.until <= p.at then '00000000-0000-0000-0000-000000000000'::uuid else p.id end as id,
                        coalesce(t.since, '-infinity') as since
                 from told t, place p
             ), page as (
                 select o.id, o.created_at from unnest($4::text[]) as s (status)
                 cross join lateral (
                     select o.id, o.created_at from run o
                     where o.namespace = $1 and o.status = s.status ",
            $also,
            "      and (o.created_at, o.id) < ((select at from bound), (select id from bound))
                       and o.created_at >= (select since from bound)
                     order by o.created_at desc, o.id desc limit $2
                 ) as o
                 order by o.created_at desc, o.id desc limit $2
             ) select ",
            run_columns!(),
            " from page join run r on r.id = page.id order by page.created_at desc, page.id desc"
        )
    };
}

const OF_ALL: &str = page_where!("");
const OF_PIPELINE: &str = page_where!("and o.pipeline = $7");

#[async_trait]
impl Runs for Postgres {
    async fn runs(&self, filter: &RunFilter<'_>) -> Result<Vec<RunRow>> {
        let statuses: Vec<&str> = filter.statuses().iter().map(|status| status.as_str()).collect();
        let (since_ms, until_ms) = filter.times();
        let page = |sql: &'static str| {
            sqlx::query(sql)
                .bind(filter.namespace.as_str())
                .bind(i64::from(filter.limit))
                .bind(filter.before.map(|run| run.0))
                .bind(statuses)
                .bind(since_ms)
                .bind(until_ms)
        };
        let query = match filter.pipeline {
            Some(pipeline) => page(OF_PIPELINE).bind(pipeline),
            None => page(OF_ALL),
        };
        query.fetch_all(&self.pool).await?.iter().map(run_row).collect()
    }

    async fn runs_between(&self, namespace: &Namespace, first: RunId, last: RunId, limit: u32) -> Result<Vec<RunRow>> {
        let rows = sqlx::query(concat!(
            "select ",
            run_columns!(),
            " from run r where r.id between $1 and $2 and r.namespace = $3 order by r.id limit $4"
        ))
        .bind(first.0)
        .bind(last.0)
        .bind(namespace.as_str())
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(run_row).collect()
    }

    async fn run_alone(&self, run: RunId) -> Result<RunRow> {
        let row = sqlx::query(concat!("select ", run_columns!(), " from run r where r.id = $1"))
            .bind(run.0)
            .fetch_optional(&self.pool)
            .await?;
        run_row(&row.ok_or_else(|| no_run(run))?)
    }

    async fn runs_named(&self, runs: &[RunId]) -> Result<Vec<RunRow>> {
        let rows = sqlx::query(concat!("select ", run_columns!(), " from run r where r.id = any($1)"))
            .bind(runs.iter().map(|run| run.0).collect::<Vec<_>>())
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(run_row).collect()
    }

    async fn runs_with_error(&self, runs: &[RunId], part: &[u8]) -> Result<Vec<RunId>> {
        let found = sqlx::query_scalar(
            "select r.id from unnest($1::uuid[]) as r (id)
             where exists (select from step s where s.run_id = r.id and s.error is not null and position($2::bytea in s.error) > 0)",
        )
        .bind(runs.iter().map(|run| run.0).collect::<Vec<_>>())
        .bind(part)
        .fetch_all(&self.pool)
        .await?;
        Ok(found.into_iter().map(RunId).collect())
    }

    async fn run_times(&self, runs: &[RunId]) -> Result<Vec<RunTimes>> {
        let rows = sqlx::query(
            "select id, status, (extract(epoch from created_at) * 1000)::bigint as created_at_ms,
                    (extract(epoch from ended_at) * 1000)::bigint as ended_at_ms
             from run where id = any($1)",
        )
        .bind(runs.iter().map(|run| run.0).collect::<Vec<_>>())
        .fetch_all(&self.pool)
        .await?;
        let times = |row: &PgRow| -> Result<RunTimes> {
            Ok(RunTimes {
                id: RunId(row.try_get("id")?),
                status: parse(row, "status")?,
                created_at_ms: row.try_get("created_at_ms")?,
                ended_at_ms: row.try_get("ended_at_ms")?,
            })
        };
        rows.iter().map(times).collect()
    }

    async fn run(&self, run: RunId, only: Option<StepNo>) -> Result<(RunRow, Vec<StepRow>)> {
        let rows = sqlx::query(concat!(
            "select ",
            run_columns!(),
            ", ",
            step_columns!(),
            " from run r
             join step s on s.run_id = r.id
             where r.id = $1 and ($2::int is null or s.step_no = $2)
             order by s.step_no"
        ))
        .bind(run.0)
        .bind(only.map(|step| step.0))
        .fetch_all(&self.pool)
        .await?;
        let first = rows.first().ok_or_else(|| no_run(run))?;
        Ok((run_row(first)?, rows.iter().map(step_row).collect::<Result<_>>()?))
    }

    async fn failed_steps(&self, run: RunId, limit: u32) -> Result<Vec<StepRow>> {
        let rows = sqlx::query(concat!(
            "select ",
            step_columns!(),
            " from step s where s.run_id = $1 and s.status = 'failed' order by s.step_no limit $2"
        ))
        .bind(run.0)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(step_row).collect()
    }

    async fn step_marks(&self, runs: &[RunId]) -> Result<Vec<StepMark>> {
        // Run by run: the steps of each stand together in the index of their key.
        let rows = sqlx::query(
            "select n.run_id, s.* from unnest($1::uuid[]) with ordinality as n (run_id, place)
             cross join lateral (
                 select y.step_no, y.status, y.component,
                        (extract(epoch from y.started_at) * 1000)::bigint as started_at_ms,
                        (extract(epoch from y.ended_at) * 1000)::bigint as ended_at_ms
                 from step y where y.run_id = n.run_id order by y.step_no offset 0
             ) as s order by n.place, s.step_no",
        )
        .bind(runs.iter().map(|run| run.0).collect::<Vec<_>>())
        .fetch_all(&self.pool)
        .await?;
        let mark = |row: &PgRow| -> Result<StepMark> {
            Ok(StepMark {
                id: StepId { run: RunId(row.try_get("run_id")?), step: StepNo(row.try_get("step_no")?) },
                status: parse(row, "status")?,
                component: maybe_digest_of(row, "component")?,
                started_at_ms: row.try_get("started_at_ms")?,
                ended_at_ms: row.try_get("ended_at_ms")?,
            })
        };
        rows.iter().map(mark).collect()
    }

    async fn last_outputs(&self, run: RunId, _: &Pipeline) -> Result<BTreeMap<StepNo, Vec<u8>>> {
        let rows = sqlx::query(
            "select r.status, s.step_no, s.output, s.output_digest
             from run r
             join pipeline_step p on p.digest = r.pipeline_digest and p.successors = '{}'
             join step s on s.run_id = r.id and s.step_no = p.step_no
             where r.id = $1",
        )
        .bind(run.0)
        .fetch_all(&self.pool)
        .await?;
        let status: RunStatus = parse(rows.first().ok_or_else(|| no_run(run))?, "status")?;
        let mut outputs = BTreeMap::new();
        for row in &rows {
            let step = StepNo(row.try_get("step_no")?);
            outputs.extend(
                verified_output(row, || format!("the output of step {run}/{step}"))?.map(|output| (step, output)),
            );
        }
        // Each of them has one.
        let are_there = status == RunStatus::Succeeded && outputs.len() == rows.len();
        if are_there { Ok(outputs) } else { Err(no_output(run, status)) }
    }

    async fn step_output(&self, run: RunId, step: StepNo) -> Result<Option<Vec<u8>>> {
        let row = sqlx::query("select output, output_digest from step where run_id = $1 and step_no = $2")
            .bind(run.0)
            .bind(step.0)
            .fetch_optional(&self.pool)
            .await?;
        verified_output(&row.ok_or_else(|| no_run(run))?, || format!("the output of step {run}/{step}"))
    }

    async fn outputs(&self, run: RunId, steps: &[StepNo], most_bytes: usize) -> Result<Vec<Vec<u8>>> {
        // Sizes are known without what is measured: only what is answered is fetched.
        let rows = sqlx::query(
            "select step_no, output, output_digest
             from (select n.place, n.step_no, s.output, s.output_digest,
                          sum(octet_length(s.output)) over (order by n.place) as bytes
                   from unnest($2::int[]) with ordinality as n (step_no, place)
                   left join lateral (select y.output, y.output_digest from step y
                                      where y.run_id = $1 and y.step_no = n.step_no offset 0) as s on true) as measured
             where place = 1 or bytes <= $3
             order by place",
        )
        .bind(run.0)
        .bind(steps.iter().map(|step| step.0).collect::<Vec<_>>())
        .bind(i64::try_from(most_bytes).unwrap_or(i64::MAX))
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                let step = row.try_get::<i32, _>("step_no")?;
                let output = verified_output(row, || format!("the output of step {run}/{step}"))?;
                output.ok_or_else(|| no_such_output(run, StepNo(step)))
            })
            .collect()
    }

    async fn run_input(&self, run: RunId) -> Result<Vec<u8>> {
        let input: Option<Vec<u8>> =
            sqlx::query_scalar("select input from run where id = $1").bind(run.0).fetch_optional(&self.pool).await?;
        input.ok_or_else(|| no_run(run))
    }

    async fn pipeline_of_run(&self, run: RunId) -> Result<Digest> {
        let row =
            sqlx::query("select pipeline_digest from run where id = $1").bind(run.0).fetch_optional(&self.pool).await?;
        digest_of(&row.ok_or_else(|| no_run(run))?, "pipeline_digest")
    }
}

pub(super) fn run_row(row: &PgRow) -> Result<RunRow> {
    let count = |column: &str| row.try_get::<i32, _>(column).map(i32::cast_unsigned);
    Ok(RunRow {
        id: RunId(row.try_get("id")?),
        pipeline: row.try_get("pipeline")?,
        pipeline_digest: digest_of(row, "pipeline_digest")?,
        status: parse(row, "status")?,
        step_count: count("step_count")?,
        live_steps: count("live")?,
        failing: row.try_get("failing")?,
        parked: row.try_get("parked")?,
        kept: row.try_get("kept")?,
        paused_at_ms: row.try_get("run_paused_at_ms")?,
        pause_reason: row.try_get("pause_reason")?,
        event_count: count("event_count")?,
        idempotency_key: row.try_get("idempotency_key")?,
        created_at_ms: row.try_get("run_created_at_ms")?,
        started_at_ms: row.try_get("run_started_at_ms")?,
        ended_at_ms: row.try_get("run_ended_at_ms")?,
    })
}

fn step_row(row: &PgRow) -> Result<StepRow> {
    let count = |column: &str| row.try_get::<i32, _>(column).map(i32::cast_unsigned);
    Ok(StepRow {
        no: StepNo(row.try_get("step_no")?),
        status: parse(row, "step_status")?,
        component: maybe_digest_of(row, "component")?,
        attempts: count("attempts")?,
        failures: count("failures")?,
        crashes: count("crashes")?,
        fence: row.try_get("fence")?,
        worker: row.try_get::<Option<_>, _>("worker_id")?.map(WorkerId),
        journal_length: count("journal_length")?,
        checkpoint_position: row.try_get::<Option<i32>, _>("checkpoint_position")?.map(i32::cast_unsigned),
        progress: row.try_get("progress")?,
        progress_message: row.try_get("progress_message")?,
        error: row.try_get("error")?,
        ready_at_ms: unless_shelved(row.try_get("ready_at_ms")?),
        due_at_ms: row.try_get("due_at_ms")?,
        awaits: row.try_get("awaits")?,
        claimed_at_ms: row.try_get("claimed_at_ms")?,
        started_at_ms: row.try_get("started_at_ms")?,
        ended_at_ms: row.try_get("ended_at_ms")?,
    })
}

fn verified_output(row: &PgRow, what: impl FnOnce() -> String) -> Result<Option<Vec<u8>>> {
    let Some(output) = row.try_get::<Option<Vec<u8>>, _>("output")? else { return Ok(None) };
    verified(output, digest_of(row, "output_digest")?, what).map(Some)
}
