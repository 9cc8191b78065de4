//! `pawl check-interrupted`, `pawl recover`, `pawl recoveries`: runs that nobody moves, how they go on, and what takeovers have
//! come to.

use std::time::Duration;

use clap::Args;
use pawl_api::client::Client;
use pawl_api::types::{Interrupted, InterruptedList, RecoverRuns, Recovery, RecoveryList, RecoverySummary, StepStatus};
use pawl_domain::pipeline_file::parse_duration_ms;

use super::exit::End;
use super::output::{Answer, Output, Table, ago, duration, fields, or_dash, short};
use super::run::{complete, run_id};

/// Arguments of `pawl check-interrupted`.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// For how long no step of a run must have done anything
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = parse_duration_ms)]
    threshold: u64,
    /// At most so many, those that stand longest
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
    #[command(flatten)]
    output: Output,
}

/// Arguments of `pawl recover`.
#[derive(Debug, Args)]
pub(super) struct Recover {
    /// Let the interrupted runs go on; without it they are only told
    #[arg(long)]
    auto_resume: bool,
    /// Only tell what would be done
    #[arg(long)]
    dry_run: bool,
    /// For how long no step of a run must have done anything
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = parse_duration_ms)]
    threshold: u64,
    /// How long to wait for what comes of it
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration_ms)]
    wait: u64,
    #[command(flatten)]
    output: Output,
}

/// Arguments of `pawl recoveries`.
#[derive(Debug, Args)]
pub(super) struct List {
    /// Only those of this run: its id, or its first digits
    #[arg(long, value_parser = run_id)]
    run: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
    /// Only those before this one: the next page
    #[arg(long, value_name = "ID")]
    before: Option<String>,
    #[command(flatten)]
    output: Output,
}

impl Check {
    /// Tells the interrupted runs; fails if there are any.
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<()> {
        let (threshold, limit) = (self.threshold.to_string(), self.limit.to_string());
        let query = [("threshold_ms", threshold.as_str()), ("limit", &limit)];
        let found: InterruptedList = client.get(&["v1", "interrupted"], &query).await?;
        self.output.print(&found)?;
        if found.more {
            eprintln!("there are more: raise --limit, or resume these first");
        }
        if found.runs.is_empty() { Ok(()) } else { Err(End::Said.into()) }
    }
}

impl Recover {
    /// Tells the interrupted runs and, if asked to, lets them go on; fails if any of them does not.
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<()> {
        let resume = self.auto_resume && !self.dry_run;
        let asked = RecoverRuns { threshold_ms: Some(self.threshold), resume };
        let wait = Duration::from_millis(if resume { self.wait } else { 0 });
        let summary: RecoverySummary = client.post_waiting(&["v1", "recover"], &asked, wait).await?;
        self.output.print(&summary)?;
        let detected = summary.detected.len();
        if detected > 0 && !resume {
            let again = if self.dry_run { "without --dry-run" } else { "with --auto-resume" };
            eprintln!("nothing was changed: {again}, {} would go on", runs(detected));
        }
        if summary.more {
            eprintln!("there are more interrupted runs: recover again");
        }
        let stands = !summary.failed.is_empty() || !summary.pending.is_empty() || detected > 0 && !resume;
        if stands { Err(End::Said.into()) } else { Ok(()) }
    }
}

impl List {
    /// Lists the records of takeovers.
    pub(super) async fn run(mut self, client: &Client) -> anyhow::Result<()> {
        if let Some(run) = &mut self.run {
            complete(run, client).await?;
        }
        let limit = self.limit.to_string();
        let mut query = vec![("limit", limit.as_str())];
        query.extend(self.run.as_deref().map(|run| ("run", run)));
        query.extend(self.before.as_deref().map(|before| ("before", before)));
        let found: RecoveryList = client.get(&["v1", "recoveries"], &query).await?;
        self.output.print(&found)?;
        if let Some(next) = found.next {
            eprintln!("there are more: add --before {next}");
        }
        Ok(())
    }
}

fn runs(count: usize) -> String {
    format!("{count} {}", if count == 1 { "run" } else { "runs" })
}

