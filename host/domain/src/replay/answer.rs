//! What the replay machine answers to a guest's calls.

use super::Unread;
use crate::attempt::Divergence;
use crate::id::Digest;
use crate::journal::{Checkpoint, Entry, HttpAnswer};

/// A call's answer, or why the guest can't go on.
pub type Called<T> = Result<T, Fault>;

/// The facts of an attempt that a guest can see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Failed attempts so far, plus one.
    pub attempt: u32,
    /// When the attempt is stopped, in ms since 1970.
    pub deadline_ms: u64,
}

/// What a checkpoint takes: hand over the notes as entries, then the checkpoint, whose position is before
/// them.
#[derive(Debug, PartialEq)]
pub struct Save {
    /// What a guest that goes on from here must still be told.
    pub notes: Vec<Entry>,
    /// What the writer makes durable.
    pub checkpoint: Checkpoint,
}

/// What a call gets from the replay machine.
#[derive(Debug, PartialEq)]
pub enum Step<T> {
    /// It was asked before: this is what the world answered then.
    Recorded(T),
    /// Nothing is recorded: ask the world and tell with [`Replay::record`](super::Replay::record).
    Live,
}

/// What an effect must do.
#[derive(Debug, PartialEq)]
pub enum EffectStep {
    /// It was answered before.
    Recorded(HttpAnswer),
    /// Its intent is in the journal, its answer is not: send it (again) with this key.
    Resend(Digest),
    /// It is new: record its intent, wait until that is durable, send it with this key.
    Live(Digest),
}

/// What the begin of an effect of the guest's own must lead to.
#[derive(Debug, PartialEq)]
pub enum OnceStep {
    /// Finished before: skip the effect, here is its value.
    Finished(Vec<u8>),
    /// Begun before, not finished: do it again, its begin is recorded.
    Reopened,
    /// New: record its begin.
    Live,
}

/// A breach of the rules that is the guest's own fault and would happen again.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum Refused {
    /// `checkpoint` inside `once`: the state would hold an effect half done.
    #[error("checkpoint is refused inside once({0:?}): finish the effect first")]
    CheckpointInOnce(String),
    /// `restore` inside `once`: the jump would leave the effect half done.
    #[error("restore is refused inside once({0:?}): ask for the state before any effect")]
    RestoreInOnce(String),
    /// `once-begin` inside `once`: a crash would leave two effects half done.
    #[error("once({inner:?}) can't begin inside once({outer:?})")]
    NestedOnce {
        /// The key of the open one.
        outer: String,
        /// The key of the refused one.
        inner: String,
    },
    /// `sleep` or `await-signal` inside `once`: the step would end with the effect half done.
    #[error("{call} is refused inside once({once:?}): finish the effect first")]
    WaitInOnce {
        /// The refused call as the guest made it.
        call: String,
        /// The key of the open one.
        once: String,
    },
    /// `once-finish` with another key, or without a begin.
    #[error("once-finish({0:?}) without its once-begin")]
    NotBegun(String),
    /// Two requests of one attempt under one name: the second would leave under the key of the first.
    #[error(
        "the effect {0:?} was sent with another request before: name each effect, for example with the number of its item"
    )]
    NameTaken(String),
    /// The guest returned an output with an effect open.
    #[error("the step returned inside once({0:?}): finish the effect or fail")]
    LeftOpen(String),
}

/// What a call may run into.
#[derive(Debug, PartialEq)]
pub enum Fault {
    /// The guest left its recorded path.
    Diverged(Box<Divergence>),
    /// The guest broke a rule.
    Refused(Refused),
    /// The guest has come to a place of its journal that could not be read.
    Unread(Unread),
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}
