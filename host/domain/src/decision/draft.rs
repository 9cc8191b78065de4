//! A decision under way: what is known, changed step by step by the rules of [`transition`], and what is to be told of
//! it. The counters of the run follow from the states of its steps.

use std::collections::BTreeMap;

use super::changes::{Changes, Given, GoesOn, PauseChange, RunChanged, StepChanged, Told};
use super::inbox::InboxChange;
use super::known::{Known, StepState, TakenBy, Unread};
use super::refusal::Refusal;
use super::resume::Forget;
use super::signal::{Signal, give};
use crate::event::EventKind;
use crate::id::StepNo;
use crate::status::StepStatus;
use crate::transition::{self, StepChange};

/// A decision under way.
pub(super) struct Draft<'v> {
    /// The run as it is by now.
    pub(super) known: Known,
    seen: (u32, u32),
    was_live: bool,
    touched: BTreeMap<StepNo, Besides>,
    cut: Option<(StepNo, &'v Forget)>,
    sent: Option<&'v Signal>,
    inbox: Option<&'v InboxChange>,
    skipped: Option<(StepNo, &'v [u8])>,
    again: Vec<StepNo>,
    pause: Option<PauseChange<'v>>,
    given: Vec<Given>,
    told: Vec<Told>,
}

/// What is changed of a step besides its state.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Besides {
    pub(super) failures_forgiven: bool,
    pub(super) crashes_forgiven: bool,
    pub(super) goes_on: Option<GoesOn>,
}

impl<'v> Draft<'v> {
    pub(super) fn of(known: Known) -> Self {
        Self {
            seen: (known.run.event_count, known.run.signal_count),
            was_live: known.run.live > 0,
            known,
            touched: BTreeMap::new(),
            cut: None,
            sent: None,
            inbox: None,
            skipped: None,
            again: Vec::new(),
            pause: None,
            given: Vec::new(),
            told: Vec::new(),
        }
    }

    /// The steps in one of these states.
    pub(super) fn those(&self, is_meant: impl Fn(&StepState) -> bool) -> Vec<StepNo> {
        self.known.steps.iter().filter(|(_, step)| is_meant(step)).map(|(no, _)| *no).collect()
    }

    /// A step changes. What it gives can be filled with more that is changed of it.
    pub(super) fn change(&mut self, no: StepNo, change: StepChange) -> Result<&mut Besides, Refusal> {
        let run = &mut self.known.run;
        let step = self.known.steps.get_mut(&no).ok_or(Refusal::NoStep(run.id, no))?;
        let before = step.status;
        step.status = transition::step(before, change)?;
        step.fence.0 += i64::from(change.raises_fence());
        if let StepChange::Reopened { unmet } | StepChange::Again { unmet } = change {
            step.unmet = unmet;
        }
        if !matches!(step.status, StepStatus::Waiting | StepStatus::Cancelled) {
            step.waits = None;
        }
        let counted =
            |is_counted: fn(StepStatus) -> bool| i32::from(is_counted(step.status)) - i32::from(is_counted(before));
        run.live = run.live.saturating_add_signed(counted(|status| !status.is_ended()));
        run.running = run.running.saturating_add_signed(counted(|status| status == StepStatus::Running));
        Ok(self.touched.entry(no).or_default())
    }

    /// What else is changed of a step.
    pub(super) fn besides(&mut self, no: StepNo) -> &mut Besides {
        self.touched.entry(no).or_default()
    }

    /// The history tells of a step.
    pub(super) fn tell(&mut self, kind: EventKind, no: StepNo, note: Option<String>) {
        let step = self.known.steps.get(&no).map(|step| (no, step.fence));
        self.told.push(Told { kind, step, note });
    }

    /// The history tells of the run.
    pub(super) fn tell_of_run(&mut self, kind: EventKind, note: Option<String>) {
        self.told.push(Told { note, ..Told::of_run(kind) });
    }

    /// Everything that has not ended is stopped; running steps lose their fence at once.
    pub(super) fn stop_all(&mut self) -> Result<(), Refusal> {
        for no in self.those(|step| !step.status.is_ended()) {
            self.change(no, StepChange::Stopped)?;
            self.tell(EventKind::StepCancelled, no, None);
        }
        Ok(())
    }

