//! What each call gets at each place of a journal. Random programs with crashes and retries are in
//! `random_programs`.

use super::*;
use crate::attempt::{Cut, Divergence, Restored};
use crate::id::{RunId, StepNo};
use crate::journal::{Held, HttpAnswer};

pub(super) fn step() -> StepId {
    StepId { run: RunId(uuid::Uuid::from_u128(7)), step: StepNo(3) }
}

pub(super) fn replay(entries: Vec<Entry>) -> Replay {
    let length = entries.len() as u32;
    Replay::new(step(), History { segments: vec![(0, entries)], length, ..History::default() })
}

/// A step whose first `prelude` entries come before `restore`, with a checkpoint at `position`.
pub(super) fn resumed(prelude: Option<u32>, before: Vec<Entry>, position: u32, after: Vec<Entry>) -> Replay {
    let length = position + after.len() as u32;
    let checkpoint = Checkpoint {
        ordinal: 4,
        position,
        random_position: 100,
        effect_ordinal: 9,
        prelude,
        state: b"saved".to_vec(),
        held: Held::default(),
    };
    Replay::new(
        step(),
        History {
            checkpoint: Some(checkpoint),
            segments: vec![(0, before), (position, after)],
            length,
            ..History::default()
        },
    )
}

fn cut_unseen(history: History) -> Cut {
    let mut unseen = Unseen::since(history.checkpoint.map_or(0, |checkpoint| checkpoint.position));
    for (first, entries) in history.segments {
        (first..).zip(entries).for_each(|(position, entry)| unseen.take_in(position, entry));
    }
    unseen.cut()
}

fn request(url: &str) -> RequestSummary {
    RequestSummary { method: "POST".into(), url: url.into(), body: Digest::of(b"") }
}

fn answer(status: u16) -> HttpAnswer {
    HttpAnswer::Response { status, headers: vec![], body: vec![] }
}

pub(super) fn now(unix_ns: u64) -> Entry {
    Entry::Now { unix_ns }
}

pub(super) fn begun(name: &str) -> Entry {
    Entry::OnceBegun { name: name.into() }
}

pub(super) fn finished(name: &str, value: &[u8]) -> Entry {
    Entry::OnceFinished { name: name.into(), value: value.into() }
}

fn facts(attempt: u32) -> Facts {
    Facts { attempt, deadline_ms: u64::from(attempt) * 1000 }
}

fn context(attempt: u32) -> Entry {
    Entry::Context { attempt, deadline_ms: u64::from(attempt) * 1000 }
}

/// The intent and the answer of an unnamed effect.
fn unnamed(ordinal: u32, url: &str, status: u16) -> [Entry; 2] {
    let key = keys::key(step(), None, KeyOf::Ordinal(ordinal));
    [Entry::Intent { key, request: request(url) }, Entry::Answered { key, answer: answer(status) }]
}

fn divergence(fault: Fault) -> Divergence {
    match fault {
        Fault::Diverged(divergence) => *divergence,
        Fault::Refused(refused) => panic!("refused: {refused}"),
        Fault::Unread(unread) => panic!("{unread}"),
    }
}

#[test]
fn recorded_answers_come_in_order_and_then_the_guest_is_live() {
    let mut replay = replay(vec![now(1), now(2)]);
    assert!(!replay.is_live());
    assert_eq!(replay.now(), Ok(Step::Recorded(1)));
    assert_eq!(replay.now(), Ok(Step::Recorded(2)));
    assert!(replay.is_live());
    assert_eq!(replay.now(), Ok(Step::Live));
    replay.record(&now(3));
    assert_eq!((replay.position(), replay.replayed()), (3, 2));
}

#[test]
fn another_call_than_the_recorded_one_is_a_divergence_that_names_both() {
    let found = divergence(replay(vec![now(1)]).fetch(&request("http://a/")).unwrap_err());
    assert_eq!((found.position, found.expected.as_deref()), (0, Some("durable.now()")));
    assert_eq!((found.actual.as_str(), found.difference), ("http.send(POST http://a/)", None));
}

