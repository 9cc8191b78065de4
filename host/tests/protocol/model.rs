//! The model: runs as the state machines of `domain` move them, and nothing else. It tells everything a second time, what
//! a person does included: so that decisions are held against it, and not only against their own tests.

use std::collections::{BTreeMap, BTreeSet};

use pawl_domain::id::{Digest, RunId, StepId, WorkerId};
use pawl_domain::pipeline::Versions;
use pawl_domain::status::{RunStatus, StepStatus};
use pawl_domain::transition::{self, StepChange};
use pawl_domain::wait::Wait;
use pawl_store::write::{Batch, Member, Settlement};

use crate::pipelines::NEEDS;

/// In the place of a step that took a signal: a step has failed by it, or a person has removed it.
pub const REJECTED: Option<(usize, u32)> = Some((usize::MAX, 0));
pub const REMOVED: Option<(usize, u32)> = Some((usize::MAX, 1));

/// A step.
#[derive(Debug, Clone)]
pub struct ModelStep {
    pub status: StepStatus,
    pub unmet: u32,
    pub fence: i64,
    pub owner: Option<WorkerId>,
    /// None until it starts, if that decides.
    pub component: Option<Digest>,
    pub journal: u32,
    pub checkpoints: u32,
    pub checkpoint_at: u32,
    pub crashes: u32,
    pub crash_mark: u32,
    pub alone: bool,
    /// The journal's rows: first position and length.
    pub rows: Vec<(u32, u32)>,
    /// Its journal begins with the note that a person had it done again: a round, which whoever forgets keeps.
    pub noted: bool,
    /// The wait that has not ended, and its position.
    pub waits: Option<(Wait, u32)>,
}

impl ModelStep {
    pub fn awaits(&self) -> Option<&str> {
        self.waits.as_ref()?.0.signal()
    }
}

/// A run.
#[derive(Debug, Clone)]
pub struct ModelRun {
    pub versions: Versions,
    pub status: RunStatus,
    pub failing: bool,
    pub started: bool,
    /// A person has paused it; its pipeline, or the queue of its steps.
    pub paused: bool,
    pub pipeline_paused: bool,
    pub queue_paused: bool,
    pub steps: Vec<ModelStep>,
    /// In the order of their numbers: the name, and the step and position that took it, or why none will.
    pub signals: Vec<(&'static str, Option<(usize, u32)>)>,
    /// Their numbers: a change of one counts as a signal.
    pub numbers: Vec<u32>,
    pub signal_count: u32,
    /// What was sent under a key.
    pub keys: BTreeMap<&'static str, &'static [u8]>,
}

impl ModelRun {
    /// A run that is submitted while `active` is the active component.
    pub fn new(versions: Versions, active: Digest) -> Self {
        let step = |needs: &&[i32]| ModelStep {
            status: if needs.is_empty() { StepStatus::Ready } else { StepStatus::Blocked },
            unmet: needs.len() as u32,
            fence: 0,
            owner: None,
            component: (versions == Versions::Submission).then_some(active),
            journal: 0,
            checkpoints: 0,
            checkpoint_at: 0,
            crashes: 0,
            crash_mark: 0,
            alone: false,
            rows: Vec::new(),
            noted: false,
            waits: None,
        };
        Self {
            versions,
            status: RunStatus::Pending,
            failing: false,
            started: false,
            paused: false,
            pipeline_paused: false,
            queue_paused: false,
            steps: NEEDS.iter().map(step).collect(),
            signals: Vec::new(),
            numbers: Vec::new(),
            signal_count: 0,
            keys: BTreeMap::new(),
        }
    }

    /// Whether nothing of it starts.
    pub fn stands(&self) -> bool {
        self.paused || self.pipeline_paused || self.queue_paused
    }

