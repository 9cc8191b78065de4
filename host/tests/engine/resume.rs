//! Crashes at every host call, and what the guest is told afterwards.

use std::sync::Arc;

use pawl_domain::attempt::{Cause, Outcome, Restored};
use pawl_domain::journal::{Checkpoint, Entry, Held, History};
use pawl_engine::in_memory::InMemory;
use pawl_engine::recorder::Stop;
use pawl_engine::{Attempt, Executed};
use serde_json::{Value, json};

use crate::setup::{attempt, execute, execute_attempt, failure, output, prepared};

/// Executes with a crash after each number of writes, and resumes; `check` gets the crashed and the resumed
/// attempt's memory and the end. Returns how many crashes there were.
fn crash_everywhere(
    plugin: &str,
    attempt_of: impl Fn(History) -> Attempt,
    check: impl Fn(&InMemory, &InMemory, Executed),
) -> u32 {
    for writes in 0.. {
        let crashing = Arc::new(InMemory::crashing_after(writes));
        let first = execute_attempt(plugin, attempt_of(History::default()), &crashing);
        if matches!(first.outcome, Outcome::Succeeded(_)) {
            return writes;
        }
        assert_eq!(first.outcome, Outcome::LeaseLost, "after {writes} writes");
        let resumed = Arc::new(crashing.survived());
        let second = execute_attempt(plugin, attempt_of(crashing.history()), &resumed);
        check(&crashing, &resumed, second);
    }
    unreachable!("every attempt makes a finite number of writes")
}

fn batch_digest(executed: &Executed) -> Value {
    output(executed)["digest"].clone()
}

#[test]
fn a_step_that_crashes_at_any_host_call_ends_with_the_same_output() {
    let input = r#"{"items": 12, "checkpoint_every": 3, "readings": 2}"#;
    let undisturbed = batch_digest(&execute("batch", input));
    let crashes = crash_everywhere(
        "batch",
        |history| attempt(input, history),
        |crashed, resumed, executed| {
            assert_eq!(batch_digest(&executed), undisturbed);
            let (before, after) = (crashed.entries(), resumed.entries());
            assert_eq!(after[..before.len()], before, "recorded answers stay");
            assert_eq!(after.len(), 24, "no clock reading was lost or made twice");
            assert_eq!(executed.resumed_from, crashed.checkpoint_position());
            let since_checkpoint = before.len() as u32 - crashed.checkpoint_position().unwrap_or(0);
            assert_eq!(executed.replayed, since_checkpoint, "only what follows the checkpoint is replayed");
        },
    );
    assert_eq!(crashes, 24 + 4);
}

#[test]
fn a_step_may_ask_for_its_config_after_it_was_resumed() {
    let attempt_of = |history| Attempt {
        config: r#"{"items": 6, "checkpoint_every": 2, "readings": 1}"#.into(),
        ..attempt("null", history)
    };
    let undisturbed = execute_attempt("batch", attempt_of(History::default()), &Arc::default());
    let crashes = crash_everywhere("batch", attempt_of, |_, _, executed| {
        assert_eq!(batch_digest(&executed), batch_digest(&undisturbed));
    });
    assert!(crashes >= 9, "{crashes}");
}

#[test]
fn a_clock_reading_is_replayed_and_not_made_again() {
    let input = r#"{"entries": 10}"#;
    let crashes = crash_everywhere(
        "clock",
        |history| attempt(input, history),
        |crashed, resumed, executed| {
            let (before, after) = (crashed.entries(), resumed.entries());
            assert_eq!(after[..before.len()], before);
            let reading = |entry: &Entry| match entry {
                Entry::Now { unix_ns } => *unix_ns,
                other => panic!("not a clock reading: {other:?}"),
            };
            let elapsed_ns = reading(&after[9]) - reading(&after[0]);
            assert_eq!(output(&executed), json!({ "entries": 10, "elapsed_ns": elapsed_ns }));
        },
    );
    assert_eq!(crashes, 10);
}

