//! *Retry*: a person reopens failed steps (all, or one) and the run with them, under the same ids and keys; what was
//! cancelled because of them is blocked or ready again, or goes on waiting. Parked steps are taken too: they are ready
//! again on their component. So is all that was stopped when a person failed or cancelled the run: the end of a run is
//! terminal but for this. All that is opened keeps its component, or goes on with another one, where a person says so: after
//! a bad version, with the one that is active by now.

use std::collections::BTreeMap;

use super::changes::Changes;
use super::draft::{Besides, Draft};
use super::known::Known;
use super::refusal::Refusal;
use super::resume::{Resume, ResumeOn};
use crate::event::EventKind;
use crate::id::{Digest, StepNo};
use crate::status::{RunStatus, StepStatus};
use crate::transition::StepChange;

pub(super) fn decide(
    known: Known,
    only: Option<StepNo>,
    on: &BTreeMap<StepNo, Digest>,
) -> Result<Changes<'static>, Refusal> {
    let run = known.run;
    let mut draft = Draft::of(known);
    let opened = Opened(on);
    let is_meant = |no: &StepNo| only.is_none_or(|only| only == *no);
    let of = |draft: &Draft<'_>, status: StepStatus| -> Vec<StepNo> {
        draft.those(|step| step.status == status).into_iter().filter(is_meant).collect()
    };
    let (failed, parked) = (of(&draft, StepStatus::Failed), of(&draft, StepStatus::Parked));
    // A person has failed or cancelled it: all that was stopped then is opened.
    let by_a_person = matches!(run.status, RunStatus::Failed | RunStatus::Cancelled) && only.is_none();
    if failed.is_empty() && parked.is_empty() && !by_a_person {
        let refusal = if only.is_some() { Refusal::StepNotToRetry } else { Refusal::NothingToRetry };
        return Err(refusal(run.id));
    }
    if run.status.is_ended() {
        draft.tell_of_run(EventKind::RunReopened, asked());
    }
    opened.open_all(&mut draft, failed, EventKind::StepReopened)?;
    opened.open_all(&mut draft, parked, EventKind::StepReady)?;
    go_on(&mut draft, &opened)?;
    draft.give_signals()?;
    Ok(draft.finish(None))
}

/// The run is open. If another step stays failed, it stays failing and nothing else starts.
pub(super) fn go_on(draft: &mut Draft<'_>, opened: &Opened<'_>) -> Result<(), Refusal> {
    draft.known.run.failing = draft.known.steps.values().any(|step| step.status == StepStatus::Failed);
    if !draft.known.run.failing {
        reopen_cancelled(draft, opened)?;
    }
    // A run of which no step was ever claimed begins with its first claim, as ever.
    draft.known.run.status = if draft.known.run.started { RunStatus::Running } else { RunStatus::Pending };
    Ok(())
}

/// Why it is told at all.
pub(super) fn asked() -> Option<String> {
    Some("a person asked for it".to_owned())
}

/// On which components steps are opened.
pub(super) struct Opened<'o>(pub(super) &'o BTreeMap<StepNo, Digest>);

impl Opened<'_> {
    /// These are tried again, as if for the first time.
    pub(super) fn open_all(&self, draft: &mut Draft<'_>, steps: Vec<StepNo>, kind: EventKind) -> Result<(), Refusal> {
        for no in steps {
            let besides = self.open(draft, no, StepChange::Reopened { unmet: 0 }, kind)?;
            (besides.failures_forgiven, besides.crashes_forgiven) = (true, true);
        }
        Ok(())
    }

    fn open<'d>(
        &self,
        draft: &'d mut Draft<'_>,
        no: StepNo,
        change: StepChange,
        kind: EventKind,
    ) -> Result<&'d mut Besides, Refusal> {
        let step = draft.known.steps.get(&no);
        let other = self.0.get(&no).filter(|other| step.is_some_and(|step| step.component != Some(**other)));
        let goes_on = other.zip(step).map(|(other, step)| Resume::on(ResumeOn::Component(*other)).goes_on(step));
        let note = match other {
            Some(other) => Some(format!("a person asked for it, on component {}", other.short())),
            None => asked(),
        };
        draft.change(no, change)?;
        draft.tell(kind, no, note);
        let besides = draft.besides(no);
        besides.goes_on = goes_on;
        Ok(besides)
    }
}

