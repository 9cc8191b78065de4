//! *Skip*: a person gives a step that has failed, or is parked, the output that it has not got. It is *skipped* from then on:
//! what needs it goes on with that output, and what was stopped because of it is blocked or ready again, as after a retry.
//! Nothing of the step is executed again, and what it has done outside stays done.

use std::collections::BTreeMap;

use super::changes::Changes;
use super::draft::Draft;
use super::known::Known;
use super::refusal::Refusal;
use super::retry::{Opened, asked, go_on};
use crate::event::EventKind;
use crate::id::StepNo;
use crate::status::StepStatus;
use crate::transition::StepChange;

pub(super) fn decide(known: Known, no: StepNo, output: &[u8]) -> Result<Changes<'_>, Refusal> {
    let step = known.steps.get(&no).ok_or(Refusal::NoStep(known.run.id, no))?;
    may_skip(step.status)?;
    let is_ended = known.run.status.is_ended();
    let mut draft = Draft::of(known);
    if is_ended {
        draft.tell_of_run(EventKind::RunReopened, asked());
    }
    draft.change(no, StepChange::Skipped)?;
    draft.give_output(no, output);
    draft.tell(EventKind::StepSkipped, no, Some(format!("a person gave its output, {} bytes", output.len())));
    go_on(&mut draft, &Opened(&BTreeMap::new()))?;
    for next in draft.those(|step| step.status == StepStatus::Blocked && step.needs.contains(&no)) {
        let unmet = draft.unmet(&draft.known.steps[&next].needs);
        draft.needs_still(next, unmet);
        if unmet == 0 {
            draft.change(next, StepChange::NeedsMet)?;
            draft.tell(EventKind::StepReady, next, None);
        }
    }
    draft.give_signals()?;
    Ok(draft.finish(None))
}

/// Whether a step in this state can be skipped.
///
/// # Errors
/// [`Refusal`]: why not.
pub fn may_skip(status: StepStatus) -> Result<(), Refusal> {
    match status {
        StepStatus::Failed | StepStatus::Parked => Ok(()),
        other => Err(Refusal::NotToSkip(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::StepState;
    use crate::decision::testing::{changed, known, step, told};
    use crate::status::RunStatus;
    use crate::status::StepStatus::{Blocked, Cancelled, Failed, Parked, Ready, Running, Skipped, Succeeded, Waiting};

    const NO: StepNo = StepNo(0);

    fn needing(status: StepStatus, needs: &[i32]) -> StepState {
        let needs: Vec<StepNo> = needs.iter().copied().map(StepNo).collect();
        StepState { unmet: needs.len() as u32, needs, ..step(status) }
    }

    #[test]
    fn what_was_stopped_because_of_it_goes_on() {
        let steps = [step(Failed), needing(Cancelled, &[0]), needing(Cancelled, &[0, 1])];
        let changes = decide(known(RunStatus::Failed, steps), NO, b"1").unwrap();
        assert_eq!(changed(&changes), [(0, Skipped, 8), (1, Ready, 8), (2, Blocked, 8)]);
        assert_eq!(changes.steps[2].unmet, 1);
        assert_eq!((changes.run.status, changes.run.live, changes.run.failing), (RunStatus::Running, 2, false));
        assert_eq!(changes.skipped, Some((NO, &b"1"[..])));
        assert_eq!(told(&changes)[..2], [(EventKind::RunReopened, None), (EventKind::StepSkipped, Some(0))]);
    }

    #[test]
    fn what_waits_for_a_parked_step_is_ready_once_it_waits_for_nothing_else() {
        let steps = [step(Parked), needing(Blocked, &[0]), needing(Blocked, &[0, 3]), step(Running)];
        let changes = decide(known(RunStatus::Running, steps), NO, b"1").unwrap();
        assert_eq!(changed(&changes), [(0, Skipped, 8), (1, Ready, 7), (2, Blocked, 7)]);
        assert_eq!(changes.steps[2].unmet, 1);
        assert_eq!(told(&changes), [(EventKind::StepSkipped, Some(0)), (EventKind::StepReady, Some(1))]);
        assert_eq!((changes.run.live, changes.run.running), (3, 1));
    }

    #[test]
    fn the_last_step_of_a_run_ends_it_well_unless_another_stays_failed() {
        let changes = decide(known(RunStatus::Failed, [step(Failed), step(Succeeded)]), NO, b"1").unwrap();
        assert_eq!(changes.run.status, RunStatus::Succeeded);
        let kinds: Vec<_> = told(&changes).into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(kinds, [EventKind::RunReopened, EventKind::StepSkipped, EventKind::RunSucceeded]);
        let changes = decide(known(RunStatus::Failed, [step(Failed), step(Failed)]), NO, b"1").unwrap();
        assert_eq!((changes.run.status, changes.run.failing), (RunStatus::Failed, true));
        assert_eq!(told(&changes).last(), Some(&(EventKind::RunFailed, None)), "the history ends with the end");
        let changes = decide(known(RunStatus::Running, [step(Parked), step(Succeeded)]), NO, b"1").unwrap();
        assert_eq!((changes.run.status, changes.run.live), (RunStatus::Succeeded, 0));
    }

    #[test]
    fn only_what_has_failed_or_is_parked_is_skipped() {
        for status in [Blocked, Ready, Running, Waiting, Succeeded, Cancelled, Skipped] {
            let refused = decide(known(RunStatus::Running, [step(status)]), NO, b"1").unwrap_err();
            assert_eq!(refused, Refusal::NotToSkip(status));
        }
    }
}
