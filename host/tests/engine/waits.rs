//! Waits: how a guest ends in one, and what it sees behind it.

use std::sync::Arc;

use pawl_domain::attempt::{Cause, Outcome};
use pawl_domain::journal::{Entry, History};
use pawl_domain::secret::nowhere;
use pawl_domain::wait::Wait;
use pawl_engine::in_memory::{InMemory, NeverSent};
use pawl_engine::{Attempt, Secret, Secrets};

use crate::setup::{attempt, execute_attempt};

fn outcome(orders: &str, memory: &Arc<InMemory>) -> Outcome {
    execute_attempt("waits", attempt(orders, memory.history()), memory).outcome
}

#[test]
fn a_guest_ends_at_a_wait_and_goes_on_behind_it() {
    let memory = Arc::new(InMemory::default());
    let orders =
        r#"[{"do": "now"}, {"do": "sleep", "ms": 3600000}, {"do": "await", "name": "go", "timeout_ms": null}]"#;
    let slept = Wait::Sleep { duration_ms: 3_600_000 };
    assert_eq!(outcome(orders, &memory), Outcome::Suspended(slept.clone()));
    assert!(matches!(memory.entries().as_slice(), [Entry::Now { .. }]), "the wait itself is for the commit");

    assert_eq!(memory.suspend(&slept), Ok(Ok(())));
    let awaited = Wait::Signal { name: "go".into(), timeout_ms: None };
    assert_eq!(outcome(orders, &memory), Outcome::Suspended(awaited.clone()));
    assert_eq!(memory.suspend(&awaited), Ok(Err(NeverSent("go".into()))));
    memory.signal("go", b"[1]");
    assert_eq!(memory.suspend(&awaited), Ok(Ok(())));
    let Outcome::Succeeded(output) = outcome(orders, &memory) else { panic!("it has all that it waits for") };
    assert!(String::from_utf8_lossy(&output).contains(",[1]]"), "{}", String::from_utf8_lossy(&output));
}

#[test]
fn facts_that_the_guest_knows_are_recorded_before_its_wait() {
    let memory = Arc::new(InMemory::default());
    let orders = r#"[{"do": "fail_before", "attempt": 1}, {"do": "sleep", "ms": 1}]"#;
    assert_eq!(outcome(orders, &memory), Outcome::Suspended(Wait::Sleep { duration_ms: 1 }));
    assert!(matches!(memory.entries().as_slice(), [Entry::Context { attempt: 1, .. }]), "{:?}", memory.entries());
}

#[test]
fn the_name_of_a_signal_has_its_rules() {
    let memory = Arc::new(InMemory::default());
    for name in ["", "a\\nb", &"x".repeat(1_025)] {
        let orders = format!(r#"[{{"do": "await", "name": "{name}", "timeout_ms": 5}}]"#);
        let Outcome::Failed(failure) = outcome(&orders, &memory) else { panic!("{name:?} was accepted") };
        assert!(failure.cause == Cause::Limit && failure.message.starts_with("the name of a signal"), "{failure:?}");
    }
}

#[test]
fn a_secret_without_a_value_here_may_be_tried_elsewhere() {
    let secrets = Secrets::of([("token".to_owned(), Secret::Lacking(nowhere("token")))]);
    let attempt = Attempt { secrets, ..attempt(r#"[{"do": "secret", "name": "token"}]"#, History::default()) };
    let Outcome::Failed(failure) = execute_attempt("waits", attempt, &Arc::default()).outcome else {
        panic!("no value")
    };
    assert_eq!(failure.cause, Cause::Retry);
    assert!(failure.message.contains("PAWL_SECRET_TOKEN"), "{failure:?}");
}
