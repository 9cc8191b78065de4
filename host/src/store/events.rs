//! The history of runs, and the marks by which a reader sees that there is more of it.

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::{Result, Store, parse};
use crate::domain::id::{RunId, StepNo, WorkerId};
use crate::domain::status::RunStatus;

/// One line of a run's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// From 1, without gaps.
    pub number: u32,
    /// When it was committed.
    pub at_ms: i64,
    /// For example `step.started`.
    pub kind: String,
    /// None for events of the run.
    pub step: Option<StepNo>,
    /// The step's fence.
    pub fence: Option<i64>,
    /// Who did it.
    pub worker: Option<WorkerId>,
    /// For people.
    pub note: Option<String>,
}

/// What tells a reader whether there is something new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunMark {
    /// The run.
    pub id: RunId,
    /// Where it stands.
    pub status: RunStatus,
    /// The number of its last event.
    pub event_count: u32,
}

impl Store {
    /// Up to about `limit` events of a run after number `after`; whole commits, so it may be a few more.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`]. An unknown run has no events.
    pub async fn events(&self, run: RunId, after: u32, limit: u32) -> Result<Vec<EventRow>> {
        let rows = sqlx::query(
            "with page as (
                 select e.*, sum(cardinality(e.kinds)) over (order by e.first) - cardinality(e.kinds) as before
                 from (select * from event
                       where run_id = $1 and first + cardinality(kinds) - 1 > $2
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

    /// Where these runs stand, those that there are.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn run_marks(&self, runs: &[RunId]) -> Result<Vec<RunMark>> {
        let rows = sqlx::query("select id, status, event_count from run where id = any($1)")
            .bind(runs.iter().map(|run| run.0).collect::<Vec<_>>())
            .fetch_all(&self.pool)
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
}

fn event_row(row: &PgRow) -> Result<EventRow> {
    Ok(EventRow {
        number: row.try_get::<i32, _>("number")?.cast_unsigned(),
        at_ms: row.try_get("at_ms")?,
        kind: row.try_get("kind")?,
        step: row.try_get::<Option<i32>, _>("step")?.map(StepNo),
        fence: row.try_get("fence")?,
        worker: row.try_get::<Option<_>, _>("worker")?.map(WorkerId),
        note: row.try_get("note")?,
    })
}
