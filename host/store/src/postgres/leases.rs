//! Leases and sweeps: the calls to `migrations/0009_leases.sql`.

use async_trait::async_trait;
use pawl_domain::id::{Fence, RunId, StepId, StepNo, WorkerId};
use pawl_domain::pipeline::Priority;
use pawl_domain::ready::Ready;
use pawl_domain::suspicion::Suspicion;
use sqlx::Row;
use sqlx::postgres::PgConnection;

use super::{Postgres, ready_of};
use crate::Result;
use crate::leases::{Heartbeat, Pulse, Sweeps};

/// Begins or renews a worker's lease.
pub(super) async fn heartbeat(conn: &mut PgConnection, beat: &Heartbeat<'_>) -> Result<Pulse> {
    let row = sqlx::query(
        "select alive, now_ms, next_lease_end_ms, next_due_ms, oldest_ready_ms, newest_wanted_us
         from pawl_heartbeat_v1($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(beat.worker.0)
    .bind(beat.lease_ms.cast_signed())
    .bind(beat.begin)
    .bind(beat.host)
    .bind(beat.pid.cast_signed())
    .bind(i32::try_from(beat.slots).unwrap_or(i32::MAX))
    .bind(beat.queues)
    .bind(i32::try_from(beat.running).unwrap_or(i32::MAX))
    .bind(beat.draining)
    .fetch_one(conn)
    .await?;
    Ok(Pulse {
        alive: row.try_get("alive")?,
        now_ms: row.try_get("now_ms")?,
        next_lease_end_ms: row.try_get("next_lease_end_ms")?,
        next_due_ms: row.try_get("next_due_ms")?,
        oldest_ready_ms: row.try_get("oldest_ready_ms")?,
        newest_wanted_us: row.try_get("newest_wanted_us")?,
    })
}

#[async_trait]
impl Sweeps for Postgres {
    async fn take_over(&self, limit: usize, suspicion: Suspicion) -> Result<Vec<Ready>> {
        let query = sqlx::query("select * from pawl_takeover_v1($1, $2, $3)")
            .bind(i32::try_from(limit).unwrap_or(i32::MAX))
            .bind(suspicion.suspect_from.cast_signed())
            .bind(suspicion.crash_limit.cast_signed());
        query.fetch_all(&self.pool).await?.iter().map(ready_of).collect()
    }

    async fn wake(&self, limit: usize) -> Result<Vec<Ready>> {
        let query = sqlx::query("select * from pawl_wake_v1($1)").bind(i32::try_from(limit).unwrap_or(i32::MAX));
        query.fetch_all(&self.pool).await?.iter().map(ready_of).collect()
    }

    async fn lost(&self, queue: &str, priority: Priority, before_ms: i64, limit: usize) -> Result<Vec<Ready>> {
        let query = sqlx::query("select * from pawl_lost_v1($1, $2, $3, $4)")
            .bind(queue)
            .bind(priority.as_str())
            .bind(before_ms)
            .bind(i32::try_from(limit).unwrap_or(i32::MAX));
        query.fetch_all(&self.pool).await?.iter().map(ready_of).collect()
    }

    async fn redeliver_ready(&self, limit: usize) -> Result<Vec<Ready>> {
        let query = sqlx::query(
            "with found as (
                 select s.run_id, s.step_no, p.queue, p.priority
                 from step s
                 join run r on r.id = s.run_id
                 join pipeline_step p on p.digest = r.pipeline_digest and p.step_no = s.step_no
                 where s.ready_at is not null
                 order by s.ready_at
                 limit $1
                 for no key update of s skip locked
             )
             update step s set ready_at = now() from found
             where s.run_id = found.run_id and s.step_no = found.step_no and s.status = 'ready'
             returning s.run_id, s.step_no, found.queue, found.priority,
                       (extract(epoch from s.ready_at) * 1000)::bigint as ready_at_ms",
        );
        let rows = query.bind(i32::try_from(limit).unwrap_or(i32::MAX)).fetch_all(&self.pool).await?;
        rows.iter().map(ready_of).collect()
    }

    async fn redeliver(&self, steps: &[StepId]) -> Result<Vec<Ready>> {
        let query = sqlx::query(
            "with found as (
                 select s.run_id, s.step_no, p.queue, p.priority
                 from unnest($1::uuid[], $2::int[]) as q (run_id, step_no)
                 join run r on r.id = q.run_id
                 join pipeline_step p on p.digest = r.pipeline_digest and p.step_no = q.step_no
                 join step s on s.run_id = q.run_id and s.step_no = q.step_no
                 where s.status = 'ready'
                 order by s.run_id, s.step_no
                 for no key update of s skip locked
             )
             update step s set ready_at = now() from found
             where s.run_id = found.run_id and s.step_no = found.step_no and s.status = 'ready'
             returning s.run_id, s.step_no, found.queue, found.priority,
                       (extract(epoch from s.ready_at) * 1000)::bigint as ready_at_ms",
        )
        .bind(steps.iter().map(|id| id.run.0).collect::<Vec<_>>())
        .bind(steps.iter().map(|id| id.step.0).collect::<Vec<_>>());
        query.fetch_all(&self.pool).await?.iter().map(ready_of).collect()
    }

    async fn running_of(&self, worker: WorkerId) -> Result<Vec<(StepId, Fence)>> {
        let query = sqlx::query(
            "select s.run_id, s.step_no, s.fence
             from run r join step s on s.run_id = r.id and s.status = 'running'
             where r.running > 0 and s.worker_id = $1",
        );
        let rows = query.bind(worker.0).fetch_all(&self.pool).await?;
        rows.iter()
            .map(|row| {
                let id = StepId { run: RunId(row.try_get("run_id")?), step: StepNo(row.try_get("step_no")?) };
                Ok((id, Fence(row.try_get("fence")?)))
            })
            .collect()
    }

    async fn live_workers(&self) -> Result<Vec<WorkerId>> {
        let ids = sqlx::query_scalar("select id from worker where expires_at > clock_timestamp()");
        Ok(ids.fetch_all(&self.pool).await?.into_iter().map(WorkerId).collect())
    }

    async fn forgive_crash(&self, worker: WorkerId) -> Result<()> {
        let query = sqlx::query(
            "with to_come as (
                 update step s set crash_mark = -1 from run r
                 where r.running > 0 and s.run_id = r.id and s.status = 'running' and s.worker_id = $1
             )
             update step set crashes = crashes - 1 where ready_at is not null and worker_id = $1 and crashes > 0",
        );
        query.bind(worker.0).execute(&self.pool).await?;
        Ok(())
    }

    async fn forget_worker(&self, worker: WorkerId) -> Result<()> {
        sqlx::query("delete from worker where id = $1").bind(worker.0).execute(&self.pool).await?;
        Ok(())
    }
}
