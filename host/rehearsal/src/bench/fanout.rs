//! `pawl bench fanout`: one step, then many side by side, then one that needs them all.

use clap::Args;
use serde_json::Value;

use super::load::{Extent, Load};
use super::pipelines::step;
use super::{Bench, Plan, Report};

/// Arguments of `pawl bench fanout`.
#[derive(Debug, Args)]
pub struct Fanout {
    /// Steps side by side
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=9_998))]
    width: u64,
    /// How many runs are measured, one after the other
    #[arg(long, value_name = "N", default_value_t = 5)]
    runs: usize,
}

impl Fanout {
    /// Measures it.
    ///
    /// # Errors
    /// If the installation does not answer, or a run does not succeed.
    pub async fn run(self, bench: &mut Bench) -> anyhow::Result<Report> {
        const NAME: &str = "bench-fanout";
        let plugin = bench.plugin("echo").await?;
        let names: Vec<String> = (1..=self.width).map(|number| format!("w{number}")).collect();
        let mut steps: Vec<Value> = vec![step("first", &plugin, &[])];
        steps.extend(names.iter().map(|name| step(name, &plugin, &["first"])));
        steps.push(step("join", &plugin, &names.iter().map(String::as_str).collect::<Vec<_>>()));
        bench.pipeline(NAME, &steps).await?;
        let extent = Extent::Runs { warm_up: 1, measured: self.runs };
        let load = Load { pipeline: NAME, input: "1".to_owned(), in_flight: 1, extent };
        bench.measure(Plan { bench: "fanout", steps_per_run: self.width + 2, entries_per_run: None, load }).await
    }
}
