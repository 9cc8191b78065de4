//! The state machines of steps and runs: the tested model of every transition. The server-side functions
//! in `migrations/` do the same in sets; `host/tests/protocol/` drives random histories into both and compares.
//!
//! ```text
//!  blocked ──needs met──▶ ready ──claim──▶ running ──▶ succeeded | failed | cancelled
//!                         ▲  ▲              │  │
//!                         │  └─lease ended, │  └──▶ waiting (sleep, retry backoff, signal, host down) ──due, signalled──▶ ready
//!                         │    handed back ─┘
//!                         └──── a person decides ──── parked (divergence, poison)
//!
//!  failed, parked ──a person gives the output──▶ skipped          any ──a person has it done again──▶ ready, blocked
//! ```

use super::status::{RunStatus, StepStatus};

/// Something that happens to a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepChange {
    /// The last of its needs has succeeded.
    NeedsMet,
    /// The last of its needs has succeeded, and the same worker went on with it in that commit.
    Continued,
    /// A worker claimed it.
    Claimed,
    /// Its worker reported an output.
    Succeeded,
    /// Its worker reported a failure for good.
    Failed,
    /// Its worker reported a failure that will be tried again.
    RetryLater,
    /// Its worker reported that it waits for a time or a signal.
    Suspended,
    /// Its worker reported a divergence.
    Parked,
    /// Its worker gave it back.
    HandedBack,
    /// Its worker reported that a host which it would call is down.
    Deferred,
    /// Its worker's lease ended.
    LeaseEnded,
    /// Its worker's lease ended once too often without progress.
    Poisoned,
    /// Its time has come.
    Due,
    /// The signal that it waits for is there.
    Signalled,
    /// The run was cancelled, or another step failed.
    Stopped,
    /// A person wants a failed run to go on; so many of its needs have not succeeded.
    Reopened {
        /// Needs that have not succeeded.
        unmet: u32,
    },
    /// A person wants a failed run to go on, and the step was stopped while it was suspended.
    WaitReopened,
    /// A person wants it to go on now.
    Resumed,
    /// A person gives the output that it has not got.
    Skipped,
    /// A person wants it done again from its start; so many of its needs have no output by then.
    Again {
        /// Needs without an output.
        unmet: u32,
    },
}

impl StepChange {
    /// Whether the fence grows by it: whoever had the step, or saw it as it was, may not write for it any more.
    #[must_use]
    pub fn raises_fence(self) -> bool {
        match self {
            Self::Continued
            | Self::Claimed
            | Self::LeaseEnded
            | Self::Poisoned
            | Self::Stopped
            | Self::Reopened { .. }
            | Self::WaitReopened
            | Self::Resumed
            | Self::Skipped
            | Self::Again { .. } => true,
            Self::NeedsMet
            | Self::Succeeded
            | Self::Failed
            | Self::RetryLater
            | Self::Suspended
            | Self::Parked
            | Self::HandedBack
            | Self::Deferred
            | Self::Due
            | Self::Signalled => false,
        }
    }
}

/// A change that a step in that state can't undergo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a step that is {from} can't be changed by {change:?}")]
pub struct Illegal {
    from: StepStatus,
    change: StepChange,
}

/// The state of a step after a change.
///
/// # Errors
/// [`Illegal`] if the state does not allow it; the server-side functions then change nothing.
pub fn step(from: StepStatus, change: StepChange) -> Result<StepStatus, Illegal> {
    use StepChange as Change;
    use StepStatus as Is;
    Ok(match (from, change) {
        (Is::Blocked, Change::NeedsMet) => Is::Ready,
        (Is::Blocked, Change::Continued) | (Is::Ready, Change::Claimed) => Is::Running,
        (Is::Running, Change::Succeeded) => Is::Succeeded,
        (Is::Running, Change::Failed) => Is::Failed,
        (Is::Running, Change::RetryLater | Change::Suspended | Change::Deferred) => Is::Waiting,
        (Is::Running, Change::Parked | Change::Poisoned) => Is::Parked,
        (Is::Running, Change::HandedBack | Change::LeaseEnded) => Is::Ready,
        (Is::Waiting, Change::Due | Change::Signalled) => Is::Ready,
        (Is::Ready | Is::Waiting | Is::Parked, Change::Resumed) => Is::Ready,
        (Is::Blocked | Is::Ready | Is::Running | Is::Waiting | Is::Parked, Change::Stopped) => Is::Cancelled,
        (Is::Failed | Is::Parked | Is::Cancelled, Change::Reopened { unmet: 0 }) => Is::Ready,
        (Is::Cancelled, Change::Reopened { .. }) => Is::Blocked,
        (Is::Cancelled, Change::WaitReopened) => Is::Waiting,
        (Is::Failed | Is::Parked, Change::Skipped) => Is::Skipped,
        (_, Change::Again { unmet: 0 }) => Is::Ready,
        (_, Change::Again { .. }) => Is::Blocked,
        (from, change) => return Err(Illegal { from, change }),
    })
}

