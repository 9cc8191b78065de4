//! A connection to Redis that many share, or one reader alone. It is made when it is first needed, and made anew after a
//! command that was not answered in time: a host that dies resets nothing, and what is asked on its connections is not
//! answered for a quarter of an hour. A command that failed is not sent again here: whoever asked decides.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::io::tcp::TcpSettings;
use redis::io::tcp::socket2::TcpKeepalive;
use redis::{AsyncConnectionConfig, Client, Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, Value};
use tokio::sync::Mutex;

/// How long it may take to connect.
pub(super) const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// How long an answer may take, besides what a command waits for.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Silence after which the system asks whether the other side is there, and until when it must have said so.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(4);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(1);
const DEAD_AFTER: Duration = Duration::from_secs(8);

/// Whoever connects with it learns of a dead host from the system, too, also while nothing is asked.
///
/// # Errors
/// If the URL is not one.
pub(super) fn client(redis_url: &str) -> RedisResult<Client> {
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY);
    let settings = TcpSettings::default().set_keepalive(keepalive).set_user_timeout(DEAD_AFTER);
    let info = Client::open(redis_url)?.get_connection_info().clone();
    Client::open(info.set_tcp_settings(settings))
}

/// The connection; clones share it.
#[derive(Clone)]
pub(super) struct Line(Arc<Shared>);

struct Shared {
    client: Client,
    answer_within: Duration,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    connection: Option<MultiplexedConnection>,
    /// Grows with every connection: one is given up once, however many were waiting for its answers.
    number: u64,
}

impl Line {
    /// Connects when first used. An answer is waited for as long as `answer_within`.
    pub(super) fn new(client: Client, answer_within: Duration) -> Self {
        Self(Arc::new(Shared { client, answer_within, kept: Mutex::default() }))
    }

    async fn connection(&self) -> RedisResult<(MultiplexedConnection, u64)> {
        let mut kept = self.0.kept.lock().await;
        if let Some(connection) = &kept.connection {
            return Ok((connection.clone(), kept.number));
        }
        // What it waits for is bounded below, for all that is sent.
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let connection = self.0.client.get_multiplexed_async_connection_with_config(&config).await?;
        kept.number += 1;
        kept.connection = Some(connection.clone());
        Ok((connection, kept.number))
    }

    async fn converse<T>(
        &self,
        send: impl AsyncFnOnce(&mut MultiplexedConnection) -> RedisResult<T>,
    ) -> RedisResult<T> {
        let (mut connection, number) = within(CONNECT_WITHIN, self.connection()).await?;
        let answer = within(self.0.answer_within, send(&mut connection)).await;
        if let Err(error) = &answer
            && is_lost(error)
        {
            let mut kept = self.0.kept.lock().await;
            if kept.number == number {
                kept.connection = None;
            }
        }
        answer
    }
}

/// Bounds a conversation: a server that has gone silent resets nothing.
pub(super) async fn within<T>(limit: Duration, work: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    let silent = || RedisError::from((ErrorKind::Io, "no answer in time"));
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(silent()))
}

/// Whether what was asked has no answer, and the connection no future.
pub(super) fn is_lost(error: &RedisError) -> bool {
    error.is_io_error() || error.is_unrecoverable_error()
}

impl ConnectionLike for Line {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(self.converse(async |connection| connection.send_packed_command(cmd).await))
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(self.converse(async move |connection| connection.send_packed_commands(pipeline, offset, count).await))
    }

    fn get_db(&self) -> i64 {
        self.0.client.get_connection_info().redis_settings().db()
    }
}
