//! Where attempts come from.

use async_trait::async_trait;
use pawl_domain::id::{Fence, RunId, StepId};
use pawl_domain::trace::TraceContext;
use rusqlite::Connection;

use super::{Sqlite, row};
use crate::Result;
use crate::traces::{Before, LOOKED_AT, Traces};

#[async_trait]
impl Traces for Sqlite {
    async fn submitted_in(&self, runs: &[RunId]) -> Result<Vec<(RunId, TraceContext)>> {
        let runs = runs.to_vec();
        self.read(move |conn| {
            let mut found = Vec::new();
            for run in runs {
                let sql = "select trace from run where id = ?1 and trace is not null";
                let trace = row(conn, sql, [run.0], |row| Ok(row.get::<_, String>("trace")?))?;
                found.extend(trace.and_then(|trace| Some((run, trace.parse().ok()?))));
            }
            Ok(found)
        })
        .await
    }

    async fn before(&self, claims: &[(StepId, Fence)]) -> Result<Vec<Before>> {
        let claims = claims.to_vec();
        self.read(move |conn| claims.into_iter().map(|(id, fence)| before(conn, id, fence)).collect()).await
    }
}

fn before(conn: &Connection, id: StepId, fence: Fence) -> Result<Before> {
    let sql = "select max(fence) as fence from (
                   select kind, step_no, fence from event where run_id = ?1 order by number desc limit ?4)
               where kind in ('step.started', 'step.resumed') and step_no = ?2 and fence < ?3";
    let params = (id.run.0, id.step.0, fence.0, LOOKED_AT);
    let claimed = row(conn, sql, params, |row| Ok(row.get::<_, Option<i64>>("fence")?))?.flatten();
    let sql = "select coalesce(lease_ended_at, taken_over_at) as ended, taken_over_at as seen from recovery
               where run_id = ?1 and step_no = ?2 and fence > ?3 and fence < ?4 order by fence desc limit 1";
    let lease_ended_ms = match claimed {
        Some(claimed) => {
            row(conn, sql, (id.run.0, id.step.0, claimed, fence.0), |row| Ok((row.get("ended")?, row.get("seen")?)))?
        }
        None => None,
    };
    Ok(Before { fence: claimed.map(Fence), lease_ended_ms })
}
