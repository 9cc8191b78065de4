//! `pawl bench`: load generators. Each prints one object, with this machine's own floor measured in the
//! same call, so that a ratio says something on any machine.
//!
//! They talk to an installation that is running already, over HTTP as users do, in one thread: the load
//! shares the machine with what it measures, so it must cost little. Their pipelines and plugins have names
//! that begin with `bench-`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::client::Client;
use super::output::{Answer, Output, fields};
use super::settings::{ServerFlags, Settings};
use crate::domain::pipeline_file::parse_duration_ms;
use load::Measured;
use observed::Observed;

mod chain;
mod fanout;
mod floor;
mod journal;
mod latency;
mod load;
mod observed;
mod pipelines;

/// How long the floor is measured, before the load and again after it.
const FLOOR_TIME: Duration = Duration::from_millis(1_500);

/// Verbs of `pawl bench`.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Throughput: chains of no-op steps, many runs in flight
    Chain(chain::Chain),
    /// One step, then N side by side, then one that needs them all
    Fanout(fanout::Fanout),
    /// Journal entries: steps that read the clock many times
    Journal(journal::Journal),
    /// One run at a time, from submission to the end as a client sees it
    Latency(latency::Latency),
    /// Single-row commits of one client, and nothing else
    Floor(floor::Floor),
}

/// What all of them need.
#[derive(Debug, Args)]
pub(super) struct Flags {
    #[command(flatten)]
    servers: ServerFlags,
    /// Measure a `pawl dev` whose folder this is, in place of Postgres and Redis
    #[arg(long, value_name = "DIR", global = true, conflicts_with_all = ["database_url", "redis_url"])]
    data: Option<PathBuf>,
    /// Where built components are (echo.wasm, clock.wasm)
    #[arg(long, value_name = "DIR", global = true, default_value = "target/plugins")]
    plugins_dir: PathBuf,
}

/// A running installation, seen from all sides.
struct Bench {
    client: Client,
    observer: Observed,
    plugins_dir: PathBuf,
}

/// Carries out a verb.
pub(super) async fn run(verb: Verb, flags: Flags, settings: &Settings, output: Output) -> anyhow::Result<()> {
    let observer = match flags.data {
        Some(folder) => Observed::Embedded(folder),
        None => {
            Observed::servers(&settings.database_url(&flags.servers)?, &settings.redis_url(&flags.servers)?).await?
        }
    };
    let mut bench = Bench { client: settings.client()?, observer, plugins_dir: flags.plugins_dir };
    let report = match verb {
        Verb::Chain(args) => args.run(&mut bench).await?,
        Verb::Fanout(args) => args.run(&mut bench).await?,
        Verb::Journal(args) => args.run(&mut bench).await?,
        Verb::Latency(args) => args.run(&mut bench).await?,
        Verb::Floor(args) => return Ok(output.print(&args.run(&mut bench).await?)?),
    };
    Ok(output.print(&report)?)
}

/// A load with the floor before and after it.
#[derive(Debug, Serialize)]
struct Report {
    bench: &'static str,
    steps_per_run: u64,
    in_flight: usize,
    /// Runs that ended in the measured time.
    runs: usize,
    measured_s: f64,
    steps_per_s: f64,
    runs_per_s: f64,
    /// From submission to the end, as a client sees it.
    p50_ms: f64,
    p95_ms: f64,
    p99_ms: f64,
    /// Transactions that wrote; counted by Postgres only.
    #[serde(skip_serializing_if = "Option::is_none")]
    commits_per_step: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redis_round_trips_per_step: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entries_per_s: Option<f64>,
    /// The mean of before and after.
    floor_commits_per_s: f64,
    floor_before_and_after: [f64; 2],
    /// Steps in the time of one commit of the floor: throughput, for any machine.
    steps_per_floor_commit: f64,
    /// A run's p50 in commits of the floor: latency, for any machine.
    p50_in_floor_commits: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    entries_per_floor_commit: Option<f64>,
}

