//! Leases, sessions and sweeps: the calls to `migrations/0012_sweeps.sql` and `0018_sessions.sql`.
//!
//! While somebody holds an old snapshot, an index that is a queue keeps what has left it, and a sweep that has no bound to
//! begin from walks over that. So it may take longer than a lease: such sweeps have connections of their own, on which
//! statements have more time, and nothing else waits for them.

use std::time::Duration;

use async_trait::async_trait;
use pawl_domain::id::{Fence, RunId, StepId, StepNo, WorkerId};
use pawl_domain::ready::Ready;
use pawl_domain::suspicion::Suspicion;
use sqlx::Row;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::pool::Pool;
use super::{Postgres, ready_of};
use crate::Result;
use crate::leases::{Heartbeat, Look, Pulse, ReadyFrom, Renewal, Sweeps, Watch};

/// The streams that hold ready steps, as `stream`: from one to the next in the index, however many steps are in each.
macro_rules! streams {
    () => {
        "with recursive stream as (
             (select queue, priority from step where ready_at is not null order by queue, priority limit 1)
             union all
             select n.queue, n.priority from stream t
             cross join lateral (select s.queue, s.priority from step s
                                 where s.ready_at is not null and (s.queue, s.priority) > (t.queue, t.priority)
                                 order by s.queue, s.priority limit 1) as n
         )"
    };
}

pub(super) use streams;

/// Begins or renews a worker's lease.
pub(super) async fn heartbeat(conn: &mut PgConnection, beat: &Heartbeat<'_>) -> Result<Renewal> {
    let row =
        sqlx::query("select alive, now_us, drain from pawl_heartbeat_v4($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)")
            .bind(beat.worker.0)
            .bind(beat.lease_ms.cast_signed())
            .bind(beat.begin)
            .bind(beat.host)
            .bind(beat.pid.cast_signed())
            .bind(i32::try_from(beat.slots).unwrap_or(i32::MAX))
            .bind(beat.queues)
            .bind(i32::try_from(beat.running).unwrap_or(i32::MAX))
            .bind(beat.draining)
            .bind(beat.version)
            .bind(beat.clock_ms)
            .fetch_one(conn)
            .await?;
    let now_us: i64 = row.try_get("now_us")?;
    Ok(Renewal {
        alive: row.try_get("alive")?,
        now_ns: u64::try_from(now_us).unwrap_or(0) * 1_000,
        drain: row.try_get("drain")?,
    })
}

/// Makes the connection's session one of the worker's.
pub(super) async fn session(conn: &mut PgConnection, worker: WorkerId) -> Result<()> {
    sqlx::query("select pawl_session_v1($1)").bind(worker.0).execute(conn).await?;
    Ok(())
}

/// Whether the worker's lease stands.
pub(super) async fn is_alive(conn: &mut PgConnection, worker: WorkerId) -> Result<bool> {
    let query =
        sqlx::query_scalar("select exists (select from worker where id = $1 and expires_at > clock_timestamp())");
    Ok(query.bind(worker.0).fetch_one(conn).await?)
}

/// Watches once. `watching` is none on a new connection, and then whether it watches or waits for its turn.
pub(super) async fn watch(
    conn: &mut PgConnection,
    watch: &Watch,
    watching: &mut Option<bool>,
) -> Result<Vec<WorkerId>> {
    let ms = |time: Duration| i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
    if watching.is_none() {
        // It is one long statement. While it is at it, the server looks at the client's side only if it is told to.
        sqlx::query(
            "select set_config('statement_timeout', $1::text, false),
                    set_config('client_connection_check_interval', $2::text, false)",
        )
        .bind(ms(watch.time * 2))
        .bind(ms(watch.pause))
        .execute(&mut *conn)
        .await?;
    }
    let row = sqlx::query("call pawl_watch_v1($1, $2, $3, $4, $5, null)")
        .bind(watch.worker.0)
        .bind(ms(watch.time))
        .bind(ms(watch.pause))
        .bind(ms(watch.grace))
        .bind(watching.unwrap_or(false))
        .fetch_one(conn)
        .await?;
    *watching = Some(row.try_get("p_watching")?);
    let ended: Vec<Uuid> = row.try_get("p_ended")?;
    Ok(ended.into_iter().map(WorkerId).collect())
}

impl Postgres {
    /// Connections for what is asked from some bound on, or, without one, of everything there is.
    fn sweeping_from(&self, bound: Option<i64>) -> &Pool {
        if bound.is_some() { &self.pool } else { &self.sweeps }
    }
}

