//! What a decision is made from: rows of a run and of those of its steps that matter, without payloads.

use std::collections::BTreeMap;

use crate::id::{Digest, Fence, RunId, StepNo};
use crate::status::{RunStatus, StepStatus};

/// What has to be read for a decision.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look<'v> {
    /// These steps.
    pub steps: Vec<Which<'v>>,
    /// Whether the inbox matters: for each signal that a step waits for (or will again), as many of its oldest as there
    /// are such steps.
    pub inbox: bool,
    /// Whether it matters how many signals lie in the inbox, up to so many.
    pub unread: Option<u32>,
    /// Signals that return to the inbox: those that this step has taken from this position on.
    pub returning: Option<(StepNo, u32)>,
    /// Whether it matters which signals steps have taken.
    pub taken: bool,
    /// What was sent under this key before.
    pub key: Option<&'v str>,
    /// The signal of this number.
    pub signal: Option<u32>,
}

/// Steps of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which<'v> {
    /// All.
    All,
    /// One.
    One(StepNo),
    /// Those that wait for a signal; only for this one, if it is named.
    Awaiting(Option<&'v str>),
}

impl<'v> Look<'v> {
    /// At these steps, and nothing else.
    #[must_use]
    pub fn at(which: Which<'v>) -> Self {
        Self { steps: vec![which], ..Self::default() }
    }
}

/// What is known of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The run. Read before all else: what changes later moves its numbers of events or of signals.
    pub run: RunState,
    /// The steps that were looked at.
    pub steps: BTreeMap<StepNo, StepState>,
    /// Of its inbox what was looked at, and what returns to it.
    pub inbox: Vec<Unread>,
    /// Signals that steps have taken, if they were looked at.
    pub taken: Vec<TakenBy>,
    /// Signals in its inbox, as far as they were counted. A run that has not been sent so many has fewer: none are counted
    /// then.
    pub unread: u32,
    /// What was sent under the key.
    pub sent: Option<SentBefore>,
    /// The signal that was looked at, if there is one of this number: its name, and where it is.
    pub signal: Option<(String, SignalState)>,
}

impl Known {
    /// The signals that its steps wait for, or will again when they are reopened; with the number of these steps.
    #[must_use]
    pub fn awaited(&self) -> BTreeMap<&str, u32> {
        let mut awaited = BTreeMap::new();
        for signal in self.steps.values().filter_map(|step| step.waits.as_ref()?.signal.as_deref()) {
            *awaited.entry(signal).or_default() += 1;
        }
        awaited
    }
}

/// A run's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunState {
    /// The run.
    pub id: RunId,
    /// Where it stands.
    pub status: RunStatus,
    /// Steps that have not ended.
    pub live: u32,
    /// Steps that run.
    pub running: u32,
    /// Nothing new starts, it fails when its running steps have ended.
    pub failing: bool,
    /// A step was claimed.
    pub started: bool,
    /// A person has paused it.
    pub paused: bool,
    /// The number of its last event.
    pub event_count: u32,
    /// The number of its last signal.
    pub signal_count: u32,
}

/// A step's row: what only changes together with the run's number of events. So what a running step writes meanwhile
/// (journal, checkpoint, progress) is no part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepState {
    /// Where it stands.
    pub status: StepStatus,
    /// What it needs.
    pub needs: Vec<StepNo>,
    /// Needs that have not succeeded.
    pub unmet: u32,
    /// Grows with every claim and takeover.
    pub fence: Fence,
    /// What it runs on.
    pub component: Option<Digest>,
    /// What made its journal, if that is another one.
    pub recorded_by: Option<Digest>,
    /// The wait that has not ended. Kept when the step is stopped with its run: reopened, it goes on waiting.
    pub waits: Option<Waits>,
}

/// A wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waits {
    /// The position of its entry.
    pub position: u32,
    /// What for; none if it sleeps.
    pub signal: Option<String>,
}

/// A signal that no step has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// Its number in the run.
    pub number: u32,
    /// Its name.
    pub name: String,
}

/// A signal that a step has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenBy {
    /// The step.
    pub step: StepNo,
    /// The signal.
    pub signal: Unread,
}

/// Where a signal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignalState {
    /// No step has taken it.
    InInbox,
    /// A step has taken it.
    Taken,
    /// A step has failed by it.
    Rejected,
    /// A person has removed it.
    Removed,
}

impl SignalState {
    /// Who removed it, where a step is named that has a signal.
    pub const A_PERSON: i32 = -1;

    /// As stores keep it: by the step that has it, and the position of the entry that it answers. One that is set aside
    /// has a position before all entries, so that neither an inbox nor a journal knows it.
    #[must_use]
    pub fn of(step: Option<i32>, position: Option<i32>) -> Self {
        match (step, position) {
            (Some(Self::A_PERSON), _) => Self::Removed,
            (Some(_), Some(..0)) => Self::Rejected,
            (Some(_), _) => Self::Taken,
            (None, _) => Self::InInbox,
        }
    }
}

/// A signal that was sent under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentBefore {
    /// Its name.
    pub name: String,
    /// Of what it carried when it was sent.
    pub payload: Digest,
}
