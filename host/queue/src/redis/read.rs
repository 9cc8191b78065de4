//! Reading messages, blocking, on a connection of its own.
//!
//! Redis counts what it gives by stream. Asked for all streams at once, a worker with one free slot would be given one
//! message of each priority, and would keep two of them waiting from then on, beside idle workers and before more urgent
//! ones. So a script reads them in their order, up to what is wanted in all. Once nothing is left there, the reader waits
//! for the next messages of any stream, as many of each as there is place for of all: so a message costs one round trip,
//! not two.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pawl_domain::id::WorkerId;
use pawl_metrics::figures;
use redis::streams::{StreamId, StreamReadReply};
use redis::{RedisError, RedisResult, Script};

use super::line::Line;
use super::message::{start_of, step_of};
use super::{GROUP, away, meaning};
use crate::{Delivery, Reader, Result, Stream};

/// Before the first message of a stream.
const FROM_THE_START: &str = "0";

/// One consumer of the group.
///
/// A read that has failed may have been given messages all the same: its answer was lost, or one stream had some for it
/// before another refused. They are this consumer's, and nobody else looks for them while it lives. And a server that has
/// taken another one's place may have missed acknowledgements, which nobody would repeat. So after a failure it reads first
/// all that is still its own: a few hundred messages at most, of which those that are over are acknowledged anew.
pub(super) struct GroupReader {
    line: Line,
    consumer: WorkerId,
    streams: Vec<Arc<Stream>>,
    /// What was seen of them; nothing before the first read.
    watched: Vec<Watched>,
    block: Duration,
    turn: usize,
    take_in_order: Script,
    /// The last read left nothing behind.
    is_drained: bool,
    /// A read has failed since the last one that was answered in full.
    has_missed: bool,
    /// The groups were there: if they are gone, all that Redis held is.
    had_groups: bool,
    /// It has said who it is.
    has_said: bool,
    /// They are gone, and nobody has asked since.
    has_lost: bool,
}

struct Watched {
    key: String,
    stream: Arc<Stream>,
    /// Up to which message its own were read again.
    seen: String,
}

/// Reads the streams `KEYS` in their order for the consumer `ARGV[2]` of the group `ARGV[1]`, up to `ARGV[3]` messages in
/// all.
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
        let read = match self.read_once(count).await {
            // It may have been cut long before: who is there now is asked at once.
            Err(error) if meaning::of(&error).ends_connection => self.read_once(count).await,
            read => read,
        };
        read.map_err(away)
    }

    fn has_lost(&mut self) -> bool {
        std::mem::take(&mut self.has_lost)
    }
}

impl GroupReader {
    pub(super) fn new(line: Line, consumer: WorkerId, streams: Vec<Arc<Stream>>, block: Duration) -> Self {
        let take_in_order = Script::new(TAKE_IN_ORDER);
        let (watched, turn) = Default::default();
        let (is_drained, has_missed, had_groups, has_said, has_lost) = (false, false, false, false, false);
        Self {
            line,
            consumer,
            streams,
            watched,
            block,
            turn,
            take_in_order,
            is_drained,
            has_missed,
            had_groups,
            has_said,
            has_lost,
        }
    }

    async fn read_once(&mut self, count: usize) -> RedisResult<Vec<Delivery>> {
        if self.watched.is_empty() {
            let keys = self.line.keys().await?;
            let watched = |stream: &Arc<Stream>| Watched {
                key: keys.of(stream),
                stream: Arc::clone(stream),
                seen: FROM_THE_START.to_owned(),
            };
            self.watched = self.streams.iter().map(watched).collect();
        }
        if !std::mem::replace(&mut self.has_said, true) {
            self.say_who_reads().await;
        }
        if self.has_missed {
            let missed = self.read_from(count, |watched| &watched.seen).await;
            let mut missed = self.answer(missed).await?;
            if !missed.is_empty() {
                // What was lost on the way may have been begun by somebody: it is asked for as any other.
                missed.iter_mut().for_each(|delivery| delivery.start = None);
                return Ok(missed);
            }
            self.has_missed = false;
        }
        // Of each stream; the order does not matter where there is place for all.
        let share = count / self.streams.len();
        if !self.is_drained || share == 0 {
            let taken = self.take(count).await;
            let taken = self.answer(taken).await?;
            self.is_drained = taken.len() < count;
            if !taken.is_empty() || self.has_missed {
                return Ok(taken);
            }
        }
        // The next ones; none if none come in time.
        let most = share.max(1);
        let next = self.read_from(most, |_| ">").await;
        self.is_drained = matches!(&next, Ok(reply) if reply.keys.iter().all(|read| read.ids.len() < most));
        self.answer(next).await
    }

