//! What a drill found: `recovery_summary.json`, and the same for people.

use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

use crate::cli::output::{Answer, fields, or_dash};
use crate::domain::id::RunId;

/// The result of a drill.
#[derive(Debug, Default, Serialize)]
pub(super) struct Summary {
    /// Whether all checks hold.
    ok: bool,
    pub(super) run: Option<RunId>,
    pub(super) run_status: Option<String>,
    /// Attempts that were begun: at least the killed one and its replacement.
    pub(super) attempts: i32,
    /// Messages in the queue's streams in the end.
    pub(super) queue_depth: usize,
    /// Messages read and not acknowledged in the end.
    pub(super) pending: usize,
    /// From the kill to the replacement's claim, by the database's clock.
    pub(super) takeover_ms: Option<i64>,
    pub(super) resumed_from_checkpoint: bool,
    /// Items that were done before the last durable checkpoint and then again.
    pub(super) steps_executed_again: u64,
    /// The item at which the replacement went on.
    pub(super) resumed_at: u64,
    /// All items of the task.
    pub(super) items: u64,
    /// Items that were checkpointed when the worker was killed; a checkpoint on its way may be one more.
    pub(super) checkpoint_at_kill: i32,
    /// Steps that the admin calls delivered again; 0 if the workers were faster.
    pub(super) requeued: u64,
    checks: Vec<Check>,
    /// Why the drill could not be played to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Something that must hold.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    ok: bool,
}

impl Summary {
    /// Records a check.
    pub(super) fn check(&mut self, name: &'static str, ok: bool) {
        self.checks.push(Check { name, ok });
    }

    /// Closes the summary, with the error that ended the drill if there was one.
    pub(super) fn fail_with(&mut self, error: Option<&anyhow::Error>) {
        self.error = error.map(|error| format!("{error:#}"));
        self.ok = self.error.is_none() && !self.checks.is_empty() && self.checks.iter().all(|check| check.ok);
    }

    /// Whether all checks hold.
    pub(super) fn passed(&self) -> bool {
        self.ok
    }

    /// Writes `recovery_summary.json`.
    pub(super) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let file = folder.join("recovery_summary.json");
        std::fs::write(&file, serde_json::to_string_pretty(self)? + "\n")
            .with_context(|| format!("can't write {}", file.display()))
    }
}

impl Answer for Summary {
    fn ids(&self) -> Vec<String> {
        self.run.iter().map(RunId::to_string).collect()
    }

    fn text(&self) -> String {
        let mut text = fields(&[
            ("run", or_dash(self.run)),
            ("status", or_dash(self.run_status.as_ref())),
            ("attempts", self.attempts.to_string()),
            ("taken over", or_dash(self.takeover_ms.map(|ms| format!("{ms} ms after the kill")))),
            ("resumed", format!("at item {} of {}", self.resumed_at, self.items)),
            ("done again", format!("{} items before the checkpoint", self.steps_executed_again)),
            ("queue", format!("{} messages, {} pending", self.queue_depth, self.pending)),
        ]);
        text.push('\n');
        for check in &self.checks {
            text.push_str(&format!("{}  {}\n", if check.ok { "ok    " } else { "FAILED" }, check.name));
        }
        if let Some(error) = &self.error {
            text.push_str(&format!("FAILED  {error}\n"));
        }
        text
    }
}
