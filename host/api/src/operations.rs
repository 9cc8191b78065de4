//! For those who keep Pawl running: workers, queues and what they ask of workers, requeues.

use axum::Json;
use axum::extract::State;
use pawl_dispatch::requeue;
use pawl_domain::id::WorkerId;
use pawl_domain::name::Name;
use pawl_domain::pipeline_file::closest;
use pawl_queue::{Pending, Stream, StreamState};
use pawl_store::workers::{self, DrainAsked, WorkerRow};
use schemars::JsonSchema;
use serde::Deserialize;

use super::request::{Params, Path};
use super::state::AppState;
use super::types::{
    AskedToDrain, GoneWorker, PendingMessage, Problem, Queue, QueueDetail, QueueList, QueueReader, QueueStream,
    Requeued, Scale, Worker, WorkerList,
};
use super::{demand, metrics, problem};

/// Pending messages of a stream that are told.
const PENDING: usize = 20;

/// Workers that are gone, in a list of those that are there.
const GONE: u32 = 50;

pub(super) async fn workers(State(state): State<AppState>) -> problem::Result<Json<WorkerList>> {
    let (rows, gone) = (state.store.workers().await?, state.store.gone_workers(GONE).await?);
    Ok(Json(WorkerList {
        workers: rows.into_iter().map(Worker::from).collect(),
        gone: gone.into_iter().map(GoneWorker::from).collect(),
    }))
}

pub(super) async fn queues(State(state): State<AppState>) -> problem::Result<Json<QueueList>> {
    let mut streams = state.queue.streams().await?;
    streams.sort_by(|one, other| {
        (&one.stream.queue, one.stream.priority).cmp(&(&other.stream.queue, other.stream.priority))
    });
    Ok(Json(QueueList { queues: streams.into_iter().map(Queue::from).collect() }))
}

pub(super) async fn queue(
    State(state): State<AppState>,
    Path(queue): Path<Name>,
) -> problem::Result<Json<QueueDetail>> {
    let queue = queue.as_str().to_owned();
    let (rows, backlog) = (state.store.workers().await?, state.store.backlog().await?);
    let mut streams = Vec::new();
    for stream in Stream::of(&queue) {
        let found = state.queue.stream(&stream).await?;
        let pending = if found.pending > 0 { state.queue.pending(&stream, PENDING).await? } else { Vec::new() };
        streams.push(stream_of(found, pending, &rows));
    }
    let serving = rows.iter().filter(|row| row.alive && !row.draining && row.queues.contains(&queue));
    let workers: Vec<WorkerId> = serving.map(|row| row.id).collect();
    let ages = backlog.oldest_ready_ms.iter().filter(|(name, ..)| *name == queue).map(|(.., age_ms)| *age_ms);
    let oldest_ready_ms = ages.max();
    let is_seen = streams.iter().any(|stream| stream.stream.depth > 0 || !stream.readers.is_empty());
    if !is_seen && workers.is_empty() && oldest_ready_ms.is_none() {
        let named = state.store.named_queues(&state.namespace).await?;
        if !named.contains(&queue) {
            let meant = closest(&queue, named.iter().map(String::as_str));
            let meant = meant.map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
            let nobody = "no pipeline names it, no worker serves it, and nothing is in it";
            return Err(Problem::not_found(format!("there is no queue {queue:?}: {nobody}{meant}")));
        }
    }
    Ok(Json(QueueDetail { queue, workers, oldest_ready_ms, streams }))
}

fn stream_of(state: StreamState, pending: Vec<Pending>, workers: &[WorkerRow]) -> QueueStream {
    let is_alive = |name: &str| workers.iter().any(|row| row.alive && row.id.to_string() == name);
    let readers = state.consumers.iter().map(|consumer| QueueReader {
        alive: is_alive(&consumer.name),
        name: consumer.name.clone(),
        pending: consumer.pending as u64,
        idle_ms: consumer.idle_ms,
    });
    let readers = readers.collect();
    let told =
        |message: Pending| PendingMessage { id: message.entry, reader: message.consumer, idle_ms: message.idle_ms };
    QueueStream { stream: state.into(), readers, oldest_pending: pending.into_iter().map(told).collect() }
}

