//! *Cancel*: a person ends a run now.

use super::changes::Changes;
use super::draft::Draft;
use super::known::Known;
use super::refusal::Refusal;
use crate::status::RunStatus;

pub(super) fn decide(known: Known) -> Result<Changes<'static>, Refusal> {
    if known.run.status.is_ended() {
        return Err(Refusal::HasEnded(known.run.id));
    }
    let mut draft = Draft::of(known);
    draft.stop_all()?;
    draft.known.run.status = RunStatus::Cancelled;
    Ok(draft.finish(None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::testing::{changed, known, step, told};
    use crate::event::EventKind;
    use crate::status::StepStatus::{Blocked, Cancelled, Failed, Parked, Ready, Running, Succeeded, Waiting};

    #[test]
    fn what_has_not_ended_is_stopped_under_a_higher_fence() {
        let states = [Succeeded, Failed, Running, Ready, Waiting, Parked, Blocked];
        let changes = decide(known(RunStatus::Running, states.map(step))).unwrap();
        let stopped = [2, 3, 4, 5, 6].map(|no| (no, Cancelled, 8));
        assert_eq!(changed(&changes), stopped);
        let run = changes.run;
        assert_eq!((run.status, run.live, run.running), (RunStatus::Cancelled, 0, 0));
        let mut expected = [2, 3, 4, 5, 6].map(|no| (EventKind::StepCancelled, Some(no))).to_vec();
        expected.push((EventKind::RunCancelled, None));
        assert_eq!(told(&changes), expected);
    }

    #[test]
    fn what_has_ended_stays() {
        for status in [RunStatus::Succeeded, RunStatus::Failed, RunStatus::Cancelled] {
            assert!(matches!(decide(known(status, [step(Succeeded)])), Err(Refusal::HasEnded(_))), "{status}");
        }
    }
}
