//! Bytes as the calls of a guest: whatever it calls and in whatever order, the attempt ends, the host stands, and one that is
//! interrupted at any write comes to the same end.

#![no_main]

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use pawl_domain::attempt::{Cause, Outcome};
use pawl_domain::id::{Digest, RunId, StepId, StepNo};
use pawl_domain::limits::Limits;
use pawl_domain::reach::Grant;
use pawl_domain::retry::{Decision, LONGEST_WISH_MS, RetryPolicy, after_failure};
use pawl_engine::in_memory::InMemory;
use pawl_engine::{Attempt, Config, Engine, Outside, Prepared, Secrets};
use serde_json::{Value, json};
use uuid::Uuid;

/// Of a step.
const ATTEMPTS: u32 = 3;

/// Calls of a guest; more say nothing new.
const CALLS: usize = 64;

/// Nobody listens there.
const NOWHERE: &str = "http://localhost:1";

struct Host {
    engine: Engine,
    component: Arc<Prepared>,
}

static HOST: LazyLock<Host> = LazyLock::new(|| {
    let limits = Limits {
        output_bytes: 1 << 10,
        entry_bytes: 1 << 10,
        checkpoint_bytes: 1 << 10,
        memory_bytes: 4 << 20,
        log_bytes: 1 << 10,
        log_lines: 8,
        journal_entries: 32,
        ..Limits::default()
    };
    let grants: Vec<Grant> = ["http://localhost:*"].iter().map(|text| text.parse().expect("a grant")).collect();
    let mut outside = Outside::default();
    outside.most.extend(grants.iter().cloned());
    let outside = Outside { usual: grants, ..outside };
    let engine = Engine::new(Config { limits, slots: 1, outside, ..Config::default() }).expect("an engine");
    let file = pawl_tests::binary::programs().expect("target").join("../plugins/scripted.wasm");
    let component = prepared(&engine, &file);
    Host { engine, component }
});

fn prepared(engine: &Engine, file: &Path) -> Arc<Prepared> {
    let bytes = std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}; run `make guests`", file.display()));
    engine.prepare(Digest::of(&bytes), &bytes).expect("it is a step")
}

fuzz_target!(|bytes: &[u8]| {
    let Some((crash, program)) = bytes.split_first() else { return };
    let input = Value::Array(calls(program)).to_string();
    let Some((undisturbed, _)) = live(&input, InMemory::default()) else { return };
    let Some((end, memory)) = live(&input, InMemory::crashing_after((*crash).into())) else { return };
    let end = match end {
        Outcome::LeaseLost => live(&input, memory.survived()).map_or(Outcome::LeaseLost, |(end, _)| end),
        end => end,
    };
    assert_eq!(told(&end), told(&undisturbed), "{input}, interrupted at write {crash}");
});

/// What must be the same.
fn told(outcome: &Outcome) -> (Option<Cause>, String) {
    match outcome {
        Outcome::Succeeded(output) => (None, String::from_utf8_lossy(output).into_owned()),
        Outcome::Failed(failure) => (Some(failure.cause), String::new()),
        other => panic!("no attempt ends so: {other:?}"),
    }
}

/// Attempts until one ends for good; none if the step waits for ever.
fn live(input: &str, memory: InMemory) -> Option<(Outcome, Arc<InMemory>)> {
    let host = &*HOST;
    let memory = Arc::new(memory);
    let policy = RetryPolicy { max_attempts: ATTEMPTS, ..RetryPolicy::default() };
    loop {
        let attempt = Attempt {
            step: StepId { run: RunId(Uuid::from_u128(1)), step: StepNo(0) },
            step_name: "fuzzed".into(),
            failures: memory.failures(),
            config: "null".into(),
            secrets: Secrets::default(),
            allow: None,
            timeout: Duration::from_secs(20),
            input: input.into(),
            history: memory.history(),
            past: None,
        };
        let executed = host.engine.execute(&host.component, attempt, memory.clone());
        let written = match &executed.outcome {
            Outcome::Suspended(wait) => match memory.suspend(wait) {
                Ok(waited) => Ok(waited.ok()?),
                Err(stop) => Err(stop),
            },
            Outcome::Failed(failure) => {
                match after_failure(&policy, memory.failures(), failure, 0.0, LONGEST_WISH_MS) {
                    Decision::RetryAfter(_) => memory.retry(executed.cut.clone()),
                    _ => return Some((executed.outcome, memory)),
                }
            }
            _ => return Some((executed.outcome, memory)),
        };
        if let Err(stop) = written {
            return Some((stop.into(), memory));
        }
    }
}

/// Three bytes are a call.
fn calls(program: &[u8]) -> Vec<Value> {
    program.chunks_exact(3).take(CALLS).map(|chunk| call(chunk[0], chunk[1], chunk[2])).collect()
}

fn call(kind: u8, what: u8, size: u8) -> Value {
    let name = ["", "a", "b", "c\u{0}\u{202e}"][usize::from(what % 4)];
    // Up to what just goes beyond the limits.
    let size = u64::from(size) * 5;
    match kind % 17 {
        0 => json!("now"),
        1 => json!({ "random": size * 64 }),
        2 => json!({ "key": name }),
        3 => json!({ "checkpoint": size }),
        4 => json!({ "begin": name }),
        5 => json!({ "finish": [name, size] }),
        6 => json!({ "sleep": size }),
        7 => json!({ "await": [name, size] }),
        8 => json!({ "log": size }),
        9 => json!({ "progress": size as f64 / 1_000.0 }),
        10 => {
            let method = ["GET", "POST", "get", "B@D"][usize::from(what / 4 % 4)];
            let url = [NOWHERE, "http://localhost:1/%zz?a=\u{7f}", "http://10.0.0.1/", "nonsense"]
                [usize::from(what / 16 % 4)];
            let effect = (!name.is_empty()).then_some(name);
            json!({ "send": { "method": method, "url": url, "body": size, "effect": effect } })
        }
        11 => json!({ "secret": name }),
        12 => json!("context"),
        13 => json!({ "allocate": size * 4_096 }),
        14 => json!("trap"),
        15 => json!({ "fail": { "fatal": what % 2 == 0, "from_checkpoint": what % 4 > 1 } }),
        _ => json!({ "output": size }),
    }
}