    /// The journal of a step is cut.
    pub(super) fn cut(&mut self, no: StepNo, forget: &'v Forget) {
        self.cut = Some((no, forget));
    }

    /// A step has this output from now on.
    pub(super) fn give_output(&mut self, no: StepNo, output: &'v [u8]) {
        self.skipped = Some((no, output));
    }

    /// A step is done again from its start; what it had taken of signals returns to the inbox.
    pub(super) fn begins_again(&mut self, no: StepNo) {
        self.again.push(no);
        let taken = std::mem::take(&mut self.known.taken);
        let (of_it, others): (Vec<_>, Vec<TakenBy>) = taken.into_iter().partition(|taken| taken.step == no);
        self.known.taken = others;
        self.known.inbox.extend(of_it.into_iter().map(|taken| taken.signal));
    }

    /// A step that waits for others waits for so many.
    pub(super) fn needs_still(&mut self, no: StepNo, unmet: u32) {
        if let Some(step) = self.known.steps.get_mut(&no) {
            step.unmet = unmet;
        }
        self.touched.entry(no).or_default();
    }

    /// The run's pause begins or ends.
    pub(super) fn pause(&mut self, change: PauseChange<'v>) {
        self.pause = Some(change);
    }

    /// So many of these have no output.
    pub(super) fn unmet(&self, needs: &[StepNo]) -> u32 {
        let is_met = |need: &StepNo| self.known.steps.get(need).is_some_and(|need| need.status.is_met());
        needs.iter().filter(|need| !is_met(need)).count() as u32
    }

    /// A signal comes into the inbox.
    pub(super) fn send(&mut self, signal: &'v Signal) {
        let number = self.known.run.signal_count + 1;
        self.known.run.signal_count = number;
        self.comes_into_inbox(number, signal.name.clone());
        self.sent = Some(signal);
    }

    /// A signal is changed.
    pub(super) fn change_signal(&mut self, change: &'v InboxChange) {
        self.inbox = Some(change);
    }

    /// A signal lies in the inbox from now on.
    pub(super) fn comes_into_inbox(&mut self, number: u32, name: String) {
        self.known.inbox.push(Unread { number, name });
    }

    /// What lies in the inbox goes to the steps that wait for it.
    pub(super) fn give_signals(&mut self) -> Result<(), Refusal> {
        let is_waiting = |step: &&StepState| step.status == StepStatus::Waiting;
        let waiting = self.known.steps.iter().filter(|(_, step)| is_waiting(step));
        let given = give(waiting.filter_map(|(no, step)| Some((*no, step.waits.as_ref()?))), &self.known.inbox);
        for (given, name) in given {
            self.change(given.step, StepChange::Signalled)?;
            self.tell(EventKind::StepReady, given.step, Some(format!("signal {name}")));
            self.given.push(given);
        }
        Ok(())
    }

    /// All of it. If the run ends by it, the history says so last, with this note.
    pub(super) fn finish(mut self, note: Option<String>) -> Changes<'v> {
        let run = self.known.run;
        let status = transition::run(run.status, run.live, run.failing, run.started);
        // One that was opened may have nothing left to do.
        let is_open = self.was_live || self.told.iter().any(|told| told.kind == EventKind::RunReopened);
        if run.live == 0 && is_open {
            self.tell_of_run(EventKind::of_end(status), note);
        }
        let Known { steps, .. } = &self.known;
        let changed = |(no, besides): (StepNo, Besides)| {
            let StepState { status, unmet, fence, .. } = steps[&no];
            let Besides { failures_forgiven, crashes_forgiven, goes_on } = besides;
            StepChanged { no, status, unmet, fence, failures_forgiven, crashes_forgiven, goes_on }
        };
        Changes {
            seen: self.seen,
            run: RunChanged { status, live: run.live, running: run.running, failing: run.failing },
            steps: self.touched.into_iter().map(changed).collect(),
            cut: self.cut,
            skipped: self.skipped,
            again: self.again,
            pause: self.pause,
            sent: self.sent,
            inbox: self.inbox,
            given: self.given,
            told: self.told,
        }
    }
}
