//! The group writer's batch, as `pawl_write_v3` does it for Postgres (`migrations/0003_write.sql`), step by step:
//!
//! ```text
//!  1 members under their guard: run, step, worker, fence; or run ahead, if what was guessed is true; the refused are
//!    judged
//!  2 journal, checkpoints
//!  3 what is left of runs that fail ends; signals for those that wait
//!  4 successors of what succeeded: ready, or claimed for the same worker at once
//!  5 claims
//!  6 record what has happened: events, counters, runs; answer
//! ```

use std::collections::{BTreeMap, BTreeSet, HashSet};

use pawl_domain::decision::Waits;
use pawl_domain::decision::outcome::{needs_met, told_of_claim};
use pawl_domain::event::EventKind;
use pawl_domain::id::{Digest, RunId, StepId, WorkerId};
use pawl_domain::journal::Checkpoint;
use pawl_domain::ready::SHELVED_MS;
use pawl_domain::status::StepStatus;
use pawl_domain::succession::Succession;
use pawl_domain::transition::StepChange;

use super::circuits::of_run;
use super::ledger::{Happened, Ledger};
use super::pauses::Standing;
use super::row;
use super::rows::Step;
use crate::write::{Ahead, Batch, Member, Segment, Settlement, Verdict, Written};
use crate::{Error, Result};

mod answer;

/// What the batch has done so far.
struct Writing<'l, 'c> {
    ledger: &'l Ledger<'c>,
    worker: WorkerId,
    /// Runs in which nothing new starts, and those that join them by this batch.
    failing: HashSet<RunId>,
    /// What is paused, and the runs of which therefore nothing is taken that was run ahead.
    standing: Standing<'c>,
    not_ahead: HashSet<RunId>,
    newly_failing: HashSet<RunId>,
    happened: Vec<Happened>,
    /// What recoveries have come to: told before all else.
    recovered: Vec<Happened>,
    /// A step waits for a signal from now on, or signals have returned to the inbox.
    look_at_inbox: bool,
    /// Successors that this worker goes on with.
    continued: Vec<StepId>,
}

/// What was found of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// It is written now.
    Written,
    /// A first sending has written it: an outcome, or a segment.
    Done,
    Lost,
    Gap,
}

/// Writes a batch of `worker`.
pub(super) fn write(ledger: &Ledger<'_>, worker: WorkerId, batch: &Batch) -> Result<Written> {
    let mut standing = Standing::new(ledger.conn);
    let mut writing = Writing {
        ledger,
        worker,
        failing: HashSet::new(),
        not_ahead: standing.not_ahead(ledger, &batch.members)?,
        standing,
        newly_failing: HashSet::new(),
        happened: Vec::new(),
        recovered: Vec::new(),
        look_at_inbox: false,
        continued: Vec::new(),
    };
    let found = writing.members(&batch.members)?;
    writing.end_failing_runs()?;
    writing.give_signals(&batch.members)?;
    writing.successors(&batch.members, &found)?;
    let mut written = Written { members: found.iter().map(|found| found.verdict()).collect(), ..Written::default() };
    writing.claims(&batch.claims, &mut written)?;
    writing.happened.splice(0..0, std::mem::take(&mut writing.recovered));
    written.ended = ledger.record(&writing.happened)?;
    writing.answer(&batch.claims, &mut written)?;
    Ok(written)
}

impl Found {
    fn verdict(self) -> Verdict {
        match self {
            Self::Written | Self::Done => Verdict::Written,
            Self::Lost => Verdict::LeaseLost,
            Self::Gap => Verdict::Gap,
        }
    }
}

