//! `pawl bench chain`: throughput of many runs in flight.

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::load::{Extent, Load};
use super::pipelines::step;
use super::{Bench, Plan, Report, duration};

/// Arguments of `pawl bench chain`.
#[derive(Debug, Args)]
pub struct Chain {
    /// Steps of a run, one after the other
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    steps: u64,
    /// Runs at once
    #[arg(long, value_name = "N", default_value_t = 256)]
    in_flight: usize,
    /// How long is measured, for example 10s
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    duration: Duration,
    /// How long runs before anything is counted
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = duration)]
    warm_up: Duration,
}

impl Chain {
    /// Measures it.
    ///
    /// # Errors
    /// If the installation does not answer, or a run does not succeed.
    pub async fn run(self, bench: &mut Bench) -> anyhow::Result<Report> {
        apply_chain(bench, self.steps).await?;
        let extent = Extent::Time { warm_up: self.warm_up, measured: self.duration };
        let load = Load { pipeline: NAME, input: INPUT.to_owned(), in_flight: self.in_flight.max(1), extent };
        bench.measure(Plan { bench: "chain", steps_per_run: self.steps, entries_per_run: None, load }).await
    }
}

/// The pipeline of chains.
pub(super) const NAME: &str = "bench-chain";

/// What goes through the chain.
pub(super) const INPUT: &str = r#"{"n":1}"#;

/// Applies a pipeline of so many steps, each of which passes its input on.
pub(super) async fn apply_chain(bench: &Bench, steps: u64) -> anyhow::Result<()> {
    let plugin = bench.plugin("echo").await?;
    let name = |number: u64| format!("s{number}");
    let chain: Vec<Value> = (1..=steps)
        .map(|number| match number {
            1 => step(&name(1), &plugin, &[]),
            _ => step(&name(number), &plugin, &[&name(number - 1)]),
        })
        .collect();
    bench.pipeline(NAME, &chain).await
}
