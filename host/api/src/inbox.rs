//! The inbox of a run: what a person sees of signals that no step has taken, or that a step has failed by, and does about
//! them.

use axum::Json;
use axum::body::Body;
use axum::http::HeaderMap;
use pawl_domain::id::RunId;
use pawl_domain::pipeline::Pipeline;
use pawl_store::control::SignalChange;
use pawl_store::inbox::SignalRow;
use pawl_store::seal::Place;
use schemars::JsonSchema;
use serde::Deserialize;

use super::problem::Result;
use super::request::{Params, Path, run_id};
use super::runs::to_raw;
use super::signals::payload;
use super::state::{AppState, step_name};
use super::types::{Changed, Inbox, InboxSignal, Problem, Rejection, SignalDetail};
use super::whose::Scoped;

/// Signals on a page, unless the client says otherwise, and at most.
const PAGE: u32 = 100;
const LONGEST_PAGE: u32 = 1_000;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct InboxParams {
    /// The number of the last signal that the reader has.
    after: Option<u32>,
    /// Signals on a page: 100 if nothing is said, and 1,000 at most, whatever is said.
    limit: Option<u32>,
}

pub(super) async fn list(
    Scoped(state): Scoped,
    Path(run): Path<String>,
    Params(params): Params<InboxParams>,
) -> Result<Json<Inbox>> {
    let id = run_id(&run)?;
    let pipeline = state.pipeline_of(id).await?;
    let limit = params.limit.unwrap_or(PAGE).clamp(1, LONGEST_PAGE);
    let mut rows = state.store.inbox(id, params.after.unwrap_or(0), limit + 1).await?;
    let has_more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().map(|row| row.number).filter(|_| has_more);
    Ok(Json(Inbox { signals: rows.into_iter().map(|row| signal_of(&pipeline, row)).collect(), next }))
}

pub(super) async fn show(
    Scoped(state): Scoped,
    Path((run, number)): Path<(String, String)>,
) -> Result<Json<SignalDetail>> {
    let (id, number) = signal_id(&run, &number)?;
    let pipeline = state.pipeline_of(id).await?;
    let (row, payload) = state.store.inbox_signal(id, number).await?;
    // One that was sent to an older Pawl may be text that nobody can read.
    let payload = to_raw(state.opened(id, Place::Signal, payload).await?)?;
    Ok(Json(SignalDetail { signal: signal_of(&pipeline, row), payload }))
}

pub(super) async fn remove(
    Scoped(state): Scoped,
    Path((run, number)): Path<(String, String)>,
) -> Result<Json<Changed>> {
    change(&state, &run, &number, SignalChange::Remove).await
}

pub(super) async fn replace(
    Scoped(state): Scoped,
    Path((run, number)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Changed>> {
    let payload = payload(&state, &headers, body).await?;
    change(&state, &run, &number, SignalChange::Replace(payload)).await
}

pub(super) async fn give_back(
    Scoped(state): Scoped,
    Path((run, number)): Path<(String, String)>,
) -> Result<Json<Changed>> {
    change(&state, &run, &number, SignalChange::Return).await
}

async fn change(state: &AppState, run: &str, number: &str, how: SignalChange) -> Result<Json<Changed>> {
    let (id, number) = signal_id(run, number)?;
    let pipeline = state.pipeline_of(id).await?;
    let how = match how {
        SignalChange::Replace(payload) => SignalChange::Replace(state.sealed(id, Place::Signal, payload).await?),
        other => other,
    };
    let ready = state.store.change_signal(id, number, how).await?;
    state.changed(id, &pipeline, &ready).await.map(Json)
}

fn signal_id(run: &str, number: &str) -> Result<(RunId, u32)> {
    let id = run_id(run)?;
    let found = number.parse().ok().filter(|number: &u32| i32::try_from(*number).is_ok());
    let number = found.ok_or_else(|| {
        Problem::not_found(format!("`{}` is no signal of a run: they are numbered from 1", number.escape_debug()))
    })?;
    Ok((id, number))
}

fn signal_of(pipeline: &Pipeline, row: SignalRow) -> InboxSignal {
    let error = row.error.map(|error| serde_json::from_slice(&error).unwrap_or_default());
    let rejected = row.rejected_by.zip(error);
    InboxSignal {
        number: row.number,
        name: row.name,
        idempotency_key: row.key,
        size_bytes: row.size_bytes,
        sent_at_ms: row.sent_at_ms,
        rejected: rejected.map(|(step, error)| Rejection { step: step_name(pipeline, step), error }),
    }
}
