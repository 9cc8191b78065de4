//! A crash, and what is lost with it: what attempts and lives are told of it, and [`super::crash`] plays through.

/// What a crash takes along. A worker writes behind the step: answers are durable at the latest before
/// something leaves, checkpoints some time after they were saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Nothing: all was written before.
    Nothing,
    /// The last checkpoint; the answers around it were written.
    Checkpoint,
    /// All that the worker had not been forced to write yet.
    Unwritten,
    /// The answer to the request that is this call: it left, and what came back was not written.
    Answer,
}

impl Loss {
    /// Every way, the mildest first.
    pub(super) const ALL: [Self; 4] = [Self::Nothing, Self::Checkpoint, Self::Unwritten, Self::Answer];
}

/// One crash.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crash {
    /// Counted from 1, over all attempts.
    pub(super) call: usize,
    pub(super) loss: Loss,
}
