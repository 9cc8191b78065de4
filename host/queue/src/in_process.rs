//! The queue of `pawl dev`: streams in memory, in the process that publishes and reads them. It forgets
//! everything when the process ends, as Redis may at any moment; the scheduler finds what is ready.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pawl_base::lock;
use pawl_domain::id::{StepId, WorkerId};
use pawl_domain::ready::{Moved, Start};
use tokio::sync::{Notify, broadcast};

use super::{
    Consumer, Delivery, FollowUp, Pending, Queue, Reader, Result, ServerState, Stream, StreamState, Wake, Watermark,
};

/// Wake-ups kept for a reader of changes that is behind; it polls for what it misses.
const CHANGES_KEPT: usize = 1_024;

/// The queue of one process: whoever publishes and whoever reads share the value.
#[derive(Debug)]
pub struct InProcess {
    shared: Arc<Shared>,
    changes: broadcast::Sender<Vec<Moved>>,
    plugins: Notify,
}

#[derive(Debug, Default)]
struct Shared {
    streams: Mutex<BTreeMap<Stream, Log>>,
    published: Notify,
}

/// One stream: what nobody has read, and what was read and not acknowledged.
#[derive(Debug, Default)]
struct Log {
    last_entry: u64,
    unread: VecDeque<(u64, Message)>,
    pending: BTreeMap<u64, Held>,
    /// When each consumer last read.
    consumers: HashMap<String, Instant>,
}

/// A message that a consumer has, and since when.
#[derive(Debug)]
struct Held {
    consumer: String,
    since: Instant,
    message: Message,
}

#[derive(Debug, Clone)]
struct Message {
    step: StepId,
    ready_at_ms: i64,
    start: Option<Start>,
}

impl InProcess {
    /// Without a stream: each begins with its first message or reader.
    #[must_use]
    pub fn new() -> Self {
        Self { shared: Arc::default(), changes: broadcast::channel(CHANGES_KEPT).0, plugins: Notify::new() }
    }
}

impl Default for InProcess {
    fn default() -> Self {
        Self::new()
    }
}

impl Shared {
    fn streams(&self) -> MutexGuard<'_, BTreeMap<Stream, Log>> {
        // Nothing panics while the lock is held.
        lock(&self.streams)
    }
}

impl Log {
    /// Up to `count` messages, from now on pending at `consumer`.
    fn read(&mut self, stream: &Arc<Stream>, consumer: &str, count: usize) -> Vec<Delivery> {
        self.consumers.insert(consumer.to_owned(), Instant::now());
        let read: Vec<(u64, Message)> = self.unread.drain(..count.min(self.unread.len())).collect();
        let held =
            |message: &Message| Held { consumer: consumer.to_owned(), since: Instant::now(), message: message.clone() };
        self.pending.extend(read.iter().map(|(entry, message)| (*entry, held(message))));
        read.into_iter().map(|(entry, message)| message.delivery(stream, entry)).collect()
    }

    fn watermark(&self) -> Watermark {
        let oldest = self.unread.front();
        oldest.map_or(Watermark::AllDelivered, |(_, message)| Watermark::DeliveredBefore(message.ready_at_ms))
    }

    fn state(&self, stream: &Stream) -> StreamState {
        StreamState {
            stream: stream.clone(),
            length: self.unread.len() + self.pending.len(),
            pending: self.pending.len(),
            added: self.last_entry,
            oldest_unread_ms: self.unread.front().map(|(_, message)| message.ready_at_ms),
            consumers: self.consumers(),
        }
    }

    fn consumers(&self) -> Vec<Consumer> {
        let mut consumers: Vec<Consumer> = self
            .consumers
            .iter()
            .map(|(name, read_at)| Consumer {
                name: name.clone(),
                pending: self.pending.values().filter(|held| held.consumer == *name).count(),
                idle_ms: ms_since(*read_at),
            })
            .collect();
        consumers.sort_by(|one, other| one.name.cmp(&other.name));
        consumers
    }
}

impl Message {
    fn delivery(&self, stream: &Arc<Stream>, entry: u64) -> Delivery {
        Delivery {
            stream: Arc::clone(stream),
            entry: entry.to_string(),
            step: Some(self.step),
            ready_at_ms: self.ready_at_ms,
            start: self.start.clone(),
        }
    }
}

