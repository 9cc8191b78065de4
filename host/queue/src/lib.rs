//! The delivery: which steps are ready, told to workers. A port with two implementations, which pass one
//! conformance suite: [`RedisStreams`] for production, [`InProcess`] for `pawl dev`.
//!
//! One stream per queue and priority, read by one group of consumers; a consumer is a worker. A message says
//! which step is ready, and nothing that matters if it is lost, late, doubled or reordered: the store is the
//! truth, and the worker's scheduler finds what a queue has lost.
//!
//! ```text
//!  publish ──▶ stream ──read──▶ pending at a worker ──acknowledged──▶ gone
//!                 ▲                     │  its worker dies
//!                 └── lost: published again  └──▶ adopted by another
//! ```

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pawl_domain::id::{StepId, WorkerId};
use pawl_domain::pipeline::Priority;
use pawl_domain::ready::{Moved, Ready, Start};

mod error;
mod in_process;
mod redis;
mod server;

pub use error::{Error, Result, Source};
pub use in_process::InProcess;
pub use redis::{RedisConfig, RedisStreams, WhichInstallation};
pub use server::ServerState;

/// Dead letters that are kept for other systems, about.
pub const DEAD_LETTERS_KEPT: usize = 10_000;

/// Called with runs that moved.
pub type Wake<'a> = dyn for<'m> Fn(&'m [Moved]) + Send + Sync + 'a;

/// A queue that many share.
pub type SharedQueue = Arc<dyn Queue>;

/// The port. No call is needed for truth: what was not told, or told twice, is made up for.
#[async_trait]
pub trait Queue: Send + Sync {
    /// For people: what it is.
    fn name(&self) -> &'static str;

    /// Whether it takes deliveries. It may be asked all the time: the answer may be a second old.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if it does not, and why.
    async fn ping(&self) -> Result<()>;

    /// What follows a commit, in one round trip: acknowledgements, deliveries, wake-ups of readers.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: unacknowledged messages come again and find their steps not ready; steps that
    /// were not delivered will be found as lost.
    async fn follow_up(&self, after: FollowUp<'_>) -> Result<()>;

    /// Delivers ready steps.
    ///
    /// # Errors
    /// As [`Queue::follow_up`].
    async fn publish(&self, ready: &[Ready]) -> Result<()> {
        self.follow_up(FollowUp { ready, ..FollowUp::default() }).await
    }

    /// A reader for `consumer` of all streams of `queues`, most urgent first. Each read waits up to `block`.
    ///
    /// # Errors
    /// [`Error::Config`] if a setting is wrong.
    fn reader(&self, consumer: WorkerId, queues: &[String], block: Duration) -> Result<Box<dyn Reader>>;

    /// A stream's watermark.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn watermark(&self, stream: &Stream) -> Result<Watermark>;

    /// The consumers of a stream's group.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn consumers(&self, stream: &Stream) -> Result<Vec<Consumer>>;

    /// Takes up to `limit` pending messages of a dead consumer for the consumer `adopter`, which then claims their
    /// steps or finds them not ready. With nothing pending the consumer is deleted.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn adopt(&self, stream: &Arc<Stream>, dead: &str, adopter: &str, limit: usize) -> Result<Vec<Delivery>>;

    /// All streams that exist, by name.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn streams(&self) -> Result<Vec<StreamState>>;

    /// Tells other systems of dead letters, JSON objects each. A notification, and no truth: it may be lost, or come twice, and
    /// only the newest [`DEAD_LETTERS_KEPT`], about, are kept. A queue that others can't read tells nobody.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn tell_dead_letters(&self, _letters: &[String]) -> Result<()> {
        Ok(())
    }

    /// One stream; empty if it does not exist.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn stream(&self, stream: &Stream) -> Result<StreamState>;

    /// Messages of a stream that were read and not acknowledged, the oldest first: at most `limit`.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn pending(&self, stream: &Stream, limit: usize) -> Result<Vec<Pending>>;

    /// How many of the first `limit` messages of a stream tell of a step that an earlier one tells of: they were delivered again,
    /// since the first may have been lost, and are dropped when they are read.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn repeated(&self, stream: &Stream, limit: usize) -> Result<usize>;

    /// Host and port of each server behind it, as far as is known now: those that were named, and those that they have told of.
    fn servers(&self) -> Vec<(String, u16)> {
        Vec::new()
    }

    /// How the server behind it is; none if there is no server.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn server(&self) -> Result<Option<ServerState>>;

    /// Tells workers that a version of a plugin is wanted. A hint: they look besides.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn tell_plugins(&self) -> Result<()>;

    /// Calls `wake` whenever somebody tells of plugins, for ever.
    async fn plugin_changes(&self, wake: &(dyn Fn() + Send + Sync));

    /// Calls `wake` with the runs that moved, for ever. What is missed, after a loss of the queue for example, is
    /// for the caller's own polling.
    async fn run_changes(&self, wake: &Wake<'_>);
}

/// Reads the streams of a worker's queues for it.
#[async_trait]
pub trait Reader: Send {
    /// The streams that are read.
    fn streams(&self) -> &[Arc<Stream>];

    /// Up to `count` new messages, and no more than one of each stream besides, most urgent first; none if none came in
    /// time. Queues of one priority are read in turn.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: read again after a pause.
    async fn read(&mut self, count: usize) -> Result<Vec<Delivery>>;

    /// Whether the queue was found to have lost what it held, since this was last asked.
    fn has_lost(&mut self) -> bool {
        false
    }
}

/// One stream: a queue's messages of one priority.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stream {
    /// The name that steps give in `queue`, and workers in `--queues`.
    pub queue: String,
    /// Streams of a queue are read from the most urgent one down.
    pub priority: Priority,
}

impl Stream {
    /// The streams of a queue, most urgent first.
    pub fn of(queue: &str) -> impl Iterator<Item = Self> {
        Priority::ALL.into_iter().map(|priority| Self { queue: queue.to_owned(), priority })
    }

    /// The streams of these queues, most urgent first.
    pub(crate) fn of_all(queues: &[String]) -> Vec<Arc<Self>> {
        let mut streams: Vec<Self> = queues.iter().flat_map(|queue| Self::of(queue)).collect();
        streams.sort_by_key(|stream| stream.priority);
        streams.into_iter().map(Arc::new).collect()
    }

    /// Streams by priority; those of one priority begin with another queue each turn.
    pub(crate) fn in_turn(streams: &[Arc<Self>], turn: usize) -> impl Iterator<Item = &Arc<Self>> {
        streams.chunk_by(|one, other| one.priority == other.priority).flat_map(move |equal| {
            let (before, after) = equal.split_at(turn % equal.len());
            after.iter().chain(before)
        })
    }
}

/// A message at a worker: pending until it is acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The stream that it was read from, and is acknowledged in.
    pub stream: Arc<Stream>,
    /// Its id in the stream.
    pub entry: String,
    /// The step that is ready, as far as the message knows; `None` if it is no message of ours, which is
    /// only acknowledged.
    pub step: Option<StepId>,
    /// Since when it was ready, by the message; ms since 1970.
    pub ready_at_ms: i64,
    /// What the message tells of a step that nobody had claimed.
    pub start: Option<Start>,
}

