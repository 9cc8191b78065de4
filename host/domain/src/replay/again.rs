//! A step that a person had done again: its keys are others than before, and stay so through every failure and resume.

use super::keys::{self, KeyOf};
use super::tests::{now, replay, step};
use super::{Replay, Unseen};
use crate::journal::{Entry, History};

const ROUND: i64 = 8;

fn again() -> Entry {
    Entry::Again { round: ROUND }
}

#[test]
fn keys_of_another_round_are_others_and_nothing_is_asked_for_the_note() {
    let mut replay = replay(vec![again(), now(1)]);
    assert_eq!(replay.position(), 1);
    assert_eq!(replay.now(), Ok(super::Step::Recorded(1)));
    assert!(replay.is_live());
    let key = replay.idempotency_key("pay");
    assert_eq!(key, keys::key(step(), Some(ROUND), KeyOf::Name("pay")));
    assert_ne!(key, keys::key(step(), None, KeyOf::Name("pay")));
    assert_ne!(key, keys::key(step(), Some(ROUND + 1), KeyOf::Name("pay")));
}

#[test]
fn a_failure_keeps_the_round_wherever_its_journal_is_cut() {
    for from_checkpoint in [false, true] {
        let mut replay = replay(vec![again()]);
        replay.record(&now(1));
        let cut = replay.cut(from_checkpoint);
        let mut left = vec![again(), now(1)];
        left.truncate(cut.at as usize);
        left.extend(cut.notes);
        assert_eq!(left, [again()], "from its checkpoint: {from_checkpoint}");
    }
    let mut unseen = Unseen::since(0);
    for (position, entry) in (0..).zip([again(), now(1)]) {
        unseen.take_in(position, entry);
    }
    let cut = unseen.cut();
    assert_eq!((cut.at, cut.notes), (0, vec![again()]));
}

#[test]
fn who_goes_on_from_a_checkpoint_has_the_round() {
    let mut first = replay(vec![again()]);
    assert_eq!(first.restore(), Ok(None));
    first.record(&now(1));
    let saved = first.checkpoint(b"state".to_vec()).expect("no fault").expect("it is live");
    let checkpoint = saved.checkpoint;
    let history = History {
        segments: vec![(0, vec![again(), now(1)])],
        length: 2,
        checkpoint: Some(checkpoint),
        ..History::default()
    };
    let mut resumed = Replay::new(step(), history);
    assert_eq!(resumed.restore(), Ok(Some(b"state".to_vec())));
    assert_eq!(resumed.idempotency_key("pay"), first.idempotency_key("pay"));
}
