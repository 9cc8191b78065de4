//! What a person may do to a run, as `migrations/0006_control.sql` does it for Postgres.

use async_trait::async_trait;
use pawl_domain::event::EventKind;
use pawl_domain::id::{RunId, StepId, StepNo};
use pawl_domain::ready::Ready;
use pawl_domain::status::{RunStatus, StepStatus};
use pawl_domain::transition::StepChange;

use super::Sqlite;
use super::ledger::{Happened, Ledger, needs_of};
use super::rows::{Run, Step};
use crate::Result;
use crate::control::{self, Control, Forget, Resume, ResumeOn};
use crate::runs::no_run;

/// Why what a person does is told at all.
const ASKED: &str = "a person asked for it";

#[async_trait]
impl Control for Sqlite {
    async fn cancel(&self, run: RunId) -> Result<()> {
        self.change(move |ledger| cancel(ledger, run)).await
    }

    async fn retry(&self, run: RunId, step: Option<StepNo>) -> Result<Vec<Ready>> {
        self.change(move |ledger| retry(ledger, run, step)).await
    }

    async fn resume(&self, run: RunId, step: StepNo, how: &Resume) -> Result<Vec<Ready>> {
        let how = how.clone();
        self.change(move |ledger| resume(ledger, StepId { run, step }, &how)).await
    }
}

fn cancel(ledger: &Ledger<'_>, id: RunId) -> Result<()> {
    let mut run = ledger.run(id)?.ok_or_else(|| no_run(id))?;
    if run.status.is_ended() {
        return Err(control::has_ended(id));
    }
    for mut step in Step::all_of(ledger.conn, id)? {
        if !step.status.is_ended() {
            step.change(StepChange::Stopped, ledger.now_ms)?;
            step.write(ledger.conn)?;
            ledger.tell(&mut run, EventKind::StepCancelled, Some(&Happened::to(&step, EventKind::StepCancelled)))?;
        }
    }
    ledger.tell(&mut run, EventKind::RunCancelled, None)?;
    Run { status: RunStatus::Cancelled, live: 0, running: 0, ended_at: Some(ledger.now_ms), ..run }.write(ledger.conn)
}

fn retry(ledger: &Ledger<'_>, id: RunId, only: Option<StepNo>) -> Result<Vec<Ready>> {
    let mut run = ledger.run(id)?.ok_or_else(|| no_run(id))?;
    if run.status == RunStatus::Cancelled {
        return Err(control::was_cancelled(id));
    }
    let mut steps = Step::all_of(ledger.conn, id)?;
    let is_meant = |step: &Step| only.is_none_or(|only| only == step.id.step);
    let of = |status: StepStatus| -> Vec<usize> {
        let meant = steps.iter().enumerate().filter(|(_, step)| step.status == status && is_meant(step));
        meant.map(|(place, _)| place).collect()
    };
    let (failed, parked) = (of(StepStatus::Failed), of(StepStatus::Parked));
    if failed.is_empty() && parked.is_empty() {
        return Err(control::nothing_to_retry(id, only));
    }
    if run.ended_at.is_some() {
        ledger.tell_noting(&mut run, EventKind::RunReopened, None, Some(ASKED))?;
    }
    for place in failed.iter().chain(&parked) {
        let step = &mut steps[*place];
        step.change(StepChange::Reopened { unmet: 0 }, ledger.now_ms)?;
        (step.failures, step.crashes, step.crash_mark) = (0, 0, 0);
    }
    // If another step stays failed, the run stays failing and nothing else starts.
    let still_failing = steps.iter().any(|step| step.status == StepStatus::Failed);
    let reopened = if still_failing { Vec::new() } else { reopen_cancelled(ledger, &run, &mut steps)? };
    let mut all = Vec::new();
    for (place, was_parked) in failed
        .iter()
        .map(|place| (*place, false))
        .chain(parked.iter().map(|place| (*place, true)))
        .chain(reopened.iter().map(|place| (*place, false)))
    {
        let step = &steps[place];
        step.write(ledger.conn)?;
        let kind = if was_parked { EventKind::StepReady } else { EventKind::StepReopened };
        ledger.tell(&mut run, kind, Some(&Happened::to(step, kind).noting(ASKED)))?;
        all.push(step.id);
    }
    run.status = RunStatus::Running;
    run.started_at = run.started_at.or(Some(ledger.now_ms));
    run.ended_at = None;
    run.live += (failed.len() + reopened.len()) as u32;
    run.failing = still_failing;
    run.write(ledger.conn)?;
    ledger.record(&ledger.give_signals(id)?)?;
    ledger.ready_of(all)
}

/// What was cancelled because of the steps that are reopened is blocked or ready again, or goes on waiting.
fn reopen_cancelled(ledger: &Ledger<'_>, run: &Run, steps: &mut [Step]) -> Result<Vec<usize>> {
    let plan = ledger.plan(run.pipeline)?;
    let succeeded: Vec<bool> = steps.iter().map(|step| step.status == StepStatus::Succeeded).collect();
    let is_unmet = |need: &&StepNo| !usize::try_from(need.0).is_ok_and(|place| succeeded.get(place) == Some(&true));
    let mut reopened = Vec::new();
    for (place, step) in steps.iter_mut().enumerate() {
        if step.status == StepStatus::Cancelled && step.awaits_position.is_some() {
            // Its journal ends with the wait: ready, it would see the wait as over.
            step.change(StepChange::WaitReopened, ledger.now_ms)?;
            step.due_at = step.awaits_until;
            reopened.push(place);
        } else if step.status == StepStatus::Cancelled {
            step.unmet = needs_of(&plan, step.id.step).iter().filter(is_unmet).count() as u32;
            step.change(StepChange::Reopened { unmet: step.unmet }, ledger.now_ms)?;
            reopened.push(place);
        }
    }
    Ok(reopened)
}

fn resume(ledger: &Ledger<'_>, id: StepId, how: &Resume) -> Result<Vec<Ready>> {
    let mut step = ledger.step(id)?.ok_or_else(|| no_run(id.run))?;
    control::may_resume(step.status, step.awaits.as_deref())?;
    if how.forget.as_ref().is_some_and(|forget| forget.fence.0 != step.fence) {
        return Err(control::has_moved());
    }
    step.change(StepChange::Resumed, ledger.now_ms)?;
    (step.crashes, step.crash_mark) = (0, 0);
    if let ResumeOn::Component(component) = how.on {
        step.recorded_by = step.recorded_by.or(step.component).filter(|recorded_by| *recorded_by != component);
        step.component = Some(component);
    }
    let mut look_at_inbox = false;
    if let Some(Forget { kept, segment, .. }) = &how.forget {
        look_at_inbox = ledger.cut_journal(id, segment.first)?;
        if segment.length > 0 {
            ledger.append(id, segment)?;
        }
        step.journal_length = segment.first + segment.length;
        // Notes are of all components.
        step.recorded_by = step.recorded_by.filter(|_| *kept > 0);
    }
    step.write(ledger.conn)?;
    let mut happened = vec![Happened::to(&step, EventKind::StepReady).noting(how.note())];
    if look_at_inbox {
        happened.extend(ledger.give_signals(id.run)?);
    }
    ledger.record(&happened)?;
    ledger.ready_of(happened.iter().map(|happened| happened.step))
}
