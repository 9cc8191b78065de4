//! Leases: what a heartbeat says, the look for what is to be done, and the sweeps that move a step when its worker can't.

use std::time::Duration;

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
    /// Of its build.
    pub version: &'a str,
    /// Its machine's own clock, ms since 1970.
    pub clock_ms: i64,
}

/// The answer to a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewal {
    /// False: the lease ran out and can't be renewed; the process takes a new id.
    pub alive: bool,
    /// The store's clock, ns since 1970, at some time between the question and the answer.
    pub now_ns: u64,
    /// Somebody has asked the worker to drain, and to end.
    pub drain: bool,
}

/// How one worker watches the sessions of the others.
#[derive(Debug, Clone, Copy)]
pub struct Watch {
    /// Who watches.
    pub worker: WorkerId,
    /// For how long; it ends earlier when it has ended a lease.
    pub time: Duration,
    /// Between two looks.
    pub pause: Duration,
    /// How long a worker may be without a session before its lease is ended.
    pub grace: Duration,
}

/// What to look for, and from where on. What lies before a bound was seen to be gone; with `None` everything is looked
/// through, which takes as long as there is much to walk over. Times are ms since 1970 by the database's clock.
#[derive(Debug, Clone)]
pub struct Look<'a> {
    /// Whose lease is not asked for.
    pub worker: WorkerId,
    /// Waiting steps that are due from then on, …
    pub due_from_ms: Option<i64>,
    /// … until so long from now.
    pub horizon_ms: u32,
    /// Streams whose ready steps are looked for.
    pub ready: Vec<ReadyFrom<'a>>,
    /// Those that are ready for longer than this.
    pub margin_ms: u32,
}

/// A stream, and the age of what is looked for in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadyFrom<'a> {
    /// The queue.
    pub queue: &'a str,
    /// The priority.
    pub priority: Priority,
    /// Ready since then or later.
    pub from_ms: Option<i64>,
}

/// The answer to a look. Times are ms since 1970 by the database's clock; `None`: nothing in sight.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pulse {
    /// The database's clock.
    pub now_ms: i64,
    /// When the first lease of another worker ends.
    pub next_lease_end_ms: Option<i64>,
    /// When the first waiting step is due.
    pub next_due_ms: Option<i64>,
    /// Since when the oldest ready step of each stream is ready, in the order of the look's.
    pub oldest_ready_ms: Vec<Option<i64>>,
    /// When a version of a plugin was last wanted (µs): another value than before says that there is something to
    /// compile ahead.
    pub newest_wanted_us: Option<i64>,
    /// A pause has ended, and something may still be on the shelf by it.
    pub releases: bool,
    /// There are circuits: open ones, or closed ones by which something may still be deferred.
    pub circuits: bool,
}

/// What moves a step when its worker can't.
#[async_trait]
pub trait Sweeps {
    /// Tells when there is something to do.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn look(&self, look: &Look<'_>) -> Result<Pulse>;

    /// Takes up to `limit` steps from workers whose lease ended; parks those that are to blame. Returns what is
    /// to be delivered. Strays are steps whose worker is forgotten already: a claim that came late. They are looked for
    /// among the workers of all running steps.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`]: nothing is lost by trying again.
    async fn take_over(&self, limit: usize, strays: bool, suspicion: Suspicion) -> Result<Vec<Ready>>;

    /// Makes up to `limit` waiting steps ready that are due, from `from_ms` on. Returns what is to be delivered.
    ///
    /// # Errors
    /// As [`Sweeps::take_over`].
    async fn wake(&self, limit: usize, from_ms: Option<i64>) -> Result<Vec<Ready>>;

    /// Ready steps of one stream, ready since before `before_ms`, at most `limit`: to be delivered again.
    ///
    /// # Errors
    /// As [`Sweeps::take_over`].
    async fn lost(&self, ready: ReadyFrom<'_>, before_ms: i64, limit: usize) -> Result<Vec<Ready>>;

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
