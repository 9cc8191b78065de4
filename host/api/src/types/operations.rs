//! Workers, queues, health.

use pawl_domain::id::{RunId, WorkerId};
use pawl_domain::pipeline::Priority;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Pause, PausedQueue};

/// `GET /v1/workers`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct WorkerList {
    /// Newest first.
    pub workers: Vec<Worker>,
    /// Those that went within the last day, the latest first, 50 at most.
    #[serde(default)]
    pub gone: Vec<GoneWorker>,
}

/// One life of a worker process: after a lost lease it goes on under a new id.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Worker {
    /// New at every start.
    pub id: WorkerId,
    /// The name of its machine, for people.
    pub host: String,
    /// Its process id on that machine.
    pub pid: u32,
    /// How many steps it executes at once.
    pub slots: u32,
    /// How many it says it executes now.
    pub running: u32,
    /// The queues it reads.
    pub queues: Vec<String>,
    /// Whether it takes no more steps.
    pub draining: bool,
    /// Whether somebody has asked it to drain; it hears of it with its next heartbeat.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drain_asked: bool,
    /// Its build's; none if it does not say, and of `pawl dev`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// How far the clock of its machine was ahead of the store's at its last heartbeat, ms; less the heartbeat's way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_ahead_ms: Option<i64>,
    /// Whether its lease is good.
    pub alive: bool,
    /// When it first took its lease; ms since 1970.
    pub started_at_ms: i64,
    /// When it last renewed it.
    pub renewed_at_ms: i64,
    /// When its lease ends, or ended: from then on its steps may be taken over.
    pub expires_at_ms: i64,
}

/// `GET /v1/workers/{worker}`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct WorkerDetail {
    /// The worker itself.
    #[serde(flatten)]
    pub worker: Worker,
    /// Steps that it has in hand, by the store; by run.
    pub steps: Vec<HeldStep>,
    /// Whether there are more: only so many are told.
    pub more: bool,
}

/// A step that a worker has in hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeldStep {
    /// The run.
    pub run: RunId,
    /// Its pipeline.
    pub pipeline: String,
    /// The step.
    pub step: String,
}

/// `POST /v1/workers/{worker}/drain`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct AskedToDrain {
    /// The worker.
    pub id: WorkerId,
    /// It had been asked before, or drains by itself.
    pub before: bool,
}

/// The past life of a worker process.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct GoneWorker {
    /// That of this life.
    pub id: WorkerId,
    /// The name of its machine, for people.
    pub host: String,
    /// Its process id on that machine.
    pub pid: u32,
    /// How many steps it executed at once.
    pub slots: u32,
    /// The queues it read.
    pub queues: Vec<String>,
    /// When it first took its lease; ms since 1970.
    pub started_at_ms: i64,
    /// When it was seen to be gone, and its steps were other workers'.
    pub gone_at_ms: i64,
    /// Whether it ended in peace. Otherwise its lease ended: it was killed, cut off, or stood still for too long.
    pub said_goodbye: bool,
}

/// `GET /v1/queues`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct QueueList {
    /// By queue, most urgent first.
    pub queues: Vec<Queue>,
    /// Those that are paused, whether there is something in them or not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paused: Vec<PausedQueue>,
    /// What to know besides, a line for a person each: workers that live and read none of these streams.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
}

/// One stream of a queue.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Queue {
    /// The name that steps give in `queue`.
    pub queue: String,
    /// A queue has one stream for each of the three.
    pub priority: Priority,
    /// Messages in the stream, delivered or not. Where one may have been lost, it is put in again: a step may have two.
    pub depth: u64,
    /// Messages delivered and not acknowledged.
    pub pending: u64,
    /// Consumers of the group.
    pub consumers: u64,
    /// Messages that were ever put in it: between two looks, what came in. 0 if the server does not count.
    #[serde(default)]
    pub added: u64,
    /// When the oldest unread message became ready; none if all are read.
    #[serde(default)]
    pub oldest_unread_at_ms: Option<i64>,
}

/// `GET /v1/queues/{queue}`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct QueueDetail {
    /// The name that steps give in `queue`.
    pub queue: String,
    /// Live workers that serve it and take steps.
    pub workers: Vec<WorkerId>,
    /// For how long its oldest ready step has been ready, ms; none if none is. By the store, whatever was delivered.
    pub oldest_ready_ms: Option<u64>,
    /// A person has paused it: nothing of it starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Pause>,
    /// The three, most urgent first.
    pub streams: Vec<QueueStream>,
}

/// One stream of a queue, with who reads it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct QueueStream {
    /// The stream itself.
    #[serde(flatten)]
    pub stream: Queue,
    /// Who has read from it, and not been deleted since.
    pub readers: Vec<QueueReader>,
    /// Messages, of its first thousand, that tell of a step which an earlier one tells of: they were delivered again, and are
    /// dropped when they are read.
    #[serde(default)]
    pub repeated: u64,
    /// Messages delivered and not acknowledged, the oldest 20.
    pub oldest_pending: Vec<PendingMessage>,
}

/// A consumer of a stream's group.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct QueueReader {
    /// A worker's id.
    pub name: String,
    /// Whether that worker is alive. What a dead one has is adopted by others.
    pub alive: bool,
    /// Messages that it has and has not acknowledged.
    pub pending: u64,
    /// Since it last read.
    pub idle_ms: u64,
}

/// A message that was delivered and not acknowledged: its step is executed, or about to be.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PendingMessage {
    /// Its id in the stream.
    pub id: String,
    /// Who has it: a worker's id.
    pub reader: String,
    /// Since it was delivered.
    pub idle_ms: u64,
    /// The run whose step it tells of; none if it is no message of Pawl's, or was acknowledged just now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// The step that it tells of; none if its run is gone by now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
}

/// `GET /v1/scale`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Scale {
    /// By name, the first 300.
    pub queues: Vec<QueueDemand>,
}

/// What a queue asks of workers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QueueDemand {
    /// The name that steps give in `queue`.
    pub queue: String,
    /// Messages that no worker has read; at least 1 where a step is ready and has none.
    pub backlog: u64,
    /// Steps that live workers which serve the queue say they execute, where one that serves several counts for each of them; or
    /// messages that were read and are not done, if these are more.
    pub running: u64,
    /// Both together: divided by the slots of a worker, how many workers are wanted.
    pub steps: u64,
    /// Live workers that serve the queue and take steps.
    pub workers: u32,
    /// Their slots.
    pub slots: u64,
}

/// The answer to `POST /admin/requeue_processing` and `POST /admin/requeue_stale`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Requeued {
    /// How many steps were delivered again.
    pub requeued: u64,
}

/// `GET /health`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// `ok`.
    pub status: String,
}

/// `GET /ready`: 200, or 503 with reasons; also of a worker, where it tells its figures.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Readiness {
    /// `ready` or `not ready`.
    pub status: String,
    /// What is missing.
    pub reasons: Vec<String>,
}
