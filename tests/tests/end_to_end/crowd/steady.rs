//! An hour of load whose runs are deleted five minutes after their end: nothing grows, and nothing becomes slower. `SOAK_MINUTES`
//! makes it shorter, for a look.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use pawl_tests::process::resident_bytes;
use pawl_tests::{Cluster, Load, bounds};
use serde_json::json;

use crate::pipelines;

/// How often everything is measured; a tenth of the shortest sensible soak.
const MINUTE: Duration = Duration::from_secs(60);

/// How often dead rows are counted: they are a saw's teeth, as autovacuum takes those of a table away once a fifth of it is dead,
/// and how high the teeth of each table are is what may not grow. Once a minute, it would be where on a tooth one looks; and in a
/// sum of all tables, how many of them are near their top together.
const TOOTH: Duration = Duration::from_secs(3);

/// What is measured may grow by so much from the second sixth of the time to the last.
const FLAT: f64 = 1.2;

/// So may the slowest of a hundred runs.
const TIME: f64 = 1.2;

/// Thousands of dead rows, by table.
type Dead = BTreeMap<String, f64>;

/// What was seen at the end of a minute.
struct Sample {
    /// MiB of all tables, with their indexes.
    tables: f64,
    /// Thousands of dead rows of each table, when they were most.
    dead: Dead,
    /// MiB of the API, and of the workers.
    memory: f64,
    /// Milliseconds from submission to end, of the runs that ended in it.
    times: Vec<f64>,
}

#[test]
#[ignore = "an hour of load"]
fn pressure_an_hour_of_load_and_retention_leaves_everything_flat() -> Result<()> {
    let minutes = std::env::var("SOAK_MINUTES").ok().map_or(Ok(60), |minutes| minutes.parse())?;
    let (cluster, samples) = soak("soak", minutes, None)?;
    let sixth = samples.len() / 6;
    ensure!(sixth > 0, "six minutes are the least");
    let (second, last) = (&samples[sixth..2 * sixth], &samples[samples.len() - sixth..]);
    let of = |samples: &[Sample], what: fn(&Sample) -> f64| samples.iter().map(what).fold(0.0, f64::max);
    let mut grown = Vec::new();
    for (what, measure) in
        [("MiB of tables and indexes", (|it| it.tables) as fn(&Sample) -> f64), ("MiB of memory", |it| it.memory)]
    {
        let (before, after) = (of(second, measure), of(last, measure));
        eprintln!("{what}: at most {before:.1} in the second sixth, {after:.1} in the last");
        // Below one there is nothing that could grow.
        if after > FLAT * before.max(1.0) {
            grown.push(what.to_owned());
        }
    }
    let (before, after) = (teeth(second), teeth(last));
    for (table, after) in after {
        let before = before.get(&table).copied().unwrap_or_default();
        if after >= 1.0 {
            eprintln!("thousand dead rows of {table}: at most {before:.1} in the second sixth, {after:.1} in the last");
        }
        if after > FLAT * before.max(1.0) {
            grown.push(format!("dead rows of {table}"));
        }
    }
    let (before, after) = (slowest(second), slowest(last));
    eprintln!("the slowest of a hundred runs: {before:.1} ms in the second sixth, {after:.1} ms in the last");
    ensure!(grown.is_empty(), "grown: {grown:?}");
    ensure!(after <= TIME * before, "{before:.1} ms before, {after:.1} ms after");
    cluster.finish()
}

#[test]
#[ignore = "minutes of load"]
fn pressure_a_snapshot_of_three_minutes_beside_retention_loses_no_lease() -> Result<()> {
    let (cluster, _) = soak("soak_snapshot", 6, Some(2..5))?;
    let lost: i64 = cluster
        .database
        .value("select count(*) from event e, unnest(e.kinds) as kind where kind = 'step.lease_expired'")?;
    ensure!(lost == 0, "{lost} steps lost their worker");
    for worker in ["a", "b"] {
        let log = std::fs::read_to_string(cluster.log(worker))?;
        ensure!(!log.contains("the lease"), "{worker} says:\n{log}");
    }
    cluster.finish()
}

