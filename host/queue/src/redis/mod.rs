//! The queue of production: Redis Streams. The only module that knows Redis, alone or as a cluster.
//!
//! What keys are called is said in [`keys`]; the consumer group of each stream is `workers`, a consumer a worker's id.
//!
//! ```text
//!  RedisStreams, readers ──▶ line: one connection, deadlines ──▶ servers: which one has our keys
//!                             ▲
//!                             └── meaning: what an error says of the connection, and to people
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pawl_domain::id::{InstallationId, WorkerId};
use redis::{Pipeline, RedisError, RedisResult};
use tokio::sync::Mutex;

use keys::Keys;
use line::Line;
use servers::{Servers, delivery_of_nothing};

use super::{
    Consumer, DEAD_LETTERS_KEPT, Delivery, Error, FollowUp, Pending, Queue, Reader, Result, ServerState, Stream,
    StreamState, Wake, Watermark,
};

mod changes;
mod config;
mod inspect;
mod keys;
mod line;
mod meaning;
mod message;
mod read;
mod repair;
mod server;
mod servers;

pub use config::RedisConfig;
pub use keys::WhichInstallation;

/// What people call it.
const NAME: &str = "Redis";

/// The consumer group that all workers share.
const GROUP: &str = "workers";

/// How long the answer to "does it take deliveries" is good for: whoever asks that all the time costs nothing.
const ASKED_EVERY: Duration = Duration::from_secs(1);

/// Access to Redis. Connects when first used and again after every loss.
pub struct RedisStreams {
    servers: Arc<Servers>,
    connection: Line,
    /// When it last took a delivery.
    taken_at: Mutex<Option<Instant>>,
}

impl RedisStreams {
    /// Prepares access for an installation, which is asked for when it is first needed.
    ///
    /// # Errors
    /// [`Error::Config`] if a setting is wrong.
    pub fn new(config: &RedisConfig, installation: WhichInstallation) -> Result<Self> {
        let servers = Arc::new(Servers::new(config, installation)?);
        Ok(Self { connection: Line::new(Arc::clone(&servers)), servers, taken_at: Mutex::default() })
    }

    /// Prepares access for an installation that is known.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn of(config: &RedisConfig, installation: InstallationId) -> Result<Self> {
        Self::new(config, Arc::new(move || Box::pin(std::future::ready(Ok(installation)))))
    }

    async fn tell(&self, after: FollowUp<'_>) -> RedisResult<()> {
        let mut connection = self.connection.clone();
        let keys = connection.keys().await?.clone();
        let mut pipe = redis::pipe();
        acknowledge(&mut pipe, &keys, after.done);
        for ready in after.ready {
            let key = keys.stream(&ready.queue, ready.priority);
            message::write(pipe.cmd("XADD").arg(key).arg("*"), ready).ignore();
        }
        if !after.moved.is_empty() {
            pipe.cmd("PUBLISH").arg(keys.runs()).arg(changes::pack(after.moved)).ignore();
        }
        if pipe.is_empty() {
            return Ok(());
        }
        pipe.exec_async(&mut connection).await
    }

    async fn take_nothing(&self) -> RedisResult<()> {
        let mut connection = self.connection.clone();
        let nothing = delivery_of_nothing(connection.keys().await?);
        nothing.exec_async(&mut connection).await
    }
}

