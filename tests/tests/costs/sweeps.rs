//! Heartbeats, looks and sweeps: they read what has happened, not what waits, runs elsewhere, or has gone.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use pawl_dispatch::SWEEP;
use pawl_domain::id::WorkerId;
use pawl_domain::pipeline::Priority;
use pawl_domain::suspicion::Suspicion;
use pawl_queue::InProcess;
use pawl_store::circuits::Circuits as _;
use pawl_store::incidents::Incidents as _;
use pawl_store::leases::{Heartbeat, Look, Pulse, ReadyFrom, Sweeps as _};
use pawl_store::{Link, Postgres, Schema as _};
use pawl_tests::runtime::{block_on, handle};
use pawl_tests::{bounds, wait};
use pawl_worker::scheduler::{Scheduler, timers};

use crate::filled::{Both, Filled, LARGE, server};

const LEASE_MS: u32 = 5_000;

fn beat(worker: WorkerId, begin: bool) -> Heartbeat<'static> {
    Heartbeat {
        worker,
        lease_ms: 60_000,
        begin,
        host: "here",
        pid: 7,
        slots: 3,
        queues: &[],
        running: 0,
        draining: false,
        version: "test",
        clock_ms: 0,
    }
}

/// A look for a worker of one queue.
pub fn look<'a>(worker: WorkerId, queue: &'a str, from: Option<&Pulse>) -> Look<'a> {
    let safe_ms = |pulse: &Pulse| pulse.now_ms - i64::from(LEASE_MS);
    let from_ms = from.map(|pulse| pulse.oldest_ready_ms.first().copied().flatten().unwrap_or(safe_ms(pulse)));
    Look {
        worker,
        due_from_ms: from.map(safe_ms),
        horizon_ms: LEASE_MS,
        ready: vec![ReadyFrom { queue, priority: Priority::Normal, from_ms }],
        margin_ms: LEASE_MS,
    }
}

/// A worker that is there.
pub fn worker(store: &Postgres) -> Result<(Box<dyn Link>, WorkerId)> {
    let (mut link, worker) = (store.link(), WorkerId::new());
    block_on(link.heartbeat(&beat(worker, true)))?;
    Ok((link, worker))
}

/// Pages of one heartbeat.
pub fn heartbeat_pages(filled: &Filled, link: &mut Box<dyn Link>, worker: WorkerId) -> Result<i64> {
    block_on(link.heartbeat(&beat(worker, false)))?;
    filled.database.execute("select pg_stat_statements_reset()")?;
    anyhow::ensure!(block_on(link.heartbeat(&beat(worker, false)))?.alive, "the lease is renewed");
    filled.counted("sum(shared_blks_hit + shared_blks_read)")
}

#[test]
fn sweeps_do_not_read_what_waits_sleeps_or_has_ended() -> Result<()> {
    let both = Both::start()?;
    let me = WorkerId::new();
    // A tenth of all runs wait in a queue that nobody serves, another tenth sleeps.
    both.same_pages("a look", 60, async |store| store.look(&look(me, "default", None)).await)?;
    both.same_pages("a look into the long queue", 60, async |store| store.look(&look(me, "elsewhere", None)).await)?;
    let lost = |queue| ReadyFrom { queue, priority: Priority::Normal, from_ms: None };
    let now_ms = 4_102_444_800_000;
    both.same_pages("a search for what is lost elsewhere", 10, async |store| {
        assert_eq!(store.lost(lost("default"), now_ms, 1_000).await.expect("a search"), []);
    })?;
    both.same_pages("a search for what is lost in the long queue", 10, async |store| {
        assert_eq!(store.lost(lost("elsewhere"), 0, 1_000).await.expect("a search"), [], "its messages are unread");
    })?;
    both.same_pages("a wake", 10, async |store| assert_eq!(store.wake(1_000, None).await.expect("a sweep"), []))?;
    for strays in [false, true] {
        both.same_pages("a takeover", 10, async |store| {
            assert_eq!(store.take_over(1_000, strays, Suspicion::default()).await.expect("a sweep"), []);
        })?;
    }
    both.same_pages("circuits, while there are none", 10, async |store| {
        assert!(store.tend_circuits(1_000).await.expect("a sweep").circuits.is_empty());
    })?;
    both.same_pages("a look at what nobody attends to", 40, async |store| {
        assert_eq!(store.unattended().await.expect("a look"), ["elsewhere"]);
    })?;
    both.same_pages("a comparison", 10, async |store| assert_eq!(store.running_of(me).await.expect("steps"), []))?;
    Ok(())
}

