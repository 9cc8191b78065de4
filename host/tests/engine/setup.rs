//! What all tests of the engine start from.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use pawl_domain::attempt::{Cause, Failure, Outcome};
use pawl_domain::id::{Digest, RunId, StepId, StepNo};
use pawl_domain::journal::History;
use pawl_domain::limits::Limits;
use pawl_domain::reach::Grant;
use pawl_engine::in_memory::InMemory;
use pawl_engine::recorder::Recorder;
use pawl_engine::{Attempt, Config, Engine, Executed, GuestThreads, Outside, Prepared, Secrets};

/// Limits that are reached quickly.
pub fn limits() -> Limits {
    Limits {
        output_bytes: 64 << 10,
        entry_bytes: 32 << 10,
        checkpoint_bytes: 128 << 10,
        memory_bytes: 16 << 20,
        log_line_bytes: 1 << 10,
        log_bytes: 8 << 10,
        log_lines: 1_000,
        journal_entries: 1_000,
        ..Limits::default()
    }
}

/// This machine, where the servers of tests are.
pub const LOCAL: &[&str] = &["http://localhost:*", "https://localhost:*"];

/// These grants.
pub fn grants(texts: &[&str]) -> Vec<Grant> {
    texts.iter().map(|text| text.parse().unwrap_or_else(|error| panic!("{text} {error}"))).collect()
}

/// An installation that lets steps reach these beside what is public, and gives as much to those that say nothing.
pub fn outside(more: &[&str]) -> Outside {
    let mut outside = Outside::default();
    outside.most.extend(grants(more));
    Outside { usual: outside.most.clone(), ..outside }
}

/// One for all tests.
pub fn engine() -> &'static Engine {
    static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
        let config = Config { limits: limits(), slots: 8, outside: outside(LOCAL), ..Config::default() };
        Engine::new(config).expect("the engine starts")
    });
    &ENGINE
}

/// The bytes of an example plugin.
pub fn component(name: &str) -> (Digest, Vec<u8>) {
    let path = format!("{}/../target/plugins/{name}.wasm", env!("CARGO_MANIFEST_DIR"));
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}; run `make guests`"));
    (Digest::of(&bytes), bytes)
}

/// An example plugin, compiled.
pub fn prepared(name: &str) -> Arc<Prepared> {
    let (digest, bytes) = component(name);
    engine().prepare(digest, &bytes).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// An attempt of the one step that the tests know.
pub fn attempt(input: &str, history: History) -> Attempt {
    Attempt {
        step: StepId { run: RunId(uuid::Uuid::from_u128(1)), step: StepNo(0) },
        step_name: "tested".into(),
        failures: 0,
        config: "null".into(),
        secrets: Secrets::default(),
        allow: None,
        timeout: Duration::from_secs(60),
        input: input.into(),
        history,
        past: None,
    }
}

/// Executes an attempt as a worker does, on a guest thread.
pub fn execute_attempt(plugin: &str, attempt: Attempt, memory: &Arc<InMemory>) -> Executed {
    execute_with(plugin, attempt, Arc::clone(memory) as Arc<dyn Recorder>)
}

/// The same with another way to the world outside.
pub fn execute_with(plugin: &str, attempt: Attempt, recorder: Arc<dyn Recorder>) -> Executed {
    static THREADS: LazyLock<GuestThreads> = LazyLock::new(|| GuestThreads::new(8).expect("threads start"));
    let (sender, receiver) = std::sync::mpsc::channel();
    let prepared = prepared(plugin);
    THREADS.submit(Box::new(move || {
        let executed = engine().execute(&prepared, attempt, recorder);
        sender.send(executed).expect("the test waits");
    }));
    receiver.recv_timeout(Duration::from_secs(120)).expect("every attempt ends")
}

/// Executes a first attempt that nothing disturbs.
pub fn execute(plugin: &str, input: &str) -> Executed {
    execute_attempt(plugin, attempt(input, History::default()), &Arc::new(InMemory::default()))
}

/// The output of an attempt that must have succeeded.
pub fn output(executed: &Executed) -> serde_json::Value {
    match &executed.outcome {
        Outcome::Succeeded(output) => serde_json::from_slice(output).expect("outputs are JSON"),
        other => panic!("not succeeded: {other:?}"),
    }
}

/// The failure of an attempt that must have failed for this cause.
#[track_caller]
pub fn failure(executed: &Executed, cause: Cause) -> &Failure {
    match &executed.outcome {
        Outcome::Failed(failure) if failure.cause == cause => failure,
        other => panic!("not failed with {cause:?}: {other:?}"),
    }
}
