//! What is decided about runs, once and for all stores: pure functions from what is known of a run to a list of changes,
//! or to a refusal. Stores read, ask here, and apply.
//!
//! ```text
//!  store reads ──▶ Known ──▶ Verb::decide ──▶ Changes ──▶ store applies, if the run is still as it was read
//!   what            │                    └──▶ Refusal
//!   Verb::look asks ┘
//! ```
//!
//! A verb (what somebody outside does to a run) is one variant of [`Verb`] and one file here: nothing else decides it,
//! and no store knows it. What workers write is decided in [`outcome`] and [`lease`]; the embedded store
//! applies that, and the functions in `migrations/` (`0003_write.sql`, `0012_sweeps.sql`) do the same in sets, held against
//! it by the differential test.
//!
//! Nothing here knows a clock: changes say that something is so from their commit on.

mod again;
mod cancel;
mod changes;
pub mod circuit;
mod draft;
mod fail;
mod inbox;
mod known;
pub mod lease;
pub mod outcome;
mod pause;
mod refusal;
mod resume;
mod retry;
mod signal;
mod skip;
mod words;

pub use changes::{Changes, Given, GoesOn, PauseChange, RunChanged, StepChanged, Told};
pub use inbox::{InboxChange, SignalChange};
pub use known::{Known, Look, RunState, SentBefore, SignalState, StepState, TakenBy, Unread, Waits, Which};
pub use refusal::Refusal;
pub use resume::{Forget, Resume, ResumeOn, may_resume};
pub use signal::{Signal, give};
pub use skip::may_skip;
pub use words::{check_message, check_reason};

use std::collections::BTreeMap;

use super::id::{Digest, StepNo};

/// What somebody outside may do to a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verb {
    /// Ends it now; its running steps lose their fence at once.
    Cancel,
    /// Ends it now, as failed.
    Fail {
        /// Why, in a person's words.
        message: String,
    },
    /// Starts no new step of it from now on; what runs goes on to its end.
    Pause {
        /// Why, in a person's words.
        reason: Option<String>,
    },
    /// Ends its pause.
    Unpause,
    /// Reopens failed and parked steps, all or one, and with them the run. One that a person has failed or cancelled is
    /// opened with all that was stopped then.
    Retry {
        /// Only this one.
        step: Option<StepNo>,
        /// The components that steps go on with; those that are not here keep what they have.
        on: BTreeMap<StepNo, Digest>,
    },
    /// Makes a step go on that is parked, waiting or ready.
    Resume {
        /// The step.
        step: StepNo,
        /// On which component, with which part of its journal.
        how: Resume,
    },
    /// Gives a step that has failed or is parked the output that it has not got; those who need it go on with that.
    Skip {
        /// The step.
        step: StepNo,
        /// JSON bytes.
        output: Vec<u8>,
    },
    /// Has a step done again from its start, and all that follow it; what else has failed, or was stopped, goes on.
    Again {
        /// The step.
        from: StepNo,
        /// The components that steps go on with; those that are not here keep what they have.
        on: BTreeMap<StepNo, Digest>,
    },
    /// Sends a signal to it.
    Signal(Signal),
    /// Changes a signal that no step has, or that was rejected.
    Inbox(InboxChange),
}

impl Verb {
    /// What has to be known of the run.
    #[must_use]
    pub fn look(&self) -> Look<'_> {
        match self {
            Self::Cancel | Self::Fail { .. } | Self::Unpause => Look::at(Which::All),
            Self::Pause { .. } => Look::default(),
            Self::Retry { .. } | Self::Skip { .. } => Look { inbox: true, ..Look::at(Which::All) },
            Self::Again { .. } => Look { inbox: true, taken: true, ..Look::at(Which::All) },
            Self::Resume { step, how } => resume::look(*step, how),
            Self::Signal(signal) => signal::look(signal),
            Self::Inbox(change) => inbox::look(change),
        }
    }

    /// What it does to a run of which that much is known.
    ///
    /// # Errors
    /// [`Refusal`] if the state of the run forbids it.
    pub fn decide(&self, known: Known) -> Result<Changes<'_>, Refusal> {
        match self {
            Self::Cancel => cancel::decide(known),
            Self::Fail { message } => fail::decide(known, message),
            Self::Pause { reason } => pause::decide(known, reason.as_deref()),
            Self::Unpause => pause::end(known),
            Self::Retry { step, on } => retry::decide(known, *step, on),
            Self::Resume { step, how } => resume::decide(known, *step, how),
            Self::Skip { step, output } => skip::decide(known, *step, output),
            Self::Again { from, on } => again::decide(known, *from, on),
            Self::Signal(signal) => signal::decide(known, signal),
            Self::Inbox(change) => inbox::decide(known, change),
        }
    }
}

#[cfg(test)]
mod testing;
