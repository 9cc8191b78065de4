//! *Again*: a person has a step done again from its start, and all that follow it, under the same ids; the others keep their
//! outputs. What else has failed, or was stopped with the run, goes on as after a retry, so that the run can come to an end.
//!
//! What was done before is no part of the new beginning: journals, checkpoints and results of `once` are dropped, and effects
//! leave under other keys, since their requests may be others (made of other outputs, say).

use std::collections::{BTreeMap, BTreeSet};

use super::changes::{Changes, GoesOn};
use super::draft::Draft;
use super::known::Known;
use super::refusal::Refusal;
use super::retry::{Opened, asked, go_on};
use crate::event::EventKind;
use crate::id::{Digest, StepNo};
use crate::status::StepStatus;
use crate::transition::StepChange;

pub(super) fn decide(known: Known, from: StepNo, on: &BTreeMap<StepNo, Digest>) -> Result<Changes<'static>, Refusal> {
    let step = known.steps.get(&from).ok_or(Refusal::NoStep(known.run.id, from))?;
    if step.status == StepStatus::Blocked {
        return Err(Refusal::IsBlocked);
    }
    let run = known.run;
    let again = following(&known, from);
    let mut draft = Draft::of(known);
    if run.status.is_ended() {
        draft.tell_of_run(EventKind::RunReopened, asked());
    }
    for no in &again {
        begin(&mut draft, *no, &again, on)?;
    }
    let opened = Opened(on);
    let failed = draft.those(|step| step.status == StepStatus::Failed);
    opened.open_all(&mut draft, failed, EventKind::StepReopened)?;
    go_on(&mut draft, &opened)?;
    draft.give_signals()?;
    Ok(draft.finish(None))
}

fn begin(
    draft: &mut Draft<'_>,
    no: StepNo,
    again: &BTreeSet<StepNo>,
    on: &BTreeMap<StepNo, Digest>,
) -> Result<(), Refusal> {
    let step = &draft.known.steps[&no];
    let is_met =
        |need: &StepNo| !again.contains(need) && draft.known.steps.get(need).is_some_and(|n| n.status.is_met());
    let unmet = step.needs.iter().filter(|need| !is_met(need)).count() as u32;
    let component = on.get(&no).copied().or(step.component);
    // What has never begun has nothing to drop, and no output that others have seen.
    if step.status == StepStatus::Blocked {
        let goes_on = on.get(&no).map(|_| GoesOn { component, recorded_by: step.recorded_by, journal_length: None });
        draft.needs_still(no, unmet);
        draft.besides(no).goes_on = goes_on;
        return Ok(());
    }
    let besides = draft.change(no, StepChange::Again { unmet })?;
    (besides.failures_forgiven, besides.crashes_forgiven) = (true, true);
    besides.goes_on = Some(GoesOn { component, recorded_by: None, journal_length: Some(1) });
    draft.begins_again(no);
    draft.tell(EventKind::StepReopened, no, Some("a person has it done again from its start".to_owned()));
    Ok(())
}

