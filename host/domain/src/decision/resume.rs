//! *Resume*: a person makes a step go on that is parked, waiting or ready: on its component or another one, with its whole
//! journal or what is left of it. A sleep ends by it; a wait for a signal does not, since the step would see that as a
//! timeout.

use super::changes::{Changes, GoesOn};
use super::draft::Draft;
use super::known::{Known, Look, StepState, Which};
use super::refusal::Refusal;
use crate::event::EventKind;
use crate::id::{Digest, Fence, StepNo};
use crate::journal::Segment;
use crate::status::StepStatus;
use crate::transition::StepChange;

/// How a step goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    /// On which component.
    pub on: ResumeOn,
    /// From its last checkpoint: what is to be dropped of its journal.
    pub forget: Option<Forget>,
}

/// The component that a resumed step goes on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResumeOn {
    /// The one that it has.
    Pinned,
    /// This one.
    Component(Digest),
}

/// A journal that is cut to its last checkpoint by a person's word, in the same commit that makes the step ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forget {
    /// The fence under which the journal was read. If it was raised since, nothing is done.
    pub fence: Fence,
    /// The checkpoint's position; 0 if there is none.
    pub kept: u32,
    /// Takes the place of all rows from its first position on; it may be empty.
    pub segment: Segment,
}

impl Resume {
    /// On this component, with the whole journal.
    #[must_use]
    pub fn on(on: ResumeOn) -> Self {
        Self { on, forget: None }
    }

    fn note(&self) -> String {
        let on = match self.on {
            ResumeOn::Pinned => String::new(),
            ResumeOn::Component(component) => format!(" on component {}", component.short()),
        };
        let from = match self.forget.as_ref().map(|forget| forget.kept) {
            None => return format!("a person resumed it{on}"),
            Some(0) => "from its start".to_owned(),
            Some(kept) => format!("from its checkpoint at entry {kept}"),
        };
        format!(
            "a person resumed it{on} {from}: what it did since is done again, effects without a name perhaps under \
             another key"
        )
    }

    /// The component that the step goes on with, and the one that made what is left of its journal, if that is another.
    pub(super) fn goes_on(&self, step: &StepState) -> GoesOn {
        let (component, recorded_by) = match self.on {
            ResumeOn::Pinned => (step.component, step.recorded_by),
            ResumeOn::Component(component) => {
                let recorded_by = step.recorded_by.or(step.component).filter(|recorded_by| *recorded_by != component);
                (Some(component), recorded_by)
            }
        };
        let forget = self.forget.as_ref();
        GoesOn {
            component,
            // Notes are of all components.
            recorded_by: recorded_by.filter(|_| forget.is_none_or(|forget| forget.kept > 0)),
            journal_length: forget.map(|forget| forget.segment.first + forget.segment.length),
        }
    }
}

/// A cut gives signals back, which may wake others.
pub(super) fn look(step: StepNo, how: &Resume) -> Look<'_> {
    match &how.forget {
        None => Look::at(Which::One(step)),
        Some(forget) => Look {
            steps: vec![Which::One(step), Which::Awaiting(None)],
            inbox: true,
            returning: Some((step, forget.segment.first)),
            taken: false,
            key: None,
            signal: None,
            unread: None,
        },
    }
}

pub(super) fn decide(known: Known, no: StepNo, how: &Resume) -> Result<Changes<'_>, Refusal> {
    let step = known.steps.get(&no).ok_or(Refusal::NoStep(known.run.id, no))?;
    may_resume(step.status, step.waits.as_ref().and_then(|waits| waits.signal.as_deref()))?;
    if how.forget.as_ref().is_some_and(|forget| forget.fence != step.fence) {
        return Err(Refusal::HasMoved);
    }
    let goes_on = how.goes_on(step);
    let mut draft = Draft::of(known);
    let besides = draft.change(no, StepChange::Resumed)?;
    besides.crashes_forgiven = true;
    besides.goes_on = Some(goes_on);
    draft.tell(EventKind::StepReady, no, Some(how.note()));
    if let Some(forget) = &how.forget {
        draft.cut(no, forget);
        draft.give_signals()?;
    }
    Ok(draft.finish(None))
}

