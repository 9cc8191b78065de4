//! `pawl bench floor`: what one client gets from the database, and nothing of Pawl.

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::{Bench, duration, round};

/// Arguments of `pawl bench floor`.
#[derive(Debug, Args)]
pub struct Floor {
    /// How long is measured, for example 3s
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = duration)]
    duration: Duration,
}

/// The floor.
#[derive(Debug, Serialize)]
pub struct Measured {
    /// `floor`.
    pub bench: &'static str,
    /// Single-row commits of one client.
    pub floor_commits_per_s: f64,
    /// What one of them takes.
    pub commit_ms: f64,
}

impl Floor {
    /// Measures it.
    ///
    /// # Errors
    /// If the installation does not answer, or a run does not succeed.
    pub async fn run(self, bench: &mut Bench) -> anyhow::Result<Measured> {
        let per_s = bench.observer.floor(self.duration).await?;
        Ok(Measured { bench: "floor", floor_commits_per_s: round(per_s), commit_ms: round(1_000.0 / per_s) })
    }
}