pub(super) async fn drain(
    State(state): State<AppState>,
    Path(worker): Path<String>,
) -> problem::Result<Json<AskedToDrain>> {
    if state.home.is_some() {
        return Err(Problem::conflict(
            "the worker of `pawl dev` is the process itself: stop that, with Ctrl-C; it drains, and goes on when it is started again",
        ));
    }
    let id: WorkerId = worker
        .parse()
        .map_err(|_| Problem::bad_request(format!("a worker's id looks like {}, not {worker:?}", WorkerId::new())))?;
    match state.store.ask_to_drain(id).await? {
        asked @ (DrainAsked::Now | DrainAsked::Before) => {
            Ok(Json(AskedToDrain { id, before: asked == DrainAsked::Before }))
        }
        DrainAsked::Gone => Err(Problem::conflict(format!(
            "worker {id} is gone: its lease has ended, or it has said goodbye; if its process lives, it goes on under another id"
        ))),
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ScaleParams {
    /// Only this queue, also if nothing is known of it.
    queue: Option<Name>,
}

pub(super) async fn scale(
    State(state): State<AppState>,
    Params(params): Params<ScaleParams>,
) -> problem::Result<Json<Scale>> {
    let known = metrics::installation(&state).await;
    // Half of it would be a number that somebody scales down by.
    let away = |port: &str| Problem::unavailable(format!("{port} is not available"));
    let (backlog, workers) = known.of_store.as_ref().ok_or_else(|| away(state.store.name()))?;
    let streams = known.of_queue.as_ref().ok_or_else(|| away(state.queue.name()))?;
    let mut queues = demand::of(backlog, workers, streams, params.queue.as_ref().map(Name::as_str));
    queues.truncate(metrics::STREAMS);
    Ok(Json(Scale { queues }))
}

pub(super) async fn requeue_processing(State(state): State<AppState>) -> problem::Result<Json<Requeued>> {
    requeued(requeue::processing(&*state.store, &*state.queue).await)
}

pub(super) async fn requeue_stale(State(state): State<AppState>) -> problem::Result<Json<Requeued>> {
    requeued(requeue::stale(&*state.store, &*state.queue, state.suspicion).await)
}

fn requeued(count: pawl_dispatch::Result<usize>) -> problem::Result<Json<Requeued>> {
    Ok(Json(Requeued { requeued: count? as u64 }))
}

impl From<StreamState> for Queue {
    fn from(state: StreamState) -> Self {
        Self {
            queue: state.stream.queue,
            priority: state.stream.priority,
            depth: state.length as u64,
            pending: state.pending as u64,
            consumers: state.consumers.len() as u64,
            added: state.added,
            oldest_unread_at_ms: state.oldest_unread_ms,
        }
    }
}

impl From<WorkerRow> for Worker {
    fn from(row: WorkerRow) -> Self {
        Self {
            id: row.id,
            host: row.host,
            pid: row.pid,
            slots: row.slots,
            running: row.running,
            queues: row.queues,
            draining: row.draining,
            drain_asked: row.drain_asked,
            version: row.version,
            clock_ahead_ms: row.clock_ahead_ms,
            alive: row.alive,
            started_at_ms: row.started_at_ms,
            renewed_at_ms: row.renewed_at_ms,
            expires_at_ms: row.expires_at_ms,
        }
    }
}

impl From<workers::GoneWorker> for GoneWorker {
    fn from(gone: workers::GoneWorker) -> Self {
        Self {
            id: gone.id,
            host: gone.host,
            pid: gone.pid,
            slots: gone.slots,
            queues: gone.queues,
            started_at_ms: gone.started_at_ms,
            gone_at_ms: gone.gone_at_ms,
            said_goodbye: gone.said_goodbye,
        }
    }
}