fn reopen_cancelled(draft: &mut Draft<'_>, opened: &Opened<'_>) -> Result<(), Refusal> {
    for no in draft.those(|step| step.status == StepStatus::Cancelled) {
        let step = &draft.known.steps[&no];
        let change = match step.waits {
            // Its journal ends with the wait: ready, it would see the wait as over.
            Some(_) => StepChange::WaitReopened,
            None => StepChange::Reopened { unmet: draft.unmet(&step.needs) },
        };
        opened.open(draft, no, change, EventKind::StepReopened)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::testing::{awaiting, changed, known, step, told};
    use crate::decision::{StepState, Unread};
    use crate::event::EventKind::{RunReopened, StepReady, StepReopened};
    use crate::status::StepStatus::{Blocked, Cancelled, Failed, Parked, Ready, Running, Succeeded, Waiting};

    fn needing(needs: &[i32], status: StepStatus) -> StepState {
        StepState { needs: needs.iter().copied().map(StepNo).collect(), ..step(status) }
    }

    #[test]
    fn a_failed_run_is_opened_with_all_that_was_stopped_because_of_it() {
        let steps = [
            step(Succeeded),
            step(Failed),
            needing(&[0], Cancelled),
            needing(&[0, 1], Cancelled),
            awaiting(Cancelled, "go"),
        ];
        let changes = decide(known(RunStatus::Failed, steps), None, &BTreeMap::new()).unwrap();
        assert_eq!(changed(&changes), [(1, Ready, 8), (2, Ready, 8), (3, Blocked, 8), (4, Waiting, 8)]);
        assert_eq!(changes.steps[2].unmet, 1, "one of its two needs has succeeded");
        let forgiven: Vec<bool> = changes.steps.iter().map(|step| step.failures_forgiven).collect();
        assert_eq!(forgiven, [true, false, false, false]);
        let run = changes.run;
        assert_eq!((run.status, run.live, run.failing), (RunStatus::Running, 4, false));
        let reopened = [1, 2, 3, 4].map(|no| (StepReopened, Some(no)));
        assert_eq!(told(&changes), [&[(RunReopened, None)][..], &reopened].concat());
    }

    #[test]
    fn a_run_that_a_person_failed_or_cancelled_is_opened_as_it_was_stopped() {
        let steps = || [step(Succeeded), needing(&[0], Cancelled), awaiting(Cancelled, "go")];
        for (ended, failing) in [(RunStatus::Failed, true), (RunStatus::Cancelled, false)] {
            for (started, status) in [(true, RunStatus::Running), (false, RunStatus::Pending)] {
                let mut known = known(ended, steps());
                (known.run.failing, known.run.started) = (failing, started);
                let changes = decide(known, None, &BTreeMap::new()).unwrap();
                assert_eq!(changed(&changes), [(1, Ready, 8), (2, Waiting, 8)]);
                assert_eq!((changes.run.status, changes.run.failing, changes.run.live), (status, false, 2));
                assert_eq!(told(&changes)[0], (RunReopened, None));
            }
            let one = decide(known(ended, steps()), Some(StepNo(1)), &BTreeMap::new());
            assert!(matches!(one, Err(Refusal::StepNotToRetry(_))), "it has not failed: {one:?}");
        }
    }

    #[test]
    fn while_another_step_stays_failed_nothing_else_starts() {
        let steps = [step(Failed), step(Failed), step(Cancelled)];
        let changes = decide(known(RunStatus::Failed, steps), Some(StepNo(1)), &BTreeMap::new()).unwrap();
        assert_eq!(changed(&changes), [(1, Ready, 8)]);
        assert_eq!((changes.run.status, changes.run.failing), (RunStatus::Running, true));
    }

    #[test]
    fn a_parked_step_was_never_ended() {
        let changes = decide(known(RunStatus::Running, [step(Parked), step(Running)]), None, &BTreeMap::new()).unwrap();
        assert_eq!(changed(&changes), [(0, Ready, 8)]);
        assert_eq!(told(&changes), [(StepReady, Some(0))]);
        assert_eq!((changes.run.live, changes.run.running), (2, 1));
    }

    #[test]
    fn a_wait_that_is_reopened_finds_the_signal_that_came_meanwhile() {
        let inbox = vec![Unread { number: 2, name: "go".into() }];
        let known = Known { inbox, ..known(RunStatus::Failed, [step(Failed), awaiting(Cancelled, "go")]) };
        let changes = decide(known, None, &BTreeMap::new()).unwrap();
        assert_eq!(changed(&changes), [(0, Ready, 8), (1, Ready, 8)]);
        assert_eq!(changes.given.iter().map(|given| (given.signal, given.step.0)).collect::<Vec<_>>(), [(2, 1)]);
        assert_eq!(told(&changes).last(), Some(&(StepReady, Some(1))));
    }

    #[test]
    fn after_a_bad_version_all_that_is_opened_goes_on_with_another_one() {
        let [bad, good] = ["bad", "good"].map(|name| Digest::of(name.as_bytes()));
        let on_bad = |status| StepState { component: Some(bad), ..step(status) };
        let steps = [
            on_bad(Succeeded),
            on_bad(Failed),
            on_bad(Cancelled),
            StepState { component: Some(good), ..step(Cancelled) },
        ];
        let all: BTreeMap<StepNo, Digest> = (0..4).map(|no| (StepNo(no), good)).collect();
        let changes = decide(known(RunStatus::Failed, steps), None, &all).unwrap();
        let on: Vec<_> =
            changes.steps.iter().map(|step| (step.no.0, step.goes_on.and_then(|on| on.component))).collect();
        assert_eq!(on, [(1, Some(good)), (2, Some(good)), (3, None)], "one had it already");
        assert_eq!(changes.steps[0].goes_on.unwrap().recorded_by, Some(bad));
        assert!(changes.told[1].note.as_ref().unwrap().contains("on component"), "{:?}", changes.told[1]);
    }

    #[test]
    fn what_did_not_fail_is_not_retried() {
        let refused = |status, steps, only| decide(known(status, steps), only, &BTreeMap::new()).unwrap_err();
        let steps = || [step(Succeeded), step(Failed)];
        assert!(matches!(refused(RunStatus::Failed, steps(), Some(StepNo(0))), Refusal::StepNotToRetry(_)));
        let running = [step(Succeeded), step(Running)];
        assert!(matches!(refused(RunStatus::Running, running, None), Refusal::NothingToRetry(_)));
    }
}
