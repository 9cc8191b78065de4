//! What a replay elsewhere needs: a step's past, and the bytes of a component. Reading only.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use pawl_domain::attempt::{Claim, Ingredients};
use pawl_domain::id::{Digest, Fence, RunId, StepId, StepNo};
use pawl_domain::journal::History;
use pawl_domain::pipeline::{Pipeline, default_timeout_ms};
use pawl_store as store;
use pawl_store::runs::{StepRow, all_outputs};

use super::problem::Result;
use super::request::{Path, run_id};
use super::routes::WASM;
use super::runs::to_raw;
use super::state::{AppState, step_named};
use super::types::{Problem, StepJournal, pack_history};

/// The largest past that is handed out, bytes: it is held in memory several times.
const LARGEST: usize = 128 << 20;

/// How long a piece of what is read may take.
const PIECE: Duration = Duration::from_secs(5);

pub(super) async fn show(
    State(state): State<AppState>,
    Path((run, step)): Path<(String, String)>,
) -> Result<Json<StepJournal>> {
    let run = run_id(&run)?;
    let pipeline = state.pipeline_of(run).await?;
    let id = StepId { run, step: step_named(&pipeline, &step)? };
    let row = step_row(&state, id).await?;
    let component = row.component.ok_or_else(|| Problem::not_found(format!("step `{step}` has not started")))?;
    let history = history(&state, id, &row).await?;
    let input = input(&state, &pipeline, run, id.step).await?;
    let spec = pipeline.step(id.step);
    let (length, recorded_by) = (history.length, history.recorded_by.unwrap_or(component));
    let (checkpoint, segments, signals) = pack_history(history);
    Ok(Json(StepJournal {
        id,
        step,
        component,
        recorded_by,
        failures: row.failures,
        config: to_raw(spec.map_or_else(|| "null".to_owned(), |spec| spec.config.to_string()).into_bytes())?,
        input: to_raw(input)?,
        secrets: spec.map_or_else(Vec::new, |spec| spec.secrets.clone()),
        timeout_ms: spec.map_or_else(default_timeout_ms, |spec| spec.timeout_ms),
        length,
        checkpoint,
        segments,
        signals,
    }))
}

pub(super) async fn component(State(state): State<AppState>, Path(digest): Path<String>) -> Result<Response> {
    let digest: Digest = digest
        .parse()
        .map_err(|_| Problem::bad_request(format!("a component's digest has 64 hexadecimal digits, not {digest:?}")))?;
    let bytes = state.store.component(digest).await?;
    Ok(([(CONTENT_TYPE, WASM)], bytes).into_response())
}

async fn step_row(state: &AppState, id: StepId) -> Result<StepRow> {
    let (_, rows) = state.store.run(id.run, Some(id.step)).await?;
    rows.into_iter().next().ok_or_else(|| Problem::not_found(format!("there is no step {id}")))
}

/// The step's past, as it was at one moment: it is read in several parts.
async fn history(state: &AppState, id: StepId, row: &StepRow) -> Result<History> {
    let (journal_length, checkpoint_position) = (row.journal_length, row.checkpoint_position);
    let claim = Claim { journal_length, checkpoint_position, ..Claim::bare(id, Fence(row.fence)) };
    // Told before it is in memory.
    let too_large = || Problem::too_large("a journal that is read over HTTP", LARGEST);
    let history = state.store.history(&claim, LARGEST).await?.ok_or_else(too_large)?;
    let after = step_row(state, id).await?;
    let same = |row: &StepRow| (row.fence, row.status, row.journal_length, row.checkpoint_position);
    if same(row) != same(&after) {
        return Err(Problem::conflict(format!("step {id} has moved on while its journal was read: ask again")));
    }
    Ok(history)
}

async fn input(state: &AppState, pipeline: &Pipeline, run: RunId, step: StepNo) -> Result<Vec<u8>> {
    let made_of = match pipeline.step(step).map_or(&[][..], |spec| &spec.needs) {
        [] => Ingredients::Run(state.store.run_input(run).await?),
        needs => {
            let outputs = all_outputs(&*state.store, run, needs, PIECE).await.map_err(|error| match error {
                store::Error::NotFound(_) => Problem::conflict("the step waits for the steps that it needs".to_owned()),
                error => error.into(),
            });
            Ingredients::Outputs(outputs?)
        }
    };
    Ok(pipeline.input_of(step, made_of))
}
