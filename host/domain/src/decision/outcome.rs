//! What the end of an attempt means: for its step, for the steps that need it, and for the rest of a run that fails.
//! `pawl_write_v2` decides the same in sets (`migrations/0003_write.sql`).

use serde::Deserialize;

use super::known::Waits;
use crate::event::EventKind;
use crate::status::StepStatus;
use crate::succession::Succession;
use crate::transition::StepChange;
use crate::wait::Wait;

/// What the history keeps of the reason of a failure, bytes: histories are read whole.
const REASON_BYTES: usize = 1 << 10;

/// How a worker ends an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// It has its output.
    Succeeded {
        /// JSON bytes.
        output: Vec<u8>,
        /// What follows, in the same commit.
        then: Succession,
    },
    /// It has failed for good.
    Failed {
        /// JSON bytes.
        error: Vec<u8>,
        /// By the last signal that it took, which its cut drops: a retry must not meet it again. It is set aside, for
        /// people to see.
        rejects_signal: bool,
    },
    /// It failed and is tried again later; the error as JSON.
    Retry {
        /// JSON bytes.
        error: Vec<u8>,
        /// From the commit on.
        delay_ms: u64,
    },
    /// It waits; its entry is the last one of the segment in the same member. If the inbox has the signal, it
    /// is given to the entry and the step is ready at once.
    Suspended {
        /// What for.
        wait: Wait,
        /// The position of its entry.
        position: u32,
    },
    /// A person decides; the reason as JSON.
    Parked(Vec<u8>),
    /// The worker gives it back without fault: it is ready again.
    Released,
    /// A host that it would call is down: it waits until that is over, and nothing counts.
    Deferred {
        /// The host: scheme, name and port.
        origin: String,
        /// After how long it comes by itself.
        delay_ms: u64,
    },
}

/// What an attempt's end does to its step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consequence<'s> {
    /// How its state changes.
    pub change: StepChange,
    /// What the history tells.
    pub told: EventKind,
    /// For people.
    pub note: Option<String>,
    /// It counts as a failure of the step.
    pub is_failure: bool,
    /// The error that it leaves: another one, none, or (`None`) the one that was there.
    pub error: Option<Option<&'s [u8]>>,
    /// The step's output.
    pub output: Option<&'s [u8]>,
    /// When it wakes at the latest, from the commit on.
    pub due_after_ms: Option<u64>,
    /// The wait that it begins.
    pub waits: Option<Waits>,
}

impl Settlement {
    /// The word of the server-side functions for it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Succeeded { .. } => "succeeded",
            Self::Failed { .. } => "failed",
            Self::Retry { .. } => "retry",
            Self::Suspended { .. } => "suspended",
            Self::Parked(_) => "parked",
            Self::Released => "released",
            Self::Deferred { .. } => "deferred",
        }
    }

    /// The output or the error.
    #[must_use]
    pub fn payload(&self) -> Option<&[u8]> {
        match self {
            Self::Succeeded { output, .. } => Some(output),
            Self::Failed { error, .. } | Self::Retry { error, .. } | Self::Parked(error) => Some(error),
            Self::Suspended { .. } | Self::Released | Self::Deferred { .. } => None,
        }
    }

    /// Why, for the history of the run: the line for people in its error, or the host that is down.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        match self {
            Self::Failed { error, .. } | Self::Retry { error, .. } | Self::Parked(error) => message_of(error),
            Self::Deferred { origin, .. } => Some(origin.clone()),
            Self::Succeeded { .. } | Self::Suspended { .. } | Self::Released => None,
        }
    }

    /// What it does to the step.
    #[must_use]
    pub fn consequence(&self) -> Consequence<'_> {
        match self {
            Self::Succeeded { output, .. } => Consequence {
                error: Some(None),
                output: Some(output),
                ..Consequence::bare(StepChange::Succeeded, EventKind::StepSucceeded)
            },
            Self::Failed { error, .. } => Consequence {
                is_failure: true,
                error: Some(Some(error)),
                note: self.reason(),
                ..Consequence::bare(StepChange::Failed, EventKind::StepFailed)
            },
            Self::Retry { error, delay_ms } => Consequence {
                is_failure: true,
                error: Some(Some(error)),
                due_after_ms: Some(*delay_ms),
                note: Some(match self.reason() {
                    Some(reason) => format!("in {delay_ms} ms: {reason}"),
                    None => format!("in {delay_ms} ms"),
                }),
                ..Consequence::bare(StepChange::RetryLater, EventKind::StepRetrying)
            },
            Self::Suspended { wait, position } => Consequence {
                error: Some(None),
                due_after_ms: wait.due_after_ms(),
                waits: Some(Waits { position: *position, signal: wait.signal().map(str::to_owned) }),
                note: Some(wait_note(wait)),
                ..Consequence::bare(StepChange::Suspended, EventKind::StepWaiting)
            },
            Self::Parked(error) => Consequence {
                error: Some(Some(error)),
                note: self.reason(),
                ..Consequence::bare(StepChange::Parked, EventKind::StepParked)
            },
            Self::Released => Consequence::bare(StepChange::HandedBack, EventKind::StepHandedBack),
            Self::Deferred { delay_ms, .. } => Consequence {
                due_after_ms: Some(*delay_ms),
                note: self.reason(),
                ..Consequence::bare(StepChange::Deferred, EventKind::StepDeferred)
            },
        }
    }
}

