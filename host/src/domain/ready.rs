//! What is told after a commit, to workers and to readers: nothing in it matters if it is lost, late,
//! doubled or reordered.

use super::id::{RunId, StepId};
use super::pipeline::Priority;

/// A ready step on its way to a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// The step.
    pub id: StepId,
    /// Its queue.
    pub queue: String,
    /// Its priority in the queue.
    pub priority: Priority,
    /// When it became ready (or was found to be lost), ms since 1970 by the database's clock.
    pub ready_at_ms: i64,
}

/// A run that has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// The run.
    pub run: RunId,
    /// It has ended by it.
    pub ended: bool,
}
