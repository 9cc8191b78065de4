//! What waits, by the indexes that wake it.

use async_trait::async_trait;
use pawl_domain::id::{RunId, StepId, StepNo};
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::{Postgres, digest_of, parse};
use crate::Result;
use crate::waits::{WaitKind, WaitPlace, WaitRow, Waits};

/// A piece of an index, with what else is told of its steps.
macro_rules! piece {
    ($where:literal, $order:literal) => {
        concat!(
            "with piece as materialized (
                 select s.run_id, s.step_no, s.status, s.awaits, s.awaits_position, s.due_at, s.failures, s.deferred_by
                 from step s
                 where ",
            $where,
            " order by ",
            $order,
            " limit $4
             )
             select s.run_id, s.step_no, s.status = 'waiting' as waits, s.awaits, s.awaits_position is not null as has_asked,
                    s.failures, (extract(epoch from s.due_at) * 1000000)::bigint as due_us, r.namespace, r.pipeline,
                    r.pipeline_digest, c.origin
             from piece s
             join run r on r.id = s.run_id
             left join circuit c on c.id = s.deferred_by and c.closed_at is null
             order by ",
            $order
        )
    };
}

const BY_SIGNAL: &str =
    piece!("s.awaits is not null and (s.run_id, s.awaits, s.step_no) > ($2, $1, $3)", "s.run_id, s.awaits, s.step_no");
const BY_TIME: &str = piece!(
    "s.due_at is not null
     and (s.due_at, s.run_id, s.step_no) > (timestamptz 'epoch' + $1 * interval '1 microsecond', $2, $3)",
    "s.due_at, s.run_id, s.step_no"
);

#[async_trait]
impl Waits for Postgres {
    async fn waiting(&self, kind: WaitKind, after: &WaitPlace, limit: usize) -> Result<Vec<WaitRow>> {
        let query = match kind {
            WaitKind::Signal => sqlx::query(BY_SIGNAL).bind(after.signal()),
            WaitKind::Time => sqlx::query(BY_TIME).bind(after.due_us()),
        };
        let query = query.bind(after.step.run.0).bind(after.step.step.0).bind(i64::try_from(limit).unwrap_or(i64::MAX));
        query.fetch_all(&self.pool).await?.iter().map(wait_row).collect()
    }
}

fn wait_row(row: &PgRow) -> Result<WaitRow> {
    Ok(WaitRow {
        step: StepId { run: RunId(row.try_get("run_id")?), step: StepNo(row.try_get("step_no")?) },
        namespace: parse(row, "namespace")?,
        pipeline: row.try_get("pipeline")?,
        pipeline_digest: digest_of(row, "pipeline_digest")?,
        waits: row.try_get("waits")?,
        has_asked: row.try_get("has_asked")?,
        signal: row.try_get("awaits")?,
        due_us: row.try_get("due_us")?,
        failures: row.try_get::<i32, _>("failures")?.cast_unsigned(),
        origin: row.try_get("origin")?,
    })
}
