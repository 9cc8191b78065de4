//! A connection to Redis that many share, or one reader alone. It is made when it is first needed, and made anew after a
//! command that was not answered in time, or was answered by a server that is not the one any more: a host that dies
//! resets nothing, and what is asked on its connections is not answered for a quarter of an hour; a server that became a
//! replica says so for ever. What ended a connection is sent once more on a new one, at once: a connection may have been
//! cut while nothing was asked, and all that Pawl sends may be done twice. But what was read may be lost on the way, so a
//! reader sends for itself.

use std::sync::Arc;
use std::time::Duration;

use pawl_metrics::figures;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{Cmd, Pipeline, RedisError, RedisFuture, RedisResult, Value};
use tokio::sync::Mutex;

use super::keys::Keys;
use super::meaning;
use super::servers::Servers;

/// How long it may take to connect.
pub(super) const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// How long an answer may take, besides what a command waits for.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Silence after which the system asks whether the other side is there, and until when it must have said so.
pub(super) const KEEPALIVE_AFTER: Duration = Duration::from_secs(4);
pub(super) const KEEPALIVE_EVERY: Duration = Duration::from_secs(1);
pub(super) const DEAD_AFTER: Duration = Duration::from_secs(8);

/// The connection; clones share it.
#[derive(Clone)]
pub(super) struct Line(Arc<Shared>);

struct Shared {
    servers: Arc<Servers>,
    answer_within: Duration,
    /// How often a command is sent at most, each time on another connection.
    times: u32,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    connection: Option<MultiplexedConnection>,
    /// Grows with every connection: one is given up once, however many were waiting for its answers.
    number: u64,
}

impl Line {
    /// Connects when first used. Sends once more what has ended a connection.
    pub(super) fn new(servers: Arc<Servers>) -> Self {
        Self(Arc::new(Shared { servers, answer_within: ANSWER_WITHIN, times: 2, kept: Mutex::default() }))
    }

    /// For commands that wait up to `block`, and that are never sent again.
    pub(super) fn of_reader(servers: Arc<Servers>, block: Duration) -> Self {
        let answer_within = block + ANSWER_WITHIN;
        Self(Arc::new(Shared { servers, answer_within, times: 1, kept: Mutex::default() }))
    }

    /// The names of the keys.
    pub(super) async fn keys(&self) -> RedisResult<&Keys> {
        self.0.servers.keys().await
    }

    async fn connection(&self) -> RedisResult<(MultiplexedConnection, u64)> {
        let mut kept = self.0.kept.lock().await;
        if let Some(connection) = &kept.connection {
            return Ok((connection.clone(), kept.number));
        }
        let connection = self.0.servers.connect().await?;
        kept.number += 1;
        kept.connection = Some(connection.clone());
        Ok((connection, kept.number))
    }

    async fn give_up(&self, number: u64) {
        let mut kept = self.0.kept.lock().await;
        if kept.number == number && kept.connection.take().is_some() {
            figures().queue_connections_lost.one();
        }
    }

    async fn converse<T: Answer, F>(&self, send: impl Fn(MultiplexedConnection) -> F) -> RedisResult<T>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let mut left = self.0.times;
        loop {
            let (connection, number) = match tokio::time::timeout(CONNECT_WITHIN, self.connection()).await {
                Ok(connected) => connected?,
                Err(_) => return Err(silent(format!("no connection to {} in time", self.0.servers.addresses()))),
            };
            let answer = within(self.0.answer_within, send(connection)).await;
            if !ends_connection(&answer) {
                return answer;
            }
            self.give_up(number).await;
            if answer.is_ok() {
                self.0.servers.leave();
            }
            left -= 1;
            if left == 0 {
                return answer;
            }
        }
    }
}

/// Bounds a conversation: a server that has gone silent resets nothing.
pub(super) async fn within<T>(limit: Duration, work: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(silent("no answer in time".to_owned())))
}

fn silent(why: String) -> RedisError {
    std::io::Error::new(std::io::ErrorKind::TimedOut, why).into()
}

/// Whether the connection has no future. What a server refuses is an answer like others.
fn ends_connection<T: Answer>(answer: &RedisResult<T>) -> bool {
    match answer {
        Err(error) => meaning::of(error).ends_connection,
        Ok(answer) => answer.values().iter().any(|value| match value {
            Value::ServerError(error) => meaning::of_answer(error).ends_connection,
            _ => false,
        }),
    }
}

/// What a server says to a command, or to each of several.
trait Answer {
    fn values(&self) -> &[Value];
}

impl Answer for Value {
    fn values(&self) -> &[Value] {
        std::slice::from_ref(self)
    }
}

impl Answer for Vec<Value> {
    fn values(&self) -> &[Value] {
        self
    }
}

impl ConnectionLike for Line {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(self.converse(move |mut connection| async move { connection.send_packed_command(cmd).await }))
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(self.converse(move |mut connection| async move {
            connection.send_packed_commands(pipeline, offset, count).await
        }))
    }

    fn get_db(&self) -> i64 {
        self.0.servers.database()
    }
}