    /// So that people see who reads here before the first message comes: servers before 7.2 know of a consumer by then alone. In
    /// one stream, which is enough to be found: each is looked after in each stream in which it is. Reading needs none of it, so
    /// what goes wrong with it is nobody's trouble.
    async fn say_who_reads(&mut self) {
        let Some(first) = self.watched.first() else { return };
        let mut create = redis::cmd("XGROUP");
        create.arg("CREATECONSUMER").arg(&first.key).arg(GROUP).arg(self.consumer.to_string());
        let _: RedisResult<()> = create.exec_async(&mut self.line).await;
    }

    /// What is there, most urgent first. Queues of one priority come in turn.
    async fn take(&mut self, count: usize) -> RedisResult<StreamReadReply> {
        self.turn = self.turn.wrapping_add(1);
        let keys = self.line.keys().await?.clone();
        let mut script = self.take_in_order.prepare_invoke();
        for stream in Stream::in_turn(&self.streams, self.turn) {
            script.key(keys.of(stream));
        }
        script.arg(GROUP).arg(self.consumer.to_string()).arg(count);
        script.invoke_async(&mut self.line).await
    }

    /// Up to `count` messages of each stream from its place on, if need be waited for.
    async fn read_from(&mut self, count: usize, place: fn(&Watched) -> &str) -> RedisResult<StreamReadReply> {
        let mut command = redis::cmd("XREADGROUP");
        command.arg("GROUP").arg(GROUP).arg(self.consumer.to_string()).arg("COUNT").arg(count);
        command.arg("BLOCK").arg(u64::try_from(self.block.as_millis()).unwrap_or(u64::MAX)).arg("STREAMS");
        for watched in &self.watched {
            command.arg(&watched.key);
        }
        for watched in &self.watched {
            command.arg(place(watched));
        }
        let reply: Option<StreamReadReply> = command.query_async(&mut self.line).await?;
        Ok(reply.unwrap_or_default())
    }

    async fn answer(&mut self, read: RedisResult<StreamReadReply>) -> RedisResult<Vec<Delivery>> {
        let error = match read {
            Ok(reply) => {
                self.had_groups = true;
                return Ok(self.deliveries(reply));
            }
            Err(error) => error,
        };
        self.has_missed = true;
        for watched in &mut self.watched {
            FROM_THE_START.clone_into(&mut watched.seen);
        }
        // The streams are new, or Redis was emptied.
        if has_no_group(&error) {
            if std::mem::take(&mut self.had_groups) {
                tracing::warn!("the queue has lost what it held: what was not claimed is delivered again");
                figures().queue_losses.one();
                self.has_lost = true;
            }
            self.create_groups().await?;
            self.say_who_reads().await;
            return Ok(Vec::new());
        }
        Err(error)
    }

    fn deliveries(&mut self, reply: StreamReadReply) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        for read in reply.keys {
            let Some(watched) = self.watched.iter_mut().find(|watched| watched.key == read.key) else { continue };
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
        for watched in &self.watched {
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

/// Scripts of older servers have a code of their own, and tell the error's within.
fn has_no_group(error: &RedisError) -> bool {
    error.code() == Some("NOGROUP") || error.detail().is_some_and(|detail| detail.contains("NOGROUP"))
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