impl Consequence<'_> {
    fn bare(change: StepChange, told: EventKind) -> Self {
        Self { change, told, note: None, is_failure: false, error: None, output: None, due_after_ms: None, waits: None }
    }
}

/// The line for people in an error that is recorded: at most [`REASON_BYTES`], and without control characters, of which
/// a database takes not all in a text and a terminal obeys some.
#[must_use]
pub fn message_of(error: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Said {
        message: String,
    }
    let Said { message } = serde_json::from_slice(error).ok()?;
    let mut line = message.replace(char::is_control, " ");
    if line.len() > REASON_BYTES {
        line.truncate(line.floor_char_boundary(REASON_BYTES));
        line.push('…');
    }
    Some(line)
}

/// What a step waits for, for the history.
fn wait_note(wait: &Wait) -> String {
    match (wait, wait.due_after_ms()) {
        (Wait::Signal { name, .. }, Some(ms)) => format!("signal {name}, at most {ms} ms"),
        (Wait::Signal { name, .. }, None) => format!("signal {name}"),
        (Wait::Sleep { .. }, ms) => format!("sleep {} ms", ms.unwrap_or_default()),
    }
}

/// What becomes of a blocked step when the last of its needs has succeeded: the worker goes on with it if it wants it,
/// else it is delivered. With what the history tells.
#[must_use]
pub fn needs_met(is_wanted: bool) -> (StepChange, EventKind) {
    match is_wanted {
        true => (StepChange::Continued, EventKind::StepStarted),
        false => (StepChange::NeedsMet, EventKind::StepReady),
    }
}

/// How a claim is told, of a step that has begun so many attempts with it.
#[must_use]
pub fn told_of_claim(attempts: u32) -> EventKind {
    if attempts > 1 { EventKind::StepResumed } else { EventKind::StepStarted }
}

/// Whether a step ends with the failure of another one: nothing new starts, and what runs is let finish.
#[must_use]
pub fn ends_with_failing_run(status: StepStatus) -> bool {
    !status.is_ended() && status != StepStatus::Running
}

#[cfg(test)]
mod tests {
    use super::*;

    const ERROR: &[u8] = br#"{"cause":"retry","message":"no\nanswer"}"#;

    #[test]
    fn every_end_of_an_attempt_has_its_change_and_its_event() {
        let go = Wait::Signal { name: "go".into(), timeout_ms: Some(5) };
        let success = Settlement::Succeeded { output: b"1".to_vec(), then: Succession::default() };
        let retry = Settlement::Retry { error: ERROR.to_vec(), delay_ms: 9 };
        let sleep = Settlement::Suspended { wait: Wait::Sleep { duration_ms: 3 }, position: 4 };
        let awaits = Settlement::Suspended { wait: go, position: 4 };
        let failed = Settlement::Failed { error: ERROR.to_vec(), rejects_signal: false };
        let deferred = Settlement::Deferred { origin: "http://a:80".into(), delay_ms: 7 };
        for (settlement, told, is_failure, error, due_after_ms, note) in [
            (success, EventKind::StepSucceeded, false, Some(None), None, None),
            (failed, EventKind::StepFailed, true, Some(Some(ERROR)), None, Some("no answer")),
            (retry, EventKind::StepRetrying, true, Some(Some(ERROR)), Some(9), Some("in 9 ms: no answer")),
            (sleep, EventKind::StepWaiting, false, Some(None), Some(3), Some("sleep 3 ms")),
            (awaits, EventKind::StepWaiting, false, Some(None), Some(5), Some("signal go, at most 5 ms")),
            (
                Settlement::Parked(ERROR.to_vec()),
                EventKind::StepParked,
                false,
                Some(Some(ERROR)),
                None,
                Some("no answer"),
            ),
            (Settlement::Released, EventKind::StepHandedBack, false, None, None, None),
            (deferred, EventKind::StepDeferred, false, None, Some(7), Some("http://a:80")),
        ] {
            let found = settlement.consequence();
            assert_eq!((found.told, found.is_failure, found.error), (told, is_failure, error), "{settlement:?}");
            assert_eq!((found.due_after_ms, found.note.as_deref()), (due_after_ms, note), "{settlement:?}");
            assert!(crate::transition::step(StepStatus::Running, found.change).is_ok(), "{settlement:?}");
            assert_eq!(found.told.counted(true).running, -1, "its worker has it no longer: {settlement:?}");
            assert_eq!(found.told.counted(true).fails, matches!(settlement, Settlement::Failed { .. }));
        }
    }

    #[test]
    fn the_history_keeps_the_beginning_of_a_long_reason() {
        let error = serde_json::json!({ "message": "é".repeat(REASON_BYTES) }).to_string();
        let kept = message_of(error.as_bytes()).unwrap();
        assert_eq!(kept, format!("{}…", "é".repeat(REASON_BYTES / 2)));
        assert_eq!(message_of(b"{}"), None);
    }

    #[test]
    fn what_runs_is_let_finish_when_another_step_has_failed() {
        use StepStatus::{Blocked, Cancelled, Failed, Parked, Ready, Running, Skipped, Succeeded, Waiting};
        for status in [Blocked, Ready, Waiting, Parked] {
            assert!(ends_with_failing_run(status), "{status}");
        }
        for status in [Running, Succeeded, Failed, Cancelled, Skipped] {
            assert!(!ends_with_failing_run(status), "{status}");
        }
    }
}