/// The state of a run whose steps have changed: `live` of them have not ended, `failing` says that one has
/// failed, `started` that one was claimed. A cancelled run stays so until a person reopens it.
#[must_use]
pub fn run(from: RunStatus, live: u32, failing: bool, started: bool) -> RunStatus {
    match from {
        RunStatus::Cancelled => RunStatus::Cancelled,
        _ if live == 0 && failing => RunStatus::Failed,
        _ if live == 0 => RunStatus::Succeeded,
        RunStatus::Pending if !started => RunStatus::Pending,
        _ => RunStatus::Running,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGES: [StepChange; 22] = [
        StepChange::NeedsMet,
        StepChange::Continued,
        StepChange::Claimed,
        StepChange::Succeeded,
        StepChange::Failed,
        StepChange::RetryLater,
        StepChange::Suspended,
        StepChange::Parked,
        StepChange::HandedBack,
        StepChange::Deferred,
        StepChange::LeaseEnded,
        StepChange::Poisoned,
        StepChange::Due,
        StepChange::Signalled,
        StepChange::Stopped,
        StepChange::Resumed,
        StepChange::WaitReopened,
        StepChange::Reopened { unmet: 0 },
        StepChange::Reopened { unmet: 1 },
        StepChange::Skipped,
        StepChange::Again { unmet: 0 },
        StepChange::Again { unmet: 1 },
    ];

    #[test]
    fn terminal_is_terminal_but_for_a_persons_word() {
        for from in [StepStatus::Succeeded, StepStatus::Failed, StepStatus::Cancelled, StepStatus::Skipped] {
            for change in CHANGES {
                let allowed = step(from, change).is_ok();
                let by_a_person = match change {
                    StepChange::Reopened { .. } | StepChange::WaitReopened => from != StepStatus::Succeeded,
                    StepChange::Skipped => from == StepStatus::Failed,
                    StepChange::Again { .. } => true,
                    _ => false,
                };
                assert!(!allowed || by_a_person, "{from} and {change:?}");
            }
        }
    }

    #[test]
    fn only_a_running_step_gets_an_outcome() {
        let outcomes = [
            StepChange::Succeeded,
            StepChange::Failed,
            StepChange::RetryLater,
            StepChange::Suspended,
            StepChange::Parked,
        ];
        for from in [StepStatus::Blocked, StepStatus::Ready, StepStatus::Waiting, StepStatus::Parked] {
            for change in outcomes {
                assert!(step(from, change).is_err(), "{from} and {change:?}");
            }
        }
    }

    #[test]
    fn a_run_ends_when_nothing_is_live() {
        for (from, live, failing, started, expected) in [
            (RunStatus::Pending, 3, false, false, RunStatus::Pending),
            (RunStatus::Pending, 3, false, true, RunStatus::Running),
            (RunStatus::Running, 1, true, true, RunStatus::Running),
            (RunStatus::Running, 0, true, true, RunStatus::Failed),
            (RunStatus::Running, 0, false, true, RunStatus::Succeeded),
            (RunStatus::Cancelled, 0, false, true, RunStatus::Cancelled),
            (RunStatus::Failed, 2, false, true, RunStatus::Running),
        ] {
            assert_eq!(run(from, live, failing, started), expected, "{from} with {live} live");
        }
    }
}