#[async_trait]
impl Queue for RedisStreams {
    fn name(&self) -> &'static str {
        NAME
    }

    fn servers(&self) -> Vec<(String, u16)> {
        self.servers.endpoints()
    }

    async fn ping(&self) -> Result<()> {
        // Whoever comes meanwhile waits for the same answer.
        let mut taken_at = self.taken_at.lock().await;
        if taken_at.is_none_or(|at| at.elapsed() >= ASKED_EVERY) {
            *taken_at = None;
            self.take_nothing().await.map_err(away)?;
            *taken_at = Some(Instant::now());
        }
        Ok(())
    }

    async fn follow_up(&self, after: FollowUp<'_>) -> Result<()> {
        self.tell(after).await.map_err(away)
    }

    fn reader(&self, consumer: WorkerId, queues: &[String], block: Duration) -> Result<Box<dyn Reader>> {
        let connection = Line::of_reader(Arc::clone(&self.servers), block);
        Ok(Box::new(read::GroupReader::new(connection, consumer, Stream::of_all(queues), block)))
    }

    async fn watermark(&self, stream: &Stream) -> Result<Watermark> {
        repair::watermark(&mut self.connection.clone(), stream).await.map_err(away)
    }

    async fn consumers(&self, stream: &Stream) -> Result<Vec<Consumer>> {
        repair::consumers(&mut self.connection.clone(), stream).await.map_err(away)
    }

    async fn adopt(&self, stream: &Arc<Stream>, dead: &str, adopter: &str, limit: usize) -> Result<Vec<Delivery>> {
        repair::adopt(&mut self.connection.clone(), stream, dead, adopter, limit).await.map_err(away)
    }

    async fn streams(&self) -> Result<Vec<StreamState>> {
        inspect::streams(&mut self.connection.clone()).await.map_err(away)
    }

    async fn tell_dead_letters(&self, letters: &[String]) -> Result<()> {
        let mut connection = self.connection.clone();
        let key = connection.keys().await.map_err(away)?.dead_letters();
        let mut pipe = redis::pipe();
        for letter in letters {
            let add = pipe.cmd("XADD").arg(&key).arg("MAXLEN").arg("~").arg(DEAD_LETTERS_KEPT);
            add.arg("*").arg("letter").arg(letter).ignore();
        }
        if pipe.is_empty() {
            return Ok(());
        }
        pipe.exec_async(&mut connection).await.map_err(away)
    }

    async fn stream(&self, stream: &Stream) -> Result<StreamState> {
        inspect::stream(&mut self.connection.clone(), stream).await.map_err(away)
    }

    async fn pending(&self, stream: &Stream, limit: usize) -> Result<Vec<Pending>> {
        inspect::pending(&mut self.connection.clone(), stream, limit).await.map_err(away)
    }

    async fn repeated(&self, stream: &Stream, limit: usize) -> Result<usize> {
        inspect::repeated(&mut self.connection.clone(), stream, limit).await.map_err(away)
    }

    async fn server(&self) -> Result<Option<ServerState>> {
        server::state(&mut self.connection.clone()).await.map(Some).map_err(away)
    }

    async fn tell_plugins(&self) -> Result<()> {
        let mut connection = self.connection.clone();
        let channel = connection.keys().await.map_err(away)?.plugins();
        redis::cmd("PUBLISH").arg(channel).arg("").exec_async(&mut connection).await.map_err(away)
    }

    async fn plugin_changes(&self, wake: &(dyn Fn() + Send + Sync)) {
        changes::listen(&self.servers, Keys::plugins, &|_| wake()).await;
    }

    async fn run_changes(&self, wake: &Wake<'_>) {
        changes::listen(&self.servers, Keys::runs, &|message| wake(&changes::unpack(message))).await;
    }
}

impl std::fmt::Debug for RedisStreams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisStreams").finish_non_exhaustive()
    }
}

/// What Redis said, in the port's words. Files beside this one speak Redis' own.
fn away(error: RedisError) -> Error {
    Error::Unavailable { queue: NAME, why: meaning::of(&error).why, source: error.into() }
}

/// One XACK and one XDEL per stream: a stream then holds only what is not done.
fn acknowledge(pipe: &mut Pipeline, keys: &Keys, done: &[Delivery]) {
    let mut rest: Vec<&Delivery> = done.iter().collect();
    while let Some(first) = rest.first() {
        let stream = first.stream.clone();
        let (same, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(|delivery| delivery.stream == stream);
        let entries: Vec<&str> = same.iter().map(|delivery| delivery.entry.as_str()).collect();
        pipe.cmd("XACK").arg(keys.of(&stream)).arg(GROUP).arg(&entries).ignore();
        pipe.cmd("XDEL").arg(keys.of(&stream)).arg(&entries).ignore();
        rest = others;
    }
}
