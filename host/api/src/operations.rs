//! For those who keep Pawl running: workers, queues and what they ask of workers, requeues.

use axum::Json;
use pawl_dispatch::{elsewhere, requeue};
use pawl_domain::id::{RunId, StepId, WorkerId};
use pawl_domain::name::Name;
use pawl_domain::pipeline_file::closest;
use pawl_queue::{Pending, Stream, StreamState};
use pawl_store as store;
use pawl_store::workers::{self, DrainAsked, WorkerRow};
use schemars::JsonSchema;
use serde::Deserialize;

use super::pauses::shelves_of_queues;
use super::recorded::{Noted, noted};
use super::request::{Params, Path};
use super::state::{AppState, step_name};
use super::types::{
    AskedToDrain, GoneWorker, PendingMessage, Problem, Queue, QueueDetail, QueueList, QueueReader, QueueStream,
    Requeued, Scale, Worker, WorkerList,
};
use super::whose::Scoped;
use super::{demand, metrics, problem};

/// Messages of a stream among which those are counted that were delivered again.
const REPEATED: usize = 1_000;

/// Pending messages of a stream that are told.
const PENDING: usize = 20;

/// Workers that are gone, in a list of those that are there.
const GONE: u32 = 50;

pub(super) async fn workers(Scoped(state): Scoped) -> problem::Result<Json<WorkerList>> {
    let (rows, gone) = (state.store.workers().await?, state.store.gone_workers(GONE).await?);
    Ok(Json(WorkerList {
        workers: rows.into_iter().map(Worker::from).collect(),
        gone: gone.into_iter().map(GoneWorker::from).collect(),
    }))
}

pub(super) async fn queues(Scoped(state): Scoped) -> problem::Result<Json<QueueList>> {
    let mut streams = state.queue.streams().await?;
    streams.sort_by(|one, other| {
        (&one.stream.queue, one.stream.priority).cmp(&(&other.stream.queue, other.stream.priority))
    });
    let paused = shelves_of_queues(state.store.shelves().await?);
    // The worker of `pawl dev` has its queue in the same memory.
    let remarks = match state.home {
        Some(_) => Vec::new(),
        None => {
            let workers = state.store.workers().await?;
            let name = state.queue.name();
            elsewhere(&workers, &streams).into_iter().map(|worker| reads_elsewhere(worker, name)).collect()
        }
    };
    Ok(Json(QueueList { queues: streams.into_iter().map(Queue::from).collect(), paused, remarks }))
}

/// It is told to a person, in the words of what is behind the port.
fn reads_elsewhere(worker: &WorkerRow, queue: &str) -> String {
    let WorkerRow { id, host, pid, .. } = worker;
    format!(
        "worker {id} (pid {pid} on {host}) is alive and reads none of these queues: it was given another {queue}, or another \
         database or prefix there, than this API"
    )
}

pub(super) async fn queue(Scoped(state): Scoped, Path(queue): Path<Name>) -> problem::Result<Json<QueueDetail>> {
    let queue = queue.as_str().to_owned();
    let (rows, backlog) = (state.store.workers().await?, state.store.backlog().await?);
    let mut streams = Vec::new();
    for stream in Stream::of(&queue) {
        let found = state.queue.stream(&stream).await?;
        let pending = if found.pending > 0 { state.queue.pending(&stream, PENDING).await? } else { Vec::new() };
        let repeated = if found.length > 1 { state.queue.repeated(&stream, REPEATED).await? } else { 0 };
        streams
            .push(QueueStream { repeated: repeated as u64, ..stream_of(found, told(&state, pending).await?, &rows) });
    }
    let serving = rows.iter().filter(|row| row.alive && !row.draining && row.queues.contains(&queue));
    let workers: Vec<WorkerId> = serving.map(|row| row.id).collect();
    let ages = backlog.oldest_ready_ms.iter().filter(|(name, ..)| *name == queue).map(|(.., age_ms)| *age_ms);
    let oldest_ready_ms = ages.max();
    let is_seen = streams.iter().any(|stream| stream.stream.depth > 0 || !stream.readers.is_empty());
    let paused = shelves_of_queues(state.store.shelves().await?).into_iter().find(|paused| paused.queue == queue);
    let paused = paused.map(|paused| paused.pause);
    if !is_seen && workers.is_empty() && oldest_ready_ms.is_none() && paused.is_none() {
        let named = state.store.named_queues().await?;
        if !named.contains(&queue) {
            let meant = closest(&queue, named.iter().map(String::as_str));
            let meant = meant.map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
            let nobody = "no pipeline names it, no worker serves it, and nothing is in it";
            return Err(Problem::not_found(format!("there is no queue {queue:?}: {nobody}{meant}")));
        }
    }
    Ok(Json(QueueDetail { queue, workers, oldest_ready_ms, paused, streams }))
}

