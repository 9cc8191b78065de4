//! The queue of production: Redis Streams. The only module that knows Redis.
//!
//! A stream's key is `pawl:q:{queue}:{priority}`, its consumer group `workers`, a consumer a worker's id.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pawl_domain::id::WorkerId;
use pawl_domain::pipeline::Priority;
use redis::{Client, Pipeline, RedisError};

use line::{ANSWER_WITHIN, Line, is_lost};

use super::{Consumer, Delivery, Error, FollowUp, Queue, Reader, Result, Stream, StreamState, Wake, Watermark};

mod changes;
mod inspect;
mod line;
mod message;
mod read;
mod repair;

/// What people call it.
const NAME: &str = "Redis";

/// The consumer group that all workers share.
const GROUP: &str = "workers";

/// The pub/sub channel on which readers of runs are woken. A hint: readers poll besides.
const CHANGES: &str = "pawl:runs";

/// The pub/sub channel on which workers hear of plugins. A hint, too.
const PLUGINS: &str = "pawl:plugins";

/// Access to Redis. Connects when first used and again after every loss.
pub struct RedisStreams {
    client: Client,
    connection: Line,
}

impl RedisStreams {
    /// Prepares access.
    ///
    /// # Errors
    /// [`Error::Config`] if the URL is not one.
    pub fn new(redis_url: &str) -> Result<Self> {
        let client =
            line::client(redis_url).map_err(|error| Error::Config(format!("the {NAME} URL is not valid: {error}")))?;
        let connection = Line::new(client.clone(), ANSWER_WITHIN);
        Ok(Self { client, connection })
    }
}

#[async_trait]
impl Queue for RedisStreams {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn ping(&self) -> Result<()> {
        redis::cmd("PING").exec_async(&mut self.connection.clone()).await.map_err(away)
    }

    async fn follow_up(&self, after: FollowUp<'_>) -> Result<()> {
        let mut pipe = redis::pipe();
        acknowledge(&mut pipe, after.done);
        for ready in after.ready {
            message::write(pipe.cmd("XADD").arg(key(&ready.queue, ready.priority)).arg("*"), ready).ignore();
        }
        if !after.moved.is_empty() {
            pipe.cmd("PUBLISH").arg(CHANGES).arg(changes::pack(after.moved)).ignore();
        }
        if pipe.is_empty() {
            return Ok(());
        }
        let mut connection = self.connection.clone();
        match pipe.exec_async(&mut connection).await {
            // It can't hurt to have it done twice, and what is not delivered waits until it is found as lost.
            Err(error) if is_lost(&error) => pipe.exec_async(&mut connection).await.map_err(away),
            done => done.map_err(away),
        }
    }

    fn reader(&self, consumer: WorkerId, queues: &[String], block: Duration) -> Result<Box<dyn Reader>> {
        let connection = Line::new(self.client.clone(), block + ANSWER_WITHIN);
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

    async fn tell_plugins(&self) -> Result<()> {
        redis::cmd("PUBLISH").arg(PLUGINS).arg("").exec_async(&mut self.connection.clone()).await.map_err(away)
    }

    async fn plugin_changes(&self, wake: &(dyn Fn() + Send + Sync)) {
        changes::listen(&self.client, PLUGINS, &|_| wake()).await;
    }

    async fn run_changes(&self, wake: &Wake<'_>) {
        changes::listen(&self.client, CHANGES, &|message| wake(&changes::unpack(message))).await;
    }
}

impl std::fmt::Debug for RedisStreams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisStreams").finish_non_exhaustive()
    }
}

/// What Redis said, in the port's words. Files beside this one speak Redis' own.
fn away(error: RedisError) -> Error {
    Error::Unavailable(NAME, error.into())
}

/// The key of a stream.
fn stream_key(stream: &Stream) -> String {
    key(&stream.queue, stream.priority)
}

fn key(queue: &str, priority: Priority) -> String {
    format!("pawl:q:{queue}:{}", priority.as_str())
}

/// One XACK and one XDEL per stream: a stream then holds only what is not done.
fn acknowledge(pipe: &mut Pipeline, done: &[Delivery]) {
    let mut rest: Vec<&Delivery> = done.iter().collect();
    while let Some(first) = rest.first() {
        let stream = first.stream.clone();
        let (same, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(|delivery| delivery.stream == stream);
        let entries: Vec<&str> = same.iter().map(|delivery| delivery.entry.as_str()).collect();
        pipe.cmd("XACK").arg(stream_key(&stream)).arg(GROUP).arg(&entries).ignore();
        pipe.cmd("XDEL").arg(stream_key(&stream)).arg(&entries).ignore();
        rest = others;
    }
}
