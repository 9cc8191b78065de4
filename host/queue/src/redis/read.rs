//! Reading messages, blocking, on a connection of its own.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pawl_domain::id::WorkerId;
use redis::RedisResult;
use redis::aio::ConnectionManager;
use redis::streams::{StreamId, StreamReadReply};

use super::message::{start_of, step_of};
use super::{GROUP, away, stream_key};
use crate::{Delivery, Reader, Result, Stream};

/// One consumer of the group.
pub(super) struct GroupReader {
    connection: ConnectionManager,
    consumer: WorkerId,
    streams: Vec<Arc<Stream>>,
    block: Duration,
}

#[async_trait]
impl Reader for GroupReader {
    fn streams(&self) -> &[Arc<Stream>] {
        &self.streams
    }

    async fn read(&mut self, count: usize) -> Result<Vec<Delivery>> {
        let mut command = redis::cmd("XREADGROUP");
        command.arg("GROUP").arg(GROUP).arg(self.consumer.to_string()).arg("COUNT").arg(count);
        command.arg("BLOCK").arg(u64::try_from(self.block.as_millis()).unwrap_or(u64::MAX)).arg("STREAMS");
        for stream in &self.streams {
            command.arg(stream_key(stream));
        }
        for _ in &self.streams {
            command.arg(">");
        }
        let reply: RedisResult<Option<StreamReadReply>> = command.query_async(&mut self.connection).await;
        match reply {
            Ok(reply) => Ok(self.deliveries(reply.unwrap_or_default())),
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
        Self { connection, consumer, streams, block }
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
