//! How fast a queue is drained does not hang on how much is in it, nor much on whether Redis has lost it.

use std::time::Duration;

use anyhow::Result;
use pawl_tests::{Cluster, Crowd, bounds, wait};
use serde_json::json;

use crate::pipelines;

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

/// The rate is looked at while so many are left, from and to, of queues that were filled with more: what a worker reads and claims
/// before it is up to speed is behind it then, and what a thousand runs meet, whatever else lies there, are the same tables.
const DEPTHS: [(usize, usize); 4] = [(2_000, 1_000), (9_000, 5_000), (90_000, 50_000), (900_000, 500_000)];

#[test]
#[ignore = "a million runs take minutes"]
fn pressure_drain_rates_of_a_thousand_to_a_million() -> Result<()> {
    let mut cluster = Cluster::start("drain_rates")?;
    pipelines::chain(&cluster, 1)?;
    let mut crowd = Crowd::of(&cluster)?;
    let mut drains = Drains::default();
    drains.once(&mut cluster, &mut crowd, 10_000, false)?;
    let mut rates: [Vec<f64>; DEPTHS.len()] = Default::default();
    // In turns, so that all depths meet the same machine.
    for round in 0..20 {
        for (size, times) in [(10_000, 20), (100_000, 7), (1_000_000, 1)] {
            if round < times {
                let since = drains.fill(&cluster, &mut crowd, size)?;
                drains.drain(&mut cluster, none_left)?;
                for ((from, to), rates) in DEPTHS.iter().zip(&mut rates).filter(|((from, _), _)| *from < size) {
                    rates.push(rate_while(&cluster, &since, *from, *to)?);
                }
            }
        }
    }
    let lost = drains.once(&mut cluster, &mut crowd, 100_000, true)?;
    eprintln!("100000 queued and lost by Redis: {lost:.0} runs/s");
    let mut medians = Vec::new();
    for ((from, to), rates) in DEPTHS.iter().zip(&mut rates) {
        rates.sort_by(f64::total_cmp);
        let (least, most) = (rates[0], rates[rates.len() - 1]);
        eprintln!(
            "{from} to {to} queued: {:.0} runs/s ({} times, from {least:.0} to {most:.0})",
            median(rates),
            rates.len()
        );
        medians.push(median(rates));
    }
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
    queued: usize,
}

impl Drains {
    /// One of them; runs a second, without its first tenth, in which the worker begins.
    fn once(&mut self, cluster: &mut Cluster, crowd: &mut Crowd, runs: usize, lost: bool) -> Result<f64> {
        let since = self.fill(cluster, crowd, runs)?;
        if lost {
            cluster.redis.flush_all()?;
        }
        self.drain(cluster, if lost { none_in_the_database } else { none_left })?;
        of_all(cluster, &since)
    }

    /// So many runs are queued; when.
    fn fill(&mut self, cluster: &Cluster, crowd: &mut Crowd, runs: usize) -> Result<String> {
        self.queued = runs;
        let since = cluster.database.value("select clock_timestamp()::text")?;
        crowd.submit_and_deliver(("chain-1", 1), &json!(1), runs)?;
        Ok(since)
    }

    /// A new worker drains until then.
    fn drain(&mut self, cluster: &mut Cluster, done: impl Fn(&Cluster) -> Result<bool>) -> Result<()> {
        self.count += 1;
        let name = format!("drain-{}", self.count);
        cluster.worker(&name).default_slots().default_lease().start()?;
        let limit = bounds::RECOVERY + Duration::from_millis(self.queued as u64);
        wait::until_true(limit, "all to be drained", || done(cluster))?;
        let status = cluster.the(&name)?.terminate(bounds::PROCESS)?;
        anyhow::ensure!(status.success(), "worker {name} ended with {status}");
        Ok(())
    }
}

/// Asked of Redis as long as that says enough: it is cheap.
fn none_left(cluster: &Cluster) -> Result<bool> {
    Ok(waiting(cluster)? == 0 && none_in_the_database(cluster)?)
}

fn none_in_the_database(cluster: &Cluster) -> Result<bool> {
    cluster
        .database
        .value("select not exists (select from run where namespace = 'default' and status in ('pending', 'running'))")
}

/// Messages that wait to be read, or were.
fn waiting(cluster: &Cluster) -> Result<usize> {
    cluster.redis.command(&["XLEN", &cluster.stream("default", "normal")?])
}

/// Runs a second of those submitted since then, without the first tenth.
fn of_all(cluster: &Cluster, since: &str) -> Result<f64> {
    let ended = "extract(epoch from ended_at)::float8";
    cluster.database.value(&format!(
        "select count(*) * 0.9::float8 / (max({ended}) - percentile_disc(0.1) within group (order by {ended}))
         from run where created_at >= '{since}'"
    ))
}

/// Runs a second of those submitted since then, while so many of them were left, from and to.
fn rate_while(cluster: &Cluster, since: &str, from: usize, to: usize) -> Result<f64> {
    cluster.database.value(&format!(
        "select count(*)::float8 / extract(epoch from max(ended_at) - min(ended_at))::float8
         from (select ended_at, row_number() over (order by ended_at desc) as place from run where created_at >= '{since}') run
         where place between {to} and {from}"
    ))
}