#[async_trait]
impl Sweeps for Postgres {
    async fn look(&self, look: &Look<'_>) -> Result<Pulse> {
        let query = sqlx::query(
            "select now_ms, next_lease_end_ms, next_due_ms, oldest_ready_ms, newest_wanted_us, releases, circuits
             from pawl_look_v3($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(look.worker.0)
        .bind(look.due_from_ms)
        .bind(look.horizon_ms.cast_signed())
        .bind(look.ready.iter().map(|ready| ready.queue).collect::<Vec<_>>())
        .bind(look.ready.iter().map(|ready| ready.priority.as_str()).collect::<Vec<_>>())
        .bind(look.ready.iter().map(|ready| ready.from_ms).collect::<Vec<_>>())
        .bind(look.margin_ms.cast_signed());
        let row = query.fetch_one(self.sweeping_from(look.due_from_ms)).await?;
        Ok(Pulse {
            now_ms: row.try_get("now_ms")?,
            next_lease_end_ms: row.try_get("next_lease_end_ms")?,
            next_due_ms: row.try_get("next_due_ms")?,
            oldest_ready_ms: row.try_get("oldest_ready_ms")?,
            newest_wanted_us: row.try_get("newest_wanted_us")?,
            releases: row.try_get("releases")?,
            circuits: row.try_get("circuits")?,
        })
    }

    async fn take_over(&self, limit: usize, strays: bool, suspicion: Suspicion) -> Result<Vec<Ready>> {
        let query = sqlx::query("select * from pawl_takeover_v2($1, $2, $3, $4)")
            .bind(i32::try_from(limit).unwrap_or(i32::MAX))
            .bind(strays)
            .bind(suspicion.suspect_from.cast_signed())
            .bind(suspicion.crash_limit.cast_signed());
        query.fetch_all(&self.sweeps).await?.iter().map(ready_of).collect()
    }

    async fn wake(&self, limit: usize, from_ms: Option<i64>) -> Result<Vec<Ready>> {
        let query = sqlx::query("select * from pawl_wake_v2($1, $2)")
            .bind(i32::try_from(limit).unwrap_or(i32::MAX))
            .bind(from_ms);
        query.fetch_all(self.sweeping_from(from_ms)).await?.iter().map(ready_of).collect()
    }

    async fn lost(&self, ready: ReadyFrom<'_>, before_ms: i64, limit: usize) -> Result<Vec<Ready>> {
        let query = sqlx::query("select * from pawl_lost_v2($1, $2, $3, $4, $5)")
            .bind(ready.queue)
            .bind(ready.priority.as_str())
            .bind(ready.from_ms)
            .bind(before_ms)
            .bind(i32::try_from(limit).unwrap_or(i32::MAX));
        query.fetch_all(self.sweeping_from(ready.from_ms)).await?.iter().map(ready_of).collect()
    }

    async fn redeliver_ready(&self, limit: usize) -> Result<Vec<Ready>> {
        // Of each stream the oldest.
        let query = sqlx::query(concat!(
            streams!(),
            ", oldest as (
                 select o.run_id, o.step_no from stream t
                 cross join lateral (select s.run_id, s.step_no, s.ready_at from step s
                                     where s.queue = t.queue and s.priority = t.priority
                                       and s.ready_at < pawl_shelved_v1()
                                     order by s.ready_at limit $1) as o
                 order by o.ready_at limit $1
             ), found as (
                 select s.run_id, s.step_no from oldest o join step s on s.run_id = o.run_id and s.step_no = o.step_no
                 for no key update of s skip locked
             )
             update step s set ready_at = now() from found
             where s.run_id = found.run_id and s.step_no = found.step_no and s.status = 'ready'
             returning s.run_id, s.step_no, s.queue, s.priority,
                       (extract(epoch from s.ready_at) * 1000)::bigint as ready_at_ms",
        ));
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
                 -- Said so that the index of ready steps does not do for it: these are found by their keys.
                 where s.status = 'ready' and coalesce(s.ready_at, 'infinity') < pawl_shelved_v1()
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
        let query = sqlx::query("select run_id, step_no, fence from pawl_reconcile_v1($1)");
        let rows = query.bind(worker.0).fetch_all(&self.sweeps).await?;
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
                 update step s set crash_mark = -1 from pawl_running_v1($1) as r
                 where s.run_id = r.run_id and s.step_no = r.step_no and s.fence = r.fence
             ), charged as (
                 delete from charge where worker_id = $1 returning runs, steps, fences
             ), had_not_died as (
                 delete from incident where kind = 'worker.died' and subject = $1::text
             )
             update step s set crashes = s.crashes - 1
             from charged c cross join lateral unnest(c.runs, c.steps, c.fences) as n (run_id, step_no, fence)
             -- Where nobody has claimed it since.
             where s.run_id = n.run_id and s.step_no = n.step_no and s.fence = n.fence
               and s.status = 'ready' and s.crashes > 0",
        );
        query.bind(worker.0).execute(&self.sweeps).await?;
        Ok(())
    }

    async fn forget_worker(&self, worker: WorkerId) -> Result<()> {
        sqlx::query("delete from worker where id = $1").bind(worker.0).execute(&self.pool).await?;
        Ok(())
    }
}
