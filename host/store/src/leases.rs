//! Leases: what a heartbeat says, and the sweeps that move a step when its worker can't.

use async_trait::async_trait;
use pawl_domain::id::{Fence, StepId, WorkerId};
use pawl_domain::pipeline::Priority;
use pawl_domain::ready::Ready;
use pawl_domain::suspicion::Suspicion;

use super::Result;

/// What a worker tells of itself with every heartbeat.
#[derive(Debug, Clone)]
pub struct Heartbeat<'a> {
    /// This start of the process.
    pub worker: WorkerId,
    /// From the database's now on.
    pub lease_ms: u32,
    /// The first one.
    pub begin: bool,
    /// For people.
    pub host: &'a str,
    /// For people.
    pub pid: u32,
    /// Steps that it can execute at once.
    pub slots: usize,
    /// Queues that it serves.
    pub queues: &'a [String],
    /// Steps that it executes now.
    pub running: usize,
    /// Whether it takes nothing new.
    pub draining: bool,
}

/// The answer to a heartbeat. Times are ms since 1970 by the database's clock; `None`: nothing in sight.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pulse {
    /// False: the lease ran out and can't be renewed; the process takes a new id.
    pub alive: bool,
    /// The database's clock.
    pub now_ms: i64,
    /// When the first lease of another worker ends.
    pub next_lease_end_ms: Option<i64>,
    /// When the first waiting step is due.
    pub next_due_ms: Option<i64>,
    /// Since when the oldest ready step is ready.
    pub oldest_ready_ms: Option<i64>,
    /// When a version of a plugin was last wanted (µs): another value than before says that there is something to
    /// compile ahead.
    pub newest_wanted_us: Option<i64>,
}

/// What moves a step when its worker can't.
#[async_trait]
pub trait Sweeps {
    /// Takes up to `limit` steps from workers whose lease ended; parks those that are to blame. Returns what is
    /// to be delivered.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`]: nothing is lost by trying again.
    async fn take_over(&self, limit: usize, suspicion: Suspicion) -> Result<Vec<Ready>>;

    /// Makes up to `limit` waiting steps that are due ready. Returns what is to be delivered.
    ///
    /// # Errors
    /// As [`Sweeps::take_over`].
    async fn wake(&self, limit: usize) -> Result<Vec<Ready>>;

    /// Ready steps of one stream, ready since before `before_ms`, at most `limit`: to be delivered again.
    ///
    /// # Errors
    /// As [`Sweeps::take_over`].
    async fn lost(&self, queue: &str, priority: Priority, before_ms: i64, limit: usize) -> Result<Vec<Ready>>;

    /// Up to `limit` ready steps of all queues, longest ready first, with a new `ready_at`: for a person who
    /// wants everything delivered again now.
    ///
    /// # Errors
    /// As [`Sweeps::take_over`].
    async fn redeliver_ready(&self, limit: usize) -> Result<Vec<Ready>>;

    /// Those of these steps that are ready and that nobody holds, with a new `ready_at`: whoever had their messages is
    /// gone.
    ///
    /// # Errors
    /// As [`Sweeps::take_over`].
    async fn redeliver(&self, steps: &[StepId]) -> Result<Vec<Ready>>;

    /// The steps that the database says `worker` runs.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn running_of(&self, worker: WorkerId) -> Result<Vec<(StepId, Fence)>>;

    /// The ids of workers whose lease has not ended.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn live_workers(&self) -> Result<Vec<WorkerId>>;

    /// Says that a worker whose lease ran out has not died: the takeover of its steps, past or to come, is no
    /// crash of theirs. (A mark of -1 makes the next takeover see progress.)
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn forgive_crash(&self, worker: WorkerId) -> Result<()>;

    /// Forgets a worker that ended in good order. If steps still point to it, they will be taken over
    /// with the next sweep.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn forget_worker(&self, worker: WorkerId) -> Result<()>;
}