/// Whether a step in this state can be resumed; `awaits` is the signal that it waits for.
///
/// # Errors
/// [`Refusal`]: why not.
pub fn may_resume(status: StepStatus, awaits: Option<&str>) -> Result<(), Refusal> {
    match status {
        // The step would see that as a timeout.
        StepStatus::Waiting if awaits.is_some() => Err(Refusal::AwaitsSignal),
        StepStatus::Parked | StepStatus::Waiting | StepStatus::Ready => Ok(()),
        StepStatus::Running => Err(Refusal::IsRunning),
        StepStatus::Blocked => Err(Refusal::IsBlocked),
        StepStatus::Succeeded | StepStatus::Failed | StepStatus::Cancelled | StepStatus::Skipped => {
            Err(Refusal::StepHasEnded)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Unread;
    use crate::decision::testing::{awaiting, changed, known, step, told};
    use crate::status::RunStatus;
    use crate::status::StepStatus::{Blocked, Cancelled, Failed, Parked, Ready, Running, Skipped, Succeeded, Waiting};

    const NO: StepNo = StepNo(0);

    fn digest(name: &str) -> Digest {
        Digest::of(name.as_bytes())
    }

    fn forget(fence: i64, kept: u32) -> Resume {
        let forget = Forget { fence: Fence(fence), kept, segment: Segment::of(2, &[]) };
        Resume { on: ResumeOn::Pinned, forget: Some(forget) }
    }

    #[test]
    fn what_stands_goes_on_and_its_crashes_are_forgiven() {
        for status in [Parked, Waiting, Ready] {
            let how = Resume::on(ResumeOn::Pinned);
            let changes = decide(known(RunStatus::Running, [step(status)]), NO, &how).unwrap();
            assert_eq!(changed(&changes), [(0, Ready, 8)]);
            assert_eq!(told(&changes), [(EventKind::StepReady, Some(0))]);
            let step = &changes.steps[0];
            assert!(step.crashes_forgiven && !step.failures_forgiven);
            let pinned = GoesOn { component: Some(digest("pinned")), recorded_by: None, journal_length: None };
            assert_eq!(step.goes_on, Some(pinned));
        }
    }

    #[test]
    fn other_states_have_their_refusals() {
        for (state, refusal) in [
            (step(Running), Refusal::IsRunning),
            (step(Blocked), Refusal::IsBlocked),
            (step(Succeeded), Refusal::StepHasEnded),
            (step(Failed), Refusal::StepHasEnded),
            (step(Cancelled), Refusal::StepHasEnded),
            (step(Skipped), Refusal::StepHasEnded),
            (awaiting(Waiting, "go"), Refusal::AwaitsSignal),
        ] {
            let how = Resume::on(ResumeOn::Pinned);
            assert_eq!(decide(known(RunStatus::Running, [state]), NO, &how), Err(refusal));
        }
        let how = forget(6, 0);
        let moved = decide(known(RunStatus::Running, [step(Parked)]), NO, &how);
        assert_eq!(moved, Err(Refusal::HasMoved), "it was claimed while its journal was read");
    }

    #[test]
    fn a_journal_remembers_who_made_it_until_nothing_of_it_is_left() {
        let on = |step: StepState, how: &Resume| {
            let changes = decide(known(RunStatus::Running, [step]), NO, how).unwrap();
            changes.steps[0].goes_on.unwrap().recorded_by
        };
        let other = Resume::on(ResumeOn::Component(digest("other")));
        let parked = step(Parked);
        let moved =
            StepState { component: Some(digest("other")), recorded_by: Some(digest("pinned")), ..parked.clone() };
        assert_eq!(on(parked, &other), Some(digest("pinned")));
        assert_eq!(on(moved.clone(), &Resume::on(ResumeOn::Pinned)), Some(digest("pinned")));
        assert_eq!(on(moved.clone(), &Resume::on(ResumeOn::Component(digest("pinned")))), None, "back on its own");
        assert_eq!(on(moved.clone(), &forget(7, 2)), Some(digest("pinned")), "what is left is still of that one");
        assert_eq!(on(moved, &forget(7, 0)), None, "only notes are left");
    }

    #[test]
    fn a_signal_that_a_cut_gives_back_goes_to_whoever_waits_for_it_now() {
        let inbox = vec![Unread { number: 1, name: "go".into() }];
        let known = Known { inbox, ..known(RunStatus::Running, [step(Parked), awaiting(Waiting, "go")]) };
        let how = forget(7, 2);
        let changes = decide(known, NO, &how).unwrap();
        assert_eq!(changed(&changes), [(0, Ready, 8), (1, Ready, 7)]);
        assert_eq!(changes.cut, how.forget.as_ref().map(|forget| (NO, forget)));
        assert_eq!(changes.given.len(), 1);
    }
}