impl Delivery {
    /// The same message once more, for somebody else; `None` if it is no message of ours.
    #[must_use]
    pub fn again(&self) -> Option<Ready> {
        Some(Ready {
            id: self.step?,
            queue: self.stream.queue.clone(),
            priority: self.stream.priority,
            ready_at_ms: self.ready_at_ms,
            start: self.start.clone(),
        })
    }
}

/// What follows a commit.
#[derive(Debug, Clone, Copy, Default)]
pub struct FollowUp<'a> {
    /// Messages whose consequence is committed.
    pub done: &'a [Delivery],
    /// Steps to be delivered.
    pub ready: &'a [Ready],
    /// Runs whose readers should look.
    pub moved: &'a [Moved],
}

/// Up to where a stream's messages have been delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watermark {
    /// Nothing is undelivered: every ready step should have been claimed by now.
    AllDelivered,
    /// The oldest message that nobody has read became ready then (ms, the store's clock): older ready steps
    /// have no undelivered message.
    DeliveredBefore(i64),
}

/// A consumer of a stream's group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumer {
    /// Its name: a worker's id.
    pub name: String,
    /// Messages read and not acknowledged.
    pub pending: usize,
    /// Since it last read.
    pub idle_ms: u64,
}

/// A message that was read and not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Its id in the stream.
    pub entry: String,
    /// Who has read it, or adopted it.
    pub consumer: String,
    /// Since then.
    pub idle_ms: u64,
    /// The step that it tells of; `None` if it is no message of ours, or was acknowledged just now.
    pub step: Option<StepId>,
}

/// One stream, as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamState {
    /// Of which queue and priority.
    pub stream: Stream,
    /// Messages in it, read or not.
    pub length: usize,
    /// Messages read and not acknowledged.
    pub pending: usize,
    /// Messages that were ever put in it, those that are gone included: between two looks, what came in.
    pub added: u64,
    /// When the oldest unread message became ready (ms, the store's clock); `None` if all are read.
    pub oldest_unread_ms: Option<i64>,
    /// Who has read from it, and not been deleted since.
    pub consumers: Vec<Consumer>,
}
