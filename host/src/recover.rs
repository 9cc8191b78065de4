//! `pawl check-interrupted`, `pawl recover`, `pawl recoveries`: runs that nobody moves, how they go on, and what takeovers have
//! come to.

use std::time::Duration;

use clap::Args;
use pawl_api::client::Client;
use pawl_api::types::{Interrupted, InterruptedList, RecoverRuns, Recovery, RecoveryList, RecoverySummary, StepStatus};
use pawl_base::tell;
use pawl_domain::pipeline_file::parse_duration_ms;

use super::exit::End;
use super::output::{Answer, Output, Table, ago, counted, distinct, duration, fields, or_dash, short, there_are_more};
use super::run::{complete, run_id};

/// Runs of a kind that a summary names one by one.
const NAMED: usize = 10;

/// Arguments of `pawl check-interrupted`.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// For how long no step of a run must have done anything
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = parse_duration_ms)]
    threshold: u64,
    /// At most so many, those that stand longest
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
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
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
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
            tell!("there are more: raise --limit");
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
            tell!("nothing was changed: {again}, {} would go on", counted(detected as u64, "run"));
        }
        if summary.more {
            tell!("there are more interrupted runs: `pawl recover` again takes the next ones");
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
        if let (true, Some(run)) = (found.recoveries.is_empty(), &self.run) {
            // One that there is not was taken over by nobody, either.
            client.get::<serde_json::Value>(&["v1", "runs", run], &[]).await?;
        }
        self.output.print(&found)?;
        if let Some(next) = found.next {
            there_are_more("--before", next);
        }
        Ok(())
    }
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
    let ids: Vec<String> = interrupted.iter().map(|run| run.id.to_string()).collect();
    let digits = distinct(&ids);
    let mut table =
        Table::with_text(["RUN", "PIPELINE", "STARTED", "LAST ACTIVITY", "COMPLETED", "FAILED", "NEXT", "WHY"]);
    for (run, id) in interrupted.iter().zip(&ids) {
        let why = match run.next_step_status {
            StepStatus::Running => "its worker is gone",
            StepStatus::Ready => "no live worker serves its queue",
            _ => "it is past its time, and nobody wakes it",
        };
        table.row([
            id[..digits].to_owned(),
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
            ("not touched", self.needs_person.len().to_string()),
            ("steps again", self.steps_again.to_string()),
            ("entries again", self.entries_again.to_string()),
            ("mean time", or_dash(mean)),
        ]);
        if !self.detected.is_empty() {
            text.push_str(&format!("\n{}", table(&self.detected[..self.detected.len().min(NAMED)])));
            text.push_str(&left(self.detected.len(), "pawl check-interrupted"));
        }
        let failed =
            self.failed.iter().map(|run| format!("run {run} can't go on by itself: `pawl run explain {run}` says why"));
        text.push_str(&named(failed, "pawl run list --status stuck"));
        let pending = self
            .pending
            .iter()
            .map(|run| format!("run {run} waits for a worker: `pawl run explain {run}` says for which"));
        text.push_str(&named(pending, "pawl run list --status running"));
        let failed = self.needs_person.iter();
        let failed = failed.map(|run| format!("run {} ({}) was not touched: {}", run.id, run.pipeline, run.what));
        text.push_str(&named(failed, "pawl dead-letter list --each --state failed"));
        text
    }
}

/// A line each, after an empty one; of many the first ones, and what lists the others.
fn named(lines: impl ExactSizeIterator<Item = String>, command: &str) -> String {
    let all = lines.len();
    let mut text = if all > 0 { "\n".to_owned() } else { String::new() };
    for line in lines.take(NAMED) {
        text.push_str(&line);
        text.push('\n');
    }
    text.push_str(&left(all, command));
    text
}

/// How many are not named, and what lists them.
fn left(all: usize, command: &str) -> String {
    match all.saturating_sub(NAMED) {
        0 => String::new(),
        left => format!("and {left} more: {command}\n"),
    }
}

impl Answer for RecoveryList {
    fn ids(&self) -> Vec<String> {
        self.recoveries.iter().map(|recovery| recovery.id.clone()).collect()
    }

    fn text(&self) -> String {
        let ids: Vec<String> = self.recoveries.iter().map(|recovery| recovery.run.to_string()).collect();
        let digits = distinct(&ids);
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
        for (recovery, id) in self.recoveries.iter().zip(&ids) {
            let since = |at_ms: Option<i64>| or_dash(after(recovery, at_ms).map(|ms| format!("+{}", duration(ms))));
            let outcome = recovery.outcome.map_or("under way", |outcome| outcome.as_str());
            table.row([
                id[..digits].to_owned(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use pawl_api::types::NeedsPerson;
    use pawl_domain::id::RunId;

    #[test]
    fn a_summary_comes_first_and_of_many_failed_runs_a_few_are_named() {
        let failed = |_| NeedsPerson { id: RunId::new(), pipeline: "orders".into(), what: "`load` has failed".into() };
        let summary = RecoverySummary {
            detected: Vec::new(),
            more: false,
            recovered: Vec::new(),
            failed: Vec::new(),
            pending: Vec::new(),
            needs_person: (0..NAMED + 13).map(failed).collect(),
            steps_again: 0,
            entries_again: 0,
            mean_ms: None,
        };
        let text = summary.text();
        assert!(text.starts_with("detected ") && text.contains("not touched    23\n"), "{text}");
        assert_eq!(text.matches("was not touched").count(), NAMED);
        assert!(text.ends_with("and 13 more: pawl dead-letter list --each --state failed\n"), "{text}");
    }
}