#[async_trait]
impl Queue for InProcess {
    fn name(&self) -> &'static str {
        "the queue in memory"
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }

    async fn follow_up(&self, after: FollowUp<'_>) -> Result<()> {
        let mut streams = self.shared.streams();
        for delivery in after.done {
            if let (Some(log), Ok(entry)) = (streams.get_mut(&*delivery.stream), delivery.entry.parse()) {
                log.pending.remove(&entry);
            }
        }
        for ready in after.ready {
            let log = streams.entry(Stream { queue: ready.queue.clone(), priority: ready.priority }).or_default();
            log.last_entry += 1;
            let message = Message { step: ready.id, ready_at_ms: ready.ready_at_ms, start: ready.start.clone() };
            log.unread.push_back((log.last_entry, message));
        }
        drop(streams);
        if !after.ready.is_empty() {
            self.shared.published.notify_waiters();
        }
        if !after.moved.is_empty() {
            // Without a reader there is nobody to be told.
            let _ = self.changes.send(after.moved.to_vec());
        }
        Ok(())
    }

    fn reader(&self, consumer: WorkerId, queues: &[String], block: Duration) -> Result<Box<dyn Reader>> {
        let streams = Stream::of_all(queues);
        Ok(Box::new(StreamReader {
            shared: Arc::clone(&self.shared),
            consumer: consumer.to_string(),
            streams,
            block,
            turn: 0,
        }))
    }

    async fn watermark(&self, stream: &Stream) -> Result<Watermark> {
        Ok(self.shared.streams().get(stream).map_or(Watermark::AllDelivered, Log::watermark))
    }

    async fn consumers(&self, stream: &Stream) -> Result<Vec<Consumer>> {
        Ok(self.shared.streams().get(stream).map(Log::consumers).unwrap_or_default())
    }

    async fn adopt(&self, stream: &Arc<Stream>, dead: &str, adopter: &str, limit: usize) -> Result<Vec<Delivery>> {
        let mut streams = self.shared.streams();
        let Some(log) = streams.get_mut(&**stream) else { return Ok(Vec::new()) };
        let held = log.pending.iter_mut().filter(|(_, held)| held.consumer == dead).take(limit);
        let adopted: Vec<Delivery> = held
            .map(|(entry, held)| {
                adopter.clone_into(&mut held.consumer);
                held.since = Instant::now();
                held.message.delivery(stream, *entry)
            })
            .collect();
        if adopted.is_empty() {
            log.consumers.remove(dead);
        } else {
            log.consumers.entry(adopter.to_owned()).or_insert_with(Instant::now);
        }
        Ok(adopted)
    }

    async fn streams(&self) -> Result<Vec<StreamState>> {
        Ok(self.shared.streams().iter().map(|(stream, log)| log.state(stream)).collect())
    }

    async fn stream(&self, stream: &Stream) -> Result<StreamState> {
        let streams = self.shared.streams();
        Ok(streams.get(stream).map_or_else(|| Log::default().state(stream), |log| log.state(stream)))
    }

    async fn pending(&self, stream: &Stream, limit: usize) -> Result<Vec<Pending>> {
        let streams = self.shared.streams();
        let held = streams.get(stream).into_iter().flat_map(|log| &log.pending).take(limit);
        let told = held.map(|(entry, held)| Pending {
            entry: entry.to_string(),
            consumer: held.consumer.clone(),
            idle_ms: ms_since(held.since),
            step: Some(held.message.step),
        });
        Ok(told.collect())
    }

    async fn repeated(&self, stream: &Stream, limit: usize) -> Result<usize> {
        let streams = self.shared.streams();
        let Some(log) = streams.get(stream) else { return Ok(0) };
        let read = log.pending.values().map(|held| &held.message);
        let messages = read.chain(log.unread.iter().map(|(_, message)| message)).take(limit);
        let mut known = HashSet::new();
        Ok(messages.filter(|message| !known.insert(message.step)).count())
    }

    async fn server(&self) -> Result<Option<ServerState>> {
        Ok(None)
    }

    async fn tell_plugins(&self) -> Result<()> {
        self.plugins.notify_one();
        Ok(())
    }

    async fn plugin_changes(&self, wake: &(dyn Fn() + Send + Sync)) {
        loop {
            self.plugins.notified().await;
            wake();
        }
    }

    async fn run_changes(&self, wake: &Wake<'_>) {
        let mut changes = self.changes.subscribe();
        loop {
            match changes.recv().await {
                Ok(moved) => wake(&moved),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                // The sender lives as long as `self`.
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}

fn ms_since(then: Instant) -> u64 {
    u64::try_from(then.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// One consumer.
struct StreamReader {
    shared: Arc<Shared>,
    consumer: String,
    streams: Vec<Arc<Stream>>,
    block: Duration,
    turn: usize,
}

#[async_trait]
impl Reader for StreamReader {
    fn streams(&self) -> &[Arc<Stream>] {
        &self.streams
    }

    async fn read(&mut self, count: usize) -> Result<Vec<Delivery>> {
        let until = tokio::time::Instant::now() + self.block;
        loop {
            let shared = Arc::clone(&self.shared);
            let mut published = std::pin::pin!(shared.published.notified());
            // From here on no publication is missed.
            published.as_mut().enable();
            let deliveries = self.take(count);
            if !deliveries.is_empty() || tokio::time::timeout_at(until, published).await.is_err() {
                return Ok(deliveries);
            }
        }
    }
}

impl StreamReader {
    fn take(&mut self, count: usize) -> Vec<Delivery> {
        self.turn = self.turn.wrapping_add(1);
        let mut streams = self.shared.streams();
        let mut read = Vec::new();
        for stream in Stream::in_turn(&self.streams, self.turn) {
            let log = streams.entry(Stream::clone(stream)).or_default();
            read.extend(log.read(stream, &self.consumer, count - read.len()));
        }
        read
    }
}
