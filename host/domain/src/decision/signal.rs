//! Signals: sent to a run, taken by its steps.
//!
//! ```text
//!      sender ──▶ inbox of the run ──▶ the first step that waits for the name
//!                   ▲                         │ retried, its journal cut
//!                   └─────────────────────────┘
//! ```

use std::collections::{BTreeMap, VecDeque};

use super::changes::{Changes, Given};
use super::draft::Draft;
use super::known::{Known, Look, Unread, Waits, Which};
use super::refusal::Refusal;
use crate::id::{Digest, StepNo};
use crate::status::StepStatus;

/// A signal to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    /// What a step waits for.
    pub name: String,
    /// What it is told: JSON bytes.
    pub payload: Vec<u8>,
    /// Makes it safe to send again.
    pub key: Option<String>,
    /// How many signals may lie in the run's inbox; see [`crate::limits::Limits::inbox_signals`].
    pub room: u32,
}

pub(super) fn look(signal: &Signal) -> Look<'_> {
    Look {
        inbox: true,
        unread: Some(signal.room),
        key: signal.key.as_deref(),
        ..Look::at(Which::Awaiting(Some(&signal.name)))
    }
}

pub(super) fn decide(known: Known, signal: &Signal) -> Result<Changes<'_>, Refusal> {
    // Before the run's end is looked at: what was sent before it is answered as then.
    if let Some(before) = &known.sent {
        let is_same = before.name == signal.name && before.payload == Digest::of(&signal.payload);
        return match is_same {
            true => Ok(Draft::of(known).finish(None)),
            false => Err(Refusal::KeyReused(known.run.id, signal.key.clone().unwrap_or_default())),
        };
    }
    if known.run.status.is_ended() {
        return Err(Refusal::NobodyTakes(known.run.id));
    }
    // What a step waits for does not stay in the inbox.
    let is_awaited = known.steps.values().any(|step| {
        step.status == StepStatus::Waiting
            && step.waits.as_ref().is_some_and(|waits| waits.signal.as_ref() == Some(&signal.name))
    });
    if known.unread >= signal.room && !is_awaited {
        return Err(Refusal::InboxFull(known.run.id, signal.room));
    }
    let mut draft = Draft::of(known);
    draft.send(signal);
    draft.give_signals()?;
    Ok(draft.finish(None))
}

/// Which signal goes to which of the steps that wait, given in their order: the oldest of a name to the first step. With
/// the signal's name.
pub fn give<'w>(waiting: impl IntoIterator<Item = (StepNo, &'w Waits)>, inbox: &[Unread]) -> Vec<(Given, String)> {
    let mut unread: BTreeMap<&str, VecDeque<u32>> = BTreeMap::new();
    for Unread { number, name } in inbox {
        unread.entry(name).or_default().push_back(*number);
    }
    unread.values_mut().for_each(|numbers| numbers.make_contiguous().sort_unstable());
    let taken = |(step, waits): (StepNo, &Waits)| {
        let name = waits.signal.as_deref()?;
        let signal = unread.get_mut(name)?.pop_front()?;
        Some((Given { signal, step, position: waits.position }, name.to_owned()))
    };
    waiting.into_iter().filter_map(taken).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::SentBefore;
    use crate::decision::testing::{awaiting, changed, known, step, told};
    use crate::event::EventKind;
    use crate::status::RunStatus;
    use crate::status::StepStatus::{Ready, Running, Succeeded, Waiting};

    fn go(key: Option<&str>) -> Signal {
        Signal { name: "go".into(), payload: b"1".to_vec(), key: key.map(str::to_owned), room: 2 }
    }

    #[test]
    fn a_signal_goes_to_the_first_step_that_waits_for_it_or_lies_in_the_inbox() {
        let signal = go(None);
        let steps = [step(Running), awaiting(Waiting, "go"), awaiting(Waiting, "go")];
        let changes = decide(known(RunStatus::Running, steps), &signal).unwrap();
        assert_eq!(changes.given, [Given { signal: 3, step: StepNo(1), position: 3 }]);
        assert_eq!(changed(&changes), [(1, Ready, 7)]);
        assert_eq!(told(&changes), [(EventKind::StepReady, Some(1))]);
        assert_eq!((changes.seen, changes.sent), ((20, 2), Some(&signal)));

        let changes = decide(known(RunStatus::Running, [awaiting(Waiting, "stop")]), &signal).unwrap();
        assert!(changes.given.is_empty() && changes.told.is_empty() && !changes.are_none());
    }

    #[test]
    fn what_was_sent_under_a_key_is_the_same_or_refused_also_after_the_end() {
        let sent = |payload: &[u8]| Some(SentBefore { name: "go".into(), payload: Digest::of(payload) });
        let signal = go(Some("k"));
        for status in [RunStatus::Running, RunStatus::Succeeded] {
            let same = Known { sent: sent(b"1"), ..known(status, [step(Succeeded)]) };
            assert!(decide(same, &signal).unwrap().are_none());
            let other = Known { sent: sent(b"2"), ..known(status, [step(Succeeded)]) };
            assert!(matches!(decide(other, &signal), Err(Refusal::KeyReused(..))));
        }
        let ended = known(RunStatus::Succeeded, [step(Succeeded)]);
        assert!(matches!(decide(ended, &signal), Err(Refusal::NobodyTakes(_))));
    }

    #[test]
    fn a_full_inbox_takes_only_what_a_step_waits_for() {
        let signal = go(None);
        let full = |steps| Known { unread: 2, ..known(RunStatus::Running, [steps]) };
        for elsewhere in [step(Running), awaiting(Waiting, "stop"), step(Waiting)] {
            let refused = decide(full(elsewhere.clone()), &signal).unwrap_err();
            assert!(matches!(refused, Refusal::InboxFull(_, 2)), "{refused}");
            let roomy = Known { unread: 1, ..full(elsewhere) };
            assert!(decide(roomy, &signal).unwrap().sent.is_some());
        }
        let sent_before = SentBefore { name: "go".into(), payload: Digest::of(b"1") };
        let again = Known { sent: Some(sent_before), ..full(step(Running)) };
        assert!(decide(again, &go(Some("k"))).unwrap().are_none(), "what was taken stays so");
        assert_eq!(decide(full(awaiting(Waiting, "go")), &signal).unwrap().given.len(), 1);
    }

    #[test]
    fn the_oldest_signal_goes_first() {
        let waits = |signal: &str, position| Waits { position, signal: Some(signal.into()) };
        let (a, b, c, sleep) = (waits("x", 1), waits("y", 2), waits("x", 3), Waits { position: 4, signal: None });
        let inbox = [(5, "x"), (4, "x"), (6, "z")].map(|(number, name)| Unread { number, name: name.into() });
        let waiting = [(StepNo(0), &a), (StepNo(1), &b), (StepNo(2), &c), (StepNo(3), &sleep)];
        let given: Vec<_> = give(waiting, &inbox).into_iter().map(|(given, _)| (given.signal, given.step.0)).collect();
        assert_eq!(given, [(4, 0), (5, 2)]);
    }
}
