//! Where steps and messages are, and who gets them.

use pawl_domain::attempt::Claim;
use pawl_domain::id::{Fence, RunId, StepNo};
use pawl_domain::pipeline::Priority;
use pawl_queue::Stream;

use super::*;
use crate::outbox::Outbox;

fn step() -> StepId {
    StepId { run: RunId::new(), step: StepNo(0) }
}

fn message(entry: &str, step: Option<StepId>) -> Delivery {
    let stream = Arc::new(Stream { queue: "default".into(), priority: Priority::default() });
    Delivery { stream, entry: entry.into(), step, ready_at_ms: 0, start: None }
}

fn session(id: StepId, fence: i64) -> Arc<Session> {
    Session::new(Claim::bare(id, Fence(fence)), 0, Outbox::new().0, Arc::default())
}

fn entries(messages: &[Delivery]) -> Vec<&str> {
    messages.iter().map(|message| message.entry.as_str()).collect()
}

#[test]
fn a_step_is_asked_for_once_however_many_messages_it_has() {
    let (desk, id) = (Desk::new(2, 16), step());
    assert_eq!(desk.note(message("1", Some(id))), Noted::AskFor(id));
    assert_eq!(desk.note(message("2", Some(id))), Noted::Asked);
    assert_eq!(desk.free_now(), 1, "two messages, one slot");
    assert_eq!(desk.was_not_ready(id), None, "the second one came after the question");
    assert_eq!(entries(&desk.was_not_ready(id).expect("it was asked for again")), ["1", "2"]);
    assert!(desk.is_empty());
}

#[test]
fn a_message_that_asks_for_nothing_is_given_back() {
    let (desk, running) = (Desk::new(2, 16), session(step(), 1));
    assert!(desk.begin(&running));
    for message in [message("1", None), message("2", Some(running.claim.id))] {
        assert_eq!(desk.note(message.clone()), Noted::Nothing(message));
    }
}

#[test]
fn messages_go_with_their_step_and_come_back_at_its_end() {
    let (desk, session) = (Desk::new(2, 16), session(step(), 1));
    let id = session.claim.id;
    desk.note(message("1", Some(id)));
    assert!(desk.begin(&session));
    assert_eq!(desk.was_not_ready(id), Some(Vec::new()), "they are the session's");
    assert_eq!((desk.free_now(), desk.running_count()), (1, 1), "it holds one slot, not two");
    assert_eq!(entries(&desk.end(&session)), ["1"]);
    assert!(desk.is_empty() && desk.end(&session).is_empty(), "once");
}

#[test]
fn a_claim_that_is_told_twice_is_executed_once() {
    let (desk, first) = (Desk::new(2, 16), session(step(), 1));
    assert!(desk.begin(&first));
    assert!(!desk.begin(&session(first.claim.id, 1)));
    assert!(Arc::ptr_eq(&desk.running()[0], &first));
}

#[test]
fn an_older_claim_makes_way_and_its_end_does_not_end_the_newer() {
    let (desk, old) = (Desk::new(2, 16), session(step(), 1));
    let new = session(old.claim.id, 2);
    assert!(desk.begin(&old) && desk.begin(&new));
    let _ = desk.end(&old);
    assert!(Arc::ptr_eq(&desk.running()[0], &new));
}

#[test]
fn what_was_given_up_while_it_was_ahead_is_not_confirmed_and_leaves_its_messages() {
    let (desk, id) = (Desk::new(2, 16), step());
    let claim = Claim::bare(id, Fence(1));
    let before = session(StepId { step: StepNo(1), ..id }, 1);
    let (right, wrong) = (Session::ahead_of(&before, claim.clone()), Session::ahead_of(&before, claim));
    desk.note(message("1", Some(id)));
    wrong.stop_with(pawl_engine::recorder::Stop::LeaseLost);
    assert!(!desk.confirm(&wrong) && desk.running_count() == 0);
    assert!(desk.confirm(&right));
    assert_eq!(entries(&desk.end(&right)), ["1"]);
}

#[test]
fn a_drain_takes_nothing_and_hands_no_slot_on() {
    let desk = Desk::new(2, 16);
    assert!(desk.may_continue(0) && desk.free_now() == 2);
    desk.drain();
    assert!(!desk.may_continue(0) && desk.free_now() == 0);
}

#[test]
fn a_slot_is_handed_on_so_many_times_while_others_wait() {
    let desk = Desk::new(2, 16);
    assert!(desk.may_continue(100), "nobody waits");
    desk.others_wait(true);
    assert!(desk.may_continue(14) && !desk.may_continue(15));
}
