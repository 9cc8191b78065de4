//! What can be loaded, what can't, and what a component says about itself.

use std::sync::Arc;

use pawl_domain::attempt::Outcome;
use pawl_domain::id::Digest;
use pawl_domain::limits::Limits;
use pawl_engine::in_memory::InMemory;
use pawl_engine::recorder::Stop;
use pawl_engine::{Config, Engine, LoadError};

use crate::setup::{attempt, component, engine, limits};

const COMPONENT_HEADER: &[u8] = b"\0asm\x0d\0\x01\0";
const MODULE_HEADER: &[u8] = b"\0asm\x01\0\0\0";

fn refused(engine: &Engine, bytes: &[u8]) -> LoadError {
    engine.prepare(Digest::of(bytes), bytes).expect_err("it can't be loaded")
}

#[test]
fn what_is_no_step_is_refused_with_the_way_to_mend_it() {
    for (bytes, says) in [
        (MODULE_HEADER, "core WebAssembly module"),
        (COMPONENT_HEADER, "does not export `run`"),
        (&b"#!/bin/sh"[..], "this is text, not a WebAssembly component"),
        (b"PK\x03\x04", "this is a zip archive, not"),
        (b"", "this is an empty file, not a WebAssembly component"),
        (b"\0asm\x0d\0\x01\0\xff\xff\xff", "can't be compiled"),
    ] {
        let text = refused(engine(), bytes).to_string();
        assert!(text.contains(says), "{text:?} should say {says:?}");
        assert!(text.contains("build it") || text.contains("build one"), "{text:?} should name the way to mend it");
    }
}

#[test]
fn a_component_over_the_limit_is_refused_before_it_is_looked_at() {
    let config = Config { limits: Limits { component_bytes: 100, ..limits() }, slots: 1, ..Config::default() };
    let engine = Engine::new(config).unwrap();
    let error = refused(&engine, &component("echo").1);
    assert!(matches!(error, LoadError::TooLarge { limit_bytes: 100, .. }), "{error}");
}

#[test]
fn bytes_that_are_not_those_of_the_digest_are_refused() {
    let (_, bytes) = component("echo");
    let error = engine().prepare(Digest::of(b"other"), &bytes).expect_err("damaged");
    assert!(matches!(error, LoadError::Damaged { .. }), "{error}");
}

