//! What somebody outside does to a run: read, decided in `domain`, applied. Nobody else writes meanwhile, so the run is
//! as it was read.

use async_trait::async_trait;
use pawl_domain::decision::{Changes, GoesOn, PauseChange, StepChanged, Verb};
use pawl_domain::id::{Digest, RunId, StepId};
use pawl_domain::journal::{Entry, Segment};
use pawl_domain::ready::Ready;
use pawl_domain::status::StepStatus;

use super::Sqlite;
use super::ledger::Ledger;
use super::rows::{Run, Step};
use crate::Result;
use crate::control::{Control, Done};
use crate::runs::no_run;

mod known;

#[async_trait]
impl Control for Sqlite {
    async fn act(&self, run: RunId, verb: Verb) -> Result<Done> {
        self.change(move |ledger| {
            let changes = verb.decide(known::read(ledger, run, &verb.look())?)?;
            if changes.are_none() {
                return Ok(Done::default());
            }
            Ok(Done { is_new: true, ready: apply(ledger, run, &changes)? })
        })
        .await
    }
}

/// Applies changes, as `pawl_apply_v2` does for Postgres (`migrations/0006_control.sql`); returns the steps to be
/// delivered.
fn apply(ledger: &Ledger<'_>, id: RunId, changes: &Changes<'_>) -> Result<Vec<Ready>> {
    for changed in &changes.steps {
        let mut step = ledger.step(StepId { run: id, step: changed.no })?.ok_or_else(|| no_run(id))?;
        step.become_as(changed, ledger.now_ms);
        if changes.again.contains(&changed.no) {
            ledger.begin_again(&mut step)?;
        }
        step.write(ledger.conn)?;
        if changes.again.contains(&changed.no) {
            // Its state allows it by now.
            step.drop_output(ledger.conn)?;
        }
        if let Some((_, output)) = changes.skipped.filter(|(no, _)| *no == changed.no) {
            step.write_output(ledger.conn, output)?;
        }
        if let Some(component) = changed.goes_on.and_then(|goes_on| goes_on.component) {
            // Named from now on, whatever names it: it is not deleted before somebody sees that this run is on it.
            let named = "update plugin_version set last_named_at = ?2 where digest = ?1";
            ledger.conn.execute(named, (&component.0[..], ledger.now_ms))?;
        }
    }
    if let Some((step, forget)) = changes.cut {
        let step = StepId { run: id, step };
        ledger.cut_journal(step, forget.segment.first)?;
        if forget.segment.length > 0 {
            ledger.append(step, &forget.segment)?;
        }
    }
    let mut run = ledger.run(id)?.ok_or_else(|| no_run(id))?;
    if let Some(change) = changes.inbox {
        run.signal_count += 1;
        ledger.change_signal(id, change)?;
    }
    if let Some(signal) = changes.sent {
        run.signal_count += 1;
        let mut insert = ledger.conn.prepare_cached(
            "insert into signal (run_id, id, name, key, payload, digest, created_at) values (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?;
        let digest = Digest::of(&signal.payload);
        let (name, key, payload) = (&signal.name, &signal.key, &signal.payload);
        insert.execute((id.0, run.signal_count, name, key, payload, &digest.0[..], ledger.now_ms))?;
    }
    for given in &changes.given {
        ledger.take_signal(id, given)?;
    }
    for told in &changes.told {
        ledger.tell(&mut run, told, None)?;
    }
    let (status, live, running, failing) =
        (changes.run.status, changes.run.live, changes.run.running, changes.run.failing);
    let ended_at = (live == 0).then(|| run.ended_at.unwrap_or(ledger.now_ms));
    Run { status, live, running, failing, ended_at, ..run }.write(ledger.conn)?;
    if let Some(pause) = changes.pause {
        let (paused_at, reason) = match pause {
            PauseChange::Begins { reason } => (Some(ledger.now_ms), reason),
            PauseChange::Ends => (None, None),
        };
        let sql = "update run set paused_at = ?2, pause_reason = ?3 where id = ?1";
        ledger.conn.execute(sql, (id.0, paused_at, reason))?;
    }
    let ready = changes.steps.iter().filter(|step| step.status == StepStatus::Ready);
    ledger.ready_of(ready.map(|step| StepId { run: id, step: step.no }))
}

impl Ledger<'_> {
    /// Nothing of what a step has done before is left, but that it begins again.
    fn begin_again(&self, step: &mut Step) -> Result<()> {
        self.cut_journal(step.id, 0)?;
        self.append(step.id, &Segment::of(0, &[Entry::Again { round: step.fence }]))?;
        let (run, no) = (step.id.run.0, step.id.step.0);
        for sql in [
            "delete from checkpoint where run_id = ?1 and step_no = ?2",
            "update recovery set outcome = 'stopped' where run_id = ?1 and step_no = ?2 and outcome is null",
        ] {
            self.conn.prepare_cached(sql)?.execute((run, no))?;
        }
        (step.checkpoint_position, step.checkpoint_ordinal, step.alone) = (None, 0, false);
        (step.progress, step.progress_message, step.error) = (None, None, None);
        Ok(())
    }
}

impl Step {
    /// Takes on what was decided, and what goes along with its state.
    fn become_as(&mut self, changed: &StepChanged, now_ms: i64) {
        (self.status, self.unmet, self.fence) = (changed.status, changed.unmet, changed.fence.0);
        self.ready_at = (self.status == StepStatus::Ready).then_some(now_ms);
        self.ended_at = self.status.is_ended().then_some(now_ms);
        // A wait that is reopened goes on until when it would have. Stopped, a step keeps its wait for that.
        self.due_at = self.awaits_until.filter(|_| self.status == StepStatus::Waiting);
        if !matches!(self.status, StepStatus::Waiting | StepStatus::Cancelled) {
            (self.awaits_position, self.awaits_until, self.awaits) = (None, None, None);
        }
        if changed.failures_forgiven {
            self.failures = 0;
        }
        if changed.crashes_forgiven {
            (self.crashes, self.crash_mark) = (0, 0);
        }
        if let Some(GoesOn { component, recorded_by, journal_length }) = changed.goes_on {
            (self.component, self.recorded_by) = (component, recorded_by);
            self.journal_length = journal_length.unwrap_or(self.journal_length);
        }
    }
}