    /// The positions at which a step was given signals, from its checkpoint on.
    pub fn given_to(&self, number: usize) -> Vec<u32> {
        let given = self.signals.iter().filter_map(|(_, taken)| *taken).filter(|(step, _)| *step == number);
        let mut given: Vec<u32> = given.map(|(_, position)| position).collect();
        given.retain(|position| *position >= self.steps[number].checkpoint_at);
        given.sort_unstable();
        given
    }

    /// The oldest signal of a name goes to the first step that waits for it.
    pub fn give_signals(&mut self) {
        for number in 0..self.steps.len() {
            let step = &self.steps[number];
            let Some((wait, position)) = step.waits.clone().filter(|_| step.status == StepStatus::Waiting) else {
                continue;
            };
            let free = |(name, taken): &&mut (&str, Option<_>)| taken.is_none() && wait.signal() == Some(name);
            if let Some((_, taken)) = self.signals.iter_mut().find(free) {
                *taken = Some((number, position));
                self.change(number, StepChange::Signalled);
                self.steps[number].waits = None;
            }
        }
    }

    /// A person has cut the journal to the checkpoint, or to what was noted before the first one.
    pub fn forget(&mut self, number: usize) {
        let step = &mut self.steps[number];
        let at = step.checkpoint_at.max(u32::from(step.noted));
        step.rows.retain(|(first, _)| *first < at);
        step.rows.iter_mut().for_each(|(first, length)| *length = (*length).min(at - *first));
        step.journal = at;
        let dropped = |taken: &(usize, u32)| taken.0 == number && taken.1 >= at;
        for (_, taken) in self.signals.iter_mut().filter(|(_, taken)| taken.as_ref().is_some_and(dropped)) {
            *taken = None;
        }
    }

    pub fn change(&mut self, step: usize, change: StepChange) {
        let step = &mut self.steps[step];
        step.status = transition::step(step.status, change).expect("the test makes only legal changes");
        step.fence += i64::from(change.raises_fence());
    }

    /// A worker has it from now on; its first start fixes the component.
    fn claim(&mut self, step: usize, change: StepChange, by: &Claimant) {
        self.change(step, change);
        self.steps[step].owner = Some(by.worker);
        self.steps[step].component.get_or_insert(by.active);
        self.started = true;
    }

    /// A person ends the run.
    pub fn stop_all(&mut self) {
        for step in 0..self.steps.len() {
            if !self.steps[step].status.is_ended() {
                self.change(step, StepChange::Stopped);
            }
        }
    }

    pub fn stop_what_does_not_run(&mut self) {
        for step in 0..self.steps.len() {
            let status = self.steps[step].status;
            if !status.is_ended() && status != StepStatus::Running {
                self.change(step, StepChange::Stopped);
            }
        }
    }

