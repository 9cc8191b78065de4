//! How fast a queue is drained does not hang on how much is in it, nor much on whether Redis has lost it.

use std::time::Duration;

use anyhow::Result;
use pawl_tests::{Cluster, Crowd, bounds, wait};
use serde_json::json;

use crate::pipelines;

/// Whether a run has not ended.
const LEFT: &str = "select exists (select from run where namespace = 'default' and status in ('pending', 'running'))";

/// A queue that Redis has lost is drained with at least this share of the rate.
const LOST: f64 = 0.5;

#[test]
fn a_queue_that_redis_has_lost_is_drained_at_half_the_rate_at_least() -> Result<()> {
    let mut cluster = Cluster::start("drain_lost")?;
    pipelines::chain(&cluster, 1)?;
    let mut crowd = Crowd::of(&cluster)?;
    let mut drains = Drains::default();
    drains.once(&mut cluster, &mut crowd, 1_000, false)?;
    let known = drains.once(&mut cluster, &mut crowd, 40_000, false)?;
    let lost = drains.once(&mut cluster, &mut crowd, 40_000, true)?;
    eprintln!("drained at {known:.0} runs/s; lost by Redis before: {lost:.0} runs/s");
    assert!(lost >= LOST * known, "{lost:.0} runs/s of {known:.0}");
    cluster.finish()
}

#[test]
#[ignore = "a million runs take minutes"]
fn pressure_drain_rates_of_a_thousand_to_a_million() -> Result<()> {
    let mut cluster = Cluster::start("drain_rates")?;
    pipelines::chain(&cluster, 1)?;
    let mut crowd = Crowd::of(&cluster)?;
    let mut drains = Drains::default();
    drains.once(&mut cluster, &mut crowd, 10_000, false)?;
    let mut medians = Vec::new();
    let mut of = [(1_000, 11, Vec::new()), (10_000, 5, Vec::new()), (100_000, 3, Vec::new())];
    // In turns, so that all sizes meet the same machine.
    for round in 0..11 {
        for (size, times, rates) in &mut of {
            if round < *times {
                rates.push(drains.once(&mut cluster, &mut crowd, *size, false)?);
            }
        }
    }
    for (size, _, rates) in &mut of {
        rates.sort_by(f64::total_cmp);
        eprintln!("{size} queued: {:.0} runs/s (from {:.0} to {:.0})", median(rates), rates[0], rates[rates.len() - 1]);
        medians.push(median(rates));
    }
    let million = drains.once(&mut cluster, &mut crowd, 1_000_000, false)?;
    eprintln!("1000000 queued: {million:.0} runs/s");
    medians.push(million);
    let lost = drains.once(&mut cluster, &mut crowd, 100_000, true)?;
    eprintln!("100000 queued and lost by Redis: {lost:.0} runs/s");
    let (least, most) =
        medians.iter().fold((f64::MAX, 0.0_f64), |(least, most), rate| (least.min(*rate), most.max(*rate)));
    eprintln!("flat within {:.0} %", (1.0 - least / most) * 100.0);
    assert!(least >= 0.8 * most, "from {least:.0} to {most:.0} runs/s");
    assert!(lost >= LOST * medians[2], "{lost:.0} runs/s after Redis had lost them");
    cluster.finish()
}

fn median(sorted: &[f64]) -> f64 {
    sorted[sorted.len() / 2]
}

/// Queues that were filled before a worker came, and drained by it.
#[derive(Default)]
struct Drains {
    count: usize,
}

impl Drains {
    /// One of them; runs a second, without its first tenth, in which the worker begins.
    fn once(&mut self, cluster: &mut Cluster, crowd: &mut Crowd, runs: usize, lost: bool) -> Result<f64> {
        let since: String = cluster.database.value("select clock_timestamp()::text")?;
        crowd.submit_and_deliver(("chain-1", 1), &json!(1), runs)?;
        if lost {
            cluster.redis.flush_all()?;
        }
        self.count += 1;
        let name = format!("drain-{}", self.count);
        cluster.worker(&name).default_slots().default_lease().start()?;
        let stream = cluster.stream("default", "normal")?;
        wait::until_true(bounds::RECOVERY + Duration::from_millis(runs as u64), "all to be drained", || {
            // Asked of Redis as long as that says enough: it is cheap.
            let empty = lost || cluster.redis.command::<i64>(&["XLEN", &stream])? == 0;
            Ok(empty && !cluster.database.value::<bool>(LEFT)?)
        })?;
        let status = cluster.the(&name)?.terminate(bounds::PROCESS)?;
        anyhow::ensure!(status.success(), "worker {name} ended with {status}");
        let ended = "extract(epoch from ended_at)::float8";
        cluster.database.value(&format!(
            "select count(*) * 0.9::float8 / (max({ended}) - percentile_disc(0.1) within group (order by {ended}))
             from run where created_at >= '{since}'"
        ))
    }
}
