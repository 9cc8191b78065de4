//! One worker, with the steps that it has in hand.

use axum::Json;
use pawl_domain::id::{RunId, WorkerId};
use pawl_store as store;

use super::problem::Result;
use super::request::Path;
use super::state::{AppState, step_name};
use super::types::{HeldStep, Problem, WorkerDetail};
use super::whose::Scoped;

/// Steps that are told.
const TOLD: usize = 200;

pub(super) async fn show(Scoped(state): Scoped, Path(worker): Path<String>) -> Result<Json<WorkerDetail>> {
    let none = || Problem::not_found(format!("there is no worker {worker:?}; `pawl worker list` shows all"));
    let id: WorkerId = worker.parse().map_err(|_| none())?;
    let row = state.store.workers().await?.into_iter().find(|row| row.id == id).ok_or_else(none)?;
    let (steps, more) = held(&state, id).await?;
    Ok(Json(WorkerDetail { worker: row.into(), steps, more }))
}

/// What the store says that it has. Of those that run ahead of it nobody else knows.
async fn held(state: &AppState, worker: WorkerId) -> Result<(Vec<HeldStep>, bool)> {
    let mut held = state.store.running_of(worker).await?;
    held.sort_unstable();
    let more = held.len() > TOLD;
    held.truncate(TOLD);
    let mut runs: Vec<RunId> = held.iter().map(|(id, _)| id.run).collect();
    runs.dedup();
    let known = if runs.is_empty() { Vec::new() } else { state.store.runs_named(&runs).await? };
    let mut steps = Vec::with_capacity(held.len());
    for (id, _) in held {
        let Some(run) = known.iter().find(|run| run.id == id.run) else { continue };
        match state.store_pipeline(run.pipeline_digest).await {
            Ok(pipeline) => steps.push(HeldStep {
                run: id.run,
                pipeline: run.pipeline.clone(),
                step: step_name(&pipeline, id.step),
            }),
            // It is gone with its run.
            Err(store::Error::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok((steps, more))
}
