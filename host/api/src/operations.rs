//! For those who keep Pawl running: workers, queues and what they ask of workers, requeues.

use axum::Json;
use axum::extract::State;
use pawl_dispatch::requeue;
use pawl_domain::name::Name;
use pawl_store::workers::{self, WorkerRow};
use schemars::JsonSchema;
use serde::Deserialize;

use super::request::Params;
use super::state::AppState;
use super::types::{GoneWorker, Problem, Queue, QueueList, Requeued, Scale, Worker, WorkerList};
use super::{demand, metrics, problem};

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
    let queues = streams.into_iter().map(|state| Queue {
        queue: state.stream.queue,
        priority: state.stream.priority,
        depth: state.length as u64,
        pending: state.pending as u64,
        consumers: state.consumers.len() as u64,
    });
    Ok(Json(QueueList { queues: queues.collect() }))
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
