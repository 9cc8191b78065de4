//! What a person does to a signal that lies in the inbox of a run, or was rejected: one that a step failed by for good is
//! set aside, so that a retry does not meet it again.
//!
//! ```text
//!              taken            failed by it
//!  in the inbox ───▶ taken by a step ───▶ rejected
//!    │  ▲  ▲ replaced  │                   │    │
//!    │  │  └───────────┼───────────────────┘    │ removed
//!    │  └──────────────┘ returned               ▼
//!    └────────────── removed ────────────────▶ gone
//! ```
//!
//! Whatever happens to it, it keeps its number, and with that its turn among those of its name; and its sender's key, so
//! that it does not come a second time.

use super::changes::Changes;
use super::draft::Draft;
use super::known::{Known, Look, SignalState, Which};
use super::refusal::Refusal;

/// What a removed signal carries.
pub const NOTHING: &[u8] = b"null";

/// A change of one signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxChange {
    /// Its number in the run.
    pub signal: u32,
    /// What is done to it.
    pub how: SignalChange,
}

/// What is done to a signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignalChange {
    /// Nobody will take it, and what it carried is gone.
    Remove,
    /// It carries this from now on (JSON bytes), and lies in the inbox, also if it was rejected.
    Replace(Vec<u8>),
    /// One that was rejected lies in the inbox again, as it is.
    Return,
}

impl SignalChange {
    /// What it carries from now on, if that is something else.
    #[must_use]
    pub fn payload(&self) -> Option<&[u8]> {
        match self {
            Self::Remove => Some(NOTHING),
            Self::Replace(payload) => Some(payload),
            Self::Return => None,
        }
    }
}

pub(super) fn look(change: &InboxChange) -> Look<'static> {
    Look { signal: Some(change.signal), ..Look::at(Which::Awaiting(None)) }
}

pub(super) fn decide(known: Known, change: &InboxChange) -> Result<Changes<'_>, Refusal> {
    let (run, signal) = (known.run.id, change.signal);
    let (name, state) = match &known.signal {
        None | Some((_, SignalState::Removed)) => return Err(Refusal::NoSignal(run, signal)),
        Some((_, SignalState::Taken)) => return Err(Refusal::SignalTaken(run, signal)),
        Some((name, state)) => (name.clone(), *state),
    };
    let mut draft = Draft::of(known);
    if change.how == SignalChange::Return && state == SignalState::InInbox {
        return Ok(draft.finish(None));
    }
    draft.change_signal(change);
    if change.how != SignalChange::Remove {
        draft.comes_into_inbox(signal, name);
        draft.give_signals()?;
    }
    Ok(draft.finish(None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Given;
    use crate::decision::testing::{awaiting, changed, known, step, told};
    use crate::event::EventKind;
    use crate::id::StepNo;
    use crate::status::RunStatus;
    use crate::status::StepStatus::{Failed, Ready, Running, Waiting};

    fn change(how: SignalChange) -> InboxChange {
        InboxChange { signal: 2, how }
    }

    fn with(state: SignalState, known: Known) -> Known {
        Known { signal: Some(("go".to_owned(), state)), ..known }
    }

    #[test]
    fn what_returns_goes_to_the_step_that_waits_for_it() {
        for how in [SignalChange::Return, SignalChange::Replace(b"1".to_vec())] {
            let change = change(how);
            let waits = || known(RunStatus::Running, [awaiting(Waiting, "stop"), awaiting(Waiting, "go")]);
            let changes = decide(with(SignalState::Rejected, waits()), &change).unwrap();
            assert_eq!(changes.inbox, Some(&change));
            assert_eq!(changes.given, [Given { signal: 2, step: StepNo(1), position: 3 }]);
            assert_eq!(
                (changed(&changes), told(&changes)),
                (vec![(1, Ready, 7)], vec![(EventKind::StepReady, Some(1))])
            );
        }
    }

    #[test]
    fn what_lies_there_is_replaced_and_removed_whether_the_run_has_ended_or_not() {
        for (status, state) in [(RunStatus::Running, Running), (RunStatus::Failed, Failed)] {
            for how in [SignalChange::Remove, SignalChange::Replace(b"1".to_vec())] {
                for of in [SignalState::InInbox, SignalState::Rejected] {
                    let change = change(how.clone());
                    let changes = decide(with(of, known(status, [step(state)])), &change).unwrap();
                    assert_eq!(changes.inbox, Some(&change));
                    assert!(changes.given.is_empty() && changes.told.is_empty() && !changes.are_none());
                    assert_eq!(changes.run.status, status);
                }
            }
        }
        let returned = change(SignalChange::Return);
        let lies_there = with(SignalState::InInbox, known(RunStatus::Failed, [step(Failed)]));
        assert!(decide(lies_there, &returned).unwrap().are_none(), "it was returned before");
    }

    #[test]
    fn what_was_taken_or_is_gone_stays_so() {
        let run = || known(RunStatus::Running, [step(Running)]);
        for how in [SignalChange::Remove, SignalChange::Return, SignalChange::Replace(b"1".to_vec())] {
            let change = change(how);
            assert!(matches!(decide(with(SignalState::Taken, run()), &change), Err(Refusal::SignalTaken(_, 2))));
            assert!(matches!(decide(with(SignalState::Removed, run()), &change), Err(Refusal::NoSignal(_, 2))));
            assert!(matches!(decide(run(), &change), Err(Refusal::NoSignal(_, 2))));
        }
    }
}
