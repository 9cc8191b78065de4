//! The sweeps, as `migrations/0012_sweeps.sql` does them for Postgres.

use std::collections::BTreeMap;

use async_trait::async_trait;
use pawl_domain::decision::lease::{self, Orphan};
use pawl_domain::event::EventKind;
use pawl_domain::id::{Fence, RunId, StepId, StepNo, WorkerId};
use pawl_domain::ready::{Ready, SHELVED_MS, unless_shelved};
use pawl_domain::suspicion::Suspicion;
use pawl_domain::transition::StepChange;
use rusqlite::Connection;
use uuid::Uuid;

use super::ledger::{Happened, Ledger, now_ms};
use super::rows::Step;
use super::{Sqlite, incidents, leases, rows};
use crate::Result;
use crate::leases::{Look, Pulse, ReadyFrom, Sweeps};

#[async_trait]
impl Sweeps for Sqlite {
    async fn look(&self, look: &Look<'_>) -> Result<Pulse> {
        let (worker, margin_ms) = (look.worker, look.margin_ms);
        let streams: Vec<_> = look.ready.iter().map(|ready| (ready.queue.to_owned(), ready.priority)).collect();
        self.read(move |conn| leases::look(conn, worker, margin_ms, &streams)).await
    }

    /// Strays are found, too: it costs nothing here.
    async fn take_over(&self, limit: usize, _strays: bool, suspicion: Suspicion) -> Result<Vec<Ready>> {
        self.change(move |ledger| take_over(ledger, limit, suspicion)).await
    }

    async fn wake(&self, limit: usize, _from_ms: Option<i64>) -> Result<Vec<Ready>> {
        self.change(move |ledger| wake(ledger, limit)).await
    }

    async fn lost(&self, ready: ReadyFrom<'_>, before_ms: i64, limit: usize) -> Result<Vec<Ready>> {
        let (queue, priority) = (ready.queue.to_owned(), ready.priority);
        self.change(move |ledger| {
            let sql = "select run_id, step_no from step
                       where ready_at < ?1 and queue = ?2 and priority = ?3 order by ready_at limit ?4";
            let found = steps(ledger.conn, sql, (before_ms, queue, priority.as_str(), limit as i64))?;
            ready_anew(ledger, &found)
        })
        .await
    }

    async fn redeliver_ready(&self, limit: usize) -> Result<Vec<Ready>> {
        self.change(move |ledger| {
            let sql = "select run_id, step_no from step where ready_at < ?2 order by ready_at limit ?1";
            ready_anew(ledger, &steps(ledger.conn, sql, (limit as i64, SHELVED_MS))?)
        })
        .await
    }

    async fn redeliver(&self, steps: &[StepId]) -> Result<Vec<Ready>> {
        let steps = steps.to_vec();
        self.change(move |ledger| {
            let mut found = Vec::new();
            for id in steps {
                if ledger.step(id)?.is_some_and(|step| unless_shelved(step.ready_at).is_some()) {
                    found.push(id);
                }
            }
            ready_anew(ledger, &found)
        })
        .await
    }

    async fn running_of(&self, worker: WorkerId) -> Result<Vec<(StepId, Fence)>> {
        self.read(move |conn| {
            let sql = "select run_id, step_no, fence from step where status = 'running' and worker_id = ?1";
            rows(conn, sql, [worker.0], |row| Ok((step_of(row)?, Fence(row.get("fence")?))))
        })
        .await
    }

    async fn live_workers(&self) -> Result<Vec<WorkerId>> {
        self.read(|conn| {
            rows(conn, "select id from worker where expires_at > ?1", [now_ms()], |row| Ok(WorkerId(row.get("id")?)))
        })
        .await
    }

    async fn forgive_crash(&self, worker: WorkerId) -> Result<()> {
        self.change(move |ledger| {
            let to_come = "update step set crash_mark = -1 where status = 'running' and worker_id = ?1";
            ledger.conn.prepare_cached(to_come)?.execute([worker.0])?;
            let past =
                "update step set crashes = crashes - 1 where ready_at is not null and worker_id = ?1 and crashes > 0";
            ledger.conn.prepare_cached(past)?.execute([worker.0])?;
            incidents::had_not_died(ledger.conn, worker)
        })
        .await
    }

    async fn forget_worker(&self, worker: WorkerId) -> Result<()> {
        self.change(move |ledger| {
            ledger.conn.execute("delete from worker where id = ?1", [worker.0])?;
            Ok(())
        })
        .await
    }
}

fn take_over(ledger: &Ledger<'_>, limit: usize, suspicion: Suspicion) -> Result<Vec<Ready>> {
    let sql = "select distinct run_id from (
                   select s.run_id from step s
                   where s.status = 'running' and s.worker_id is not null
                     and not exists (select 1 from worker w where w.id = s.worker_id and w.expires_at > ?1)
                   limit ?2)";
    let runs = rows(ledger.conn, sql, (ledger.now_ms, limit as i64), |row| Ok(RunId(row.get("run_id")?)))?;
    let mut moved = Vec::new();
    for run in runs {
        moved.extend(take_over_run(ledger, run, suspicion)?);
    }
    ledger.conn.execute(
        // A lease is good for as long as its end lies ahead.
        "delete from worker where expires_at <= ?1 and not exists (
             select 1 from step s where s.status = 'running' and s.worker_id = worker.id)",
        [ledger.now_ms],
    )?;
    ledger.ready_of(moved)
}

