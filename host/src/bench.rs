//! `pawl bench`: load generators that print one object each; see [`pawl_rehearsal::bench`].

use std::path::PathBuf;

use clap::{Args, Subcommand};
use pawl_rehearsal::bench::{Bench, Chain, Fanout, Floor, Journal, Latency, MeasuredFloor, Observed, Report};

use super::output::{Answer, Output, fields};
use super::settings::Settings;

/// Verbs of `pawl bench`.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Throughput: chains of no-op steps, many runs in flight
    Chain(Chain),
    /// One step, then N side by side, then one that needs them all
    Fanout(Fanout),
    /// Journal entries: steps that read the clock many times
    Journal(Journal),
    /// One run at a time, from submission to the end as a client sees it
    Latency(Latency),
    /// Single-row commits of one client, and nothing else
    Floor(Floor),
}

/// What all of them need.
#[derive(Debug, Args)]
pub(super) struct Flags {
    /// Measure a `pawl dev` whose folder this is, in place of Postgres and Redis
    #[arg(long, value_name = "DIR", global = true, conflicts_with_all = ["database-url", "redis-url"])]
    data: Option<PathBuf>,
    /// Where built components are (echo.wasm, clock.wasm)
    #[arg(long, value_name = "DIR", global = true, default_value = "target/plugins")]
    plugins_dir: PathBuf,
}

/// Carries out a verb.
pub(super) async fn run(verb: Verb, flags: Flags, settings: &Settings, output: Output) -> anyhow::Result<()> {
    let observer = match flags.data {
        Some(folder) => Observed::Embedded(folder),
        None => Observed::servers(&settings.database_url()?, &settings.redis()?).await?,
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

impl Answer for MeasuredFloor {
    fn ids(&self) -> Vec<String> {
        vec![self.bench.to_owned()]
    }

    fn text(&self) -> String {
        fields(&[
            ("floor", format!("{:.0} single-row commits a second", self.floor_commits_per_s)),
            ("commit", format!("{:.3} ms", self.commit_ms)),
        ])
    }
}
