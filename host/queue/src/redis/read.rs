//! Reading messages, blocking, on a connection of its own.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pawl_domain::id::WorkerId;
use redis::RedisResult;
use redis::streams::{StreamId, StreamReadReply};

use super::line::{Line, is_lost};
use super::message::{start_of, step_of};
use super::{GROUP, away, stream_key};
use crate::{Delivery, Reader, Result, Stream};

/// Before the first message of a stream.
const FROM_THE_START: &str = "0";

/// One consumer of the group.
///
/// A read whose answer was lost may have been given messages: they are this consumer's, and nobody else looks for them
/// while it lives. So after a failure it reads first what it was given and has not seen.
pub(super) struct GroupReader {
    line: Line,
    consumer: WorkerId,
    streams: Vec<Watched>,
    /// The streams without what was seen of them, for those who ask.
    names: Vec<Arc<Stream>>,
    block: Duration,
    /// A read has failed since the last one that was answered in full.
    has_missed: bool,
}

struct Watched {
    key: String,
    stream: Arc<Stream>,
    /// The last message that was read from it.
    seen: String,
}

#[async_trait]
impl Reader for GroupReader {
    fn streams(&self) -> &[Arc<Stream>] {
        &self.names
    }

    async fn read(&mut self, count: usize) -> Result<Vec<Delivery>> {
        if self.has_missed {
            let mut missed = self.read_from(count, |watched| &watched.seen).await?;
            if !missed.is_empty() {
                // What was lost on the way may have been begun by somebody: it is asked for as any other.
                missed.iter_mut().for_each(|delivery| delivery.start = None);
                return Ok(missed);
            }
            self.has_missed = false;
        }
        self.read_from(count, |_| ">").await
    }
}

impl GroupReader {
    pub(super) fn new(line: Line, consumer: WorkerId, streams: Vec<Arc<Stream>>, block: Duration) -> Self {
        let watched = |stream: &Arc<Stream>| Watched {
            key: stream_key(stream),
            stream: Arc::clone(stream),
            seen: FROM_THE_START.to_owned(),
        };
        Self {
            line,
            consumer,
            streams: streams.iter().map(watched).collect(),
            names: streams,
            block,
            has_missed: false,
        }
    }

    async fn read_from(&mut self, count: usize, place: fn(&Watched) -> &str) -> Result<Vec<Delivery>> {
        let mut command = redis::cmd("XREADGROUP");
        command.arg("GROUP").arg(GROUP).arg(self.consumer.to_string()).arg("COUNT").arg(count);
        command.arg("BLOCK").arg(u64::try_from(self.block.as_millis()).unwrap_or(u64::MAX)).arg("STREAMS");
        for watched in &self.streams {
            command.arg(&watched.key);
        }
        for watched in &self.streams {
            command.arg(place(watched));
        }
        let reply: RedisResult<Option<StreamReadReply>> = command.query_async(&mut self.line).await;
        match reply {
            Ok(reply) => Ok(self.deliveries(reply.unwrap_or_default())),
            // The streams are new, or Redis was emptied.
            Err(error) if error.code() == Some("NOGROUP") => {
                self.create_groups().await.map_err(away)?;
                Ok(Vec::new())
            }
            Err(error) => {
                self.has_missed = is_lost(&error);
                Err(away(error))
            }
        }
    }

    fn deliveries(&mut self, reply: StreamReadReply) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        for read in reply.keys {
            let Some(watched) = self.streams.iter_mut().find(|watched| watched.key == read.key) else { continue };
            if let Some(last) = read.ids.last() {
                watched.seen.clone_from(&last.id);
            }
            deliveries.extend(read.ids.into_iter().map(|message| delivery(&watched.stream, message)));
        }
        deliveries.sort_by_key(|delivery| delivery.stream.priority);
        deliveries
    }

    /// Groups start at 0: what was published before there was a group is delivered too.
    async fn create_groups(&mut self) -> RedisResult<()> {
        for watched in &mut self.streams {
            FROM_THE_START.clone_into(&mut watched.seen);
            let created: RedisResult<()> = redis::cmd("XGROUP")
                .arg("CREATE")
                .arg(&watched.key)
                .arg(GROUP)
                .arg(0)
                .arg("MKSTREAM")
                .query_async(&mut self.line)
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
