//! Millions of short runs pass while somebody holds an old snapshot (a dump, a replica's feedback), under which nothing that
//! was changed or deleted can be cleared away: no lease is lost, and a heartbeat costs what it did.

use std::time::{Duration, Instant};

use anyhow::Result;
use pawl_tests::crowd::{Asked, Sweep};
use pawl_tests::{Cluster, Crowd, bounds, wait};
use serde_json::json;

use crate::pipelines;

const WORKERS: [&str; 2] = ["a", "b"];

#[test]
fn short_runs_that_pass_under_an_old_snapshot_cost_no_lease() -> Result<()> {
    pass("passing", 20_000)
}

#[test]
#[ignore = "millions of runs take a quarter of an hour"]
fn pressure_two_million_short_runs_pass_under_an_old_snapshot() -> Result<()> {
    pass("million_passing", 2_000_000)
}

fn pass(name: &str, runs: usize) -> Result<()> {
    let mut cluster = Cluster::start(name)?;
    pipelines::chain(&cluster, 1)?;
    for worker in WORKERS {
        cluster.worker(worker).default_slots().default_lease().start()?;
    }
    let mut crowd = Crowd::of(&cluster)?;
    // Everybody has met everything.
    tenth(&cluster, &mut crowd, 1_000)?;
    let snapshot = cluster.database.snapshot()?;
    let mut tenths = Vec::new();
    for number in 1..=10 {
        let begun = Instant::now();
        let asked = tenth(&cluster, &mut crowd, runs / 10)?;
        let rate = (runs / 10) as f64 / begun.elapsed().as_secs_f64();
        let [beat, look] = asked;
        eprintln!(
            "{number}/10 of {runs}: {rate:.0} runs/s, {} heartbeats of {:.2} ms and {} pages, {} looks of {:.2} ms and {} pages",
            beat.calls,
            beat.mean_ms,
            beat.pages_each(),
            look.calls,
            look.mean_ms,
            look.pages_each()
        );
        tenths.push(asked);
    }
    drop(snapshot);
    for worker in WORKERS {
        let log = std::fs::read_to_string(cluster.log(worker))?;
        assert!(
            !log.contains("the lease ran out") && !log.contains("was not renewed"),
            "worker {worker} lost its lease"
        );
    }
    let lost: i64 = cluster.database.value("select count(*) from step where crashes > 0 or attempts > 1")?;
    assert_eq!(lost, 0, "a step was taken over");
    let ([first, _], [last, _]) = (tenths[0], tenths[9]);
    // A worker's own row leaves its past versions behind, about a page of them a minute.
    let minutes = tenths.iter().map(|[beat, _]| beat.calls).sum::<i64>() / 60;
    assert!(
        last.pages_each() <= first.pages_each() + 6 + minutes,
        "{} pages, then {}",
        first.pages_each(),
        last.pages_each()
    );
    assert!(last.mean_ms <= 50.0, "a heartbeat took {:.2} ms, then {:.2}", first.mean_ms, last.mean_ms);
    cluster.finish()
}

/// So many runs are submitted and drained. Tells what heartbeats and looks cost meanwhile.
fn tenth(cluster: &Cluster, crowd: &mut Crowd, runs: usize) -> Result<[Asked; 2]> {
    crowd.count_from_now()?;
    crowd.submit_and_deliver(("chain-1", 1), &json!(1), runs)?;
    let stream = cluster.stream("default", "normal")?;
    // In the stream until it is acknowledged.
    wait::until_true(bounds::RECOVERY + Duration::from_millis(runs as u64), "all to be drained", || {
        Ok(cluster.redis.command::<i64>(&["XLEN", &stream])? == 0)
    })?;
    let mut beat = Asked::default();
    wait::until_true(bounds::RUN, "some heartbeats", || {
        beat = crowd.asked(Sweep::Heartbeat)?;
        Ok(beat.calls >= 4)
    })?;
    Ok([beat, crowd.asked(Sweep::Look)?])
}
