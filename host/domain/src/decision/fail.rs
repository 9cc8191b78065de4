//! *Fail*: a person ends a run as failed, and says why. All that has not ended is stopped, as by a cancellation; but a
//! failed run may be retried.

use super::changes::Changes;
use super::draft::Draft;
use super::known::Known;
use super::refusal::Refusal;

/// What a person may say, bytes.
const MESSAGE_BYTES: usize = 4 << 10;

pub(super) fn decide(known: Known, message: &str) -> Result<Changes<'static>, Refusal> {
    if known.run.status.is_ended() {
        return Err(Refusal::HasEnded(known.run.id));
    }
    let mut draft = Draft::of(known);
    draft.stop_all()?;
    draft.known.run.failing = true;
    Ok(draft.finish(Some(message.to_owned())))
}

/// Checks why a person fails a run.
///
/// # Errors
/// The rule that it breaks, to follow on "the message ".
pub fn check_message(message: &str) -> Result<(), String> {
    if message.trim().is_empty() {
        Err("is empty: say why the run fails".to_owned())
    } else if message.len() > MESSAGE_BYTES {
        Err(format!("may have {MESSAGE_BYTES} bytes, this one has {}", message.len()))
    } else if message.chars().any(char::is_control) {
        Err("may have no control characters: it is one line".to_owned())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::testing::{changed, known, step, told};
    use crate::event::EventKind;
    use crate::status::RunStatus;
    use crate::status::StepStatus::{Cancelled, Ready, Running, Succeeded};

    #[test]
    fn all_that_has_not_ended_is_stopped_and_the_run_says_why_it_failed() {
        for status in [RunStatus::Pending, RunStatus::Running] {
            let changes = decide(known(status, [step(Succeeded), step(Running), step(Ready)]), "bad data").unwrap();
            assert_eq!(changed(&changes), [(1, Cancelled, 8), (2, Cancelled, 8)]);
            let run = changes.run;
            assert_eq!((run.status, run.live, run.running, run.failing), (RunStatus::Failed, 0, 0, true));
            let (stopped, failed) = (EventKind::StepCancelled, EventKind::RunFailed);
            assert_eq!(told(&changes), [(stopped, Some(1)), (stopped, Some(2)), (failed, None)]);
            assert_eq!(changes.told[2].note.as_deref(), Some("bad data"));
        }
    }

    #[test]
    fn what_has_ended_is_not_failed() {
        for status in [RunStatus::Succeeded, RunStatus::Failed, RunStatus::Cancelled] {
            assert!(matches!(decide(known(status, [step(Succeeded)]), "no"), Err(Refusal::HasEnded(_))), "{status}");
        }
    }

    #[test]
    fn a_message_says_something_in_a_line() {
        assert_eq!(check_message("the input of June is wrong"), Ok(()));
        for bad in ["", " ", "a\0b", "a\nb", &"x".repeat(MESSAGE_BYTES + 1)] {
            assert!(check_message(bad).is_err(), "{bad:?}");
        }
    }
}
