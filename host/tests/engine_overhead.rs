//! What an execution costs beyond bare wasmtime: a no-op step from the claim in memory to the outcome,
//! against instantiating and calling the same component with the same wasmtime settings, in turns in one
//! process, so that the ratio holds on any machine. The budget is 1.5.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test says what it expects by failing")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use pawl_domain::attempt::Outcome;
use pawl_domain::id::{Digest, RunId, StepId, StepNo};
use pawl_domain::journal::History;
use pawl_domain::schema::Schemas;
use pawl_engine::{Attempt, Config, Engine, GuestThreads, Secrets};
use serde_json::{Value, json};
use wasmtime::component::{Component, Linker};
use wasmtime::{InstanceAllocationStrategy, PoolingAllocationConfig, Store};

mod bindings {
    wasmtime::component::bindgen!({ path: "../wit", world: "step" });
}

const INPUT: &str = r#"{"number": 7, "text": "seven"}"#;

#[test]
fn a_no_op_step_costs_at_most_half_as_much_again_as_bare_wasmtime() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/plugins/echo.wasm");
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}; run `make guests`"));
    let bare = bare(&bytes);
    let schema = json!({ "type": "object", "properties": { "number": { "type": "integer" } } });
    let checked = pawl(&bytes, Some(&schema));
    let pawl = Arc::new(pawl(&bytes, None));
    let threads = GuestThreads::new(1).unwrap();
    let threaded = || {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        let pawl = Arc::clone(&pawl);
        threads.submit(Box::new(move || {
            pawl();
            sender.send(()).unwrap();
        }));
        receiver.recv().unwrap();
    };
    let [bare, direct, threaded, checked] = in_turns([&bare, &*pawl, &threaded, &checked]);
    let ratio = direct.as_secs_f64() / bare.as_secs_f64();
    println!(
        "bare {bare:?}, pawl {direct:?} (ratio {ratio:.2}), through a guest thread {threaded:?}, with schemas {checked:?}"
    );
    assert!(ratio <= 1.5, "a no-op step costs {ratio:.2} times what bare wasmtime costs ({direct:?} and {bare:?})");
}

/// The median time of one call of each.
fn in_turns<const N: usize>(calls: [&dyn Fn(); N]) -> [Duration; N] {
    const ROUNDS: usize = 60;
    const CALLS: usize = 20;
    let mut times = [const { Vec::new() }; N];
    for round in 0..ROUNDS {
        for (call, times) in calls.iter().zip(&mut times) {
            for _ in 0..CALLS {
                let started = Instant::now();
                call();
                // The first rounds fill caches and pools.
                if round > 2 {
                    times.push(started.elapsed());
                }
            }
        }
    }
    times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    })
}

fn bare(bytes: &[u8]) -> impl Fn() + use<> {
    let mut pool = PoolingAllocationConfig::new();
    pool.max_memory_size(256 << 20).linear_memory_keep_resident(64 << 10).table_keep_resident(64 << 10);
    pool.total_component_instances(16).total_core_instances(160).total_memories(16).total_tables(80).total_stacks(0);
    let mut config = wasmtime::Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .epoch_interruption(true)
        .concurrency_support(false)
        .cranelift_nan_canonicalization(true);
    let engine = wasmtime::Engine::new(&config).unwrap();
    let component = Component::from_binary(&engine, bytes).unwrap();
    let mut linker = Linker::<()>::new(&engine);
    linker.define_unknown_imports_as_traps(&component).unwrap();
    let pre = bindings::StepPre::new(linker.instantiate_pre(&component).unwrap()).unwrap();
    move || {
        let mut store = Store::new(&engine, ());
        store.set_epoch_deadline(u64::MAX / 2);
        let input = INPUT.to_owned();
        let step = pre.instantiate(&mut store).unwrap();
        let output = step.call_run(&mut store, &input).unwrap().unwrap();
        assert_eq!(output, INPUT);
    }
}

fn pawl(bytes: &[u8], schema: Option<&Value>) -> impl Fn() + Send + Sync + use<> {
    let engine = Engine::new(Config { slots: 4, ..Config::default() }).unwrap();
    let prepared = engine.prepare(Digest::of(bytes), bytes).unwrap();
    prepared.enforce(Schemas::compile(schema, schema).unwrap());
    move || {
        let attempt = Attempt {
            step: StepId { run: RunId(uuid::Uuid::from_u128(1)), step: StepNo(0) },
            step_name: "measured".into(),
            failures: 0,
            config: "null".into(),
            secrets: Secrets::default(),
            allow: None,
            timeout: Duration::from_secs(600),
            input: INPUT.into(),
            history: History::default(),
            past: None,
        };
        let executed = engine.execute(&prepared, attempt, Arc::new(pawl_engine::in_memory::InMemory::default()));
        assert_eq!(executed.outcome, Outcome::Succeeded(INPUT.into()));
    }
}