/// The messages, and which step of which run each is about.
async fn told(state: &AppState, pending: Vec<Pending>) -> problem::Result<Vec<PendingMessage>> {
    let mut runs: Vec<RunId> = pending.iter().filter_map(|message| Some(message.step?.run)).collect();
    runs.sort_unstable();
    runs.dedup();
    let known = if runs.is_empty() { Vec::new() } else { state.store.runs_named(&runs).await? };
    let mut messages = Vec::with_capacity(pending.len());
    for Pending { entry, consumer, idle_ms, step } in pending {
        let digest = known.iter().find(|run| Some(run.id) == step.map(|step| step.run)).map(|run| run.pipeline_digest);
        let name = match (step, digest) {
            (Some(StepId { step, .. }), Some(digest)) => match state.store_pipeline(digest).await {
                Ok(pipeline) => Some(step_name(&pipeline, step)),
                Err(store::Error::NotFound(_)) => None,
                Err(error) => return Err(error.into()),
            },
            _ => None,
        };
        messages.push(PendingMessage {
            id: entry,
            reader: consumer,
            idle_ms,
            run: step.map(|step| step.run),
            step: name,
        });
    }
    Ok(messages)
}

fn stream_of(state: StreamState, oldest_pending: Vec<PendingMessage>, workers: &[WorkerRow]) -> QueueStream {
    let is_alive = |name: &str| workers.iter().any(|row| row.alive && row.id.to_string() == name);
    let readers = state.consumers.iter().map(|consumer| QueueReader {
        alive: is_alive(&consumer.name),
        name: consumer.name.clone(),
        pending: consumer.pending as u64,
        idle_ms: consumer.idle_ms,
    });
    let readers = readers.collect();
    QueueStream { stream: state.into(), readers, repeated: 0, oldest_pending }
}

pub(super) async fn drain(Scoped(state): Scoped, Path(worker): Path<String>) -> problem::Result<Noted<AskedToDrain>> {
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
            let before = asked == DrainAsked::Before;
            Ok(noted(!before, AskedToDrain { id, before }))
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

pub(super) async fn scale(Scoped(state): Scoped, Params(params): Params<ScaleParams>) -> problem::Result<Json<Scale>> {
    let known = metrics::installation(&state).await;
    // Half of it would be a number that somebody scales down by.
    let away = |port: &str| Problem::unavailable(format!("{port} is not available"));
    let (backlog, workers) = known.of_store.as_ref().ok_or_else(|| away(state.store.name()))?;
    let streams = known.of_queue.as_ref().ok_or_else(|| away(state.queue.name()))?;
    let mut queues = demand::of(backlog, workers, streams, params.queue.as_ref().map(Name::as_str));
    queues.truncate(metrics::STREAMS);
    Ok(Json(Scale { queues }))
}

pub(super) async fn requeue_processing(Scoped(state): Scoped) -> problem::Result<Noted<Requeued>> {
    requeued(requeue::processing(&*state.store, &*state.queue).await)
}

pub(super) async fn requeue_stale(Scoped(state): Scoped) -> problem::Result<Noted<Requeued>> {
    requeued(requeue::stale(&*state.store, &*state.queue, state.suspicion).await)
}

fn requeued(count: pawl_dispatch::Result<usize>) -> problem::Result<Noted<Requeued>> {
    let requeued = count? as u64;
    Ok(noted(requeued > 0, Requeued { requeued }))
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
