//! *Pause* and *unpause*: a person has a run start no new step, and lets it go on.
//!
//! A pause changes no step: what runs goes on to its end, what waits keeps its time, and what becomes ready stays ready. The
//! claim, which reads the run, leaves it alone (see `migrations/0035_pause.sql`). With the pause's end whatever is ready is
//! delivered again, since its message is gone.

use super::changes::{Changes, PauseChange};
use super::draft::Draft;
use super::known::Known;
use super::refusal::Refusal;
use crate::event::EventKind;
use crate::status::StepStatus;

pub(super) fn decide(known: Known, reason: Option<&str>) -> Result<Changes<'_>, Refusal> {
    let run = known.run;
    if run.status.is_ended() {
        return Err(Refusal::HasEnded(run.id));
    }
    let mut draft = Draft::of(known);
    if !run.paused {
        draft.pause(PauseChange::Begins { reason });
        draft.tell_of_run(EventKind::RunPaused, reason.map(str::to_owned));
    }
    Ok(draft.finish(None))
}

pub(super) fn end(known: Known) -> Result<Changes<'static>, Refusal> {
    let run = known.run;
    if run.status.is_ended() {
        return Err(Refusal::HasEnded(run.id));
    }
    let mut draft = Draft::of(known);
    if run.paused {
        draft.pause(PauseChange::Ends);
        draft.tell_of_run(EventKind::RunUnpaused, None);
        for no in draft.those(|step| step.status == StepStatus::Ready) {
            draft.besides(no);
        }
    }
    Ok(draft.finish(None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::testing::{changed, known, step, told};
    use crate::status::RunStatus;
    use crate::status::StepStatus::{Blocked, Parked, Ready, Running, Succeeded, Waiting};

    fn paused(known: Known) -> Known {
        Known { run: super::super::RunState { paused: true, ..known.run }, ..known }
    }

    #[test]
    fn a_pause_changes_no_step_and_is_told_once() {
        for status in [RunStatus::Pending, RunStatus::Running] {
            let states = [Succeeded, Running, Ready, Waiting, Parked, Blocked];
            let run = known(status, states.map(step));
            let before = run.run;
            let changes = decide(run.clone(), Some("maintenance")).unwrap();
            assert_eq!(changes.pause, Some(PauseChange::Begins { reason: Some("maintenance") }));
            assert_eq!((changed(&changes), told(&changes)), (vec![], vec![(EventKind::RunPaused, None)]));
            assert_eq!(changes.told[0].note.as_deref(), Some("maintenance"));
            let after = changes.run;
            assert_eq!((after.status, after.live, after.running), (before.status, before.live, before.running));
            assert!(decide(paused(run), Some("again")).unwrap().are_none(), "the first reason stays");
        }
    }

    #[test]
    fn the_end_of_a_pause_delivers_what_is_ready_and_nothing_else() {
        let states = [Succeeded, Running, Ready, Waiting, Parked, Blocked, Ready];
        let run = known(RunStatus::Running, states.map(step));
        let changes = end(paused(run.clone())).unwrap();
        assert_eq!(changes.pause, Some(PauseChange::Ends));
        assert_eq!(changed(&changes), [(2, Ready, 7), (6, Ready, 7)], "under the fence that they have");
        assert_eq!(told(&changes), [(EventKind::RunUnpaused, None)]);
        assert!(end(run).unwrap().are_none(), "what is not paused goes on anyway");
    }

    #[test]
    fn what_has_ended_is_not_paused() {
        for status in [RunStatus::Succeeded, RunStatus::Failed, RunStatus::Cancelled] {
            let run = known(status, [step(Succeeded)]);
            assert!(matches!(decide(run.clone(), None), Err(Refusal::HasEnded(_))), "{status}");
            assert!(matches!(end(run), Err(Refusal::HasEnded(_))), "{status}");
        }
    }
}
