//! Reading messages, blocking, on a connection of its own.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::ConnectionManager;
use redis::streams::{StreamId, StreamReadReply};

use super::{GROUP, Queue, Result, Stream, connection_config, step_of};
use crate::domain::id::{StepId, WorkerId};

/// A message at a worker: pending until it is acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Where it stands.
    pub stream: Arc<Stream>,
    /// Its id in the stream.
    pub entry: String,
    /// The step that is ready, as far as the message knows; `None` if it is no message of ours, which is
    /// only acknowledged.
    pub step: Option<StepId>,
    /// Since when it was ready, by the message; ms since 1970.
    pub ready_at_ms: i64,
}

impl Delivery {
    /// A message as Redis gives it.
    pub(super) fn new(stream: &Arc<Stream>, message: StreamId) -> Self {
        let step = step_of(&message.map);
        Self {
            stream: Arc::clone(stream),
            entry: message.id,
            step: step.map(|(step, _)| step),
            ready_at_ms: step.map_or(0, |(_, ready_at_ms)| ready_at_ms),
        }
    }
}

/// Reads the streams of a worker's queues for it.
pub struct Reader {
    connection: ConnectionManager,
    consumer: WorkerId,
    streams: Vec<Arc<Stream>>,
    block: Duration,
}

impl Queue {
    /// A reader for `consumer` of all streams of `queues`, most urgent first. Each read waits up to `block`.
    ///
    /// # Errors
    /// [`super::Error::Config`] if the URL is not one.
    pub fn reader(&self, consumer: WorkerId, queues: &[String], block: Duration) -> Result<Reader> {
        let config = connection_config(block + Duration::from_secs(2));
        let mut streams: Vec<Stream> = queues.iter().flat_map(|queue| Stream::of(queue)).collect();
        streams.sort_by_key(|stream| stream.priority);
        Ok(Reader {
            connection: self.client.get_connection_manager_lazy(config)?,
            consumer,
            streams: streams.into_iter().map(Arc::new).collect(),
            block,
        })
    }
}

impl Reader {
    /// The streams that are read.
    #[must_use]
    pub fn streams(&self) -> &[Arc<Stream>] {
        &self.streams
    }

    /// Up to `count` new messages per stream, most urgent first; none if none came in time.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`]: read again after a pause.
    pub async fn read(&mut self, count: usize) -> Result<Vec<Delivery>> {
        let mut command = redis::cmd("XREADGROUP");
        command.arg("GROUP").arg(GROUP).arg(self.consumer.to_string()).arg("COUNT").arg(count);
        command.arg("BLOCK").arg(u64::try_from(self.block.as_millis()).unwrap_or(u64::MAX)).arg("STREAMS");
        for stream in &self.streams {
            command.arg(stream.key());
        }
        for _ in &self.streams {
            command.arg(">");
        }
        let reply: std::result::Result<Option<StreamReadReply>, _> = command.query_async(&mut self.connection).await;
        match reply {
            Ok(reply) => Ok(self.deliveries(reply.unwrap_or_default())),
            // The streams are new, or Redis was emptied.
            Err(error) if error.code() == Some("NOGROUP") => {
                self.create_groups().await?;
                Ok(Vec::new())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn deliveries(&self, reply: StreamReadReply) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        for key in reply.keys {
            let Some(stream) = self.streams.iter().find(|stream| stream.key() == key.key) else { continue };
            deliveries.extend(key.ids.into_iter().map(|message| Delivery::new(stream, message)));
        }
        deliveries.sort_by_key(|delivery| delivery.stream.priority);
        deliveries
    }

    /// Groups start at 0: what was published before there was a group is delivered too.
    async fn create_groups(&mut self) -> Result<()> {
        for stream in &self.streams {
            let created: redis::RedisResult<()> = redis::cmd("XGROUP")
                .arg("CREATE")
                .arg(stream.key())
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
