//! What a run that has not ended waits for: the facts of `pawl run explain`.

use async_trait::async_trait;
use pawl_domain::id::{RunId, StepNo, WorkerId};
use pawl_domain::pipeline::Priority;
use pawl_domain::status::StepStatus;

use super::Result;

/// Steps before another one that are counted: more are as many.
pub const COUNTED_BEFORE: u32 = 1_000;

/// A step that has not ended and does not just wait for other steps, and what may move it.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveStep {
    /// Its place in the pipeline.
    pub no: StepNo,
    /// Where it stands.
    pub status: StepStatus,
    /// Who has it, or had it last.
    pub worker: Option<WorkerId>,
    /// The end of that worker's lease.
    pub lease_end_ms: Option<i64>,
    /// When it wakes.
    pub due_at_ms: Option<i64>,
    /// The signal that wakes it.
    pub awaits: Option<String>,
    /// When it became ready; none if it is ready and on the shelf, since something is paused.
    pub ready_at_ms: Option<i64>,
    /// Its queue.
    pub queue: String,
    /// Its priority.
    pub priority: Priority,
    /// Live workers that serve its queue.
    pub queue_workers: u32,
    /// Steps of its queue and priority that became ready before it, at most [`COUNTED_BEFORE`].
    pub ready_before: u32,
    /// JSON: the failure of the last attempt, or why it is parked.
    pub error: Option<Vec<u8>>,
    /// The outside host that it waits for.
    pub down: Option<DownHost>,
    /// How far it is, if somebody executes it.
    pub doing: Option<Doing>,
    /// The database's clock.
    pub now_ms: i64,
}

/// How far a step is that is executed.
#[derive(Debug, Clone, PartialEq)]
pub struct Doing {
    /// Attempts that have failed before.
    pub failures: u32,
    /// Since when, ms since 1970.
    pub claimed_at_ms: i64,
    /// Journal entries.
    pub journal_length: u32,
    /// Where the last checkpoint stands in the journal.
    pub checkpoint_position: Option<u32>,
    /// From 0 to 1, as the step last said.
    pub progress: Option<f32>,
    /// A word about it.
    pub progress_message: Option<String>,
}

/// An outside host whose circuit is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownHost {
    /// Scheme, name and port.
    pub origin: String,
    /// What the last call has come to.
    pub reason: String,
    /// Since when, ms since 1970.
    pub opened_at_ms: i64,
    /// When it may be probed.
    pub retry_at_ms: i64,
}

/// What waits in an installation, for those who watch over it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Each stream with a ready step: its queue, its priority, and how long its oldest one has been ready, ms.
    pub oldest_ready_ms: Vec<(String, Priority, u64)>,
    /// Steps that wait for a person, of the first [`PARKED_LOOKED_AT`] that ever did.
    pub parked: u32,
    /// Steps that have failed for good and that nobody has looked after, of the first [`DEAD_LOOKED_AT`] dead letters.
    pub failed: u32,
    /// What a person has paused.
    pub paused: PausedCount,
    /// Outside hosts that are down.
    pub circuits: CircuitCount,
}

/// How many outside hosts are down, for the steps of all namespaces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CircuitCount {
    /// Nobody calls them.
    pub open: u32,
    /// Somebody probes them.
    pub half_open: u32,
}

/// How much is paused, in all namespaces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PausedCount {
    /// Runs that have not ended, of the first [`PAUSED_COUNTED`].
    pub runs: u32,
    /// Pipelines.
    pub pipelines: u32,
    /// Queues.
    pub queues: u32,
}

/// How many runs that are paused are counted.
pub const PAUSED_COUNTED: u32 = 10_000;

/// How many steps that were parked are looked at: some of them may have gone on.
pub const PARKED_LOOKED_AT: u32 = 10_000;

/// How many dead letters are looked at.
pub const DEAD_LOOKED_AT: u32 = 10_000;

/// Reading what live steps wait for.
#[async_trait]
pub trait Live {
    /// Up to `limit` steps of a run that have not ended and are not blocked, with what may move them.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn live_steps(&self, run: RunId, limit: u32) -> Result<Vec<LiveStep>>;

    /// The queues with a step that is ready and that no live worker serves, by name.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn unserved_queues(&self) -> Result<Vec<String>>;

    /// What waits. It costs what there is of streams, not of steps.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn backlog(&self) -> Result<Backlog>;
}