#[test]
fn a_component_is_compiled_once_however_many_ask() {
    let engine = Engine::new(Config { limits: limits(), slots: 1, ..Config::default() }).unwrap();
    let (digest, bytes) = component("echo");
    assert!(engine.prepared(digest).is_none());
    let all: Vec<_> = std::thread::scope(|scope| {
        let ask = || engine.prepare(digest, &bytes).unwrap();
        let asking: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        asking.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(all.iter().all(|one| Arc::ptr_eq(one, &all[0])));
    assert!(engine.prepared(digest).is_some_and(|one| Arc::ptr_eq(&one, &all[0])));
}

#[test]
fn the_least_recently_used_component_leaves_a_full_cache() {
    let engine = Engine::new(Config { limits: limits(), slots: 1, cache_bytes: 1, ..Config::default() }).unwrap();
    let [first, second] = ["echo", "clock"].map(component);
    let kept = engine.prepare(first.0, &first.1).unwrap();
    engine.prepare(second.0, &second.1).unwrap();
    assert!(engine.prepared(first.0).is_none());
    assert!(engine.prepared(second.0).is_some(), "the newest stays, even if it is too large");
    let executed = engine.execute(&kept, attempt("1", Default::default()), Arc::new(InMemory::default()));
    assert_eq!(executed.outcome, Outcome::Succeeded(b"1".to_vec()), "who holds it can go on");
}

#[test]
fn a_compiled_component_survives_the_process_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let config =
        || Config { limits: limits(), slots: 1, cache_dir: Some(dir.path().join("cache")), ..Config::default() };
    let (digest, bytes) = component("echo");
    for _ in 0..2 {
        let engine = Engine::new(config()).unwrap();
        let prepared = engine.prepare(digest, &bytes).unwrap();
        let executed = engine.execute(&prepared, attempt("1", Default::default()), Arc::new(InMemory::default()));
        assert_eq!(executed.outcome, Outcome::Succeeded(b"1".to_vec()));
    }
    assert!(std::fs::read_dir(dir.path().join("cache")).unwrap().next().is_some());
}

#[test]
fn a_component_that_does_not_fit_the_pool_gets_instances_on_demand() {
    let config = Config { limits: Limits { memory_bytes: 64 << 10, ..limits() }, slots: 1, ..Config::default() };
    let engine = Engine::new(config).unwrap();
    let (digest, bytes) = component("echo");
    let prepared = engine.prepare(digest, &bytes).expect("on demand, every component that is valid fits");
    let executed = engine.execute(&prepared, attempt("1", Default::default()), Arc::new(InMemory::default()));
    let Outcome::Failed(failure) = executed.outcome else { panic!("{:?}", executed.outcome) };
    assert!(failure.message.contains("memory may take 65536 bytes"), "the limit holds there too: {}", failure.message);
}

#[test]
fn a_full_pool_refuses_nobody() {
    let engine = Engine::new(Config { limits: limits(), slots: 0, ..Config::default() }).unwrap();
    let (digest, bytes) = component("runaway");
    let prepared = engine.prepare(digest, &bytes).unwrap();
    let memory = Arc::new(InMemory::default());
    let looping = || engine.execute(&prepared, attempt(r#"{"mode": "loop"}"#, Default::default()), memory.clone());
    std::thread::scope(|scope| {
        // More at a time than the pool has instances.
        let loops: Vec<_> = (0..8).map(|_| scope.spawn(looping)).collect();
        let executed =
            engine.execute(&prepared, attempt(r#"{"mode": {"log": 1}}"#, Default::default()), memory.clone());
        assert_eq!(executed.outcome, Outcome::Succeeded(b"null".to_vec()));
        memory.stop_with(Stop::Draining);
        let outcomes: Vec<_> = loops.into_iter().map(|thread| thread.join().unwrap().outcome).collect();
        assert_eq!(outcomes, vec![Outcome::HandedBack; 8]);
    });
}

#[test]
fn a_component_describes_itself() {
    for plugin in ["echo", "batch", "clock", "fetch", "flaky", "runaway"] {
        let (digest, bytes) = component(plugin);
        let prepared = engine().prepare(digest, &bytes).unwrap();
        let manifest = engine().describe(&prepared).unwrap();
        assert_eq!(manifest.name, plugin);
        assert!(!manifest.version.is_empty() && !manifest.description.is_empty(), "{manifest:?}");
        let needs = if ["fetch", "runaway"].contains(&plugin) { vec!["http"] } else { vec![] };
        assert_eq!(manifest.needs, needs, "{plugin}");
        let json = serde_json::to_vec(&manifest).unwrap();
        assert_eq!(serde_json::from_slice::<pawl_engine::Manifest>(&json).unwrap(), manifest);
    }
}

/// A component with these exports, which imports an instance and expects `types` for nothing: see
/// <https://github.com/WebAssembly/component-model/blob/main/design/mvp/Binary.md>.
fn importing(name: &str, types: &[u8]) -> Vec<u8> {
    let size = |bytes: usize| u8::try_from(bytes).unwrap();
    let instance = [&[1 + size(usize::from(!types.is_empty())), 0x42, 0], types].concat();
    let import = [&[1, 0, size(name.len())], name.as_bytes(), &[5, 0]].concat();
    let exports = b"\x02\0\x03run\x05\0\0\0\x08describe\x05\0\0";
    let section = |id: u8, content: &[u8]| [&[id, size(content.len())], content].concat();
    [COMPONENT_HEADER, &section(7, &instance), &section(10, &import), &section(11, exports)].concat()
}

#[test]
fn what_the_host_does_not_have_is_named_with_what_it_has() {
    const STREAM: &[u8] = &[0x66, 0];
    let later = "but Pawl offers WASI 0.2: compile it for WASI 0.2, in Rust with the target `wasm32-wasip2`";
    for (import, types, says) in [
        ("wasi:clocks/system-clock@0.3.0", &[][..], later),
        ("wasi:cli/stdin@0.3.0", STREAM, later),
        ("wasi:keyvalue/store@0.2.0", &[], "which Pawl does not offer to steps: they have `pawl:step` and WASI 0.2"),
        ("wasi:http/incoming-handler@0.2.0", &[], "which Pawl does not offer to steps"),
    ] {
        let text = refused(engine(), &importing(import, types)).to_string();
        assert!(text.starts_with(&format!("the component imports `{import}`, {says}")), "{text:?}");
    }
}