    pub fn settle(&mut self) {
        let live = self.steps.iter().filter(|step| !step.status.is_ended()).count() as u32;
        self.status = transition::run(self.status, live, self.failing, self.started);
    }
}

/// Who claims, and the component that is active meanwhile.
pub struct Claimant {
    pub worker: WorkerId,
    pub active: Digest,
}

/// What a batch means to the model; returns what the worker holds by it, sorted.
pub fn apply(model: &mut BTreeMap<RunId, ModelRun>, by: &Claimant, accepted: &[&Member], batch: &Batch) -> Vec<StepId> {
    let mut claimed = Vec::new();
    for member in accepted {
        let run = model.get_mut(&member.id.run).expect("a known run");
        let number = member.id.step.0 as usize;
        if let Some(cut) = member.cut {
            let step = &mut run.steps[number];
            step.rows.retain(|(first, _)| *first < cut);
            step.journal = cut;
            step.noted &= cut > 0;
            let kept = member.segment.as_ref().map_or(0, |segment| segment.length);
            let dropped = |taken: &(usize, u32)| taken.0 == number && taken.1 >= cut + kept;
            if let Some(Settlement::Failed { rejects_signal: true, .. }) = &member.settlement
                && let Some((_, taken)) = run
                    .signals
                    .iter_mut()
                    .filter(|(_, taken)| taken.as_ref().is_some_and(dropped))
                    .max_by_key(|it| it.1)
            {
                *taken = REJECTED;
            }
            for (_, taken) in run.signals.iter_mut().filter(|(_, taken)| taken.as_ref().is_some_and(dropped)) {
                *taken = None;
            }
        }
        if let Some(segment) = &member.segment {
            run.steps[number].rows.push((segment.first, segment.length));
            run.steps[number].journal += segment.length;
        }
        if let Some(checkpoint) = &member.checkpoint {
            run.steps[number].checkpoints = checkpoint.ordinal;
            run.steps[number].checkpoint_at = checkpoint.position;
        }
        if member.ahead.is_some() {
            let change = if member.follows() { StepChange::Continued } else { StepChange::Claimed };
            run.claim(number, change, by);
            run.steps[number].unmet = 0;
        }
        run.steps[number].alone = member.settlement.is_none() && (member.alone || run.steps[number].alone);
        let change = match &member.settlement {
            None => continue,
            Some(Settlement::Succeeded { .. }) => StepChange::Succeeded,
            Some(Settlement::Failed { .. }) => StepChange::Failed,
            Some(Settlement::Retry { .. }) => StepChange::RetryLater,
            Some(Settlement::Suspended { wait, position }) => {
                run.steps[number].waits = Some((wait.clone(), *position));
                StepChange::Suspended
            }
            Some(Settlement::Parked(_)) => StepChange::Parked,
            Some(Settlement::Released) => StepChange::HandedBack,
            Some(Settlement::Deferred { .. }) => StepChange::Deferred,
        };
        run.change(number, change);
        run.failing |= change == StepChange::Failed;
    }
    for run in model.values_mut().filter(|run| run.failing && !run.status.is_ended()) {
        run.stop_what_does_not_run();
    }
    model.values_mut().for_each(ModelRun::give_signals);
    claimed.extend(advance(model, by, accepted));
    for id in &batch.claims {
        let run = model.get_mut(&id.run).expect("a known run");
        let number = id.step.0 as usize;
        if run.steps[number].status == StepStatus::Ready && !run.status.is_ended() && !run.stands() {
            run.claim(number, StepChange::Claimed, by);
            claimed.push(*id);
        }
    }
    model.values_mut().for_each(ModelRun::settle);
    // A step that was asked for and is this worker's already is told again.
    claimed.extend(batch.claims.iter().filter(|id| {
        let step = &model[&id.run].steps[id.step.0 as usize];
        step.status == StepStatus::Running && step.owner == Some(by.worker)
    }));
    claimed.sort();
    claimed.dedup();
    claimed
}

/// Successors of what succeeded: ready, or taken by the worker if it wanted them.
fn advance(model: &mut BTreeMap<RunId, ModelRun>, by: &Claimant, accepted: &[&Member]) -> Vec<StepId> {
    let mut met: BTreeMap<StepId, (u32, bool)> = BTreeMap::new();
    for member in accepted {
        let Some(then) = member.succession() else { continue };
        for step in &then.successors {
            let (needs, wanted) = met.entry(StepId { run: member.id.run, step: *step }).or_default();
            *needs += 1;
            *wanted |= then.next.as_ref().is_some_and(|next| next.step == *step);
        }
    }
    let mut taken = Vec::new();
    for (id, (needs, wanted)) in met {
        let run = model.get_mut(&id.run).expect("a known run");
        let number = id.step.0 as usize;
        if run.steps[number].status != StepStatus::Blocked {
            continue;
        }
        run.steps[number].unmet -= needs;
        if run.steps[number].unmet == 0 && wanted && !run.stands() {
            run.claim(number, StepChange::Continued, by);
            taken.push(id);
        } else if run.steps[number].unmet == 0 {
            run.change(number, StepChange::NeedsMet);
        }
    }
    taken
}

impl ModelRun {
    /// Needs without an output, as if these had none either.
    fn unmet(&self, number: usize, again: &BTreeSet<usize>) -> u32 {
        let is_met = |need: usize| !again.contains(&need) && self.steps[need].status.is_met();
        NEEDS[number].iter().filter(|need| !is_met(**need as usize)).count() as u32
    }

