//! *Fail*: a person ends a run as failed, and says why. All that has not ended is stopped, as by a cancellation; but a
//! failed run may be retried.

use super::changes::Changes;
use super::draft::Draft;
use super::known::Known;
use super::refusal::Refusal;

pub(super) fn decide(known: Known, message: &str) -> Result<Changes<'static>, Refusal> {
    if known.run.status.is_ended() {
        return Err(Refusal::HasEnded(known.run.id));
    }
    let mut draft = Draft::of(known);
    draft.stop_all()?;
    draft.known.run.failing = true;
    Ok(draft.finish(Some(message.to_owned())))
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
}
