//! Worker processes, as people see them, and what they ask of one.

use async_trait::async_trait;
use pawl_domain::id::WorkerId;

use super::Result;

/// A worker process and its lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerRow {
    /// New at every start.
    pub id: WorkerId,
    /// The machine.
    pub host: String,
    /// The process there.
    pub pid: u32,
    /// How many steps it executes at once.
    pub slots: u32,
    /// How many it said it executes.
    pub running: u32,
    /// The queues it reads.
    pub queues: Vec<String>,
    /// Whether it takes no more steps.
    pub draining: bool,
    /// Whether somebody has asked it to drain.
    pub drain_asked: bool,
    /// Of its build; none if that is older than the word, or if the store is this process's own.
    pub version: Option<String>,
    /// How far its machine's clock was ahead of the store's at its last heartbeat, ms; none as above.
    pub clock_ahead_ms: Option<i64>,
    /// Whether its lease is good, by the database's clock.
    pub alive: bool,
    /// Start.
    pub started_at_ms: i64,
    /// The last heartbeat.
    pub renewed_at_ms: i64,
    /// The end of its lease.
    pub expires_at_ms: i64,
}

impl WorkerRow {
    /// One with a good lease that executes nothing, at the beginning of time. What is judged about workers is tried on it.
    #[must_use]
    pub fn idle(queues: &[&str]) -> Self {
        Self {
            id: WorkerId::new(),
            host: "node-1".to_owned(),
            pid: 7,
            slots: 8,
            running: 0,
            queues: queues.iter().map(ToString::to_string).collect(),
            draining: false,
            drain_asked: false,
            version: None,
            clock_ahead_ms: None,
            alive: true,
            started_at_ms: 0,
            renewed_at_ms: 0,
            expires_at_ms: 0,
        }
    }
}

/// A worker process that has ended, or has lost its lease and what it had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoneWorker {
    /// That of its life.
    pub id: WorkerId,
    /// The machine.
    pub host: String,
    /// The process there.
    pub pid: u32,
    /// How many steps it executed at once.
    pub slots: u32,
    /// The queues it read.
    pub queues: Vec<String>,
    /// Start.
    pub started_at_ms: i64,
    /// When it was seen to be gone, and nothing was its any more.
    pub gone_at_ms: i64,
    /// Whether it ended in peace; otherwise its lease ended.
    pub said_goodbye: bool,
}

/// What came of asking a worker to drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrainAsked {
    /// It hears of it with the answer to its next heartbeat.
    Now,
    /// It was asked before, or drains by itself.
    Before,
    /// It is gone: its lease has ended, or it has said goodbye.
    Gone,
}

/// Reading workers, and asking one to end.
#[async_trait]
pub trait Workers {
    /// All workers that have not been forgotten, newest first.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn workers(&self) -> Result<Vec<WorkerRow>>;

    /// Workers that went within the last day, the latest first: at most `limit`.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn gone_workers(&self, limit: u32) -> Result<Vec<GoneWorker>>;

    /// Asks a worker to take nothing new, to finish or hand back what it has, and to end.
    ///
    /// # Errors
    /// [`super::Error::NotFound`] if nobody knows of such a worker; [`super::Error::Unavailable`].
    async fn ask_to_drain(&self, worker: WorkerId) -> Result<DrainAsked>;
}

pub(super) fn no_worker(worker: WorkerId) -> super::Error {
    super::Error::NotFound(format!("there is no worker {worker}, and none that went within a day"))
}