/// What is measured: how many steps a run has, and how it is loaded.
struct Plan {
    bench: &'static str,
    steps_per_run: u64,
    entries_per_run: Option<u64>,
    load: load::Load,
}

impl Bench {
    /// Floor, load, floor.
    async fn measure(&mut self, plan: Plan) -> anyhow::Result<Report> {
        eprintln!("measuring the floor");
        let before = self.observer.floor(FLOOR_TIME).await?;
        eprintln!("measuring {}", plan.bench);
        let measured = plan.load.run(&self.client, &mut self.observer).await?;
        let after = self.observer.floor(FLOOR_TIME).await?;
        Ok(report(&plan, &measured, [before, after]))
    }
}

fn report(plan: &Plan, measured: &Measured, floor: [f64; 2]) -> Report {
    let runs_per_s = measured.latencies.len() as f64 / measured.elapsed.as_secs_f64();
    let steps_per_s = runs_per_s * plan.steps_per_run as f64;
    let steps = (measured.latencies.len() as u64 * plan.steps_per_run).max(1) as f64;
    let entries_per_s = plan.entries_per_run.map(|entries| runs_per_s * entries as f64);
    let floor_commits_per_s = f64::midpoint(floor[0], floor[1]);
    let p50_ms = measured.percentile_ms(50.0);
    Report {
        bench: plan.bench,
        steps_per_run: plan.steps_per_run,
        in_flight: plan.load.in_flight,
        runs: measured.latencies.len(),
        measured_s: round(measured.elapsed.as_secs_f64()),
        steps_per_s: round(steps_per_s),
        runs_per_s: round(runs_per_s),
        p50_ms: round(p50_ms),
        p95_ms: round(measured.percentile_ms(95.0)),
        p99_ms: round(measured.percentile_ms(99.0)),
        commits_per_step: measured.counted.map(|counted| round(counted.commits as f64 / steps)),
        redis_round_trips_per_step: measured.counted.map(|counted| round(counted.redis_reads as f64 / steps)),
        entries_per_s: entries_per_s.map(round),
        floor_commits_per_s: round(floor_commits_per_s),
        floor_before_and_after: floor.map(round),
        steps_per_floor_commit: round(steps_per_s / floor_commits_per_s),
        p50_in_floor_commits: round(p50_ms / (1_000.0 / floor_commits_per_s)),
        entries_per_floor_commit: entries_per_s.map(|entries| round(entries / floor_commits_per_s)),
    }
}

/// Four places: more is noise, and it is read by people too.
fn round(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

impl Answer for Report {
    fn ids(&self) -> Vec<String> {
        vec![self.bench.to_owned()]
    }

    fn text(&self) -> String {
        let mut lines = vec![
            ("bench", format!("{}, {} steps a run, {} in flight", self.bench, self.steps_per_run, self.in_flight)),
            ("runs", format!("{} in {:.1} s, {:.1} a second", self.runs, self.measured_s, self.runs_per_s)),
            ("steps", format!("{:.0} a second, {:.2} × the floor", self.steps_per_s, self.steps_per_floor_commit)),
        ];
        if let (Some(entries), Some(ratio)) = (self.entries_per_s, self.entries_per_floor_commit) {
            lines.push(("entries", format!("{entries:.0} a second, {ratio:.1} × the floor")));
        }
        lines.extend([
            ("latency", format!("p50 {:.1}, p95 {:.1}, p99 {:.1} ms", self.p50_ms, self.p95_ms, self.p99_ms)),
            ("", format!("p50 is {:.1} × the floor's time for one commit", self.p50_in_floor_commits)),
            ("floor", format!("{:.0} single-row commits a second", self.floor_commits_per_s)),
        ]);
        if let (Some(commits), Some(round_trips)) = (self.commits_per_step, self.redis_round_trips_per_step) {
            lines.push(("commits", format!("{commits} a step")));
            lines.push(("redis", format!("{round_trips} round trips a step")));
        }
        fields(&lines)
    }
}

/// A duration on the command line, such as `10s`.
fn duration(text: &str) -> Result<Duration, String> {
    parse_duration_ms(text).map(Duration::from_millis)
}
