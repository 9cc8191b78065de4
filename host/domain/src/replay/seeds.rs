//! Seeds of secure random bytes: where they are made, how far they hold, and what keeps them.

use super::tests::{begun, finished, now, replay, resumed, whole_stream};
use super::*;

#[test]
fn secure_bytes_are_made_of_a_seed_that_is_recorded_where_they_are_first_drawn() {
    let mut live = replay(vec![now(1)]);
    assert!(!live.wants_seed(), "what is replayed was not made of a new one");
    live.now().unwrap();
    assert!(live.wants_seed());
    live.record(&seeded(7));
    assert!(!live.wants_seed());
    let drawn = live.secure_random(40).unwrap();
    assert_ne!(drawn, replay(vec![]).random(40), "whoever knows the id can't compute them");

    let mut again = replay(vec![now(1), seeded(7)]);
    again.now().unwrap();
    assert_eq!(again.secure_random(40).unwrap(), drawn);
    let mut other = replay(vec![now(1), seeded(8)]);
    other.now().unwrap();
    assert_ne!(other.secure_random(40).unwrap(), drawn);
}

#[test]
fn what_was_recorded_before_there_were_seeds_is_replayed_as_it_was_made() {
    let mut replaying = replay(vec![now(1), now(2), seeded(7), now(3)]);
    replaying.now().unwrap();
    assert_eq!(replaying.secure_random(8).unwrap(), whole_stream(8));
    replaying.now().unwrap();
    assert_ne!(replaying.secure_random(8).unwrap(), whole_stream(16)[8..]);
}

#[test]
fn a_seed_goes_along_with_checkpoints_and_through_retries() {
    let mut live = replay(vec![seeded(7), now(1)]);
    live.now().unwrap();
    assert_eq!(live.cut(false).notes, [seeded(7)], "the entries are dropped, and the seed with them");
    assert_eq!(live.checkpoint(vec![]).unwrap().unwrap().notes, [seeded(7)]);
    live.record(&seeded(7));
    assert_eq!(live.cut(true).notes, [seeded(7)]);

    let mut unseen = Unseen::since(1);
    for (position, entry) in [(0, seeded(7)), (1, seeded(7)), (2, now(1))] {
        unseen.take_in(position, entry);
    }
    assert_eq!(unseen.cut().notes, [seeded(7)]);

    let mut resumed = resumed(Some(0), vec![], 5, vec![seeded(7)]);
    resumed.restore().unwrap();
    assert!(!resumed.wants_seed());
}

#[test]
fn a_seed_inside_a_finished_once_holds_for_what_follows() {
    let mut skipping = replay(vec![begun("a"), seeded(7), finished("a", b"v")]);
    skipping.once_begin("a").unwrap();
    assert!(!skipping.wants_seed());
    assert_ne!(skipping.secure_random(8).unwrap(), whole_stream(8));
}

fn seeded(byte: u8) -> Entry {
    Entry::Seeded { seed: Seed([byte; 32]) }
}
