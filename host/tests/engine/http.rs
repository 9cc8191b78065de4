//! Outgoing requests: what is journaled, what leaves again, and under which key.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use pawl_domain::attempt::{Cause, Outcome};
use pawl_domain::journal::{Entry, History, HttpAnswer};
use pawl_engine::in_memory::InMemory;
use pawl_engine::recorder::Stop;
use pawl_engine::{Attempt, Executed};
use serde_json::{Value, json};

use crate::setup::{attempt, execute_attempt, failure, output};
use crate::target::{Received, Target};

fn fetch(requests: Value, memory: &Arc<InMemory>) -> Executed {
    let input = json!({ "requests": requests }).to_string();
    execute_attempt("fetch", attempt(&input, memory.history()), memory)
}

#[test]
fn effects_carry_a_key_and_an_intent_and_safe_requests_neither() {
    let target = Target::start();
    let memory = Arc::new(InMemory::default());
    let url = &target.url;
    let executed = fetch(
        json!([{ "url": format!("{url}/a") }, { "method": "POST", "url": format!("{url}/b"), "body": 7 }]),
        &memory,
    );
    assert_eq!(output(&executed), json!([{ "status": 200, "body": "1" }, { "status": 200, "body": "2" }]));
    let [get, post] = &target.received()[..] else { panic!("two requests") };
    assert_eq!((get.method.as_str(), &get.key), ("GET", &None));
    assert_eq!((post.method.as_str(), post.body.as_str()), ("POST", "7"));
    let entries = memory.entries();
    let [Entry::Fetched { .. }, Entry::Intent { key, .. }, Entry::Answered { key: answered, .. }] = &entries[..] else {
        panic!("{entries:?}")
    };
    assert_eq!((key, post.key.as_deref()), (answered, Some(key.to_string().as_str())));
    assert_eq!(memory.barriers(), 1, "one before the effect, none for the safe request");
}

#[test]
fn an_answer_may_have_many_headers_and_of_too_many_the_guest_is_told_for_good() {
    let target = Target::start();
    for method in ["GET", "POST"] {
        let asked = |headers: usize| {
            let url = format!("{}/headers/{headers}", target.url);
            fetch(json!([{ "method": method, "url": url }]), &Arc::new(InMemory::default()))
        };
        assert_eq!(output(&asked(900)), json!([{ "status": 200, "body": "" }]));
        let refused = asked(1_500);
        let message = &failure(&refused, Cause::Fatal).message;
        assert!(message.contains("more than 1000 headers"), "{message}");
    }
}

#[test]
fn a_crash_at_any_write_repeats_an_effect_only_under_its_key() {
    let requests = |url: &str| {
        json!([
            { "url": format!("{url}/read") },
            { "method": "POST", "url": format!("{url}/unnamed"), "body": 1 },
            { "method": "POST", "url": format!("{url}/named"), "body": 2, "effect": "pay" },
            { "method": "PUT", "url": format!("{url}/inside"), "body": 3, "once": "order" },
        ])
    };
    for writes in 0.. {
        let target = Target::start();
        let crashing = Arc::new(InMemory::crashing_after(writes));
        let first = fetch(requests(&target.url), &crashing);
        let reached = target.received();
        if matches!(first.outcome, Outcome::Succeeded(_)) {
            assert_eq!(writes, 9, "1 fetch, 3 effects of 2 entries, 1 once of 2");
            return;
        }
        let resumed = Arc::new(crashing.survived());
        let second = fetch(requests(&target.url), &resumed);
        output(&second);
        let effects: Vec<_> = target.received().into_iter().filter(|received| received.method != "GET").collect();
        let mut keys: HashMap<&str, HashSet<Option<&str>>> = HashMap::new();
        for Received { path, key, .. } in &effects {
            keys.entry(path).or_default().insert(key.as_deref());
        }
        assert!(keys.values().all(|keys| keys.len() == 1 && !keys.contains(&None)), "one key each: {effects:?}");
        assert_eq!(keys.len(), 3);
        let repeated = effects.len() - 3;
        let was_in_the_air = reached.len() > answered(&crashing);
        assert!(repeated <= usize::from(was_in_the_air), "after {writes} writes {repeated} were repeated");
    }
}

fn answered(memory: &InMemory) -> usize {
    let is_answer = |entry: &&Entry| matches!(entry, Entry::Fetched { .. } | Entry::Answered { .. });
    memory.entries().iter().filter(is_answer).count()
}

#[test]
fn a_retry_does_not_repeat_the_effects_that_succeeded() {
    let target = Target::start();
    let url = &target.url;
    let requests = json!([
        { "method": "POST", "url": format!("{url}/good"), "body": 1 },
        { "method": "POST", "url": format!("{url}/status/503"), "body": 2 },
    ]);
    let memory = Arc::new(InMemory::default());
    let input = json!({ "requests": requests }).to_string();
    for failures in 0..3 {
        let executed = execute_attempt("fetch", Attempt { failures, ..attempt(&input, memory.history()) }, &memory);
        failure(&executed, Cause::Retry);
        memory.cut(executed.cut.expect("may be retried"));
    }
    let received = target.received();
    let count = |path: &str| received.iter().filter(|received| received.path == path).count();
    assert_eq!((count("/good"), count("/status/503")), (1, 3));
    let keys: HashSet<_> = received.iter().filter(|it| it.path != "/good").map(|it| &it.key).collect();
    assert_eq!(keys.len(), 1, "the key of the second is the same in every attempt");
}