/// What the commits that made a worker's steps run would have left.
pub fn claim_of(worker: WorkerId) -> String {
    format!(
        "insert into claim (worker_id, runs, steps)
         select worker_id, array_agg(run_id), array_agg(step_no) from step
         where status = 'running' and worker_id = '{worker}' group by worker_id"
    )
}

#[test]
fn a_takeover_reads_the_steps_of_the_dead_and_not_those_beside_them() -> Result<()> {
    let both = Both::start()?;
    // Every queued run has a step at a worker that lives, the newest at one that is gone.
    let (living, gone) = (WorkerId::new(), WorkerId::new());
    for Filled { store, database, .. } in [&both.small, &both.large] {
        let mut link = store.link();
        block_on(link.heartbeat(&beat(living, true)))?;
        database.execute(&format!(
            "update step s set status = 'running', ready_at = null, fence = 1, attempts = 1, claimed_at = now(),
                               started_at = now(), worker_id = '{living}'
             where status = 'ready';
             update run set status = 'running', running = 1, started_at = now() where status = 'pending';
             {}",
            claim_of(living)
        ))?;
        database.execute("vacuum (analyze)")?;
    }
    // Each time that it is counted, three steps are to be taken over.
    let taken = |filled: &Filled| -> Result<i64> {
        for _ in 0..2 {
            filled.database.execute(&format!(
                "update step set worker_id = '{gone}' where (run_id, step_no) in (
                     select run_id, step_no from step where status = 'running' and worker_id = '{living}' limit 3);
                 {}",
                claim_of(gone)
            ))?;
            filled.database.execute("select pg_stat_statements_reset()")?;
            let taken = block_on(filled.store.take_over(1_000, true, Suspicion::default()))?;
            assert_eq!(taken.len(), 3);
        }
        filled.counted("sum(shared_blks_hit + shared_blks_read)")
    };
    let (small, large) = (taken(&both.small)?, taken(&both.large)?);
    eprintln!("a takeover of three steps: {small} pages beside 200 running steps, {large} beside 2,000");
    assert!(large <= small + 20 && large <= 400, "{small} pages beside 200 running steps, {large} beside 2,000");
    Ok(())
}

#[test]
fn what_an_old_snapshot_keeps_is_walked_over_once() -> Result<()> {
    let (server, _folder) = server()?;
    let filled = Filled::with(&server, "kept", 100)?;
    let (mut link, me) = worker(&filled.store)?;
    let (mut pulse, _) = looked(&filled, me, None)?;
    // The second time, statements have their plans.
    for _ in 0..2 {
        (pulse, _) = looked(&filled, me, Some(&pulse))?;
    }
    let (before, of_look) = looked(&filled, me, Some(&pulse))?;
    let of_beat = heartbeat_pages(&filled, &mut link, me)?;
    pulse = before;
    let _snapshot = filled.database.snapshot()?;
    for _ in 0..2 {
        pass_through(&filled, pulse.now_ms - i64::from(LEASE_MS), 3_000)?;
        let beat = heartbeat_pages(&filled, &mut link, me)?;
        let (walked, once) = looked(&filled, me, Some(&pulse))?;
        let (again, look) = looked(&filled, me, Some(&walked))?;
        let due_ms = again.now_ms - i64::from(LEASE_MS);
        let wake =
            filled.pages(async |store| assert_eq!(store.wake(1_000, Some(due_ms)).await.expect("a sweep"), []))?;
        eprintln!(
            "3,000 steps passed: a heartbeat {beat} pages, {of_beat} before; the first look {once}, the next {look}, {of_look} before; a wake {wake}"
        );
        assert!(beat <= of_beat + 6, "a heartbeat: {beat} pages, {of_beat} before");
        assert!(once >= 500, "the test leaves something behind: {once} pages");
        assert!(look <= of_look + 12, "a look: {look} pages, {of_look} before");
        assert!(wake <= 20, "a wake: {wake} pages");
        pulse = again;
    }
    Ok(())
}

