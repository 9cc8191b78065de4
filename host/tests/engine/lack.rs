//! What a machine lacks is never the guest's fault, and what one guest takes is never another's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use pawl_domain::attempt::{Cause, Outcome};
use pawl_domain::id::Digest;
use pawl_domain::journal::{Entry, History};
use pawl_domain::limits::Limits;
use pawl_engine::in_memory::InMemory;
use pawl_engine::{Config, Engine, Executed, Prepared};

use crate::setup::{attempt, component, failure, output};

const MIB: usize = 1 << 20;

/// Of this process, whose tests run in processes of their own: what it may take beside what it has.
fn allow_only(more: usize) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let has = status.lines().find_map(|line| line.strip_prefix("VmData:")).unwrap().trim();
    let has: usize = has.strip_suffix("kB").unwrap().trim().parse::<usize>().unwrap() << 10;
    let limit = format!("--data={}", has + more);
    let pid = std::process::id().to_string();
    let limited = std::process::Command::new("prlimit").args(["--pid", &pid, &limit]).status().unwrap();
    assert!(limited.success());
}

fn engine(memory_bytes: usize, budget_bytes: usize) -> Engine {
    let limits = Limits { memory_bytes, checkpoint_bytes: MIB, ..Limits::default() };
    Engine::new(Config { limits, slots: 4, memory_bytes: budget_bytes, ..Config::default() }).unwrap()
}

fn prepare(engine: &Engine, bytes: &[u8]) -> Arc<Prepared> {
    engine.prepare(Digest::of(bytes), bytes).unwrap()
}

fn run(engine: &Engine, prepared: &Prepared, input: &str, history: History) -> Executed {
    engine.execute(prepared, attempt(input, history), Arc::new(InMemory::default()))
}

/// One of the example plugins, with one more module in it, of which there is one instance: it has so many memories of
/// so many pages each.
fn with_memories(plugin: &str, count: u32, pages: u32) -> Vec<u8> {
    let (_, mut bytes) = component(plugin);
    let mut memories = number(count);
    (0..count).for_each(|_| memories.extend([vec![0], number(pages)].concat()));
    let module = [b"\0asm\x01\0\0\0".to_vec(), section(5, &memories)].concat();
    let instance = [number(1), vec![0], number(core_modules(&bytes)), number(0)].concat();
    bytes.extend(section(1, &module));
    bytes.extend(section(2, &instance));
    bytes
}

/// Modules that a component consists of: each is a section, and those of components in it count for themselves.
/// <https://github.com/WebAssembly/component-model/blob/main/design/mvp/Binary.md>
fn core_modules(component: &[u8]) -> u32 {
    let (mut count, mut at) = (0, 8);
    while at < component.len() {
        count += u32::from(component[at] == 1);
        let (mut size, mut shift) = (0, 0);
        loop {
            at += 1;
            size |= usize::from(component[at] & 0x7f) << shift;
            shift += 7;
            if component[at] & 0x80 == 0 {
                break;
            }
        }
        at += 1 + size;
    }
    count
}

fn section(id: u8, contents: &[u8]) -> Vec<u8> {
    [vec![id], number(contents.len() as u32), contents.to_vec()].concat()
}

/// In LEB128.
fn number(mut number: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

#[test]
fn a_machine_without_memory_gives_the_step_back_and_the_guest_never_sees_it() {
    let engine = engine(256 * MIB, 512 * MIB);
    let prepared = prepare(&engine, &component("runaway").1);
    allow_only(100 * MIB);
    let executed = run(&engine, &prepared, r#"{"mode": {"touch": 200000000}}"#, History::default());
    assert_eq!((executed.outcome, executed.cut), (Outcome::HandedBack, None));
}

#[test]
fn an_instance_that_the_machine_has_no_memory_for_is_no_divergence() {
    let engine = engine(256 * MIB, 512 * MIB);
    let prepared = prepare(&engine, &with_memories("clock", 1, 3_200));
    let past = || History { segments: vec![(0, vec![Entry::Now { unix_ns: 1 }])], length: 1, ..History::default() };
    output(&run(&engine, &prepared, r#"{"entries": 1}"#, past()));
    allow_only(100 * MIB);
    let executed = run(&engine, &prepared, r#"{"entries": 1}"#, past());
    assert_eq!((executed.outcome, executed.cut), (Outcome::HandedBack, None));
}

#[test]
fn a_small_component_cannot_reserve_the_addresses_of_the_machine() {
    let engine = engine(64 * MIB, 512 * MIB);
    output(&run(&engine, &prepare(&engine, &with_memories("echo", 4, 0)), "1", History::default()));
    let greedy = with_memories("echo", 100, 0);
    assert!(greedy.len() < component("echo").1.len() + 1_000);
    let executed = run(&engine, &prepare(&engine, &greedy), "1", History::default());
    let message = &failure(&executed, Cause::Limit).message;
    assert!(message.contains("consists of too much") && message.contains("memory count too high"), "{message}");
}

#[test]
fn guests_wait_for_memory_that_others_have_and_all_succeed() {
    let engine = engine(64 * MIB, 160 * MIB);
    let prepared = prepare(&engine, &component("runaway").1);
    let echo = prepare(&engine, &component("echo").1);
    let (has_ended, most) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !has_ended.load(Ordering::Relaxed) {
                most.fetch_max(engine.memory().held_bytes(), Ordering::Relaxed);
                std::thread::yield_now();
            }
        });
        let greedy = || {
            output(&run(&engine, &prepared, r#"{"mode": {"touch": 50000000}}"#, History::default()));
            output(&run(&engine, &echo, "1", History::default()));
        };
        let guests: Vec<_> = (0..12).map(|_| scope.spawn(greedy)).collect();
        let ended: Vec<_> = guests.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        has_ended.store(true, Ordering::Relaxed);
        ended.into_iter().for_each(Result::unwrap);
    });
    let most = most.into_inner();
    assert!((50_000_000..=160 * MIB).contains(&most), "{most} were held at a time");
    assert_eq!((engine.memory().held_bytes(), engine.memory().waiting()), (0, 0));
}

#[test]
fn results_of_once_count_as_memory_until_a_checkpoint_lets_go_of_them() {
    let engine = engine(16 * MIB, 512 * MIB);
    let prepared = prepare(&engine, &component("runaway").1);
    let entries = |checkpoint_every: u32| {
        let mode = format!(r#"{{"count": 20, "bytes": 1000000, "checkpoint_every": {checkpoint_every}}}"#);
        run(&engine, &prepared, &format!(r#"{{"mode": {{"entries": {mode}}}}}"#), History::default())
    };
    let broken = entries(100);
    let message = &failure(&broken, Cause::Limit).message;
    assert!(message.contains("the results of once() since the last checkpoint have"), "{message}");
    output(&entries(5));
}