impl Answer for InterruptedList {
    fn ids(&self) -> Vec<String> {
        self.runs.iter().map(|run| run.id.to_string()).collect()
    }

    fn text(&self) -> String {
        if self.runs.is_empty() { "no run is interrupted".to_owned() } else { table(&self.runs) }
    }
}

fn table(interrupted: &[Interrupted]) -> String {
    let mut table = Table::new(["RUN", "PIPELINE", "STARTED", "LAST ACTIVITY", "COMPLETED", "FAILED", "NEXT", "WHY"]);
    for run in interrupted {
        let why = match run.next_step_status {
            StepStatus::Running => "its worker is gone",
            StepStatus::Ready => "no live worker serves its queue",
            _ => "it is past its time, and nobody wakes it",
        };
        table.row([
            run.id.to_string(),
            run.pipeline.clone(),
            or_dash(run.started_at_ms.map(ago)),
            ago(run.last_activity_at_ms),
            format!("{}/{}", run.completed_steps, run.step_count),
            run.failed_steps.to_string(),
            run.next_step.clone(),
            why.to_owned(),
        ]);
    }
    table.to_string()
}

impl Answer for RecoverySummary {
    fn ids(&self) -> Vec<String> {
        self.detected.iter().map(|run| run.id.to_string()).collect()
    }

    fn text(&self) -> String {
        let mean = self.mean_ms.map(|ms| duration(i64::try_from(ms).unwrap_or(i64::MAX)));
        let mut text = fields(&[
            ("detected", self.detected.len().to_string()),
            ("recovered", self.recovered.len().to_string()),
            ("failed", self.failed.len().to_string()),
            ("pending", self.pending.len().to_string()),
            ("steps again", self.steps_again.to_string()),
            ("entries again", self.entries_again.to_string()),
            ("mean time", or_dash(mean)),
        ]);
        if !self.detected.is_empty() {
            text.push_str(&format!("\n{}", table(&self.detected)));
        }
        for run in &self.failed {
            text.push_str(&format!("\nrun {run} can't go on by itself: `pawl run explain {run}` says why"));
        }
        for run in &self.pending {
            text.push_str(&format!("\nrun {run} waits for a worker: `pawl run explain {run}` says for which"));
        }
        for run in &self.needs_person {
            text.push_str(&format!("\nrun {} ({}) was not touched: {}", run.id, run.pipeline, run.what));
        }
        text
    }
}

impl Answer for RecoveryList {
    fn ids(&self) -> Vec<String> {
        self.recoveries.iter().map(|recovery| recovery.id.clone()).collect()
    }

    fn text(&self) -> String {
        let mut table = Table::new([
            "RUN",
            "STEP",
            "LEASE ENDED",
            "WORKER",
            "TAKEN OVER",
            "REPLACEMENT",
            "CLAIMED",
            "RELOADED",
            "REPLAYED",
            "READY",
            "ENTRIES",
            "OUTCOME",
        ]);
        for recovery in &self.recoveries {
            let since = |at_ms: Option<i64>| or_dash(after(recovery, at_ms).map(|ms| format!("+{}", duration(ms))));
            let outcome = recovery.outcome.map_or("under way", |outcome| outcome.as_str());
            table.row([
                recovery.run.to_string(),
                recovery.step.clone(),
                or_dash(recovery.lease_ended_at_ms.map(ago)),
                short(recovery.worker),
                since(Some(recovery.taken_over_at_ms)),
                or_dash(recovery.replacement.map(short)),
                since(recovery.claimed_at_ms),
                since(recovery.reloaded_at_ms),
                since(recovery.replayed_at_ms),
                since(recovery.ready_at_ms),
                format!("{}/{}", or_dash(recovery.replayed), recovery.to_replay),
                outcome.to_owned(),
            ]);
        }
        table.to_string()
    }
}

/// How long after the end of the lease, ms; after the takeover, if nobody knows when that was.
fn after(recovery: &Recovery, at_ms: Option<i64>) -> Option<i64> {
    Some(at_ms? - recovery.lease_ended_at_ms.unwrap_or(recovery.taken_over_at_ms))
}
