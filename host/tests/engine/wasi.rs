//! What a program in another language sees of a system, and that it sees the same in a replay. They need the
//! components that `make test-languages` builds, which also runs them.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use pawl_domain::attempt::{Cause, Outcome};
use pawl_domain::journal::{Entry, History};
use pawl_engine::in_memory::InMemory;
use pawl_engine::recorder::Stop;
use pawl_engine::{Attempt, Config, Engine, Executed, Prepared};
use serde_json::{Value, json};

use crate::setup::{LOCAL, attempt, component, failure, output, outside};
use crate::target::Target;

/// An interpreter needs more memory than the other tests allow, and is compiled once for all tests: the
/// end-to-end tests keep it in the same folder.
fn engine() -> &'static Engine {
    static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
        let program = std::env::current_exe().expect("a test is a program");
        let profile = program.ancestors().nth(2).expect("programs of tests lie in target/PROFILE/deps");
        let cache_dir = profile.join("tests/component-cache");
        let outside = outside(LOCAL);
        Engine::new(Config { cache_dir: Some(cache_dir), slots: 1, outside, ..Config::default() })
            .expect("the engine starts")
    });
    &ENGINE
}

fn prepared(name: &str) -> Arc<Prepared> {
    let (digest, bytes) = component(name);
    engine().prepare(digest, &bytes).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn execute(name: &str, input: &Value, memory: &Arc<InMemory>) -> Executed {
    let attempt = attempt(&input.to_string(), memory.history());
    engine().execute(&prepared(name), attempt, Arc::<InMemory>::clone(memory))
}

/// What the probe sees, and sees again in a replay of its whole journal.
fn looks_at(what: &str) -> (Value, Vec<Entry>) {
    looks_with("probe-python", &json!({ "look_at": what }))
}

fn looks_with(probe: &str, input: &Value) -> (Value, Vec<Entry>) {
    let memory = Arc::new(InMemory::default());
    let seen = output(&execute(probe, input, &memory));
    let again = execute(probe, input, &memory);
    assert_eq!(output(&again), seen, "a replay sees something else");
    // What its secure random bytes are made of is no answer to a call; Python draws some when it starts.
    let answers: Vec<Entry> =
        memory.entries().into_iter().filter(|entry| !matches!(entry, Entry::Seeded { .. })).collect();
    assert_eq!(again.replayed as usize, answers.len());
    (seen, answers)
}

#[test]
#[ignore = "make test-languages builds the components and runs it"]
fn the_wall_clock_is_journaled_and_the_monotonic_one_moves_with_waits() {
    let (seen, entries) = looks_at("clocks");
    let (first, second) = (seen["wall"][0].as_f64().unwrap(), seen["wall"][1].as_f64().unwrap());
    assert!(first > 1.7e9 && second >= first && seen["after"].as_f64().unwrap() >= second + 0.05, "{seen}");
    let waited = seen["waited"].as_f64().unwrap();
    assert!((0.05..0.051).contains(&waited), "{waited} is what was asked for, not what it took");
    assert_eq!(entries.len(), 4, "three readings and one wait: {entries:?}");
}

#[test]
#[ignore = "make test-languages builds the components and runs it"]
fn chance_is_the_steps_own_and_what_is_secure_costs_one_entry() {
    let (seen, entries) = looks_at("chance");
    assert_eq!(entries, []);
    let memory = Arc::new(InMemory::default());
    output(&execute("probe-python", &json!({ "look_at": "chance" }), &memory));
    assert!(matches!(memory.entries()[..], [Entry::Seeded { .. }]), "{:?}", memory.entries());
    let mut other: Attempt = attempt(r#"{"look_at": "chance"}"#, History::default());
    other.step.run = pawl_domain::id::RunId(uuid::Uuid::from_u128(2));
    let other = output(&engine().execute(&prepared("probe-python"), other, Arc::new(InMemory::default())));
    for number in 0..3 {
        assert_ne!(seen[number], other[number], "two runs draw the same");
    }
    // The same run on another installation, which knows its id.
    let (elsewhere, _) = looks_at("chance");
    assert_eq!(seen[2], elsewhere[2], "the step's own generator");
    assert!(seen[0] != elsewhere[0] && seen[1] != elsewhere[1], "{seen} and {elsewhere}");
}

#[test]
#[ignore = "make test-languages builds the components and runs it"]
fn there_is_nothing_around_a_step_and_no_door_to_leave_by() {
    let (seen, _) = looks_at("surroundings");
    assert_eq!(seen, json!({"environment": {}, "arguments": [], "input": ""}));
    let (doors, _) = looks_at("closed_doors");
    for door in ["tcp", "udp", "name"] {
        assert_eq!(doors[door], "PermissionError", "what docs/languages.md says of sockets: {doors}");
    }
    for door in ["folder", "file"] {
        assert!(doors[door].as_str().unwrap().ends_with("Error"), "{door}: {doors}");
    }
    assert_eq!(doors.as_object().unwrap().len(), 5);
}

#[test]
#[ignore = "make test-languages builds the components and runs it"]
fn timers_ring_in_their_order_and_a_replay_does_not_wait_for_them() {
    let (seen, entries) = looks_with("probe-js", &json!({ "look_at": "timers" }));
    assert_eq!(seen, json!(["none", "short", "long"]));
    assert_eq!(entries.len(), 2, "two waits: {entries:?}");

    let memory = Arc::new(InMemory::default());
    let input = json!({ "look_at": "wait", "seconds": 2 });
    let started = Instant::now();
    output(&execute("probe-python", &input, &memory));
    assert!(started.elapsed() >= Duration::from_secs(2), "it did not wait");
    assert!(execute("probe-python", &input, &memory).elapsed < Duration::from_secs(1), "a replay waited again");
}

#[test]
#[ignore = "make test-languages builds the components and runs it"]
fn a_wait_ends_with_the_attempt_and_with_the_lease() {
    let probe = prepared("probe-python");
    let input = r#"{"look_at": "wait", "seconds": 600}"#;
    let short = Attempt { timeout: Duration::from_millis(300), ..attempt(input, History::default()) };
    let executed = engine().execute(&probe, short, Arc::new(InMemory::default()));
    failure(&executed, Cause::Timeout);
    assert!(executed.elapsed < Duration::from_secs(10), "{:?}", executed.elapsed);

    let memory = Arc::new(InMemory::default());
    memory.stop_with(Stop::Draining);
    let executed = engine().execute(&probe, attempt(input, History::default()), memory);
    assert_eq!(executed.outcome, Outcome::HandedBack);
}

#[test]
#[ignore = "make test-languages builds the components and runs it"]
fn exit_is_a_trap_and_printing_is_no_output() {
    let memory = Arc::new(InMemory::default());
    let executed = execute("probe-python", &json!({"look_at": "ends", "code": 3}), &memory);
    let failed = failure(&executed, Cause::Trap);
    assert!(failed.message.contains("the step called exit("), "{}", failed.message);
    assert_eq!(output(&execute("probe-python", &json!({"look_at": "prints"}), &memory)), Value::Null);
}

#[test]
#[ignore = "make test-languages builds the components and runs it"]
fn what_fetch_gives_is_answered_from_the_journal() {
    let target = Target::start();
    let (seen, entries) =
        looks_with("probe-js", &json!({ "look_at": "streamed", "url": format!("{}/large/20000", target.url) }));
    assert_eq!((&seen["status"], &seen["size"]), (&json!(200), &json!(20_000)), "{seen}");
    assert_eq!((entries.len(), target.received().len()), (1, 1), "the replay asked again: {entries:?}");

    let gone = json!({ "look_at": "unreachable", "url": "http://127.0.0.1:1/" });
    let (seen, entries) = looks_with("probe-js", &gone);
    assert_eq!(seen, "TypeError", "that is what fetch throws");
    assert_eq!(entries.len(), 1, "that nobody answered is an answer: {entries:?}");
}

#[test]
#[ignore = "make test-languages builds the components and runs it"]
fn a_refused_connection_has_its_reason_in_each_language() {
    let nobody = "http://127.0.0.1:1/";
    let input = json!({ "meters": 1, "report_to": nobody });
    let is_reason = |text: &str| text.contains("no connection: ") && text.contains("refused");

    let python = execute("hello-python", &input, &Arc::default());
    let message = &failure(&python, Cause::Retry).message;
    assert!(is_reason(message), "{message}");
    // What fetch throws has no room for it: the step's log has.
    let memory = Arc::new(InMemory::default());
    failure(&execute("hello-js", &input, &memory), Cause::Retry);
    let log = memory.log();
    assert!(log.iter().any(|line| is_reason(&line.message) && line.message.contains(nobody)), "{log:?}");
}

#[test]
#[ignore = "make test-languages builds the components and runs it"]
fn a_module_that_is_not_there_is_not_there_in_the_next_attempt_either() {
    let missing = json!({ "look_at": "imports", "module": "no_such_module" });
    let executed = execute("probe-python", &missing, &Arc::default());
    let message = &failure(&executed, Cause::Fatal).message;
    assert!(message.contains("ModuleNotFoundError: ") && message.contains("no_such_module"), "{message}");
}

#[test]
#[ignore = "make test-languages builds the components and runs it"]
fn fetch_of_javascript_is_journaled_and_carries_the_key_of_its_effect() {
    for writes in 0.. {
        let target = Target::start();
        let input = json!({ "meters": 2, "report_to": format!("{}/meter", target.url) });
        let crashing = Arc::new(InMemory::crashing_after(writes));
        let first = execute("hello-js", &input, &crashing);
        let crashed = first.outcome == Outcome::LeaseLost;
        let memory = if crashed { Arc::new(crashing.survived()) } else { crashing };
        let executed = if crashed { execute("hello-js", &input, &memory) } else { first };
        let readings = output(&executed)["readings"].clone();
        let mut keys: Vec<_> = Vec::new();
        for received in target.received() {
            let meter: usize = received.path.trim_start_matches("/meter/").parse().unwrap();
            let body: Value = serde_json::from_str(&received.body).unwrap();
            assert_eq!((received.method.as_str(), &body["reading"]), ("POST", &readings[meter]), "crash at {writes}");
            keys.push((meter, received.key.expect("an effect has a key")));
        }
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 2, "one key for each meter, after a crash at write {writes}: {keys:?}");
        if !crashed {
            // The runtime has asked for the monotonic clock: each checkpoint says where it stood.
            assert_eq!(
                writes, 12,
                "two readings, effects of two entries and checkpoints with the clock, one once of two"
            );
            return;
        }
    }
}
