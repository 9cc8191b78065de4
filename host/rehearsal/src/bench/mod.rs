//! `pawl bench`: load generators. Each prints one object, with this machine's own floor measured in the
//! same call, so that a ratio says something on any machine.
//!
//! They talk to an installation that is running already, over HTTP as users do, in one thread: the load
//! shares the machine with what it measures, so it must cost little. Their pipelines and plugins have names
//! that begin with `bench-`.

use std::path::PathBuf;
use std::time::Duration;

use pawl_api::client::Client;
use pawl_base::tell;
use pawl_domain::pipeline_file::parse_duration_ms;
use serde::Serialize;

use load::Measured;

mod chain;
mod fanout;
mod floor;
mod journal;
mod latency;
mod load;
mod observed;
mod pipelines;

pub use chain::Chain;
pub use fanout::Fanout;
pub use floor::{Floor, Measured as MeasuredFloor};
pub use journal::Journal;
pub use latency::Latency;
pub use observed::Observed;

/// How long the floor is measured, before the load and again after it.
const FLOOR_TIME: Duration = Duration::from_millis(1_500);

/// A running installation, seen from all sides.
pub struct Bench {
    /// How users see it.
    pub client: Client,
    /// How its servers or its disk see it.
    pub observer: Observed,
    /// Where built components are.
    pub plugins_dir: PathBuf,
}

/// A load with the floor before and after it.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Its name.
    pub bench: &'static str,
    /// Of one run.
    pub steps_per_run: u64,
    /// Runs at once.
    pub in_flight: usize,
    /// Runs that ended in the measured time.
    pub runs: usize,
    /// The measured time.
    pub measured_s: f64,
    /// Steps that ended.
    pub steps_per_s: f64,
    /// Runs that ended.
    pub runs_per_s: f64,
    /// From submission to the end, as a client sees it.
    pub p50_ms: f64,
    /// The slowest of twenty.
    pub p95_ms: f64,
    /// The slowest of a hundred.
    pub p99_ms: f64,
    /// Transactions that wrote; counted by Postgres only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commits_per_step: Option<f64>,
    /// Counted by Redis only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis_round_trips_per_step: Option<f64>,
    /// Journal entries, where the steps record some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entries_per_s: Option<f64>,
    /// The mean of before and after.
    pub floor_commits_per_s: f64,
    /// What the floor was before the load, and after it.
    pub floor_before_and_after: [f64; 2],
    /// Steps in the time of one commit of the floor: throughput, for any machine.
    pub steps_per_floor_commit: f64,
    /// A run's p50 in commits of the floor: latency, for any machine.
    pub p50_in_floor_commits: f64,
    /// Entries in the time of one commit of the floor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entries_per_floor_commit: Option<f64>,
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
        tell!("measuring the floor");
        let before = self.observer.floor(FLOOR_TIME).await?;
        tell!("measuring {}", plan.bench);
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

/// A duration on the command line, such as `10s`.
fn duration(text: &str) -> Result<Duration, String> {
    parse_duration_ms(text).map(Duration::from_millis)
}
