//! `pawl bench latency`: one run at a time, from submission to the end as a client sees it.

use clap::Args;

use super::chain::{INPUT, NAME, apply_chain};
use super::load::{Extent, Load};
use super::{Bench, Plan, Report};

/// Arguments of `pawl bench latency`.
#[derive(Debug, Args)]
pub struct Latency {
    /// Steps of a run, one after the other
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    steps: u64,
    /// How many runs are measured
    #[arg(long, value_name = "N", default_value_t = 200)]
    runs: usize,
}

impl Latency {
    /// Measures it.
    ///
    /// # Errors
    /// If the installation does not answer, or a run does not succeed.
    pub async fn run(self, bench: &mut Bench) -> anyhow::Result<Report> {
        apply_chain(bench, self.steps).await?;
        let extent = Extent::Runs { warm_up: self.runs.div_ceil(10), measured: self.runs };
        let load = Load { pipeline: NAME, input: INPUT.to_owned(), in_flight: 1, extent };
        bench.measure(Plan { bench: "latency", steps_per_run: self.steps, entries_per_run: None, load }).await
    }
}
