//! Leases and sweeps: the calls to `migrations/0005_leases.sql`.

use sqlx::Row;
use sqlx::postgres::PgConnection;

use super::{Result, Store, ready_of};
use crate::domain::id::{Fence, RunId, StepId, StepNo, WorkerId};
use crate::domain::pipeline::Priority;
use crate::domain::ready::Ready;
use crate::domain::suspicion::Suspicion;

/// What a worker tells of itself with every heartbeat.
#[derive(Debug, Clone)]
pub struct Heartbeat<'a> {
    /// This start of the process.
    pub worker: WorkerId,
    /// From the database's now on.
    pub lease_ms: u32,
    /// The first one.
    pub begin: bool,
    /// For people.
    pub host: &'a str,
    /// For people.
    pub pid: u32,
    /// Steps that it can execute at once.
    pub slots: usize,
    /// Queues that it serves.
    pub queues: &'a [String],
    /// Steps that it executes now.
    pub running: usize,
    /// Whether it takes nothing new.
    pub draining: bool,
}

/// The answer to a heartbeat. Times are ms since 1970 by the database's clock; `None`: nothing in sight.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pulse {
    /// False: the lease ran out and can't be renewed; the process takes a new id.
    pub alive: bool,
    /// The database's clock.
    pub now_ms: i64,
    /// When the first lease of another worker ends.
    pub next_lease_end_ms: Option<i64>,
    /// When the first waiting step is due.
    pub next_due_ms: Option<i64>,
    /// Since when the oldest ready step is ready.
    pub oldest_ready_ms: Option<i64>,
}

/// Renews a worker's lease on a connection of its own.
///
/// # Errors
/// [`super::Error::Unavailable`]: it may have been renewed.
pub async fn heartbeat(conn: &mut PgConnection, beat: &Heartbeat<'_>) -> Result<Pulse> {
    let row = sqlx::query(
        "select alive, now_ms, next_lease_end_ms, next_due_ms, oldest_ready_ms
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
    })
}

impl Store {
    /// Takes up to `limit` steps from workers whose lease ended; parks those that are to blame. Returns what is
    /// to be delivered.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`]: nothing is lost by trying again.
    pub async fn take_over(&self, limit: usize, suspicion: Suspicion) -> Result<Vec<Ready>> {
        let query = sqlx::query("select * from pawl_takeover_v1($1, $2, $3)")
            .bind(i32::try_from(limit).unwrap_or(i32::MAX))
            .bind(suspicion.suspect_from.cast_signed())
            .bind(suspicion.crash_limit.cast_signed());
        query.fetch_all(&self.pool).await?.iter().map(ready_of).collect()
    }

    /// Makes up to `limit` waiting steps that are due ready. Returns what is to be delivered.
    ///
    /// # Errors
    /// As [`Store::take_over`].
    pub async fn wake(&self, limit: usize) -> Result<Vec<Ready>> {
        let query = sqlx::query("select * from pawl_wake_v1($1)").bind(i32::try_from(limit).unwrap_or(i32::MAX));
        query.fetch_all(&self.pool).await?.iter().map(ready_of).collect()
    }

    /// Ready steps of one stream, ready since before `before_ms`, at most `limit`: to be delivered again.
    ///
    /// # Errors
    /// As [`Store::take_over`].
    pub async fn lost(&self, queue: &str, priority: Priority, before_ms: i64, limit: usize) -> Result<Vec<Ready>> {
        let query = sqlx::query("select * from pawl_lost_v1($1, $2, $3, $4)")
            .bind(queue)
            .bind(priority.as_str())
            .bind(before_ms)
            .bind(i32::try_from(limit).unwrap_or(i32::MAX));
        query.fetch_all(&self.pool).await?.iter().map(ready_of).collect()
    }

    /// Up to `limit` ready steps of all queues, longest ready first, with a new `ready_at`: for a person who
    /// wants everything delivered again now.
    ///
    /// # Errors
    /// As [`Store::take_over`].
    pub async fn redeliver_ready(&self, limit: usize) -> Result<Vec<Ready>> {
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

    /// The steps that the database says `worker` runs.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn running_of(&self, worker: WorkerId) -> Result<Vec<(StepId, Fence)>> {
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

    /// The ids of workers whose lease has not ended.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn live_workers(&self) -> Result<Vec<WorkerId>> {
        let ids = sqlx::query_scalar("select id from worker where expires_at > clock_timestamp()");
        Ok(ids.fetch_all(&self.pool).await?.into_iter().map(WorkerId).collect())
    }

    /// Says that a worker whose lease ran out has not died: the takeover of its steps, past or to come, is no
    /// crash of theirs. (A mark of -1 makes the next takeover see progress.)
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn forgive_crash(&self, worker: WorkerId) -> Result<()> {
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

    /// Forgets a worker that ended in good order. If steps still point to it, they will be taken over
    /// with the next sweep.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn forget_worker(&self, worker: WorkerId) -> Result<()> {
        sqlx::query("delete from worker where id = $1").bind(worker.0).execute(&self.pool).await?;
        Ok(())
    }
}