impl Writing<'_, '_> {
    fn members(&mut self, members: &[Member]) -> Result<Vec<Found>> {
        for member in members.iter().filter(|member| member.ends()) {
            if self.ledger.run(member.id.run)?.is_some_and(|run| run.failing) {
                self.failing.insert(member.id.run);
            }
        }
        let mut found = Vec::with_capacity(members.len());
        let mut chain_stands = false;
        for member in members {
            let Some(step) = self.ledger.step(member.id)? else {
                found.push(Found::Lost);
                chain_stands = false;
                continue;
            };
            let result = match &member.ahead {
                None => self.member(member, step)?,
                Some(ahead) => self.run_ahead(member, step, ahead, chain_stands)?,
            };
            chain_stands = result == Found::Written;
            found.push(result);
        }
        Ok(found)
    }

    fn member(&mut self, member: &Member, mut step: Step) -> Result<Found> {
        let fits = |segment: &Segment| member.cut.is_some() || segment.first == step.journal_length;
        if !step.is_held(self.worker, member.fence.0) || !member.segment.as_ref().is_none_or(fits) {
            return self.judge(member, &step);
        }
        self.write_journal(member)?;
        if let Some(segment) = &member.segment {
            step.journal_length = segment.first + segment.length;
            // Whoever adds to a journal has gone through all of it.
            step.recorded_by = None;
        } else if let Some(cut) = member.cut {
            step.journal_length = cut;
        }
        if let Some(checkpoint) = &member.checkpoint
            && checkpoint.ordinal > step.checkpoint_ordinal
        {
            self.write_checkpoint(member.id, checkpoint)?;
            step.checkpoint_position = Some(checkpoint.position);
            step.checkpoint_ordinal = checkpoint.ordinal;
        }
        if let Some((fraction, message)) = &member.progress {
            (step.progress, step.progress_message) = (Some(*fraction), Some(message.clone()));
        }
        if let Some(told) = &member.recovered {
            self.recovered.extend(self.ledger.recovered(&step, self.worker, told)?);
        }
        step.alone = !member.ends() && (member.alone || step.alone);
        if let Some(settlement) = &member.settlement {
            self.outcome(&mut step, settlement)?;
        }
        step.write(self.ledger.conn)?;
        Ok(Found::Written)
    }

    fn outcome(&mut self, step: &mut Step, settlement: &Settlement) -> Result<()> {
        let (now_ms, means) = (self.ledger.now_ms, settlement.consequence());
        step.change(means.change, now_ms)?;
        step.failures += u32::from(means.is_failure);
        if let Some(error) = means.error {
            step.error = error.map(<[u8]>::to_vec);
        }
        if let Some(output) = means.output {
            step.write_output(self.ledger.conn, output)?;
        }
        step.due_at = means.due_after_ms.map(|ms| now_ms.saturating_add_unsigned(ms));
        if let Settlement::Deferred { origin, .. } = settlement {
            step.deferred_by = of_run(self.ledger.conn, step.id.run, origin)?;
            // If the circuit has closed meanwhile, it goes on at once.
            step.due_at = step.due_at.filter(|_| step.deferred_by.is_some()).or(Some(now_ms));
        }
        if let Some(Waits { position, signal }) = means.waits {
            self.look_at_inbox |= signal.is_some();
            (step.awaits_position, step.awaits_until, step.awaits) = (Some(position), step.due_at, signal);
        }
        if means.change == StepChange::Failed {
            self.newly_failing.insert(step.id.run);
        }
        self.happened.push(Happened { note: means.note, ..Happened::to(step, means.told).by(self.worker) });
        Ok(())
    }

