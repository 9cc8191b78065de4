//! Redis Streams, the delivery. The only module that knows Redis.
//!
//! One stream per queue and priority, `pawl:q:{queue}:{priority}`, with the consumer group `workers`; a
//! consumer is a worker's id. A message says which step is ready, and nothing that matters if it is lost,
//! late, doubled or reordered: Postgres is the truth, and `scheduler` finds what Redis has lost.
//!
//! ```text
//!  publish ──▶ stream ──XREADGROUP──▶ pending at a worker ──XACK, XDEL──▶ gone
//!                 ▲                          │  its worker dies
//!                 └── lost: published again  └──▶ adopted by another (repair)
//! ```

use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Pipeline};
use uuid::Uuid;

use crate::domain::id::{RunId, StepId};
use crate::domain::pipeline::Priority;
use crate::domain::ready::{Moved, Ready};

mod changes;
pub mod inspect;
mod read;
pub mod repair;

pub use read::{Delivery, Reader};

/// The consumer group that all workers share.
const GROUP: &str = "workers";

/// The pub/sub channel on which readers of runs are woken. A hint: readers poll besides.
const CHANGES: &str = "pawl:runs";

/// Why Redis did not do it. Nothing is lost by that: delivery is made up for later.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It can't be reached, or answered with an error.
    #[error("Redis is not available")]
    Unavailable(#[from] redis::RedisError),
    /// A setting is wrong.
    #[error("the Redis URL is not valid: {0}")]
    Config(String),
}

/// A result of the queue.
pub type Result<T> = std::result::Result<T, Error>;

/// One stream: a queue's messages of one priority.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Stream {
    /// The queue.
    pub queue: String,
    /// The priority.
    pub priority: Priority,
}

impl Stream {
    /// The streams of a queue, most urgent first.
    pub fn of(queue: &str) -> impl Iterator<Item = Self> {
        Priority::ALL.into_iter().map(|priority| Self { queue: queue.to_owned(), priority })
    }

    /// The key in Redis.
    #[must_use]
    pub fn key(&self) -> String {
        format!("pawl:q:{}:{}", self.queue, self.priority.as_str())
    }
}

/// Access to Redis; cheap to clone. Connects when first used and again after every loss.
#[derive(Clone)]
pub struct Queue {
    client: Client,
    connection: ConnectionManager,
}

impl Queue {
    /// Prepares access.
    ///
    /// # Errors
    /// [`Error::Config`] if the URL is not one.
    pub fn new(redis_url: &str) -> Result<Self> {
        let client = Client::open(redis_url).map_err(|error| Error::Config(error.to_string()))?;
        let connection = client.get_connection_manager_lazy(connection_config(Duration::from_secs(2)))?;
        Ok(Self { client, connection })
    }

    /// Whether Redis answers.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if it does not.
    pub async fn ping(&self) -> Result<()> {
        Ok(redis::cmd("PING").exec_async(&mut self.connection.clone()).await?)
    }

    /// Delivers ready steps, in one round trip.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: they will be found as lost and published again.
    pub async fn publish(&self, ready: &[Ready]) -> Result<()> {
        self.settle(Settled { ready, ..Settled::default() }).await
    }

    /// What follows a commit, in one round trip: acknowledgements, deliveries, wake-ups of readers.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: unacknowledged messages come again and find their steps not ready.
    pub async fn settle(&self, settled: Settled<'_>) -> Result<()> {
        let mut pipe = redis::pipe();
        acknowledge(&mut pipe, settled.done);
        for ready in settled.ready {
            let stream = Stream { queue: ready.queue.clone(), priority: ready.priority };
            pipe.cmd("XADD")
                .arg(stream.key())
                .arg("*")
                .arg("run")
                .arg(ready.id.run.to_string())
                .arg("step")
                .arg(ready.id.step.0)
                .arg("ready_at")
                .arg(ready.ready_at_ms)
                .ignore();
        }
        if !settled.moved.is_empty() {
            pipe.cmd("PUBLISH").arg(CHANGES).arg(changes::pack(settled.moved)).ignore();
        }
        if pipe.is_empty() {
            return Ok(());
        }
        Ok(pipe.exec_async(&mut self.connection.clone()).await?)
    }
}

/// What follows a commit.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settled<'a> {
    /// Messages whose consequence is committed.
    pub done: &'a [Delivery],
    /// Steps to be delivered.
    pub ready: &'a [Ready],
    /// Runs whose readers should look.
    pub moved: &'a [Moved],
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}

/// One XACK and one XDEL per stream: a stream then holds only what is not done.
fn acknowledge(pipe: &mut Pipeline, done: &[Delivery]) {
    let mut rest: Vec<&Delivery> = done.iter().collect();
    while let Some(first) = rest.first() {
        let stream = first.stream.clone();
        let (same, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(|delivery| delivery.stream == stream);
        let entries: Vec<&str> = same.iter().map(|delivery| delivery.entry.as_str()).collect();
        pipe.cmd("XACK").arg(stream.key()).arg(GROUP).arg(&entries).ignore();
        pipe.cmd("XDEL").arg(stream.key()).arg(&entries).ignore();
        rest = others;
    }
}

fn connection_config(response_timeout: Duration) -> ConnectionManagerConfig {
    ConnectionManagerConfig::new()
        .set_number_of_retries(1)
        .set_max_delay(Duration::from_millis(200))
        .set_connection_timeout(Some(Duration::from_secs(2)))
        .set_response_timeout(Some(response_timeout))
}

/// The step in a message's fields; `None` if it is no message of ours.
fn step_of(fields: &std::collections::HashMap<String, redis::Value>) -> Option<(StepId, i64)> {
    let field = |name: &str| fields.get(name).and_then(|value| redis::from_redis_value_ref::<String>(value).ok());
    let run = Uuid::parse_str(&field("run")?).ok()?;
    let step = field("step")?.parse().ok()?;
    let ready_at_ms = field("ready_at")?.parse().ok()?;
    Some((StepId { run: RunId(run), step: crate::domain::id::StepNo(step) }, ready_at_ms))
}
