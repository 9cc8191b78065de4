//! Journals that are read in pieces. Random programs go through some of theirs like this, too.

use super::*;
use crate::attempt::Cut;
use crate::id::{RunId, StepNo};
use crate::journal::{Held, HttpAnswer};

/// A past that is handed out so many entries at a time, and what it takes until it can't be read.
#[derive(Debug)]
pub(super) struct InPieces {
    past: History,
    most: usize,
    reads_left: usize,
}

impl InPieces {
    /// A replay that reads this past in pieces.
    pub(super) fn replay(step: StepId, past: History, most: usize) -> Replay {
        Self::failing_after(step, past, most, usize::MAX)
    }

    fn failing_after(step: StepId, past: History, most: usize, reads_left: usize) -> Replay {
        let checkpoint = past.checkpoint.clone().map(|checkpoint| Checkpoint { state: Vec::new(), ..checkpoint });
        let head = History { checkpoint, length: past.length, recorded_by: past.recorded_by, ..History::default() };
        Replay::reading(step, head, Box::new(Self { past, most, reads_left }))
    }
}

impl Rest for InPieces {
    fn entries(&mut self, from: u32, until: u32) -> Result<Vec<Entry>, Unread> {
        self.reads_left = self.reads_left.checked_sub(1).ok_or(Unread::Stopped)?;
        let numbered = self.past.segments.iter().flat_map(|(first, entries)| (*first..).zip(entries));
        let asked = numbered.filter(|(position, _)| (from..until).contains(position));
        Ok(asked.take(self.most).map(|(_, entry)| entry.clone()).collect())
    }

    fn state(&mut self) -> Result<Vec<u8>, Unread> {
        self.past.checkpoint.as_ref().map(|checkpoint| checkpoint.state.clone()).ok_or(Unread::Stopped)
    }

    fn signal(&mut self, position: u32) -> Result<Option<Vec<u8>>, Unread> {
        Ok(self.past.signals.iter().find(|(at, _)| *at == position).map(|(_, signal)| signal.clone()))
    }
}

fn step() -> StepId {
    StepId { run: RunId(uuid::Uuid::from_u128(7)), step: StepNo(3) }
}

fn past(entries: Vec<Entry>) -> History {
    let length = entries.len() as u32;
    History { segments: vec![(0, entries)], length, ..History::default() }
}

fn now(unix_ns: u64) -> Entry {
    Entry::Now { unix_ns }
}

#[test]
fn a_long_journal_takes_the_memory_of_a_piece() {
    let entries: Vec<_> = (0..1_000).map(now).collect();
    let mut replay = InPieces::replay(step(), past(entries), 10);
    for expected in 0..1_000 {
        assert!(!replay.is_live() && replay.recorded.in_memory().count() <= 10, "at {expected}");
        assert_eq!(replay.now(), Ok(Step::Recorded(expected)));
    }
    assert!(replay.is_live());
    assert_eq!((replay.replayed(), replay.entries_since_checkpoint()), (1_000, 1_000));
}

#[test]
fn what_stands_between_the_prelude_and_the_checkpoint_is_never_read() {
    let checkpoint = Checkpoint {
        ordinal: 1,
        position: 900,
        random_position: 5,
        effect_ordinal: 2,
        prelude: Some(2),
        state: b"saved".to_vec(),
        held: Held::default(),
    };
    let segments = vec![(0, vec![now(0), now(1)]), (900, vec![now(900), now(901), now(902)])];
    let past = History { checkpoint: Some(checkpoint), segments, length: 903, ..History::default() };
    let mut replay = InPieces::failing_after(step(), past, 2, 3);
    assert_eq!((replay.now(), replay.now()), (Ok(Step::Recorded(0)), Ok(Step::Recorded(1))));
    assert_eq!(replay.restore(), Ok(Some(b"saved".to_vec())));
    for expected in 900..903 {
        assert_eq!(replay.now(), Ok(Step::Recorded(expected)));
    }
    assert!(replay.is_live());
}

#[test]
fn a_journal_that_cannot_be_read_on_ends_the_guest_and_never_looks_like_its_end() {
    let mut replay = InPieces::failing_after(step(), past((0..10).map(now).collect()), 4, 1);
    for expected in 0..4 {
        assert_eq!(replay.now(), Ok(Step::Recorded(expected)));
    }
    let unread = || Err(Fault::Unread(Unread::Stopped));
    assert!(!replay.is_live());
    assert_eq!((replay.now(), replay.readable()), (unread().map(|()| Step::Live), unread()));
    assert_eq!((replay.finish("return"), replay.checkpoint(vec![]).map(drop)), (unread(), unread()));
}

#[test]
fn facts_and_results_of_once_are_found_any_number_of_pieces_ahead() {
    let mut entries = vec![Entry::OnceBegun { name: "pay".into() }];
    entries.extend((0..50).map(now));
    entries.push(Entry::OnceFinished { name: "pay".into(), value: b"1".to_vec() });
    entries.extend((0..50).map(now));
    entries.push(Entry::Context { attempt: 3, deadline_ms: 9 });
    entries.push(now(7));
    let mut replay = InPieces::replay(step(), past(entries), 4);
    let (current, recorded) = (Facts { attempt: 5, deadline_ms: 99 }, Facts { attempt: 3, deadline_ms: 9 });
    assert_eq!(replay.context(current), recorded);
    assert_eq!(replay.once_begin("pay"), Ok(OnceStep::Finished(b"1".to_vec())));
    assert_eq!(replay.replayed(), 52);
    for expected in 0..50 {
        assert_eq!(replay.now(), Ok(Step::Recorded(expected)));
    }
    assert_eq!((replay.now(), replay.is_live()), (Ok(Step::Recorded(7)), true));
}

/// The attempt's time may be over in the middle of a replay: what has left since stays, though the guest has not come
/// to it.
#[test]
fn an_attempt_that_ends_in_its_replay_is_cut_by_the_whole_journal() {
    let request = RequestSummary { method: "POST".into(), url: "/".into(), body: Digest::of(b"") };
    let key = Digest::of(b"key");
    let answer = HttpAnswer::Response { status: 200, headers: vec![], body: vec![] };
    let entries = || {
        let effect = [Entry::Intent { key, request: request.clone() }, Entry::Answered { key, answer: answer.clone() }];
        (0..9).map(now).chain(effect).chain((0..9).map(now)).collect()
    };
    let mut whole = Replay::new(step(), past(entries()));
    let mut pieces = InPieces::replay(step(), past(entries()), 2);
    for replay in [&mut whole, &mut pieces] {
        replay.now().unwrap();
        replay.read_to_end().unwrap();
        assert_eq!(replay.cut(false), Cut { at: 11, notes: vec![], failed_by: None });
        assert_eq!(replay.cut(true).notes, [Entry::Attempted { key, request: request.clone() }]);
    }
}
