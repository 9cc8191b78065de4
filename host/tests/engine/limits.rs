//! Guests that break a limit: the step fails for the right cause, and nobody else notices.

use std::sync::Arc;
use std::time::Duration;

use pawl_domain::attempt::{Cause, Outcome};
use pawl_domain::id::Digest;
use pawl_domain::journal::{Checkpoint, Entry, History};
use pawl_domain::log::Level;
use pawl_domain::schema::Schemas;
use pawl_engine::in_memory::InMemory;
use pawl_engine::recorder::{Interrupt, Recorder, Stop};
use pawl_engine::{Attempt, Config, Engine};
use serde_json::json;

use crate::setup::{attempt, engine, execute, execute_attempt, failure, limits, output, prepared};

fn runaway(mode: &str) -> pawl_engine::Executed {
    execute("runaway", &format!(r#"{{"mode": {mode}}}"#))
}

#[test]
fn every_broken_limit_and_rule_has_its_cause_and_says_which() {
    for (mode, cause, says) in [
        (r#""allocate""#, Cause::Limit, "memory may take 16777216 bytes"),
        (r#""recurse""#, Cause::Trap, "call stack exhausted"),
        (r#""trap""#, Cause::Trap, "unreachable"),
        // Without the SDK, nobody has said anything of the panic.
        (r#""panic""#, Cause::Trap, "unreachable"),
        (r#"{"output": 65537}"#, Cause::Limit, "an output may have 65536 bytes"),
        (r#""invalid-json""#, Cause::InvalidOutput, "not JSON"),
        (r#"{"checkpoint": 131073}"#, Cause::Limit, "a checkpoint may have 131072 bytes"),
        (r#"{"checkpoint": 3000000}"#, Cause::Limit, "handed more to the host"),
        (r#""checkpoint-in-once""#, Cause::Fatal, "refused inside once"),
        (r#"{"entry": 32769}"#, Cause::Limit, "may have 32768 bytes"),
        (r#"{"journal": 1001}"#, Cause::Limit, "more than 1000 journal entries"),
    ] {
        let executed = runaway(mode);
        let failure = failure(&executed, cause);
        assert!(failure.message.contains(says), "{mode}: {:?} should say {says:?}", failure.message);
    }
}

#[test]
fn what_just_keeps_within_a_limit_passes() {
    for mode in [
        r#"{"output": 65536}"#,
        r#"{"checkpoint": 131072}"#,
        r#"{"entry": 32768}"#,
        r#"{"journal": 1000}"#,
        r#"{"log": 100}"#,
        r#"{"log-line": 1000000}"#,
    ] {
        output(&runaway(mode));
    }
}

#[test]
fn a_flood_is_cut_and_its_last_line_says_what_is_missing() {
    for (input, plugin, kept, dropped) in [
        (r#"{"mode": {"log": 100}}"#, "runaway", 8, 92),
        (r#"{"flood": 100000}"#, "chatty", limits().log_lines, 100_000 - limits().log_lines),
    ] {
        let memory = Arc::new(InMemory::default());
        output(&execute_attempt(plugin, attempt(input, History::default()), &memory));
        let log = memory.log();
        let [.., full, last] = &log[..] else { panic!("{log:?}") };
        assert_eq!((log.len(), last.message.as_str()), (kept + 2, &*format!("{dropped} lines dropped")), "{plugin}");
        assert!(
            full.message.ends_with("1000 lines (`limit_log`, `limit_log_lines`): the rest of its log is dropped"),
            "{}",
            full.message
        );
        assert!([full, last].iter().all(|line| line.level == Level::Warn && line.fields.is_none()));
    }
}

#[test]
fn what_a_guest_says_is_kept_as_it_was_given_but_for_its_length() {
    let memory = Arc::new(InMemory::default());
    let text = "odd\n\u{1b}[2J".to_owned() + &"é".repeat(1_000);
    let input = json!({"lines": 1, "text": text}).to_string();
    output(&execute_attempt("chatty", attempt(&input, History::default()), &memory));
    let log = memory.log();
    let [first, long] = &log[..] else { panic!("{log:?}") };
    assert_eq!((first.level, first.message.as_str()), (Level::Info, "a line"));
    assert_eq!(first.fields.as_ref().map(|fields| fields.get()), Some(r#"{"line":"0","of":"1"}"#));
    assert!(long.message.starts_with("odd\n\u{1b}[2Jéé") && long.message.ends_with("é…"), "{}", long.message);
    // As many bytes as a line may have, to the end of a letter, and the mark of the cut.
    let most = limits().log_line_bytes + "…".len();
    assert!((most - 1..=most).contains(&long.message.len()), "{}", long.message.len());
    assert!(long.fields.is_none(), "no room is left for it");
}

#[test]
fn a_trap_tells_where_in_the_guest() {
    let executed = runaway(r#""trap""#);
    let details = failure(&executed, Cause::Trap).details.clone().unwrap_or_default();
    let details: serde_json::Value = serde_json::from_str(&details).expect("details are JSON");
    assert!(details["backtrace"].as_array().is_some_and(|frames| !frames.is_empty()), "{details}");
}

#[test]
fn a_panic_of_the_library_names_a_line_of_the_step_and_what_to_use_instead() {
    let executed = execute("flaky", r#"{"failures": 1, "how": "clock"}"#);
    let message = &failure(&executed, Cause::Trap).message;
    assert!(
        message.contains("lib.rs:") && message.contains("/flaky/src/") || message.contains(" src/lib.rs:"),
        "{message}"
    );
    assert!(
        message.contains("time not implemented on this platform: a step asks for the time with `ctx.now()`"),
        "{message}"
    );
}

#[test]
fn a_panic_says_what_and_where_and_by_which_functions() {
    let executed = execute("flaky", r#"{"failures": 1, "how": "panic"}"#);
    let failure = failure(&executed, Cause::Trap);
    let message = &failure.message;
    assert!(message.starts_with("the step panicked in ") && message.contains("lib.rs:"), "{message}");
    assert!(message.ends_with(": attempt 1 of 1 that fail"), "{message}");
    let details: serde_json::Value = serde_json::from_str(failure.details.as_deref().unwrap_or_default()).unwrap();
    let frames: Vec<&str> =
        details["backtrace"].as_array().unwrap().iter().filter_map(|frame| frame.as_str()).collect();
    // The optimiser has put the step's own function into the export; what the language does about a panic is left out.
    assert_eq!(frames, ["run"]);
}

#[test]
fn a_loop_without_end_ends_with_its_deadline() {
    let attempt = Attempt { timeout: Duration::from_millis(50), ..attempt(r#"{"mode": "loop"}"#, History::default()) };
    let executed = execute_attempt("runaway", attempt, &Arc::new(InMemory::default()));
    failure(&executed, Cause::Timeout);
    assert!(executed.cut.is_some());
    assert!(executed.elapsed >= Duration::from_millis(50));
    assert!(executed.elapsed < Duration::from_secs(5), "{:?}", executed.elapsed);
}

#[test]
fn a_failure_of_the_guest_keeps_its_own_words() {
    let executed = execute("flaky", r#"{"failures": 1, "how": "fatal"}"#);
    assert_eq!(failure(&executed, Cause::Fatal).message, "attempt 1 of 1 that fail");
}

#[test]
fn guests_that_misbehave_side_by_side_do_not_disturb_the_others() {
    std::thread::scope(|scope| {
        for mode in [r#""allocate""#, r#""recurse""#, r#""panic""#, r#"{"output": 9999999}"#] {
            scope.spawn(move || (0..5).for_each(|_| drop(runaway(mode))));
        }
        for _ in 0..50 {
            assert_eq!(output(&execute("echo", "[1]")), serde_json::json!([1]));
        }
    });
    assert!(limits().memory_bytes < 32 << 20, "the pool's slots are small, so that reuse is tested");
}

#[test]
fn an_input_that_is_no_text_fails_the_step_and_not_the_host() {
    let attempt = Attempt { input: vec![0xff], ..attempt("", History::default()) };
    let executed = execute_attempt("echo", attempt, &Arc::new(InMemory::default()));
    assert!(failure(&executed, Cause::Fatal).message.contains("UTF-8"));
}

#[test]
fn documents_that_do_not_fit_the_schemas_fail_the_step_by_their_path() {
    let bytes = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/plugins/echo.wasm")).unwrap();
    // An engine of its own: a component's schemas stay for as long as it is in memory.
    let engine = Engine::new(Config { slots: 1, ..Config::default() }).unwrap();
    let echo = engine.prepare(Digest::of(&bytes), &bytes).unwrap();
    let (input, output) = (json!({ "type": "object" }), json!({ "properties": { "a": { "type": "string" } } }));
    echo.enforce(Schemas::compile(Some(&input), Some(&output)).unwrap());
    let execute = |input| engine.execute(&echo, attempt(input, History::default()), Arc::new(InMemory::default()));
    assert_eq!(execute(r#"{"a": "b"}"#).outcome, Outcome::Succeeded(br#"{"a": "b"}"#.to_vec()));
    let refused = execute("[]");
    let message = &failure(&refused, Cause::InvalidInput).message;
    assert_eq!(message, "the input does not fit the component's schema: $: a list is not of type \"object\"");
    let returned = execute(r#"{"a": 1}"#);
    let message = &failure(&returned, Cause::InvalidOutput).message;
    assert_eq!(message, "the output does not fit the component's schema: $.a: 1 is not of type \"string\"");
}

/// The check is the host's own work: no epoch ends it.
#[test]
fn the_check_of_a_document_ends_with_the_attempt() {
    let bytes = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/plugins/echo.wasm")).unwrap();
    let engine = Engine::new(Config { slots: 1, ..Config::default() }).unwrap();
    let echo = engine.prepare(Digest::of(&bytes), &bytes).unwrap();
    let numbers = json!({ "items": { "allOf": vec![json!({ "type": "number" }); 20] } });
    echo.enforce(Schemas::compile(Some(&numbers), None).unwrap());
    let list = format!("[{}1]", "1,".repeat(50_000));
    let execute = |timeout| {
        let attempt = Attempt { timeout, ..attempt(&list, History::default()) };
        engine.execute(&echo, attempt, Arc::new(InMemory::default()))
    };
    let late = execute(Duration::from_millis(1));
    assert!(failure(&late, Cause::Timeout).message.contains("check of its documents"), "{late:?}");
    assert_eq!(execute(Duration::from_secs(60)).outcome, Outcome::Succeeded(list.clone().into_bytes()));
}

/// A host with a fault of its own.
struct Panicking;

impl Recorder for Panicking {
    fn record(&self, _: &Entry) -> Result<bool, Stop> {
        panic!("as asked");
    }
    fn room(&self, _: Duration) -> Result<(), Interrupt> {
        Ok(())
    }
    fn barrier(&self, _: Duration) -> Result<(), Interrupt> {
        Ok(())
    }
    fn may_leave(&self) -> bool {
        true
    }

    fn unix_ns(&self) -> u64 {
        0
    }

    fn clear_to_ask(&self, _: Duration) -> Result<(), Interrupt> {
        Ok(())
    }

    fn clear_to_leave(&self, _: Duration) -> Result<(), Interrupt> {
        Ok(())
    }
    fn checkpoint(&self, _: Checkpoint) -> Result<(), Stop> {
        Ok(())
    }
    fn progress(&self, _: f64, _: String) {}
    fn stop(&self) -> Option<Stop> {
        None
    }
}

#[test]
fn a_host_call_that_panics_costs_the_attempt_and_nothing_else() {
    let input = r#"{"entries": 3}"#;
    let executed = engine().execute(&prepared("clock"), attempt(input, History::default()), Arc::new(Panicking));
    assert!(failure(&executed, Cause::Trap).message.starts_with("the host failed"));
    assert!(executed.cut.is_some(), "another attempt may do better");
    assert_eq!(output(&execute("clock", input))["entries"], 3);
}

#[test]
fn a_failure_waits_until_what_its_cut_keeps_is_durable() {
    let memory = Arc::new(InMemory::default());
    let executed = execute_attempt("flaky", attempt(r#"{"failures": 1}"#, History::default()), &memory);
    assert!(matches!(executed.outcome, Outcome::Failed(_)));
    assert_eq!(memory.barriers(), 1);
}