    /// A step that was run ahead of its claim: it has never been claimed, and all that was guessed for it is true.
    fn run_ahead(&mut self, member: &Member, mut step: Step, ahead: &Ahead, chain_stands: bool) -> Result<Found> {
        let component = ahead.component();
        let claim = match ahead {
            Ahead::Start { pipeline, request, .. } => {
                let is_true =
                    step.status == StepStatus::Ready && self.ledger.asks_for(step.id.run, *pipeline, *request)?;
                is_true.then_some(StepChange::Claimed)
            }
            // It was waiting for nothing but the member before it.
            Ahead::Follows { .. } => {
                let is_true = chain_stands && step.status == StepStatus::Blocked && step.unmet == 1;
                is_true.then_some(StepChange::Continued)
            }
        };
        let stands = step.fence == member.fence.0 - 1
            && self.ledger.component_for(&step)? == component
            && !self.failing.contains(&member.id.run)
            && !self.not_ahead.contains(&member.id.run);
        let Some(Settlement::Succeeded { output, .. }) = &member.settlement else { return Ok(Found::Lost) };
        let Some(claim) = claim.filter(|_| stands) else { return self.judge(member, &step) };
        let now_ms = self.ledger.now_ms;
        step.unmet = 0;
        step.claim(claim, self.worker, component, now_ms)?;
        self.happened.push(Happened::to(&step, EventKind::StepStarted).by(self.worker));
        step.change(StepChange::Succeeded, now_ms)?;
        self.happened.push(Happened::to(&step, EventKind::StepSucceeded).by(self.worker));
        step.journal_length = member.segment.as_ref().map_or(0, |segment| segment.length);
        (step.progress, step.progress_message) = member.progress.clone().unzip();
        step.error = None;
        step.write_output(self.ledger.conn, output)?;
        step.write(self.ledger.conn)?;
        self.write_journal(member)?;
        Ok(Found::Written)
    }

    /// A member that was refused: a first sending has written it, or it may not write.
    fn judge(&self, member: &Member, step: &Step) -> Result<Found> {
        if member.ahead.is_none() && step.is_held(self.worker, member.fence.0) {
            let Some(segment) = &member.segment else { return Ok(Found::Gap) };
            let ends_there = segment.first + segment.length == step.journal_length;
            let seen = ends_there && self.has_segment(member.id, segment)?;
            return Ok(if seen { Found::Done } else { Found::Gap });
        }
        let is_its_own = step.worker == Some(self.worker) && step.fence == member.fence.0;
        let is_settled = match step.status {
            StepStatus::Succeeded => true,
            // Only what was claimed before can end so.
            StepStatus::Failed | StepStatus::Waiting | StepStatus::Parked | StepStatus::Ready => member.ahead.is_none(),
            _ => false,
        };
        Ok(if member.ends() && is_its_own && is_settled { Found::Done } else { Found::Lost })
    }

    fn has_segment(&self, id: StepId, segment: &Segment) -> Result<bool> {
        let sql = "select 1 from journal where run_id = ?1 and step_no = ?2 and first = ?3 and digest = ?4";
        let digest = Digest::of(&segment.bytes);
        Ok(row(self.ledger.conn, sql, (id.run.0, id.step.0, segment.first, &digest.0[..]), |_| Ok(()))?.is_some())
    }

    fn write_journal(&mut self, member: &Member) -> Result<()> {
        if let Some(cut) = member.cut {
            if let Some(Settlement::Failed { error, rejects_signal: true }) = &member.settlement {
                self.ledger.reject_signal(member.id, cut, error)?;
            }
            self.look_at_inbox |= self.ledger.cut_journal(member.id, cut)?;
        }
        match &member.segment {
            Some(segment) => self.ledger.append(member.id, segment),
            None => Ok(()),
        }
    }

