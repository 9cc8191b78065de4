//! A test's own hands in Redis: it looks into streams, empties them, and delivers messages by hand.

use std::collections::BTreeMap;

use pawl_domain::id::RunId;
use redis::Value;
use redis::aio::MultiplexedConnection;

use crate::runtime::block_on;

/// The consumer group of all workers.
pub const GROUP: &str = "workers";

/// Access to a Redis server; a connection per call, since tests take servers away.
#[derive(Debug, Clone)]
pub struct Redis {
    client: redis::Client,
}

/// How many commands and reads a server has handled since its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    /// Reads from sockets: pipelined commands arrive in one, so this counts round trips.
    pub reads: u64,
    /// Commands.
    pub commands: u64,
}

/// A message of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Given by Redis.
    pub id: String,
    /// Run, step and `ready_at`.
    pub fields: BTreeMap<String, String>,
}

impl Redis {
    /// # Errors
    /// If the URL is not one.
    pub fn new(url: &str) -> anyhow::Result<Self> {
        Ok(Self { client: redis::Client::open(url)? })
    }

    /// Sends one command.
    ///
    /// # Errors
    /// As Redis says.
    pub fn command<T: redis::FromRedisValue>(&self, words: &[&str]) -> anyhow::Result<T> {
        block_on(async {
            let mut connection: MultiplexedConnection = self.client.get_multiplexed_async_connection().await?;
            let mut command = redis::cmd(words[0]);
            for word in &words[1..] {
                command.arg(*word);
            }
            Ok(command.query_async(&mut connection).await?)
        })
    }

    /// Empties the server.
    ///
    /// # Errors
    /// As Redis says.
    pub fn flush_all(&self) -> anyhow::Result<()> {
        let _: Value = self.command(&["FLUSHALL"])?;
        Ok(())
    }

    /// All streams of all queues, of all installations.
    ///
    /// # Errors
    /// As Redis says.
    pub fn streams(&self) -> anyhow::Result<Vec<String>> {
        self.command(&["KEYS", "*:q:*"])
    }

    /// Messages in a stream, delivered or not.
    ///
    /// # Errors
    /// As Redis says.
    pub fn messages(&self, stream: &str) -> anyhow::Result<Vec<Message>> {
        let reply: redis::streams::StreamRangeReply = self.command(&["XRANGE", stream, "-", "+"])?;
        let text = |value: &Value| redis::from_redis_value_ref::<String>(value).unwrap_or_default();
        Ok(reply
            .ids
            .iter()
            .map(|message| Message {
                id: message.id.clone(),
                fields: message.map.iter().map(|(name, value)| (name.clone(), text(value))).collect(),
            })
            .collect())
    }

    /// Messages delivered and not acknowledged.
    ///
    /// # Errors
    /// As Redis says.
    pub fn pending(&self, stream: &str) -> anyhow::Result<usize> {
        let reply: redis::streams::StreamPendingReply = self.command(&["XPENDING", stream, GROUP])?;
        Ok(reply.count())
    }

    /// Delivers a message by hand, as a duplicate, a late or a reordered one.
    ///
    /// # Errors
    /// As Redis says.
    pub fn deliver(&self, stream: &str, run: RunId, step: i32, ready_at: &str) -> anyhow::Result<String> {
        let (run, step) = (run.to_string(), step.to_string());
        self.command(&["XADD", stream, "*", "run", &run, "step", &step, "ready_at", ready_at])
    }

    /// What the server has handled so far, these calls included.
    ///
    /// # Errors
    /// As Redis says.
    pub fn traffic(&self) -> anyhow::Result<Traffic> {
        let info: String = self.command(&["INFO", "stats"])?;
        let number = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
        };
        Ok(Traffic { reads: number("total_reads_processed"), commands: number("total_commands_processed") })
    }
}
