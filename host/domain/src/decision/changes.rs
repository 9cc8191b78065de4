//! What a store applies: all of it in one commit, or nothing.

use super::inbox::InboxChange;
use super::resume::Forget;
use super::signal::Signal;
use crate::event::EventKind;
use crate::id::{Digest, Fence, StepNo};
use crate::status::{RunStatus, StepStatus};

/// What is changed of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes<'v> {
    /// The numbers of the last event and of the last signal under which it was decided. If they have grown, nothing is
    /// applied, and it is decided again.
    pub seen: (u32, u32),
    /// The run from now on.
    pub run: RunChanged,
    /// The steps that are changed.
    pub steps: Vec<StepChanged>,
    /// The journal of a step is cut, and what it had taken since returns to the inbox.
    pub cut: Option<(StepNo, &'v Forget)>,
    /// A step has this output from now on, JSON bytes, by a person's word.
    pub skipped: Option<(StepNo, &'v [u8])>,
    /// Steps that are done again from their start: output, error, checkpoint and journal are dropped, but for an entry
    /// [`Again`](crate::journal::Entry::Again) whose round is the fence from now on. What they had taken of signals returns
    /// to the inbox.
    pub again: Vec<StepNo>,
    /// A signal that comes into the inbox, under the next number.
    pub sent: Option<&'v Signal>,
    /// A signal is changed, before any is taken. It counts as a signal, so that whoever has decided by the inbox as it was
    /// decides again.
    pub inbox: Option<&'v InboxChange>,
    /// Signals that are taken from the inbox.
    pub given: Vec<Given>,
    /// It is paused from now on, or no longer.
    pub pause: Option<PauseChange<'v>>,
    /// What the history tells, in this order.
    pub told: Vec<Told>,
}

impl Changes<'_> {
    /// Whether there is nothing to apply: it was done before.
    #[must_use]
    pub fn are_none(&self) -> bool {
        self.steps.is_empty() && self.sent.is_none() && self.inbox.is_none() && self.told.is_empty()
    }
}

/// What becomes of a run's pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PauseChange<'v> {
    /// It begins: nothing of the run starts.
    Begins {
        /// Why, in a person's words.
        reason: Option<&'v str>,
    },
    /// It ends.
    Ends,
}

/// A run's row. With its last step that was live, it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunChanged {
    /// Where it stands.
    pub status: RunStatus,
    /// Steps that have not ended.
    pub live: u32,
    /// Steps that run.
    pub running: u32,
    /// Nothing new starts.
    pub failing: bool,
}

/// A step's row. What depends on its state goes along with it: a step is ready or ended since the commit, one that waits
/// again is due when it was before, and only one that waits, or was stopped while it did, keeps its wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepChanged {
    /// The step.
    pub no: StepNo,
    /// Where it stands.
    pub status: StepStatus,
    /// Needs that have not succeeded.
    pub unmet: u32,
    /// Its fence.
    pub fence: Fence,
    /// Its failures begin to count anew.
    pub failures_forgiven: bool,
    /// Its crashes begin to count anew.
    pub crashes_forgiven: bool,
    /// With which component and journal it goes on; none: those that it has.
    pub goes_on: Option<GoesOn>,
}

/// What a step goes on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GoesOn {
    /// What it runs on.
    pub component: Option<Digest>,
    /// What made its journal, if that is another one.
    pub recorded_by: Option<Digest>,
    /// Entries in its journal, if that is cut.
    pub journal_length: Option<u32>,
}

/// A signal that a step takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Given {
    /// Its number in the run.
    pub signal: u32,
    /// Who takes it.
    pub step: StepNo,
    /// The position of the entry that it answers.
    pub position: u32,
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// What has happened.
    pub kind: EventKind,
    /// To which step, and its fence from then on; none: to the run.
    pub step: Option<(StepNo, Fence)>,
    /// For people.
    pub note: Option<String>,
}

impl Told {
    /// Something has happened to the run.
    #[must_use]
    pub fn of_run(kind: EventKind) -> Self {
        Self { kind, step: None, note: None }
    }
}
