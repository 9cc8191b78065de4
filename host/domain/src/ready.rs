//! What is told after a commit, to workers and to readers: nothing in it matters if it is lost, late,
//! doubled or reordered.

use super::id::{Digest, RunId, StepId};
use super::pipeline::Priority;

/// When a step is ready that is *on the shelf*: ready, but paused. It is a time that never comes (the year 9999), so that it
/// lies behind all that is looked for among ready steps. `pawl_shelved_v1` of `migrations/0035_pause.sql` is the same.
pub const SHELVED_MS: i64 = 253_370_764_800_000;

/// Since when a step is ready, if it is not on the shelf.
#[must_use]
pub fn unless_shelved(ready_at_ms: Option<i64>) -> Option<i64> {
    ready_at_ms.filter(|ready_at_ms| *ready_at_ms < SHELVED_MS)
}

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
    /// Told with a step that nobody has claimed yet.
    pub start: Option<Start>,
}

/// What a step's first claim is going to answer: with it, a worker may begin before it has claimed the step. A
/// guess like any other: the store accepts what was done by it only if it was right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The pipeline version.
    pub pipeline: Digest,
    /// The component that the submission fixed.
    pub component: Digest,
    /// The run's input: JSON bytes.
    pub input: Vec<u8>,
}

/// Longest input that travels with a message: a queue of millions must still fit into memory.
const START_INPUT_BYTES: usize = 1 << 10;

impl Start {
    /// Of a step that needs nothing, in a run that was just submitted. None if the input is too long for a message, or
    /// if the component is not fixed yet.
    #[must_use]
    pub fn new(pipeline: Digest, component: Option<Digest>, input: &[u8]) -> Option<Self> {
        let component = component.filter(|_| input.len() <= START_INPUT_BYTES)?;
        Some(Self { pipeline, component, input: input.to_vec() })
    }
}

/// A run that has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// The run.
    pub run: RunId,
    /// It has ended by it.
    pub ended: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_told_if_it_is_short_and_all_of_it_is_known() {
        let digest = Digest::of(b"one");
        let told = |component, length| Start::new(digest, component, &vec![b'1'; length]).is_some();
        assert!(told(Some(digest), START_INPUT_BYTES));
        assert!(!told(Some(digest), START_INPUT_BYTES + 1));
        assert!(!told(None, 1));
    }
}
