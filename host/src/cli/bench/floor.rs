//! `pawl bench floor`: what one client gets from the database, and nothing of Pawl.

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::{Bench, duration, round};
use crate::cli::output::{Answer, fields};

/// Arguments of `pawl bench floor`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Floor {
    /// How long is measured, for example 3s
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = duration)]
    duration: Duration,
}

/// The floor.
#[derive(Debug, Serialize)]
pub(super) struct Measured {
    bench: &'static str,
    floor_commits_per_s: f64,
    commit_ms: f64,
}

impl Floor {
    pub(super) async fn run(self, bench: &mut Bench) -> anyhow::Result<Measured> {
        let per_s = bench.observer.floor(self.duration).await?;
        Ok(Measured { bench: "floor", floor_commits_per_s: round(per_s), commit_ms: round(1_000.0 / per_s) })
    }
}

impl Answer for Measured {
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