#[test]
fn a_step_without_host_calls_writes_nothing() {
    let memory = Arc::new(InMemory::default());
    let executed = execute_attempt("echo", attempt(r#"{"a": [1, "ä"]}"#, History::default()), &memory);
    assert_eq!(output(&executed), json!({ "a": [1, "ä"] }));
    assert_eq!((memory.entries(), memory.barriers()), (vec![], 0));
    assert_eq!((executed.cut, executed.replayed, executed.resumed_from), (None, 0, None));
}

#[test]
fn a_replay_that_does_not_match_diverges_with_a_report() {
    let recorded = vec![Entry::Now { unix_ns: 1 }, Entry::OnceBegun { name: "x".into() }];
    let history = History { checkpoint: None, segments: vec![(0, recorded)], length: 2, ..History::default() };
    let memory = Arc::new(InMemory::default());
    let executed = execute_attempt("clock", attempt(r#"{"entries": 3}"#, history), &memory);
    let Outcome::Diverged(report) = executed.outcome else { panic!("{:?}", executed.outcome) };
    assert_eq!((report.position, report.expected.as_deref()), (1, Some(r#"durable.once-begin("x")"#)));
    assert_eq!(report.actual, "durable.now()");
    assert_eq!(report.component, Some(prepared("clock").digest()));
    let frames = report.backtrace.expect("the report says where in the guest");
    assert_eq!(frames, "run", "what the component exports; all else is within it");
    assert_eq!((memory.entries(), executed.cut), (vec![], None), "the journal stays as it was");
}

#[test]
fn a_replay_that_diverges_behind_its_checkpoint_says_so_and_how_that_is_mended() {
    let state = br#"{"next": 1, "digest": 7}"#.to_vec();
    let checkpoint = Checkpoint {
        ordinal: 1,
        position: 1,
        random_position: 0,
        effect_ordinal: 0,
        prelude: Some(0),
        state,
        held: Held::default(),
    };
    let segments = vec![(1, vec![Entry::OnceBegun { name: "x".into() }])];
    let history = History { checkpoint: Some(checkpoint), segments, length: 2, ..History::default() };
    let executed = execute_attempt("batch", attempt(r#"{"items": 3, "readings": 1}"#, history), &Arc::default());
    let Outcome::Diverged(report) = executed.outcome else { panic!("{:?}", executed.outcome) };
    assert_eq!(report.restored, Some(Restored { checkpoint: 1, replayed: 0, is_other_call: true }));
    assert_eq!(report.by_another(), None, "there is no component to go back to");
    let message = report.message();
    assert!(message.contains("called durable.now(), the first thing after it had restored its checkpoint at entry 1"));
    assert!(message.ends_with("make it before `restore`, or keep its answer in the saved state"), "{message}");
}

#[test]
fn returning_or_trapping_with_entries_left_is_a_divergence() {
    let left = || History {
        checkpoint: None,
        segments: vec![(0, vec![Entry::Now { unix_ns: 1 }])],
        length: 1,
        ..History::default()
    };
    for (plugin, input, actual) in [
        ("echo", "1", "return"),
        ("runaway", r#"{"mode": "trap"}"#, "trap: "),
        ("runaway", r#"{"mode": "none"}"#, "return the failure"),
    ] {
        let executed = execute_attempt(plugin, attempt(input, left()), &Arc::default());
        let Outcome::Diverged(report) = executed.outcome else { panic!("{plugin} {input}: {:?}", executed.outcome) };
        assert_eq!(report.expected.as_deref(), Some("durable.now()"));
        assert!(report.actual.starts_with(actual), "{}", report.actual);
    }
}

#[test]
fn a_retried_step_sees_the_next_attempt_number() {
    let input = r#"{"failures": 2, "delay_ms": 70}"#;
    let memory = Arc::new(InMemory::default());
    for failures in 0..2 {
        let attempt = Attempt { failures, ..attempt(input, memory.history()) };
        let executed = execute_attempt("flaky", attempt, &memory);
        assert_eq!(failure(&executed, Cause::Retry).delay_ms, Some(70));
        memory.cut(executed.cut.expect("a failure that may be retried has a cut"));
    }
    let last = Attempt { failures: 2, ..attempt(input, memory.history()) };
    assert_eq!(output(&execute_attempt("flaky", last, &memory)), json!({ "attempt": 3 }));
}

#[test]
fn a_draining_worker_gets_its_step_back_unharmed() {
    let memory = Arc::new(InMemory::default());
    memory.stop_with(Stop::Draining);
    let executed = execute_attempt("runaway", attempt(r#"{"mode": "loop"}"#, History::default()), &memory);
    assert_eq!((executed.outcome, executed.cut), (Outcome::HandedBack, None));
    memory.stop_with(Stop::LeaseLost);
    let executed = execute_attempt("runaway", attempt(r#"{"mode": "loop"}"#, History::default()), &memory);
    assert_eq!((executed.outcome, executed.cut), (Outcome::LeaseLost, None));
}

#[test]
fn progress_is_told_once_and_not_again_in_a_replay() {
    let input = r#"{"items": 4, "checkpoint_every": 0, "readings": 1}"#;
    let crashing = Arc::new(InMemory::crashing_after(3));
    execute_attempt("batch", attempt(input, History::default()), &crashing);
    let resumed = Arc::new(crashing.survived());
    execute_attempt("batch", attempt(input, crashing.history()), &resumed);
    let told =
        |memory: &InMemory| memory.progress().iter().map(|(fraction, _)| (fraction * 4.0) as u32).collect::<Vec<_>>();
    assert_eq!(told(&crashing), [1, 2, 3]);
    assert_eq!(told(&resumed), [3, 4], "the third item's was told while its reading was already recorded");
}