/// Takes over the steps of a run whose worker's lease has ended; returns them.
pub(super) fn take_over_run(ledger: &Ledger<'_>, run: RunId, suspicion: Suspicion) -> Result<Vec<StepId>> {
    let failing = ledger.run(run)?.is_some_and(|run| run.failing);
    let sql = "select run_id, step_no from step s where run_id = ?1 and status = 'running'
               and not exists (select 1 from worker w where w.id = s.worker_id and w.expires_at > ?2)
               order by step_no";
    let (mut expired, mut moved) = (Vec::new(), Vec::new());
    let mut died = BTreeMap::<Uuid, u32>::new();
    for id in steps(ledger.conn, sql, (run.0, ledger.now_ms))? {
        let Some(mut step) = ledger.step(id)? else { continue };
        // One that has forgiven its steps says that it did not die.
        if let Some(dead) = step.worker.filter(|_| step.crash_mark >= 0) {
            *died.entry(dead.0).or_default() += 1;
        }
        let (dead, kind) = (step.worker, expire(&mut step, failing, suspicion, ledger.now_ms)?);
        step.write(ledger.conn)?;
        ledger.begin_recovery(&step, kind)?;
        let lease_expired = Happened::to(&step, EventKind::StepLeaseExpired).noting(step.progress_note());
        expired.push(Happened { worker: dead, ..lease_expired });
        moved.push(Happened::to(&step, kind));
    }
    let steps: Vec<StepId> = moved.iter().map(|event| event.step).collect();
    expired.append(&mut moved);
    ledger.record(&expired)?;
    for (dead, steps) in died {
        incidents::died(ledger, WorkerId(dead), steps)?;
    }
    Ok(steps)
}

/// What the end of its worker's lease means for a step; returns how that is told.
fn expire(step: &mut Step, failing: bool, suspicion: Suspicion, now_ms: i64) -> Result<EventKind> {
    let reached = i64::from(step.journal_length) + i64::from(step.checkpoint_ordinal);
    let (has_progressed, ran_alone) = (reached > step.crash_mark, step.alone);
    let orphan = Orphan { crashes: step.crashes, has_progressed, ran_alone, run_fails: failing };
    let (change, kind, crashes) = lease::ended(orphan, suspicion);
    (step.crashes, step.crash_mark, step.alone) = (crashes, reached, false);
    step.change(change, now_ms)?;
    if change == StepChange::Poisoned {
        step.error = Some(suspicion.poison(step.crashes).into_bytes());
    }
    Ok(kind)
}

fn wake(ledger: &Ledger<'_>, limit: usize) -> Result<Vec<Ready>> {
    let sql = "select run_id, step_no from step where due_at <= ?1 order by due_at limit ?2";
    let due = steps(ledger.conn, sql, (ledger.now_ms, limit as i64))?;
    wake_these(ledger, &due)?;
    ledger.ready_of(due)
}

/// Wakes the steps of a run that are due; returns them.
pub(super) fn wake_run(ledger: &Ledger<'_>, run: RunId) -> Result<Vec<StepId>> {
    let sql = "select run_id, step_no from step where run_id = ?1 and due_at <= ?2 order by step_no";
    let due = steps(ledger.conn, sql, (run.0, ledger.now_ms))?;
    wake_these(ledger, &due)?;
    Ok(due)
}

fn wake_these(ledger: &Ledger<'_>, due: &[StepId]) -> Result<()> {
    let mut happened = Vec::with_capacity(due.len());
    for id in due {
        let Some(mut step) = ledger.step(*id)? else { continue };
        let note = step.awaits.as_ref().map_or_else(|| "due".to_owned(), |name| format!("no signal {name} in time"));
        step.change(StepChange::Due, ledger.now_ms)?;
        step.write(ledger.conn)?;
        happened.push(Happened::to(&step, EventKind::StepReady).noting(note));
    }
    ledger.record(&happened)?;
    Ok(())
}

/// Ready steps with a new `ready_at`, so that they are not found again at once.
pub(super) fn ready_anew(ledger: &Ledger<'_>, steps: &[StepId]) -> Result<Vec<Ready>> {
    for id in steps {
        let mut update =
            ledger.conn.prepare_cached("update step set ready_at = ?3 where run_id = ?1 and step_no = ?2")?;
        update.execute((id.run.0, id.step.0, ledger.now_ms))?;
    }
    ledger.ready_of(steps.iter().copied())
}

fn steps(conn: &Connection, sql: &str, params: impl rusqlite::Params) -> Result<Vec<StepId>> {
    rows(conn, sql, params, step_of)
}

pub(super) fn step_of(row: &rusqlite::Row<'_>) -> Result<StepId> {
    Ok(StepId { run: RunId(row.get::<_, Uuid>("run_id")?), step: StepNo(row.get("step_no")?) })
}