/// Steps become ready and due a moment after `edge_ms`, and go: nothing is left of them but what old snapshots keep.
pub fn pass_through(filled: &Filled, edge_ms: i64, steps: u32) -> Result<()> {
    let run = filled.run("status = 'pending'")?;
    let at = format!("timestamptz 'epoch' + ({edge_ms} + 1 + step_no % 3) * interval '1 ms'");
    for change in [
        format!(
            "insert into step (run_id, step_no, queue, priority, status, unmet, ready_at, component)
             select '{run}', step_no, 'default', 'normal', 'ready', 0, {at}, sha256('c')
             from (select step_no + coalesce((select max(step_no) from step where run_id = '{run}'), 0) as step_no
                   from generate_series(1, {steps}) as step_no) as new"
        ),
        format!(
            "update step set status = 'waiting', ready_at = null, due_at = {at} where run_id = '{run}' and step_no > 0 and ready_at is not null"
        ),
        format!(
            "update step set status = 'cancelled', due_at = null, ended_at = now() where run_id = '{run}' and step_no > 0 and due_at is not null"
        ),
    ] {
        filled.database.execute(&change)?;
    }
    Ok(())
}

/// A look from where the last one ended, and the pages of it.
pub fn looked(filled: &Filled, me: WorkerId, from: Option<&Pulse>) -> Result<(Pulse, i64)> {
    filled.database.execute("select pg_stat_statements_reset()")?;
    let pulse = block_on(filled.store.look(&look(me, "default", from)))?;
    Ok((pulse, filled.counted("sum(shared_blks_hit + shared_blks_read)")?))
}

/// Two thousand steps are due, and only one pulse says so.
#[test]
fn one_pulse_wakes_all_that_is_due() -> Result<()> {
    let (server, _folder) = server()?;
    let filled = Filled::with(&server, "due", LARGE)?;
    filled.database.execute("update step set due_at = now() - interval '1 minute' where due_at is not null")?;
    let left = "select count(*) from step where due_at < now()";
    assert!(filled.database.value::<i64>(left)? > SWEEP as i64, "more than one sweep takes");
    let (pulse, pulses) = tokio::sync::watch::channel(Pulse::default());
    let (adopted, _adoptions) = tokio::sync::mpsc::unbounded_channel();
    let scheduler = Scheduler {
        free_slots: Arc::new(|| 0),
        store: Arc::new(filled.store.clone()),
        queue: Arc::new(InProcess::default()),
        worker: WorkerId::new(),
        streams: Vec::new(),
        lease: Duration::from_secs(60),
        suspicion: Suspicion::default(),
        pulse: pulses,
        prodded: Arc::default(),
        died: Arc::default(),
        ended: Arc::default(),
        edges: Arc::default(),
        adopted,
    };
    let timers = handle().spawn(timers::run(scheduler));
    let now_ms = 1_800_000_000_000;
    pulse.send(Pulse { now_ms, next_due_ms: Some(now_ms), ..Pulse::default() })?;
    wait::until_true(bounds::RUN, "all to be woken", || Ok(filled.database.value::<i64>(left)? == 0))?;
    timers.abort();
    Ok(())
}
