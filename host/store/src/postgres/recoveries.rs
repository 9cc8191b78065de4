//! Recoveries, as people read them, and how interrupted runs go on at their word: `migrations/0023_recovery.sql`.

use async_trait::async_trait;
use pawl_domain::id::{Fence, RunId, StepId, StepNo, WorkerId};
use pawl_domain::ready::Ready;
use pawl_domain::suspicion::Suspicion;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::{Postgres, digest_of, parse, ready_of};
use crate::recoveries::{
    InterruptedFilter, InterruptedRow, LOOKED_AT, Recoveries, RecoveryFilter, RecoveryId, RecoveryRow,
};
use crate::{Result, ms};

/// A page, as it stands in an index: of all, or of one run, whose records are few.
macro_rules! page_where {
    ($which:literal) => {
        concat!(
            "with bound as materialized (
                 select case when $3::uuid is null then 'infinity'
                             else (select taken_over_at from recovery where run_id = $3 and step_no = $4 and fence = $5) end as at
             )
             select v.run_id, v.step_no, v.fence, r.pipeline, r.pipeline_digest, v.worker_id, v.replacement_id,
                    v.checkpoint_position, v.to_replay, v.replayed, v.outcome,
                    (extract(epoch from v.lease_ended_at) * 1000)::bigint as lease_ended_ms,
                    (extract(epoch from v.taken_over_at) * 1000)::bigint as taken_over_ms,
                    (extract(epoch from v.claimed_at) * 1000)::bigint as claimed_ms,
                    (extract(epoch from v.reloaded_at) * 1000)::bigint as reloaded_ms,
                    (extract(epoch from v.replayed_at) * 1000)::bigint as replayed_ms,
                    (extract(epoch from v.ready_at) * 1000)::bigint as ready_ms
             from recovery v join run r on r.id = v.run_id
             where r.namespace = $1
               and (v.taken_over_at, v.run_id, v.step_no, v.fence)
                   < ((select at from bound), coalesce($3, 'ffffffff-ffff-ffff-ffff-ffffffffffff'), coalesce($4, 0),
                      coalesce($5, 0)) ",
            $which,
            " order by v.taken_over_at desc, v.run_id desc, v.step_no desc, v.fence desc limit $2"
        )
    };
}

const OF_ALL: &str = page_where!("");
const OF_RUN: &str = page_where!("and v.run_id = $6");

#[async_trait]
impl Recoveries for Postgres {
    async fn recoveries(&self, filter: &RecoveryFilter<'_>) -> Result<Vec<RecoveryRow>> {
        let before = filter.before;
        let page = |sql: &'static str| {
            sqlx::query(sql)
                .bind(filter.namespace.as_str())
                .bind(i64::from(filter.limit))
                .bind(before.map(|id| id.step.run.0))
                .bind(before.map(|id| id.step.step.0))
                .bind(before.map(|id| id.fence.0))
        };
        let query = match filter.run {
            Some(run) => page(OF_RUN).bind(run.0),
            None => page(OF_ALL),
        };
        query.fetch_all(&self.pool).await?.iter().map(recovery_row).collect()
    }

    async fn interrupted_page(&self, filter: &InterruptedFilter<'_>) -> Result<Vec<InterruptedRow>> {
        let rows = sqlx::query(include_str!("interrupted.sql"))
            .bind(filter.namespace.as_str())
            .bind(ms(filter.threshold))
            .bind(i64::from(LOOKED_AT))
            .bind(i64::from(filter.limit))
            .bind(filter.pipeline)
            .bind(filter.after.map(|place| place.since_ms))
            .bind(filter.after.map(|place| place.run.0))
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(interrupted_row).collect()
    }

    async fn recover(&self, runs: &[RunId], suspicion: Suspicion) -> Result<Vec<Ready>> {
        let query = sqlx::query("select * from pawl_takeover_v3($1, $2, $3)")
            .bind(runs.iter().map(|run| run.0).collect::<Vec<_>>())
            .bind(suspicion.suspect_from.cast_signed())
            .bind(suspicion.crash_limit.cast_signed());
        query.fetch_all(&self.sweeps).await?.iter().map(ready_of).collect()
    }
}

fn recovery_row(row: &PgRow) -> Result<RecoveryRow> {
    let count = |column: &str| row.try_get::<Option<i32>, _>(column).map(|count| count.map(i32::cast_unsigned));
    let outcome: Option<&str> = row.try_get("outcome")?;
    Ok(RecoveryRow {
        id: RecoveryId {
            step: StepId { run: RunId(row.try_get("run_id")?), step: StepNo(row.try_get("step_no")?) },
            fence: Fence(row.try_get("fence")?),
        },
        pipeline: row.try_get("pipeline")?,
        pipeline_digest: digest_of(row, "pipeline_digest")?,
        worker: WorkerId(row.try_get("worker_id")?),
        lease_ended_ms: row.try_get("lease_ended_ms")?,
        taken_over_ms: row.try_get("taken_over_ms")?,
        checkpoint_position: count("checkpoint_position")?,
        to_replay: row.try_get::<i32, _>("to_replay")?.cast_unsigned(),
        replacement: row.try_get::<Option<_>, _>("replacement_id")?.map(WorkerId),
        claimed_ms: row.try_get("claimed_ms")?,
        reloaded_ms: row.try_get("reloaded_ms")?,
        replayed_ms: row.try_get("replayed_ms")?,
        ready_ms: row.try_get("ready_ms")?,
        replayed: count("replayed")?,
        outcome: outcome.map(|_| parse(row, "outcome")).transpose()?,
    })
}

fn interrupted_row(row: &PgRow) -> Result<InterruptedRow> {
    let count = |column: &str| row.try_get::<i32, _>(column).map(i32::cast_unsigned);
    Ok(InterruptedRow {
        run: RunId(row.try_get("run_id")?),
        pipeline: row.try_get("pipeline")?,
        pipeline_digest: digest_of(row, "pipeline_digest")?,
        started_ms: row.try_get("started_ms")?,
        last_activity_ms: row.try_get("last_activity_ms")?,
        steps: count("steps")?,
        completed: count("completed")?,
        failed: count("failed")?,
        next: StepNo(row.try_get("step_no")?),
        next_status: parse(row, "status")?,
    })
}