#[test]
fn a_key_belongs_to_one_request() {
    let target = Target::start();
    let url = &target.url;
    let memory = Arc::new(InMemory::default());
    let pay = |amount: u32| json!({ "method": "POST", "url": format!("{url}/pay"), "body": amount, "effect": "pay" });
    let executed = fetch(json!([pay(1), pay(2)]), &memory);
    let refused = failure(&executed, Cause::Fatal);
    assert!(
        refused.message.starts_with("the effect \"pay\" was sent with another request before: name each"),
        "{refused:?}"
    );
    assert_eq!(target.received().len(), 1);
}

#[test]
fn what_goes_wrong_outside_is_an_answer_too() {
    let target = Target::start();
    let url = &target.url;
    let closed = "http://127.0.0.1:1/";
    for (request, expected) in [
        (json!({ "url": format!("{url}/broken") }), "Broken"),
        (json!({ "url": format!("{url}/silent"), "timeout_ms": 50 }), "Timeout"),
        (json!({ "url": closed }), "Connect"),
        (json!({ "url": format!("{url}/large/40000") }), "TooLarge(400"),
    ] {
        let memory = Arc::new(InMemory::default());
        fetch(json!([request]), &memory);
        let entries = memory.entries();
        let [Entry::Fetched { answer, .. }] = &entries[..] else { panic!("{expected}: {entries:?}") };
        assert!(format!("{answer:?}").starts_with(expected), "{answer:?} should be {expected}");
    }
}

#[test]
fn the_redirect_of_an_effect_is_not_followed() {
    let target = Target::start();
    let url = format!("{}/redirect", target.url);
    let memory = Arc::new(InMemory::default());
    fetch(json!([{ "url": url }, { "method": "POST", "url": url, "any_status": true }]), &memory);
    let paths: Vec<_> = target.received().into_iter().map(|received| (received.method, received.path)).collect();
    let expected = [("GET", "/redirect"), ("GET", "/moved"), ("POST", "/redirect")];
    assert_eq!(paths, expected.map(|(method, path)| (method.to_owned(), path.to_owned())));
    let statuses: Vec<_> = memory.entries().iter().filter_map(status).collect();
    assert_eq!(statuses, [200, 302]);
}

fn status(entry: &Entry) -> Option<u16> {
    match entry {
        Entry::Fetched { answer: HttpAnswer::Response { status, .. }, .. }
        | Entry::Answered { answer: HttpAnswer::Response { status, .. }, .. } => Some(*status),
        _ => None,
    }
}

#[test]
fn a_request_that_is_not_valid_reaches_nobody_and_is_answered_from_the_journal() {
    let memory = Arc::new(InMemory::default());
    let executed = fetch(json!([{ "method": "POST", "url": "ftp://nowhere/" }]), &memory);
    assert!(matches!(executed.outcome, Outcome::Failed(_)), "{:?}", executed.outcome);
    let [Entry::Fetched { answer: HttpAnswer::Invalid(why), .. }] = &memory.entries()[..] else {
        panic!("{:?}", memory.entries());
    };
    assert!(why.contains("neither http nor https"), "{why}");
    assert_eq!(memory.barriers(), 1, "no effect: only the failure waits");
}

#[test]
fn a_guest_that_waits_for_an_answer_can_be_stopped() {
    let target = Target::start();
    let url = format!("{}/silent", target.url);
    let memory = Arc::new(InMemory::default());
    let stopper = {
        let memory = Arc::clone(&memory);
        std::thread::spawn(move || {
            while target.received().is_empty() {
                std::thread::yield_now();
            }
            memory.stop_with(Stop::Draining);
        })
    };
    let executed = fetch(json!([{ "url": url, "timeout_ms": 60_000 }]), &memory);
    assert_eq!(executed.outcome, Outcome::HandedBack);
    stopper.join().unwrap();
}

#[test]
fn the_attempts_deadline_ends_a_wait_for_an_answer() {
    let target = Target::start();
    let input = json!({ "requests": [{ "method": "POST", "url": format!("{}/silent", target.url) }] }).to_string();
    let attempt = Attempt { timeout: Duration::from_millis(200), ..attempt(&input, History::default()) };
    let memory = Arc::new(InMemory::default());
    let executed = execute_attempt("fetch", attempt, &memory);
    failure(&executed, Cause::Timeout);
    memory.cut(executed.cut.expect("may be retried"));
    let entries = memory.entries();
    assert!(matches!(entries[..], [Entry::Attempted { .. }]), "what has left is remembered: {entries:?}");
}
