//! What a step did when, made of the events of its run. Pure.

use std::collections::BTreeMap;

use pawl_api::types::{Event, EventKind};
use pawl_domain::id::WorkerId;

/// What a step does for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    /// It is ready, and no worker has it.
    Queued,
    /// A worker executes it.
    Running,
    /// It waits for a time, a signal or an outside host.
    Waiting,
    /// Its worker is gone, and none has it yet.
    Orphaned,
    /// It waits for a person.
    Parked,
}

impl Doing {
    /// All of them, with class of the stylesheet and what is said.
    pub(super) const ALL: [(Self, &str, &str); 5] = [
        (Self::Queued, "queued", "in its queue"),
        (Self::Running, "running", "executed"),
        (Self::Waiting, "waiting", "waiting"),
        (Self::Orphaned, "orphaned", "its worker gone"),
        (Self::Parked, "parked", "parked"),
    ];

    /// Class and words.
    pub(super) fn told(self) -> (&'static str, &'static str) {
        Self::ALL.iter().find(|(doing, ..)| *doing == self).map_or(("", ""), |(_, class, words)| (class, words))
    }
}

/// A stretch of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) doing: Doing,
    pub(super) from_ms: i64,
    /// None: it goes on.
    pub(super) until_ms: Option<i64>,
    pub(super) worker: Option<WorkerId>,
    /// Of the claims that the events tell, the how-manieth.
    pub(super) claim: u32,
}

/// The spans of each step, by its name.
pub(super) fn of(events: &[Event]) -> BTreeMap<&str, Vec<Span>> {
    let mut all: BTreeMap<&str, Vec<Span>> = BTreeMap::new();
    let mut claims: BTreeMap<&str, u32> = BTreeMap::new();
    for event in events {
        let (Some(step), Some(kind)) = (event.step.as_deref(), kind(event)) else { continue };
        let spans = all.entry(step).or_default();
        let open = spans.last_mut().filter(|span| span.until_ms.is_none());
        let Some(next) = next(kind, open.as_ref().map(|span| span.doing)) else { continue };
        if let Some(open) = open {
            open.until_ms = Some(event.at_ms);
        }
        let Some(doing) = next else { continue };
        let claim = claims.entry(step).or_default();
        *claim += u32::from(doing == Doing::Running);
        let worker = event.worker.filter(|_| doing == Doing::Running);
        spans.push(Span { doing, from_ms: event.at_ms, until_ms: None, worker, claim: *claim });
    }
    all
}

/// None: it is of a newer version.
fn kind(event: &Event) -> Option<EventKind> {
    EventKind::ALL.iter().copied().find(|kind| event.is(*kind))
}

/// What an event begins, as `Some(Some(…))`, or ends; `None`: neither. A step that is taken over is ready at once, and nobody's until
/// it is claimed.
fn next(kind: EventKind, now: Option<Doing>) -> Option<Option<Doing>> {
    Some(match kind {
        EventKind::StepReady if now == Some(Doing::Orphaned) => return None,
        EventKind::StepReady | EventKind::StepHandedBack => Some(Doing::Queued),
        EventKind::StepStarted | EventKind::StepResumed => Some(Doing::Running),
        EventKind::StepLeaseExpired => Some(Doing::Orphaned),
        EventKind::StepRetrying | EventKind::StepWaiting | EventKind::StepDeferred => Some(Doing::Waiting),
        EventKind::StepParked => Some(Doing::Parked),
        EventKind::StepSucceeded | EventKind::StepFailed | EventKind::StepCancelled | EventKind::StepSkipped => None,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(events: &[(i64, EventKind)]) -> Vec<Event> {
        let event = |(number, (at_ms, kind)): (u32, &(i64, EventKind))| Event {
            number,
            at_ms: *at_ms,
            kind: kind.as_str().to_owned(),
            step: Some("a".to_owned()),
            fence: None,
            worker: None,
            note: None,
        };
        (1..).zip(events).map(event).collect()
    }

    fn told(events: &[(i64, EventKind)]) -> Vec<(Doing, i64, Option<i64>, u32)> {
        let events = history(events);
        of(&events)["a"].iter().map(|span| (span.doing, span.from_ms, span.until_ms, span.claim)).collect()
    }

    #[test]
    fn a_takeover_is_a_gap_between_two_claims() {
        use EventKind as E;
        let spans = told(&[
            (0, E::StepReady),
            (2, E::StepStarted),
            (5, E::StepLeaseExpired),
            (5, E::StepReady),
            (6, E::StepResumed),
            (6, E::StepCheckpointReloaded),
            (7, E::StepReplayed),
            (9, E::StepSucceeded),
        ]);
        assert_eq!(
            spans,
            [
                (Doing::Queued, 0, Some(2), 0),
                (Doing::Running, 2, Some(5), 1),
                (Doing::Orphaned, 5, Some(6), 1),
                (Doing::Running, 6, Some(9), 2),
            ]
        );
    }

    #[test]
    fn what_goes_on_has_no_end_and_what_is_not_known_changes_nothing() {
        use EventKind as E;
        assert_eq!(
            told(&[(0, E::StepStarted), (3, E::StepWaiting)]),
            [(Doing::Running, 0, Some(3), 1), (Doing::Waiting, 3, None, 1)]
        );
        let mut events = history(&[(0, E::StepStarted), (1, E::StepParked), (2, E::StepReady)]);
        events[1].kind = "step.of_a_newer_version".to_owned();
        assert_eq!(of(&events)["a"].len(), 2);
    }
}
