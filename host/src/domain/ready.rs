//! A step that is ready, as it is delivered: nothing in it matters if it is lost, late, doubled or
//! reordered.

use super::id::StepId;
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