/// The step, and all that need it, or one of those.
fn following(known: &Known, from: StepNo) -> BTreeSet<StepNo> {
    let mut needed_by: BTreeMap<StepNo, Vec<StepNo>> = BTreeMap::new();
    for (no, step) in &known.steps {
        step.needs.iter().for_each(|need| needed_by.entry(*need).or_default().push(*no));
    }
    let (mut found, mut next) = (BTreeSet::from([from]), vec![from]);
    while let Some(no) = next.pop() {
        next.extend(needed_by.get(&no).into_iter().flatten().filter(|no| found.insert(**no)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::testing::{awaiting, changed, known, step, told};
    use crate::decision::{StepState, TakenBy, Unread};
    use crate::status::RunStatus;
    use crate::status::StepStatus::{Blocked, Cancelled, Failed, Parked, Ready, Running, Succeeded, Waiting};

    fn needing(status: StepStatus, needs: &[i32]) -> StepState {
        StepState { needs: needs.iter().copied().map(StepNo).collect(), ..step(status) }
    }

    fn again(known: Known, from: i32) -> Changes<'static> {
        decide(known, StepNo(from), &BTreeMap::new()).unwrap()
    }

    #[test]
    fn a_step_and_all_that_follow_it_are_done_again_and_no_other() {
        // 0 ─▶ 1 ─▶ 3      2 stands aside
        // 0 ─▶ 2 ─▶ 3
        let steps = [step(Succeeded), needing(Succeeded, &[0]), needing(Succeeded, &[0]), needing(Succeeded, &[1, 2])];
        let changes = again(known(RunStatus::Succeeded, steps), 1);
        assert_eq!(changed(&changes), [(1, Ready, 8), (3, Blocked, 8)]);
        assert_eq!(changes.steps[1].unmet, 1, "the other need keeps its output");
        assert_eq!(changes.again, [StepNo(1), StepNo(3)]);
        assert_eq!((changes.run.status, changes.run.live), (RunStatus::Running, 2));
        let reopened = |no| (EventKind::StepReopened, Some(no));
        assert_eq!(told(&changes), [(EventKind::RunReopened, None), reopened(1), reopened(3)]);
        let goes_on = changes.steps[0].goes_on.unwrap();
        assert_eq!((goes_on.component, goes_on.journal_length), (Some(Digest::of(b"pinned")), Some(1)));
    }

    #[test]
    fn what_runs_is_stopped_and_what_has_not_begun_waits_for_more() {
        let steps = [step(Succeeded), needing(Running, &[0]), needing(Blocked, &[0, 1])];
        let changes = again(known(RunStatus::Running, steps), 0);
        assert_eq!(changed(&changes), [(0, Ready, 8), (1, Blocked, 8), (2, Blocked, 7)]);
        assert_eq!(changes.steps.iter().map(|step| step.unmet).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(changes.again, [StepNo(0), StepNo(1)]);
        assert_eq!((changes.run.live, changes.run.running), (3, 0));
    }

    #[test]
    fn what_else_had_failed_or_was_stopped_goes_on_and_a_person_still_decides_about_what_is_parked() {
        let steps = [step(Succeeded), step(Failed), needing(Cancelled, &[1]), needing(Cancelled, &[0])];
        let changes = again(known(RunStatus::Failed, steps), 0);
        assert_eq!(changed(&changes), [(0, Ready, 8), (1, Ready, 8), (2, Blocked, 8), (3, Blocked, 8)]);
        assert_eq!(changes.again, [StepNo(0), StepNo(3)]);
        assert!(!changes.run.failing);
        let changes = again(known(RunStatus::Running, [step(Succeeded), step(Parked)]), 0);
        assert_eq!(changed(&changes), [(0, Ready, 8)]);
    }

    #[test]
    fn signals_that_it_had_taken_are_there_again_for_whoever_waits_for_them() {
        let signal = |number| Unread { number, name: "go".into() };
        let taken =
            vec![TakenBy { step: StepNo(0), signal: signal(1) }, TakenBy { step: StepNo(2), signal: signal(2) }];
        let steps = [step(Succeeded), awaiting(Waiting, "go"), step(Succeeded)];
        let changes = again(Known { taken, ..known(RunStatus::Running, steps) }, 0);
        assert_eq!(changed(&changes), [(0, Ready, 8), (1, Ready, 7)]);
        assert_eq!(changes.given.iter().map(|given| (given.signal, given.step.0)).collect::<Vec<_>>(), [(1, 1)]);
    }

    #[test]
    fn what_waits_for_others_has_nothing_to_be_done_again() {
        let refused = decide(known(RunStatus::Running, [step(Ready), step(Blocked)]), StepNo(1), &BTreeMap::new());
        assert_eq!(refused, Err(Refusal::IsBlocked));
        let missing = decide(known(RunStatus::Running, [step(Ready)]), StepNo(7), &BTreeMap::new());
        assert!(matches!(missing, Err(Refusal::NoStep(..))));
    }
}