#[test]
fn the_first_argument_that_differs_is_reported_with_both_values() {
    let recorded = Entry::Fetched { request: request("http://a/"), answer: answer(200) };
    let other_body = RequestSummary { body: Digest::of(b"x"), ..request("http://a/") };
    let other_method = RequestSummary { method: "GET".into(), ..request("http://b/") };
    for (asked, difference) in [
        (request("http://b/"), "url: recorded http://a/, now http://b/"),
        (other_method, "method: recorded POST, now GET"),
        (other_body, "body: recorded digest "),
    ] {
        let found = divergence(replay(vec![recorded.clone()]).fetch(&asked).unwrap_err());
        let text = found.difference.unwrap_or_default();
        assert!(text.starts_with(difference), "{text:?} should begin with {difference:?}");
    }
    let found = divergence(replay(vec![begun("a")]).once_begin("b").unwrap_err());
    assert_eq!(found.difference.as_deref(), Some(r#"key: recorded "a", now "b""#));
}

#[test]
fn ending_while_entries_are_left_is_a_divergence() {
    let mut early = replay(vec![now(1)]);
    let found = divergence(early.finish("trap: unreachable").unwrap_err());
    assert_eq!((found.expected.as_deref(), found.actual.as_str()), (Some("durable.now()"), "trap: unreachable"));
    early.now().unwrap();
    assert_eq!(early.finish("return"), Ok(()));
}

#[test]
fn an_answered_effect_is_not_sent_again_and_an_unanswered_one_is_resent_under_its_key() {
    let [intent, answered] = unnamed(0, "http://a/", 200);
    let mut whole = replay(vec![intent.clone(), answered]);
    assert_eq!(whole.effect(None, &request("http://a/")), Ok(EffectStep::Recorded(answer(200))));
    let key = keys::key(step(), None, KeyOf::Ordinal(0));
    let mut half = replay(vec![intent]);
    assert_eq!(half.effect(None, &request("http://a/")), Ok(EffectStep::Resend(key)));
    assert_eq!(replay(vec![]).effect(None, &request("http://a/")), Ok(EffectStep::Live(key)));
}

#[test]
fn a_key_that_left_with_another_request_is_a_divergence_even_as_a_note() {
    let key = keys::key(step(), None, KeyOf::Name("pay"));
    let mut noted = replay(vec![Entry::Attempted { key, request: request("http://a/") }]);
    assert!(noted.is_live(), "a note is nothing to replay");
    let found = divergence(noted.effect(Some("pay"), &request("http://b/")).unwrap_err());
    assert_eq!(found.difference.as_deref(), Some("url: recorded http://a/, now http://b/"));
    assert_eq!(noted.effect(Some("pay"), &request("http://a/")), Ok(EffectStep::Live(key)));
}

#[test]
fn a_name_that_is_used_for_two_requests_in_one_attempt_is_refused_and_says_so() {
    let mut live = replay(vec![]);
    let key = keys::key(step(), None, KeyOf::Name("pay"));
    assert_eq!(live.effect(Some("pay"), &request("http://a/")), Ok(EffectStep::Live(key)));
    live.record(&Entry::Intent { key, request: request("http://a/") });
    live.record(&Entry::Answered { key, answer: answer(200) });
    let refused = live.effect(Some("pay"), &request("http://b/")).unwrap_err();
    assert_eq!(refused, Fault::Refused(Refused::NameTaken("pay".to_owned())));
    let again = live.effect(Some("pay"), &request("http://a/"));
    assert_eq!(again, Ok(EffectStep::Live(key)), "the same request may leave again");

    // A replay of the first call is a call of this attempt, too.
    let mut replayed = replay(vec![
        Entry::Intent { key, request: request("http://a/") },
        Entry::Answered { key, answer: answer(200) },
    ]);
    replayed.effect(Some("pay"), &request("http://a/")).unwrap();
    assert_eq!(replayed.effect(Some("pay"), &request("http://b/")).unwrap_err(), refused);
}

#[test]
fn keys_differ_by_step_kind_and_place_and_by_nothing_else() {
    let once = keys::key(step(), None, KeyOf::Once("1"));
    let kinds = [
        KeyOf::Name("1"),
        KeyOf::Ordinal(1),
        KeyOf::Once("1"),
        KeyOf::NameInOnce(once, "1"),
        KeyOf::OrdinalInOnce(once, 1),
    ];
    let other = StepId { step: StepNo(4), ..step() };
    let all: std::collections::HashSet<_> =
        kinds.iter().flat_map(|kind| [keys::key(step(), None, *kind), keys::key(other, None, *kind)]).collect();
    assert_eq!(all.len(), 10);
    assert_eq!(
        keys::key(step(), None, KeyOf::Name("pay")).to_string(),
        "68a466f55b4965e801f778a3ac949159080b65d8d42b4ef5ada74489cd1d29cb",
        "keys must never change: targets remember them"
    );
}

#[test]
fn the_key_that_a_guest_asks_for_is_the_one_its_effect_carries() {
    let mut outside = replay(vec![]);
    let key = outside.idempotency_key("pay");
    assert_eq!(outside.effect(Some("pay"), &request("http://a/")), Ok(EffectStep::Live(key)));
    let mut inside = replay(vec![]);
    inside.once_begin("order").unwrap();
    inside.record(&begun("order"));
    let inner = inside.idempotency_key("pay");
    assert_ne!(inner, key);
    assert_eq!(inside.effect(Some("pay"), &request("http://a/")), Ok(EffectStep::Live(inner)));
}

#[test]
fn a_finished_once_is_skipped_with_all_that_is_inside() {
    let [intent, answered] = unnamed(0, "http://a/", 200);
    let mut replay = replay(vec![begun("a"), intent, answered, now(1), finished("a", b"v"), now(2)]);
    assert_eq!(replay.once_begin("a"), Ok(OnceStep::Finished(b"v".to_vec())));
    assert_eq!(replay.now(), Ok(Step::Recorded(2)));
    assert_eq!(replay.once_begin("a"), Ok(OnceStep::Finished(b"v".to_vec())), "a key is unique in the step");
}

#[test]
fn an_unfinished_once_is_done_again_and_replays_what_is_inside() {
    let mut replay = replay(vec![begun("a"), now(1)]);
    assert_eq!(replay.once_begin("a"), Ok(OnceStep::Reopened));
    assert_eq!(replay.now(), Ok(Step::Recorded(1)));
    assert_eq!(replay.once_finish("a", b"v"), Ok(()));
}

#[test]
fn finishing_a_once_with_less_inside_than_before_is_a_divergence() {
    let mut replay = replay(vec![begun("a"), now(1)]);
    replay.once_begin("a").unwrap();
    let found = divergence(replay.once_finish("a", b"v").unwrap_err());
    assert_eq!(found.actual, r#"durable.once-finish("a")"#);
}

#[test]
fn a_once_may_hold_neither_checkpoint_nor_restore_nor_another_once() {
    let mut replay = replay(vec![]);
    replay.once_begin("a").unwrap();
    replay.record(&begun("a"));
    let a = || "a".to_owned();
    assert_eq!(replay.checkpoint(vec![]).unwrap_err(), Refused::CheckpointInOnce(a()).into());
    assert_eq!(replay.restore().unwrap_err(), Refused::RestoreInOnce(a()).into());
    assert_eq!(replay.once_begin("b").unwrap_err(), Refused::NestedOnce { outer: a(), inner: "b".into() }.into());
    assert_eq!(replay.once_finish("b", b"").unwrap_err(), Refused::NotBegun("b".into()).into());
    assert_eq!(replay.open_once(), Some("a"));
}

#[test]
fn what_is_drawn_inside_a_once_does_not_move_the_stream_outside() {
    let mut live = replay(vec![]);
    live.once_begin("a").unwrap();
    live.record(&begun("a"));
    let inside = live.random(40);
    live.once_finish("a", b"v").unwrap();
    live.record(&finished("a", b"v"));
    let outside = live.random(8);
    let mut skipping = replay(vec![begun("a"), finished("a", b"v")]);
    skipping.once_begin("a").unwrap();
    assert_eq!(skipping.random(8), outside);
    assert_ne!(inside[..8], outside[..]);
}

#[test]
fn random_bytes_go_on_where_they_were() {
    let mut whole = replay(vec![]);
    let expected = whole.random(100);
    let mut parts = replay(vec![]);
    let drawn: Vec<u8> = [1, 63, 36].into_iter().flat_map(|len| parts.random(len)).collect();
    assert_eq!(drawn, expected);
    let mut resumed = resumed(Some(0), vec![], 5, vec![]);
    resumed.restore().unwrap();
    assert_eq!(resumed.random(8), whole_stream(108)[100..]);
}

pub(super) fn whole_stream(len: u32) -> Vec<u8> {
    replay(vec![]).random(len)
}

#[test]
fn restore_jumps_over_what_lies_before_the_checkpoint() {
    let mut replay = resumed(Some(1), vec![now(1)], 40, vec![now(41)]);
    assert_eq!(replay.now(), Ok(Step::Recorded(1)));
    assert!(!replay.is_live());
    assert_eq!(replay.restore(), Ok(Some(b"saved".to_vec())));
    assert_eq!(replay.restore(), Ok(Some(b"saved".to_vec())), "every call of an attempt gets the same answer");
    assert_eq!((replay.position(), replay.resumed_from()), (40, Some(40)));
    assert_eq!(replay.now(), Ok(Step::Recorded(41)));
    let ordinal_9 = keys::key(step(), None, KeyOf::Ordinal(9));
    assert_eq!(replay.effect(None, &request("http://a/")), Ok(EffectStep::Live(ordinal_9)));
    assert_eq!(
        replay.checkpoint(vec![]).unwrap().map(|save| (save.checkpoint.ordinal, save.checkpoint.prelude)),
        Some((5, Some(1)))
    );
}

#[test]
fn a_divergence_after_a_checkpoint_tells_how_far_the_guest_had_gone_on_from_there() {
    let after = |entries| {
        let mut replay = resumed(Some(0), vec![], 40, entries);
        replay.restore().unwrap();
        replay
    };
    let restored = |replayed, is_other_call| Some(Restored { checkpoint: 40, replayed, is_other_call });
    let asks = |replay: &mut Replay| divergence(replay.fetch(&request("http://a/")).unwrap_err()).restored;
    assert_eq!(asks(&mut after(vec![now(41)])), restored(0, true), "a question before the work that was done");
    let mut later = after(vec![now(41), now(42)]);
    assert_eq!((later.now(), asks(&mut later)), (Ok(Step::Recorded(41)), restored(1, true)));
    assert_eq!(divergence(after(vec![now(41)]).finish("return").unwrap_err()).restored, restored(0, false));
    let other = Entry::Fetched { request: request("http://b/"), answer: answer(200) };
    assert_eq!(asks(&mut after(vec![other])), restored(0, false), "the same call with other arguments");
    assert_eq!(asks(&mut resumed(Some(1), vec![now(1)], 40, vec![])), None, "it has not come so far");
}

#[test]
fn a_guest_is_not_live_before_the_restore_that_it_must_make() {
    let replay = resumed(Some(0), vec![], 40, vec![]);
    assert!(!replay.is_live(), "what it says now it has said before");
}

#[test]
fn restore_at_another_place_than_before_is_a_divergence() {
    let mut early = resumed(Some(1), vec![now(1)], 40, vec![]);
    assert_eq!(divergence(early.restore().unwrap_err()).expected.as_deref(), Some("durable.now()"));
    let mut missing = resumed(Some(0), vec![], 40, vec![now(41)]);
    assert_eq!(divergence(missing.now().unwrap_err()).expected.as_deref(), Some("durable.restore()"));
    let mut ending = resumed(Some(0), vec![], 40, vec![]);
    assert_eq!(divergence(ending.finish("return").unwrap_err()).expected.as_deref(), Some("durable.restore()"));
}

#[test]
fn a_checkpoint_that_was_saved_before_the_first_restore_is_not_given_to_it() {
    let mut replay = resumed(None, vec![now(0)], 1, vec![now(1)]);
    assert_eq!(replay.now(), Ok(Step::Recorded(0)));
    assert_eq!(replay.checkpoint(b"old".to_vec()), Ok(None));
    assert_eq!(replay.restore(), Ok(None), "that is what it got the first time");
    assert_eq!(replay.now(), Ok(Step::Recorded(1)));
    assert!(replay.is_live());
}

#[test]
fn a_checkpoint_before_restore_in_the_code_is_no_divergence() {
    let mut replay = resumed(Some(0), vec![], 40, vec![]);
    assert_eq!(replay.checkpoint(b"start".to_vec()), Ok(None), "it is older than the one there is");
    assert_eq!(replay.restore(), Ok(Some(b"saved".to_vec())));
}

#[test]
fn notes_at_the_place_of_the_restore_belong_behind_the_checkpoint() {
    let key = keys::key(step(), None, KeyOf::Name("pay"));
    let note = Entry::Attempted { key, request: request("http://a/") };
    let mut replay = resumed(Some(0), vec![], 0, vec![note, now(1)]);
    assert_eq!(replay.restore(), Ok(Some(b"saved".to_vec())));
    assert_eq!(replay.now(), Ok(Step::Recorded(1)));
}

#[test]
fn facts_are_recorded_only_before_an_entry_that_could_depend_on_them() {
    let mut replay = replay(vec![]);
    assert_eq!(replay.unrecorded_facts(), None);
    assert_eq!(replay.context(facts(1)), facts(1));
    assert_eq!(replay.unrecorded_facts(), Some(context(1)));
    replay.record(&context(1));
    replay.record(&now(1));
    assert_eq!(replay.unrecorded_facts(), None);
    replay.checkpoint(vec![]).unwrap();
    assert_eq!(replay.unrecorded_facts(), Some(context(1)), "entries before a checkpoint are not read again");
}

#[test]
fn a_resumed_guest_sees_the_facts_of_the_attempt_that_it_replays_wherever_it_asks() {
    let later = Facts { deadline_ms: 9, ..facts(1) };
    let mut again = replay(vec![context(1), now(1)]);
    assert_eq!(again.context(later), facts(1));
    assert_eq!(again.now(), Ok(Step::Recorded(1)));
    assert_eq!(again.context(later), facts(1), "also when it is live, as long as the attempt is the same");
    let mut ahead = resumed(Some(0), vec![], 7, vec![now(1), context(1), now(2)]);
    ahead.restore().unwrap();
    assert_eq!(ahead.context(later), facts(1));
}

/// It saw its second attempt there, or it would not have gone on to save; the entry before is of the first.
#[test]
fn a_guest_that_asks_right_before_its_state_is_not_told_the_facts_of_an_earlier_attempt() {
    for (after, told) in [(vec![], facts(3)), (vec![context(2), now(2)], facts(2))] {
        let mut replay = resumed(Some(2), vec![context(1), now(1)], 2, after);
        assert_eq!(replay.context(facts(3)), facts(1));
        replay.now().unwrap();
        assert_eq!(replay.context(facts(3)), told);
        assert!(replay.restore().unwrap().is_some());
    }
}

#[test]
fn a_retried_guest_sees_its_own_facts_once_it_is_live() {
    let mut replay = replay(vec![context(1), now(1)]);
    assert_eq!(replay.context(facts(2)), facts(1), "what follows was decided in the first attempt");
    replay.now().unwrap();
    assert_eq!(replay.context(facts(2)), facts(2));
    assert_eq!(replay.unrecorded_facts(), Some(context(2)));
}

#[test]
fn a_retry_keeps_everything_up_to_the_last_successful_effect() {
    let [a_intent, a_answer] = unnamed(0, "http://a/", 200);
    let [b_intent, b_answer] = unnamed(1, "http://b/", 503);
    let b_note = match &b_intent {
        Entry::Intent { key, request } => Entry::Attempted { key: *key, request: request.clone() },
        _ => unreachable!(),
    };
    let effects = || vec![a_intent.clone(), a_answer.clone(), b_intent.clone(), b_answer.clone()];
    for (what, entries, at, notes) in [
        ("nothing happened", vec![], 0, vec![]),
        ("only readings", vec![now(1), now(2)], 0, vec![]),
        ("a success, then readings", vec![now(0), a_intent.clone(), a_answer.clone(), now(1)], 3, vec![]),
        ("a success, then a refusal", effects(), 2, vec![b_note.clone()]),
        ("an effect without an answer", vec![b_intent.clone()], 0, vec![b_note.clone()]),
        ("a note and the same effect again", vec![b_note.clone(), b_intent.clone()], 0, vec![b_note.clone()]),
        ("a finished once", vec![begun("x"), finished("x", b""), now(1)], 2, vec![]),
        ("an unfinished once", vec![begun("x"), now(1)], 0, vec![]),
        ("a kept once", vec![Entry::OnceKept { name: "x".into(), value: vec![] }, now(1)], 1, vec![]),
    ] {
        assert_eq!(replay(entries).cut(false), Cut { at, notes, failed_by: None }, "{what}");
    }
}

#[test]
fn a_failure_in_the_middle_of_a_replay_keeps_what_was_not_reached() {
    let [intent, answered] = unnamed(0, "http://a/", 200);
    let mut replay = replay(vec![now(1), intent, answered]);
    replay.now().unwrap();
    assert_eq!(replay.cut(false), Cut { at: 3, notes: vec![], failed_by: None });
}

#[test]
fn a_retry_from_the_checkpoint_forgets_answers_but_neither_keys_nor_results_of_once() {
    let [intent, answered] = unnamed(9, "http://a/", 200);
    let mut replay = resumed(Some(0), vec![], 40, vec![intent.clone(), answered, begun("x"), finished("x", b"v")]);
    replay.restore().unwrap();
    replay.effect(None, &request("http://a/")).unwrap();
    replay.once_begin("x").unwrap();
    let Cut { at, notes, .. } = replay.cut(true);
    assert_eq!(at, 40);
    assert_eq!(notes.len(), 2);
    let mut next = resumed(Some(0), vec![], 40, notes);
    next.restore().unwrap();
    assert!(next.is_live());
    assert!(matches!(next.effect(None, &request("http://a/")), Ok(EffectStep::Live(_))));
    assert_eq!(next.once_begin("x"), Ok(OnceStep::Finished(b"v".to_vec())));
}

#[test]
fn a_journal_that_is_cut_between_attempts_keeps_the_same_notes_as_a_retry_from_the_checkpoint() {
    let [intent, answered] = unnamed(9, "http://a/", 200);
    let note = Entry::Attempted { key: keys::key(step(), None, KeyOf::Ordinal(9)), request: request("http://a/") };
    let kept = Entry::OnceKept { name: "x".into(), value: b"v".to_vec() };
    let before = vec![begun("old"), finished("old", b"")];
    let after = vec![now(1), intent, answered, begun("x"), finished("x", b"v"), now(2)];
    let checkpoint = Checkpoint {
        ordinal: 1,
        position: 2,
        random_position: 0,
        effect_ordinal: 9,
        prelude: Some(0),
        state: vec![],
        held: Held::default(),
    };
    let segments = vec![(0, before), (2, after)];
    let history = History { checkpoint: Some(checkpoint), segments, length: 8, ..History::default() };
    assert_eq!(cut_unseen(history), Cut { at: 2, notes: vec![note.clone(), kept.clone()], failed_by: None });
    let history =
        History { segments: vec![(0, vec![now(1), note.clone(), kept.clone()])], length: 3, ..History::default() };
    assert_eq!(cut_unseen(history), Cut { at: 0, notes: vec![note, kept], failed_by: None }, "without a checkpoint");
}

#[test]
fn a_divergence_names_the_component_that_made_the_journal() {
    let recorded_by = Some(Digest::of(b"first"));
    let history = History { segments: vec![(0, vec![now(1)])], length: 1, recorded_by, ..History::default() };
    let mut found = divergence(Replay::new(step(), history).once_begin("x").unwrap_err());
    assert_eq!(found.recorded_by, recorded_by);
    found.component = Some(Digest::of(b"second"));
    let (first, second) = (Digest::of(b"first").short(), Digest::of(b"second").short());
    assert_eq!(
        found.message(),
        format!(
            "the replay left the journal at entry 0: recorded durable.now(), called durable.once-begin(\"x\") \
             (component {first} made the journal, {second} was executed)"
        )
    );
}

#[test]
fn a_kept_result_of_once_outlives_checkpoints_until_the_guest_has_come_to_it() {
    let kept = Entry::OnceKept { name: "x".into(), value: b"v".to_vec() };
    let mut replay = replay(vec![kept.clone()]);
    let save = replay.checkpoint(vec![]).unwrap().unwrap();
    assert_eq!((save.notes, save.checkpoint.position), (vec![kept.clone()], 1));
    replay.record(&kept);
    assert_eq!(replay.once_begin("x"), Ok(OnceStep::Finished(b"v".to_vec())));
    assert_eq!(replay.checkpoint(vec![]).unwrap().unwrap().notes, vec![]);
}

#[test]
fn a_new_checkpoint_starts_a_new_tail() {
    let mut replay = replay(vec![]);
    replay.record(&now(1));
    assert_eq!(replay.entries_since_checkpoint(), 1);
    replay.checkpoint(vec![]).unwrap();
    assert_eq!(replay.entries_since_checkpoint(), 0);
    assert_eq!(replay.cut(false), Cut { at: 1, notes: vec![], failed_by: None });
}

/// A checkpoint's own clock goes wherever the checkpoint does.
#[test]
fn the_guests_clock_at_its_checkpoint_survives_every_cut() {
    let elapsed = Entry::Elapsed { monotonic_ns: 7 };
    let resumed_with = |after: Vec<Entry>| {
        let mut replay = resumed(Some(0), vec![], 3, after);
        assert_eq!(replay.elapsed_ns(), None);
        replay.restore().unwrap();
        replay
    };
    let mut replay = resumed_with(vec![elapsed.clone(), now(1)]);
    assert_eq!(replay.elapsed_ns(), Some(7));
    assert_eq!(replay.now(), Ok(Step::Recorded(1)));
    assert_eq!(replay.cut(false), Cut { at: 4, notes: vec![], failed_by: None });
    assert_eq!(replay.cut(true), Cut { at: 3, notes: vec![elapsed.clone()], failed_by: None });
    let history = History { segments: vec![(0, vec![elapsed.clone(), now(1)])], length: 2, ..History::default() };
    assert_eq!(cut_unseen(history), Cut { at: 0, notes: vec![elapsed], failed_by: None });
    replay.checkpoint(b"newer".to_vec()).unwrap();
    assert_eq!(replay.elapsed_ns(), None, "it was that of the checkpoint before");
}

#[test]
fn a_request_that_was_none_is_answered_as_it_was_whatever_is_made_of_it_now() {
    let why = || HttpAnswer::Invalid("no URL".into());
    let recorded = Entry::Fetched { request: request("x"), answer: why() };
    let mut replay = replay(vec![recorded, now(1)]);
    assert_eq!(replay.refused(&request("y")), Ok(None));
    assert!(replay.expects(&request("x")) && !replay.expects(&request("y")));
    assert_eq!(replay.refused(&request("x")), Ok(Some("no URL".into())));
    assert_eq!(replay.now(), Ok(Step::Recorded(1)));
    assert_eq!(replay.refused(&request("x")), Ok(None), "the guest is live");
}
