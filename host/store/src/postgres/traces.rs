//! Where attempts come from: read on the connections of sweeps, as nobody waits for it.

use async_trait::async_trait;
use pawl_domain::id::{Fence, RunId, StepId};
use pawl_domain::trace::TraceContext;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::Postgres;
use crate::Result;
use crate::traces::{Before, LOOKED_AT, Traces};

#[async_trait]
impl Traces for Postgres {
    async fn submitted_in(&self, runs: &[RunId]) -> Result<Vec<(RunId, TraceContext)>> {
        let rows = sqlx::query("select id, trace from run where id = any($1) and trace is not null")
            .bind(runs.iter().map(|run| run.0).collect::<Vec<_>>())
            .fetch_all(&self.sweeps)
            .await?;
        let context = |row: &PgRow| -> Result<_> {
            let (run, trace) = (RunId(row.try_get("id")?), row.try_get::<&str, _>("trace")?);
            Ok(trace.parse().ok().map(|trace| (run, trace)))
        };
        rows.iter().filter_map(|row| context(row).transpose()).collect()
    }

    async fn before(&self, claims: &[(StepId, Fence)]) -> Result<Vec<Before>> {
        let rows = sqlx::query(
            "select claimed.fence, (extract(epoch from taken.lease_ended_at) * 1000)::bigint as lease_ended_ms,
                    (extract(epoch from taken.taken_over_at) * 1000)::bigint as seen_ms
             from unnest($1::uuid[], $2::int[], $3::bigint[]) with ordinality as c (run_id, step_no, fence, place)
             cross join lateral (
                 select max(u.fence) as fence
                 from (select e.kinds, e.steps, e.fences from event e where e.run_id = c.run_id
                       order by e.first desc limit $4) as e,
                      unnest(e.kinds, e.steps, e.fences) as u (kind, step_no, fence)
                 where u.kind in ('step.started', 'step.resumed') and u.step_no = c.step_no and u.fence < c.fence) as claimed
             left join lateral (
                 select v.lease_ended_at, v.taken_over_at from recovery v
                 where v.run_id = c.run_id and v.step_no = c.step_no and v.fence > claimed.fence and v.fence < c.fence
                 order by v.fence desc limit 1) as taken on true
             order by c.place",
        )
        .bind(claims.iter().map(|(id, _)| id.run.0).collect::<Vec<_>>())
        .bind(claims.iter().map(|(id, _)| id.step.0).collect::<Vec<_>>())
        .bind(claims.iter().map(|(_, fence)| fence.0).collect::<Vec<_>>())
        .bind(LOOKED_AT)
        .fetch_all(&self.sweeps)
        .await?;
        let before = |row: &PgRow| -> Result<_> {
            let (ended, seen) =
                (row.try_get::<Option<i64>, _>("lease_ended_ms")?, row.try_get::<Option<i64>, _>("seen_ms")?);
            // Of a worker that was forgotten by then, only the takeover is known.
            let lease_ended_ms = seen.map(|seen| (ended.unwrap_or(seen), seen));
            Ok(Before { fence: row.try_get::<Option<i64>, _>("fence")?.map(Fence), lease_ended_ms })
        };
        rows.iter().map(before).collect()
    }
}
