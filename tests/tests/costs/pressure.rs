//! The same with a million: for a person who wants to see times. Pages are asserted, times are said.

use std::time::{Duration, Instant};

use anyhow::Result;
use pawl_domain::namespace::Namespace;
use pawl_store::doctor::Invariants as _;
use pawl_store::events::Events as _;
use pawl_store::leases::Sweeps as _;
use pawl_store::live::Live as _;
use pawl_store::recoveries::Recoveries as _;
use pawl_store::runs::Runs as _;
use pawl_tests::runtime::block_on;

use crate::filled::{Filled, server};
use crate::lists::{Page, pages};
use crate::sweeps::{heartbeat_pages, look, looked, pass_through, worker};

const MILLION: u32 = 1_000_000;

/// Does it once for the plans, and once for the clock.
fn timed<T>(what: &str, work: impl Fn() -> Result<T>) -> Result<T> {
    work()?;
    let begun = Instant::now();
    let done = work()?;
    eprintln!("{what}: {:.1} ms", begun.elapsed().as_secs_f64() * 1e3);
    Ok(done)
}

#[test]
#[ignore = "a million runs take minutes"]
fn pressure_lists_explanations_events_and_sweeps_with_a_million_runs() -> Result<()> {
    let (server, _folder) = server()?;
    let filled = Filled::with(&server, "million", MILLION)?;
    let store = &filled.store;
    let namespace = Namespace::default();
    for Page { what, filter, runs } in pages(&namespace, &filled)? {
        assert_eq!(timed(what, || Ok(block_on(store.runs(&filter))?))?.len(), runs);
        let read = filled.pages(async |store| store.runs(&filter).await)?;
        assert!(read <= 400, "{what}: {read} pages");
    }
    let queued = filled.run("status = 'pending' order by created_at desc")?;
    timed("an explanation", || Ok(block_on(store.live_steps(queued, 100))?))?;
    let ended = filled.run("status = 'succeeded'")?;
    timed("events", || Ok(block_on(store.events(ended, 3, 500))?))?;
    let (mut link, me) = worker(store)?;
    timed("a look at everything", || Ok(block_on(store.look(&look(me, "elsewhere", None)))?))?;
    timed("a takeover", || Ok(block_on(store.take_over(1_000, true, Default::default()))?))?;
    timed("interrupted runs", || Ok(block_on(store.interrupted(&namespace, Duration::ZERO, 1_000))?))?;
    timed("a comparison", || Ok(block_on(store.running_of(me))?))?;
    let beat = heartbeat_pages(&filled, &mut link, me)?;
    assert!(beat <= 30, "a heartbeat: {beat} pages");
    filled.database.execute("select pg_stat_statements_reset()")?;
    assert_eq!(block_on(store.doctor(Duration::from_secs(60), false))?, [], "all is well");
    let slowest = filled.database.lines(
        "select format('%s ms on average, %s of a thousand, %s at most', round(mean_exec_time::numeric, 1),
                       round((mean_exec_time + 3 * stddev_exec_time)::numeric, 1), round(max_exec_time::numeric, 1))
         from pg_stat_statements where calls > 100 order by mean_exec_time desc limit 1",
    )?;
    eprintln!("the doctor, a piece of its slowest statement: {}", slowest.join(", "));
    Ok(())
}

#[test]
#[ignore = "a million steps take minutes"]
fn pressure_a_heartbeat_is_flat_while_a_million_steps_pass_under_an_old_snapshot() -> Result<()> {
    let (server, _folder) = server()?;
    let filled = Filled::with(&server, "kept", 1_000)?;
    let (mut link, me) = worker(&filled.store)?;
    let (mut pulse, _) = looked(&filled, me, None)?;
    let first = heartbeat_pages(&filled, &mut link, me)?;
    let _snapshot = filled.database.snapshot()?;
    for round in 1..=10 {
        pass_through(&filled, pulse.now_ms - 5_000, MILLION / 10)?;
        let begun = Instant::now();
        let beat = heartbeat_pages(&filled, &mut link, me)?;
        let took = begun.elapsed();
        let (seen, once) = looked(&filled, me, Some(&pulse))?;
        let (seen, again) = looked(&filled, me, Some(&seen))?;
        pulse = seen;
        eprintln!(
            "{round}00,000 steps: a heartbeat reads {beat} pages (two in {took:?}), a look {once}, the next one {again}"
        );
        assert!(beat <= first + 20, "a heartbeat: {beat} pages, {first} before");
        assert!(again <= 200, "a look: {again} pages");
    }
    Ok(())
}