    fn write_checkpoint(&self, id: StepId, checkpoint: &Checkpoint) -> Result<()> {
        let mut replace = self.ledger.conn.prepare_cached(
            "insert or replace into checkpoint
                 (run_id, step_no, ordinal, position, random_position, effect_ordinal, prelude, digest, state, created_at)
             values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?;
        replace.execute((
            id.run.0,
            id.step.0,
            checkpoint.ordinal,
            checkpoint.position,
            checkpoint.random_position.cast_signed(),
            checkpoint.effect_ordinal,
            checkpoint.prelude,
            &Digest::of(&checkpoint.state).0[..],
            &checkpoint.state,
            self.ledger.now_ms,
        ))?;
        Ok(())
    }

    /// A failed step starts nothing new: what does not run ends here.
    fn end_failing_runs(&mut self) -> Result<()> {
        self.failing.extend(std::mem::take(&mut self.newly_failing));
        if !self.happened.is_empty() {
            for run in &self.failing {
                self.happened.extend(self.ledger.stop_what_does_not_run(*run, "another step failed")?);
            }
        }
        Ok(())
    }

    /// The look at the inbox that a suspension owes: a signal that came before it would wake nobody.
    fn give_signals(&mut self, members: &[Member]) -> Result<()> {
        if self.look_at_inbox && !self.happened.is_empty() {
            let runs: BTreeSet<RunId> =
                members.iter().filter(|member| member.ends()).map(|member| member.id.run).collect();
            for run in runs {
                self.happened.extend(self.ledger.give_signals(run)?);
            }
        }
        Ok(())
    }

    /// A step that ends hands its slot to the one that the worker wants; others are delivered.
    fn successors(&mut self, members: &[Member], found: &[Found]) -> Result<()> {
        let mut met: BTreeMap<StepId, (u32, bool)> = BTreeMap::new();
        for (member, found) in members.iter().zip(found) {
            let Some(Succession { successors, next }) = member.succession() else { continue };
            if self.failing.contains(&member.id.run) {
                continue;
            }
            let next = next.as_ref().map(|next| StepId { run: member.id.run, step: next.step });
            match found {
                Found::Written => {
                    for step in successors {
                        let id = StepId { run: member.id.run, step: *step };
                        let (needs, wanted) = met.entry(id).or_default();
                        *needs += 1;
                        *wanted |= next == Some(id);
                    }
                }
                // A first sending has claimed it.
                Found::Done => self.continued.extend(next),
                Found::Lost | Found::Gap => {}
            }
        }
        for (id, (needs, wanted)) in met {
            let Some(mut step) = self.ledger.step(id)? else { continue };
            // A follower has gone on already.
            if step.status != StepStatus::Blocked {
                continue;
            }
            step.unmet = step.unmet.saturating_sub(needs);
            if step.unmet == 0 {
                let run = self.ledger.run(id.run)?.ok_or_else(|| Error::Damaged(format!("run {}", id.run)))?;
                let may_start = !self.standing.holds(&run)? && !self.standing.holds_queue(&step.queue)?;
                let goes_on = wanted && may_start;
                let (change, told) = needs_met(goes_on);
                if goes_on {
                    let component = self.ledger.component_for(&step)?;
                    step.claim(change, self.worker, component, self.ledger.now_ms)?;
                    self.happened.push(Happened::to(&step, told).by(self.worker));
                    self.continued.push(id);
                } else {
                    step.change(change, self.ledger.now_ms)?;
                    if run.paused {
                        step.ready_at = Some(SHELVED_MS);
                    }
                    self.happened.push(Happened::to(&step, told));
                }
            }
            step.write(self.ledger.conn)?;
        }
        Ok(())
    }

    fn claims(&mut self, claims: &[StepId], written: &mut Written) -> Result<()> {
        for id in claims {
            let Some(mut step) = self.ledger.step(*id)? else {
                written.not_ready.push(*id);
                continue;
            };
            if step.status == StepStatus::Ready {
                let run = self.ledger.run(id.run)?.ok_or_else(|| Error::Damaged(format!("run {}", id.run)))?;
                if self.standing.shelve(&run, &mut step)? {
                    step.write(self.ledger.conn)?;
                    continue;
                }
                let component = self.ledger.component_for(&step)?;
                step.claim(StepChange::Claimed, self.worker, component, self.ledger.now_ms)?;
                step.write(self.ledger.conn)?;
                if step.has_been_raised() {
                    self.ledger.replace_dead(&step, self.worker)?;
                }
                let told = told_of_claim(step.attempts);
                let note = (told == EventKind::StepResumed).then(|| step.progress_note());
                self.happened.push(Happened { note, ..Happened::to(&step, told).by(self.worker) });
            }
        }
        Ok(())
    }
}