    /// What was stopped goes on, unless a step stays failed.
    fn go_on(&mut self) {
        self.failing = self.steps.iter().any(|step| step.status == StepStatus::Failed);
        for number in 0..self.steps.len() {
            if self.failing || self.steps[number].status != StepStatus::Cancelled {
                continue;
            }
            if self.steps[number].waits.is_some() {
                self.change(number, StepChange::WaitReopened);
            } else {
                let unmet = self.unmet(number, &BTreeSet::new());
                self.change(number, StepChange::Reopened { unmet });
                self.steps[number].unmet = unmet;
            }
        }
        self.status = if self.started { RunStatus::Running } else { RunStatus::Pending };
    }

    /// A person gives a step its output.
    pub fn skip(&mut self, number: usize) {
        self.change(number, StepChange::Skipped);
        self.go_on();
        for next in 0..self.steps.len() {
            if self.steps[next].status == StepStatus::Blocked {
                self.steps[next].unmet = self.unmet(next, &BTreeSet::new());
                if self.steps[next].unmet == 0 {
                    self.change(next, StepChange::NeedsMet);
                }
            }
        }
        self.settle();
    }

    /// A person has a step done again, and all that follow it.
    pub fn again(&mut self, from: usize) {
        let mut again = BTreeSet::from([from]);
        // Needs stand before those who need them.
        for (number, needs) in NEEDS.iter().enumerate() {
            if needs.iter().any(|need| again.contains(&(*need as usize))) {
                again.insert(number);
            }
        }
        let unmet: Vec<u32> = (0..self.steps.len()).map(|number| self.unmet(number, &again)).collect();
        for number in again {
            self.steps[number].unmet = unmet[number];
            if self.steps[number].status == StepStatus::Blocked {
                continue;
            }
            self.change(number, StepChange::Again { unmet: unmet[number] });
            let step = &mut self.steps[number];
            (step.journal, step.checkpoints, step.checkpoint_at, step.rows) = (1, 0, 0, vec![(0, 1)]);
            (step.crashes, step.crash_mark, step.alone, step.noted, step.waits) = (0, 0, false, true, None);
            let taken = |taken: &Option<(usize, u32)>| taken.is_some_and(|(step, _)| step == number);
            self.signals.iter_mut().filter(|(_, by)| taken(by)).for_each(|(_, by)| *by = None);
        }
        for number in 0..self.steps.len() {
            if self.steps[number].status == StepStatus::Failed {
                self.change(number, StepChange::Reopened { unmet: 0 });
                (self.steps[number].crashes, self.steps[number].crash_mark) = (0, 0);
            }
        }
        self.go_on();
    }
}

/// A person wants a run that has failed, or was cancelled, to go on.
pub fn reopen(run: &mut ModelRun) {
    for (number, needs) in NEEDS.iter().enumerate() {
        let status = run.steps[number].status;
        let unmet = needs.iter().filter(|need| !run.steps[**need as usize].status.is_met()).count() as u32;
        match status {
            StepStatus::Failed | StepStatus::Parked => {
                run.change(number, StepChange::Reopened { unmet: 0 });
                (run.steps[number].crashes, run.steps[number].crash_mark) = (0, 0);
            }
            StepStatus::Cancelled if run.steps[number].waits.is_some() => run.change(number, StepChange::WaitReopened),
            StepStatus::Cancelled => {
                run.change(number, StepChange::Reopened { unmet });
                run.steps[number].unmet = unmet;
            }
            _ => {}
        }
    }
    run.failing = false;
    // Only one that a person failed or cancelled has ended before it began.
    run.status = if run.started { RunStatus::Running } else { RunStatus::Pending };
}