/// So many minutes of load; in some of them a transaction with a snapshot is open.
fn soak(name: &str, minutes: usize, snapshot: Option<std::ops::Range<usize>>) -> Result<(Cluster, Vec<Sample>)> {
    let mut cluster = Cluster::start(name)?;
    pipelines::chain(&cluster, 5)?;
    pipelines::batch(&cluster)?;
    for worker in ["a", "b"] {
        cluster.worker(worker).default_slots().default_lease().set("PAWL_RETENTION_SUCCEEDED", "5m").start()?;
    }
    let loads = [
        Load::start(&cluster.client, "chain-5", Duration::from_millis(20), |number| json!({ "number": number })),
        Load::start(&cluster.client, "batch", Duration::from_millis(200), |_| pipelines::batch_of(20, 1)),
    ];
    let (mut samples, mut open) = (Vec::new(), None);
    let begun = Instant::now();
    for minute in 0..minutes {
        if snapshot.as_ref().is_some_and(|of| of.start == minute) {
            open = Some(cluster.database.snapshot()?);
        }
        if snapshot.as_ref().is_some_and(|of| of.end == minute) {
            open = None;
        }
        let mut dead = dead_rows(&cluster)?;
        let mut most = dead.values().sum::<f64>();
        loop {
            let left = (MINUTE * u32::try_from(minute + 1)?).saturating_sub(begun.elapsed());
            if left.is_zero() {
                break;
            }
            // The time is what is measured.
            std::thread::sleep(left.min(TOOTH));
            let found = dead_rows(&cluster)?;
            most = most.max(found.values().sum());
            raise(&mut dead, &found);
        }
        let sample = sample(&mut cluster, dead)?;
        eprintln!(
            "minute {}: {} runs, {:.1} ms; {:.1} MiB of tables, {:.1} thousand dead rows, {:.1} MiB of memory{}",
            minute + 1,
            sample.times.len(),
            slowest(std::slice::from_ref(&sample)),
            sample.tables,
            most,
            sample.memory,
            if open.is_some() { ", under a snapshot" } else { "" }
        );
        samples.push(sample);
    }
    drop(open);
    let (mut runs, mut kept) = (Vec::new(), 0);
    for load in loads {
        runs.extend(load.stop()?);
    }
    // Most are gone by now, as they should be.
    for run in &runs {
        if cluster.database.value::<bool>(&format!("select exists (select from run where id = '{run}')"))? {
            kept += 1;
            cluster.succeeds(*run, bounds::RUN)?;
        }
    }
    eprintln!("{} runs were submitted, {kept} are there", runs.len());
    cluster.client.forget(&runs);
    Ok((cluster, samples))
}

fn dead_rows(cluster: &Cluster) -> Result<Dead> {
    let lines =
        cluster.database.lines("select relname || ' ' || n_dead_tup from pg_stat_user_tables where n_dead_tup > 0")?;
    let table = |line: &String| {
        let (table, rows) = line.split_once(' ').context("a table and its rows")?;
        Ok((table.to_owned(), rows.parse::<f64>()? / 1_000.0))
    };
    lines.iter().map(table).collect()
}

/// The most of each table, of both.
fn raise(most: &mut Dead, other: &Dead) {
    for (table, rows) in other {
        let most = most.entry(table.clone()).or_default();
        *most = most.max(*rows);
    }
}

/// How high the teeth of each table were.
fn teeth(samples: &[Sample]) -> Dead {
    let mut most = Dead::new();
    samples.iter().for_each(|sample| raise(&mut most, &sample.dead));
    most
}

fn sample(cluster: &mut Cluster, dead: Dead) -> Result<Sample> {
    let tables = cluster
        .database
        .value::<f64>("select sum(pg_total_relation_size(relid))::float8 / (1 << 20) from pg_stat_user_tables")?;
    let mut memory = resident_bytes(cluster.api()?.pid())?;
    for worker in ["a", "b"] {
        memory += resident_bytes(cluster.the(worker)?.pid())?;
    }
    let times = cluster.database.lines(
        "select (extract(epoch from ended_at - created_at) * 1000)::text from run
         where ended_at > clock_timestamp() - interval '1 minute' and pipeline = 'chain-5'",
    )?;
    let times = times.iter().map(|time| time.parse().context("a number")).collect::<Result<_>>()?;
    Ok(Sample { tables, dead, memory: memory as f64 / f64::from(1 << 20), times })
}

/// What the slowest of a hundred takes, of all of these.
fn slowest(samples: &[Sample]) -> f64 {
    let mut times: Vec<f64> = samples.iter().flat_map(|sample| sample.times.iter().copied()).collect();
    times.sort_by(f64::total_cmp);
    times.get(times.len() * 99 / 100).copied().unwrap_or_default()
}
