//! The kinds of events that a run's history is made of, and what each does to the counters of its run. Both stores,
//! the API and the documents are held against this one list: the embedded store counts by it, and a test holds
//! `pawl_record_v1` (`migrations/0002_record.sql`) and `docs/http.md` against it.
//!
//! Kinds are only ever added: histories are kept, and clients that know fewer must go on reading.

use super::status::RunStatus;

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $word:literal,)*) => {
        /// What an event tells.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum EventKind {
            $($(#[$doc])* $kind,)*
        }

        impl EventKind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// The word in SQL and JSON.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $word,)*
                }
            }
        }
    };
}

kinds! {
    /// The run is there, and will never be lost.
    RunSubmitted = "run.submitted",
    /// Its first step was claimed.
    RunStarted = "run.started",
    /// All of its steps have succeeded.
    RunSucceeded = "run.succeeded",
    /// A step has failed, and nothing is left that could go on; or a person failed it.
    RunFailed = "run.failed",
    /// A person stopped it.
    RunCancelled = "run.cancelled",
    /// A person opened it again after its end.
    RunReopened = "run.reopened",
    /// A person has paused it: nothing of it starts.
    RunPaused = "run.paused",
    /// A person lets it go on.
    RunUnpaused = "run.unpaused",
    /// The step may be claimed (its needs are met, its time or its signal has come, a person wants it).
    StepReady = "step.ready",
    /// Its first claim.
    StepStarted = "step.started",
    /// A later claim.
    StepResumed = "step.resumed",
    /// Its worker's lease has ended.
    StepLeaseExpired = "step.lease_expired",
    /// After a takeover: its replacement has its last checkpoint, or there is none.
    StepCheckpointReloaded = "step.checkpoint_reloaded",
    /// After a takeover: everything that the journal holds was answered from there.
    StepReplayed = "step.replayed",
    /// After a takeover: it makes its first new call, or has ended.
    StepReadyForDispatch = "step.ready_for_dispatch",
    /// Its worker gave it back without a fault.
    StepHandedBack = "step.handed_back",
    /// Its output is recorded.
    StepSucceeded = "step.succeeded",
    /// An attempt has failed; another one follows.
    StepRetrying = "step.retrying",
    /// It waits for a time or a signal.
    StepWaiting = "step.waiting",
    /// A host that it would call is down: it waits until that is over.
    StepDeferred = "step.deferred",
    /// It has failed for good.
    StepFailed = "step.failed",
    /// It waits for a person.
    StepParked = "step.parked",
    /// It was stopped with its run.
    StepCancelled = "step.cancelled",
    /// A person opened it again, after its end or to be done again from its start.
    StepReopened = "step.reopened",
    /// A person gave its output: those who need it go on with that.
    StepSkipped = "step.skipped",
}

/// What an event does to the counters of its run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// To the number of steps that have not ended.
    pub live: i32,
    /// To the number of steps that run.
    pub running: i32,
    /// The run is failing from now on.
    pub fails: bool,
    /// A run that was pending begins.
    pub begins: bool,
}

/// What all events of a commit do together.
impl std::iter::Sum for Counted {
    fn sum<I: Iterator<Item = Self>>(counted: I) -> Self {
        counted.fold(Self::default(), |all, one| Self {
            live: all.live + one.live,
            running: all.running + one.running,
            fails: all.fails || one.fails,
            begins: all.begins || one.begins,
        })
    }
}

impl EventKind {
    /// How the end of a run is told.
    #[must_use]
    pub fn of_end(status: RunStatus) -> Self {
        match status {
            RunStatus::Failed => Self::RunFailed,
            RunStatus::Cancelled => Self::RunCancelled,
            RunStatus::Pending | RunStatus::Running | RunStatus::Succeeded => Self::RunSucceeded,
        }
    }

    /// What it does to the counters of a run, when it is told of a step by its worker or by somebody else.
    ///
    /// A person's verbs stop steps while they run, and set the counters themselves (see [`crate::decision`]).
    #[must_use]
    pub fn counted(self, by_worker: bool) -> Counted {
        let (live, running) = match self {
            Self::StepStarted | Self::StepResumed => (0, 1),
            Self::StepSucceeded | Self::StepFailed => (-1, -1),
            Self::StepRetrying
            | Self::StepWaiting
            | Self::StepDeferred
            | Self::StepHandedBack
            | Self::StepLeaseExpired => (0, -1),
            // By its worker; or by a takeover, whose `step.lease_expired` has counted.
            Self::StepParked => (0, if by_worker { -1 } else { 0 }),
            Self::StepCancelled => (-1, 0),
            Self::StepReopened => (1, 0),
            Self::StepReady
            | Self::StepCheckpointReloaded
            | Self::StepReplayed
            | Self::StepReadyForDispatch
            // A person's word sets the counters itself.
            | Self::StepSkipped => (0, 0),
            Self::RunSubmitted
            | Self::RunStarted
            | Self::RunSucceeded
            | Self::RunFailed
            | Self::RunCancelled
            | Self::RunReopened
            | Self::RunPaused
            | Self::RunUnpaused => (0, 0),
        };
        Counted {
            live,
            running,
            fails: self == Self::StepFailed,
            begins: matches!(self, Self::StepStarted | Self::StepResumed),
        }
    }
}

/// An event of another kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no kind of event that this version knows")]
pub struct UnknownKind(String);

impl std::str::FromStr for EventKind {
    type Err = UnknownKind;
    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == word).ok_or_else(|| UnknownKind(word.to_owned()))
    }
}

impl std::fmt::Display for EventKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_word() {
        for kind in EventKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(*kind));
        }
        assert!("step.forgotten".parse::<EventKind>().is_err());
    }

    #[test]
    fn a_step_comes_and_goes_and_leaves_the_counters_as_they_were() {
        use EventKind as Kind;
        let sum = |told: &[(Kind, bool)]| {
            let Counted { live, running, .. } = told.iter().map(|(kind, by_worker)| kind.counted(*by_worker)).sum();
            (live, running)
        };
        let by_worker =
            [Kind::StepRetrying, Kind::StepWaiting, Kind::StepDeferred, Kind::StepHandedBack, Kind::StepParked];
        for kind in by_worker {
            assert_eq!(sum(&[(Kind::StepStarted, true), (kind, true)]), (0, 0), "{kind}");
        }
        for kind in [Kind::StepReady, Kind::StepParked] {
            assert_eq!(
                sum(&[(Kind::StepResumed, true), (Kind::StepLeaseExpired, true), (kind, false)]),
                (0, 0),
                "{kind}"
            );
        }
        assert_eq!(sum(&[(Kind::StepStarted, true), (Kind::StepSucceeded, true)]), (-1, 0));
        assert_eq!(sum(&[(Kind::StepStarted, true), (Kind::StepFailed, true), (Kind::StepReopened, false)]), (0, 0));
    }
}
