//! What a drill found: `recovery_summary.json`, and the same for people.

use std::path::Path;

use anyhow::Context as _;
use pawl_domain::id::RunId;
use serde::Serialize;

/// The result of a drill.
#[derive(Debug, Default, Serialize)]
pub struct Summary {
    /// Whether all checks hold.
    pub ok: bool,
    /// The drill's run.
    pub run: Option<RunId>,
    /// Its state in the end.
    pub run_status: Option<String>,
    /// Attempts that were begun: at least the killed one and its replacement.
    pub attempts: i32,
    /// Messages in the queue's streams in the end.
    pub queue_depth: usize,
    /// Messages read and not acknowledged in the end.
    pub pending: usize,
    /// From the kill to the replacement's claim, by the database's clock.
    pub takeover_ms: Option<i64>,
    /// Whether the replacement went on from one.
    pub resumed_from_checkpoint: bool,
    /// Items that were done before the last durable checkpoint and then again.
    pub steps_executed_again: u64,
    /// The item at which the replacement went on.
    pub resumed_at: u64,
    /// All items of the task.
    pub items: u64,
    /// Items that were checkpointed when the worker was killed; a checkpoint on its way may be one more.
    pub checkpoint_at_kill: i32,
    /// Steps that the admin calls delivered again; 0 if the workers were faster.
    pub requeued: u64,
    /// What must hold, in the order in which it was looked at.
    pub checks: Vec<Check>,
    /// Why the drill could not be played to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Something that must hold.
#[derive(Debug, Serialize)]
pub struct Check {
    /// What.
    pub name: &'static str,
    /// Whether it does.
    pub ok: bool,
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
    #[must_use]
    pub fn passed(&self) -> bool {
        self.ok
    }

    /// Writes `recovery_summary.json`.
    pub(super) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let file = folder.join("recovery_summary.json");
        std::fs::write(&file, serde_json::to_string_pretty(self)? + "\n")
            .with_context(|| format!("can't write {}", file.display()))
    }
}
