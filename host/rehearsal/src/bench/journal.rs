//! `pawl bench journal`: steps that do nothing but read the clock, each reading an entry.

use std::time::Duration;

use clap::Args;

use super::load::{Extent, Load};
use super::pipelines::step;
use super::{Bench, Plan, Report, duration};

/// Arguments of `pawl bench journal`.
#[derive(Debug, Args)]
pub struct Journal {
    /// Entries of a step
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    entries: u64,
    /// Runs of one step each at once
    #[arg(long, value_name = "N", default_value_t = 4)]
    in_flight: usize,
    /// How long is measured, for example 5s
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    duration: Duration,
    /// How long runs before anything is counted
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    warm_up: Duration,
}

impl Journal {
    /// Measures it.
    ///
    /// # Errors
    /// If the installation does not answer, or a run does not succeed.
    pub async fn run(self, bench: &mut Bench) -> anyhow::Result<Report> {
        const NAME: &str = "bench-journal";
        let plugin = bench.plugin("clock").await?;
        bench.pipeline(NAME, &[step("clock", &plugin, &[])]).await?;
        let extent = Extent::Time { warm_up: self.warm_up, measured: self.duration };
        let input = format!(r#"{{"entries":{}}}"#, self.entries);
        let load = Load { pipeline: NAME, input, in_flight: self.in_flight.max(1), extent };
        bench.measure(Plan { bench: "journal", steps_per_run: 1, entries_per_run: Some(self.entries), load }).await
    }
}
