//! The history of runs, and the marks by which a reader sees that there is more of it.

use async_trait::async_trait;
use pawl_domain::id::{RunId, StepNo, WorkerId};

use super::{Sqlite, parse, row, rows};
use crate::Result;
use crate::events::{EventRow, Events, RunMark};

#[async_trait]
impl Events for Sqlite {
    async fn events(&self, run: RunId, after: u32, limit: u32) -> Result<Vec<EventRow>> {
        self.read(move |conn| {
            let sql = "select number, at, kind, step_no, fence, worker_id, note from event
                       where run_id = ?1 and number > ?2 order by number limit ?3";
            rows(conn, sql, (run.0, after, limit), |row| {
                Ok(EventRow {
                    number: row.get("number")?,
                    at_ms: row.get("at")?,
                    kind: parse(row, "kind")?,
                    step: row.get::<_, Option<i32>>("step_no")?.map(StepNo),
                    fence: row.get("fence")?,
                    worker: row.get::<_, Option<_>>("worker_id")?.map(WorkerId),
                    note: row.get("note")?,
                })
            })
        })
        .await
    }

    async fn run_marks(&self, runs: &[RunId]) -> Result<Vec<RunMark>> {
        let runs = runs.to_vec();
        self.read(move |conn| {
            let mut marks = Vec::with_capacity(runs.len());
            for id in runs {
                let mark = row(conn, "select status, event_count from run where id = ?1", [id.0], |row| {
                    Ok(RunMark { id, status: parse(row, "status")?, event_count: row.get("event_count")? })
                });
                marks.extend(mark?);
            }
            Ok(marks)
        })
        .await
    }
}
