//! For those who keep Pawl running: workers, queues, requeues, health.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use pawl_dispatch::requeue;
use pawl_store::workers::{self, WorkerRow};

use super::problem;
use super::state::AppState;
use super::types::{GoneWorker, Health, Queue, QueueList, Readiness, Requeued, Worker, WorkerList};

/// How long `/ready` waits for each of the ports.
const PATIENCE: Duration = Duration::from_secs(2);

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

pub(super) async fn requeue_processing(State(state): State<AppState>) -> problem::Result<Json<Requeued>> {
    requeued(requeue::processing(&*state.store, &*state.queue).await)
}

pub(super) async fn requeue_stale(State(state): State<AppState>) -> problem::Result<Json<Requeued>> {
    requeued(requeue::stale(&*state.store, &*state.queue, state.suspicion).await)
}

fn requeued(count: pawl_dispatch::Result<usize>) -> problem::Result<Json<Requeued>> {
    Ok(Json(Requeued { requeued: count? as u64 }))
}

pub(super) async fn health() -> Json<Health> {
    Json(Health { status: "ok".to_owned() })
}

pub(super) async fn ready(State(state): State<AppState>) -> (StatusCode, Json<Readiness>) {
    let (store, ping) = tokio::join!(
        not_ready(state.store.name(), async {
            state.store.check_schema().await?;
            state.store.check_writes().await
        }),
        not_ready(state.queue.name(), state.queue.ping()),
    );
    let reasons: Vec<String> = [store, ping].into_iter().flatten().collect();
    let (code, status) = match reasons.is_empty() {
        true => (StatusCode::OK, "ready"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
    };
    (code, Json(Readiness { status: status.to_owned(), reasons }))
}

/// Why a port is not ready, if it is not. Anybody may ask, so what a server said of itself stays in the log.
async fn not_ready<E>(port: &str, check: impl Future<Output = Result<(), E>>) -> Option<String>
where
    E: std::error::Error + 'static,
{
    match tokio::time::timeout(PATIENCE, check).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => {
            tracing::debug!(error = pawl_base::chain(&error), "not ready");
            Some(error.to_string())
        }
        Err(_) => Some(format!("{port} is not available")),
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
