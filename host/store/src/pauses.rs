//! Pauses of pipelines and queues: nothing of theirs starts while they last. That of a run is a verb
//! ([`Control`](super::control::Control)).

use async_trait::async_trait;
use pawl_domain::id::RunId;
use pawl_domain::namespace::Namespace;
use pawl_domain::ready::Ready;

use super::runs::RunRow;
use super::{Error, Result};

/// Pauses at once, at most: each batch of a worker reads them all.
pub const MOST_PAUSES: u32 = 200;

/// What can be paused besides a run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Pausable {
    /// A pipeline, by its name: all its runs, in whatever version.
    Pipeline(Namespace, String),
    /// A queue, by its name.
    Queue(String),
}

impl Pausable {
    /// As stores keep it: kind, namespace, name. Queues are of all namespaces.
    pub(crate) fn words(&self) -> (&'static str, &str, &str) {
        match self {
            Self::Pipeline(namespace, name) => ("pipeline", namespace.as_str(), name),
            Self::Queue(name) => ("queue", "", name),
        }
    }

    pub(crate) fn of_words(kind: &str, namespace: &str, name: String) -> Result<Self> {
        let damaged = || Error::Damaged(format!("a pause of the kind {kind:?}"));
        match kind {
            "pipeline" => Ok(Self::Pipeline(namespace.parse().map_err(|_| damaged())?, name)),
            "queue" => Ok(Self::Queue(name)),
            _ => Err(damaged()),
        }
    }
}

/// A pause that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// What is paused.
    pub what: Pausable,
    /// Why, in a person's words.
    pub reason: Option<String>,
    /// Since when, ms since 1970.
    pub paused_at_ms: i64,
}

/// Steps on the shelf by one pause that are looked at: more are as many.
pub const SHELVED_LOOKED_AT: u32 = 1_000;

/// A pause that has not ended, and the steps that wait for its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shelf {
    /// The pause.
    pub pause: Pause,
    /// Steps that were to start, and wait for its end: of the first [`SHELVED_LOOKED_AT`] on the shelf by it. What nobody has
    /// asked for is not there, but in the queue.
    pub steps: u32,
    /// There may be more than were looked at.
    pub more: bool,
    /// Since when the oldest of these has waited at most, ms since 1970: since the pause began, or since its run was submitted,
    /// if that was later. None if none waits.
    pub oldest_ms: Option<i64>,
}

/// What was taken from the shelf.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Released {
    /// To be delivered.
    pub ready: Vec<Ready>,
    /// There may be more.
    pub more: bool,
}

/// Pauses of pipelines and queues.
#[async_trait]
pub trait Pauses {
    /// Pauses it. Whether that is new: one that is paused keeps its first reason. What is being claimed at that moment may
    /// start all the same.
    ///
    /// # Errors
    /// [`Error::Conflict`] if there are [`MOST_PAUSES`].
    async fn pause(&self, what: &Pausable, reason: Option<&str>) -> Result<bool>;

    /// Ends its pause; false if it is not paused. What is on the shelf is there until it is released.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn unpause(&self, what: &Pausable) -> Result<bool>;

    /// Takes up to `limit` steps from the shelf whose pause has ended.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: nothing is lost by trying again.
    async fn release(&self, limit: usize) -> Result<Released>;

    /// Pauses that have not ended, oldest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn pauses(&self) -> Result<Vec<Pause>>;

    /// The same, each with what waits for its end. It costs what there is of pauses, and of each one's steps no more than
    /// [`SHELVED_LOOKED_AT`].
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn shelves(&self) -> Result<Vec<Shelf>>;

    /// Runs that are paused themselves and have not ended, newest first, as [`Runs::runs`](super::runs::Runs::runs).
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn paused_runs(
        &self,
        namespace: &Namespace,
        pipeline: Option<&str>,
        before: Option<RunId>,
        limit: u32,
    ) -> Result<Vec<RunRow>>;
}

pub(super) fn too_many() -> Error {
    Error::Conflict(format!("{MOST_PAUSES} pipelines and queues are paused: unpause some first, or drain the workers"))
}
