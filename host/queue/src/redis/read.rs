//! Reading messages, blocking, on a connection of its own.
//!
//! Redis counts what it gives by stream. Asked for all streams at once, a worker with one free slot would be given one
//! message of each priority, and would keep two of them waiting from then on, beside idle workers and before more urgent
//! ones. So a script reads them in their order, up to what is wanted in all. With nothing there, the reader waits for
//! the next message of any stream.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pawl_domain::id::WorkerId;
use redis::aio::ConnectionManager;
use redis::streams::{StreamId, StreamReadReply};
use redis::{RedisResult, Script};

use super::message::{start_of, step_of};
use super::{GROUP, away, stream_key};
use crate::{Delivery, Reader, Result, Stream};

/// One consumer of the group.
pub(super) struct GroupReader {
    connection: ConnectionManager,
    consumer: WorkerId,
    streams: Vec<Arc<Stream>>,
    block: Duration,
    turn: usize,
    take_in_order: Script,
}

/// Reads the streams KEYS in their order for the consumer ARGV[2] of the group ARGV[1], up to ARGV[3] messages in all.
const TAKE_IN_ORDER: &str = "
local left, found = tonumber(ARGV[3]), {}
for _, key in ipairs(KEYS) do
    local read = redis.call('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', left, 'STREAMS', key, '>')
    if read then
        found[#found + 1] = read[1]
        left = left - #read[1][2]
        if left <= 0 then break end
    end
end
return found";

#[async_trait]
impl Reader for GroupReader {
    fn streams(&self) -> &[Arc<Stream>] {
        &self.streams
    }

    async fn read(&mut self, count: usize) -> Result<Vec<Delivery>> {
        let mut read = self.take(count).await;
        if matches!(&read, Ok(reply) if reply.keys.is_empty()) {
            read = self.wait().await;
        }
        match read {
            Ok(reply) => Ok(self.deliveries(reply)),
            // The streams are new, or Redis was emptied.
            Err(error) if error.code() == Some("NOGROUP") => {
                self.create_groups().await.map_err(away)?;
                Ok(Vec::new())
            }
            Err(error) => Err(away(error)),
        }
    }
}

impl GroupReader {
    pub(super) fn new(
        connection: ConnectionManager,
        consumer: WorkerId,
        streams: Vec<Arc<Stream>>,
        block: Duration,
    ) -> Self {
        Self { connection, consumer, streams, block, turn: 0, take_in_order: Script::new(TAKE_IN_ORDER) }
    }

    /// What is there, most urgent first. Queues of one priority come in turn.
    async fn take(&mut self, count: usize) -> RedisResult<StreamReadReply> {
        self.turn = self.turn.wrapping_add(1);
        let mut script = self.take_in_order.prepare_invoke();
        for stream in Stream::in_turn(&self.streams, self.turn) {
            script.key(stream_key(stream));
        }
        script.arg(GROUP).arg(self.consumer.to_string()).arg(count);
        script.invoke_async(&mut self.connection).await
    }

    /// The next message of any stream; none if none came in time.
    async fn wait(&mut self) -> RedisResult<StreamReadReply> {
        let mut command = redis::cmd("XREADGROUP");
        command.arg("GROUP").arg(GROUP).arg(self.consumer.to_string()).arg("COUNT").arg(1);
        command.arg("BLOCK").arg(u64::try_from(self.block.as_millis()).unwrap_or(u64::MAX)).arg("STREAMS");
        for stream in &self.streams {
            command.arg(stream_key(stream));
        }
        for _ in &self.streams {
            command.arg(">");
        }
        let reply: Option<StreamReadReply> = command.query_async(&mut self.connection).await?;
        Ok(reply.unwrap_or_default())
    }

    fn deliveries(&self, reply: StreamReadReply) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        for key in reply.keys {
            let Some(stream) = self.streams.iter().find(|stream| stream_key(stream) == key.key) else { continue };
            deliveries.extend(key.ids.into_iter().map(|message| delivery(stream, message)));
        }
        deliveries.sort_by_key(|delivery| delivery.stream.priority);
        deliveries
    }

    /// Groups start at 0: what was published before there was a group is delivered too.
    async fn create_groups(&mut self) -> RedisResult<()> {
        for stream in &self.streams {
            let created: RedisResult<()> = redis::cmd("XGROUP")
                .arg("CREATE")
                .arg(stream_key(stream))
                .arg(GROUP)
                .arg(0)
                .arg("MKSTREAM")
                .query_async(&mut self.connection)
                .await;
            match created {
                Err(error) if error.code() == Some("BUSYGROUP") => {}
                other => other?,
            }
        }
        Ok(())
    }
}

/// A message as Redis gives it.
pub(super) fn delivery(stream: &Arc<Stream>, message: StreamId) -> Delivery {
    let step = step_of(&message.map);
    Delivery {
        stream: Arc::clone(stream),
        entry: message.id,
        step: step.map(|(step, _)| step),
        ready_at_ms: step.map_or(0, |(_, ready_at_ms)| ready_at_ms),
        start: start_of(&message.map),
    }
}
