//! The history of runs, and the marks by which a reader sees that there is more of it.

use async_trait::async_trait;
use pawl_domain::id::{RunId, StepNo, WorkerId};
use sqlx::Row;
use sqlx::postgres::{PgExecutor, PgRow};

use super::{Postgres, parse};
use crate::Result;
use crate::events::{EventRow, Events, RunMark};

#[async_trait]
impl Events for Postgres {
    async fn events(&self, run: RunId, after: u32, limit: u32) -> Result<Vec<EventRow>> {
        let rows = sqlx::query(
            "with page as (
                 select e.*, sum(cardinality(e.kinds)) over (order by e.first) - cardinality(e.kinds) as before
                 from (select * from event
                       -- From the row that holds the next event, or the last one before it.
                       where run_id = $1 and first >= coalesce(
                           (select first from event where run_id = $1 and first <= $2::bigint + 1 order by first desc limit 1), 0)
                         and first + cardinality(kinds) - 1 > $2
                       order by first limit $3) as e
             )
             select p.first + u.place::int - 1 as number, (extract(epoch from p.at) * 1000)::bigint as at_ms,
                    u.kind, u.step, u.fence, u.worker, u.note
             from page p, unnest(p.kinds, p.steps, p.fences, p.workers, p.notes) with ordinality
                 as u (kind, step, fence, worker, note, place)
             where p.before < $3 and p.first + u.place::int - 1 > $2
             order by number",
        )
        .bind(run.0)
        .bind(after.cast_signed())
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(event_row).collect()
    }

    async fn run_marks(&self, runs: &[RunId]) -> Result<Vec<RunMark>> {
        run_marks(&self.pool, runs).await
    }
}

pub(super) async fn run_marks(on: impl PgExecutor<'_>, runs: &[RunId]) -> Result<Vec<RunMark>> {
    let rows = sqlx::query("select id, status, event_count from run where id = any($1)")
        .bind(runs.iter().map(|run| run.0).collect::<Vec<_>>())
        .fetch_all(on)
        .await?;
    rows.iter()
        .map(|row| {
            Ok(RunMark {
                id: RunId(row.try_get("id")?),
                status: parse(row, "status")?,
                event_count: row.try_get::<i32, _>("event_count")?.cast_unsigned(),
            })
        })
        .collect()
}

fn event_row(row: &PgRow) -> Result<EventRow> {
    Ok(EventRow {
        number: row.try_get::<i32, _>("number")?.cast_unsigned(),
        at_ms: row.try_get("at_ms")?,
        kind: parse(row, "kind")?,
        step: row.try_get::<Option<i32>, _>("step")?.map(StepNo),
        fence: row.try_get("fence")?,
        worker: row.try_get::<Option<_>, _>("worker")?.map(WorkerId),
        note: row.try_get("note")?,
    })
}
