//! What a replay elsewhere needs: a step's past, and the bytes of a component. Reading only.

use axum::Json;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use pawl_dispatch::recovery::context::NotRebuilt;
use pawl_dispatch::recovery::{Context, rebuild};
use pawl_domain::id::{Digest, RunId, StepId};
use pawl_domain::pipeline::default_timeout_ms;

use super::problem::Result;
use super::request::{Path, run_id};
use super::routes::WASM;
use super::runs::to_raw;
use super::state::{AppState, step_named};
use super::types::{Problem, StepJournal, pack_history};
use super::whose::Scoped;

/// The largest past that is handed out, bytes: it is held in memory several times.
const LARGEST: usize = 128 << 20;

pub(super) async fn show(
    Scoped(state): Scoped,
    Path((run, step)): Path<(String, String)>,
) -> Result<Json<StepJournal>> {
    of_step(&state, run_id(&run)?, &step, LARGEST).await.map(Json)
}

/// What a replay of a step needs, if its past has no more than so many bytes.
pub(super) async fn of_step(state: &AppState, run: RunId, step: &str, most_bytes: usize) -> Result<StepJournal> {
    let pipeline = state.pipeline_of(run).await?;
    let id = StepId { run, step: step_named(&pipeline, step)? };
    let found = rebuild(&*state.store, &pipeline, id, most_bytes, &state.seal_of(run).await?).await.map_err(problem)?;
    let Context { component, recorded_by, failures, config, input, history, .. } = found;
    let spec = pipeline.step(id.step);
    let (length, recorded_by) = (history.length, recorded_by.unwrap_or(component));
    let (checkpoint, segments, signals) = pack_history(history);
    Ok(StepJournal {
        id,
        step: step.to_owned(),
        component,
        recorded_by,
        failures,
        config: to_raw(config.into_bytes())?,
        input: to_raw(input)?,
        secrets: spec.map_or_else(Vec::new, |spec| spec.secrets.clone()),
        timeout_ms: spec.map_or_else(default_timeout_ms, |spec| spec.timeout_ms),
        length,
        checkpoint,
        segments,
        signals,
    })
}

pub(super) async fn component(Scoped(state): Scoped, Path(digest): Path<String>) -> Result<Response> {
    let digest: Digest = digest
        .parse()
        .map_err(|_| Problem::bad_request(format!("a component's digest has 64 hexadecimal digits, not {digest:?}")))?;
    if !state.store.is_component_of(&state.namespace, digest).await? {
        return Err(Problem::not_found(format!("there is no component {digest}")));
    }
    let bytes = state.store.component(digest).await?;
    Ok(([(CONTENT_TYPE, WASM)], bytes).into_response())
}

fn problem(error: NotRebuilt) -> Problem {
    match error {
        NotRebuilt::NotStarted(_) => Problem::not_found(error.to_string()),
        NotRebuilt::WaitsForNeeds | NotRebuilt::HasMoved(_) => Problem::conflict(error.to_string()),
        NotRebuilt::TooLarge(most) => Problem::too_long_a_past(most, LARGEST),
        NotRebuilt::Store(error) => error.into(),
    }
}
