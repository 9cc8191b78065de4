//! Signals to runs.

use axum::Json;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use pawl_domain::id::RunId;
use pawl_domain::json;
use pawl_domain::wait::check_signal_name;
use pawl_store::control::{Sent, Signal};
use pawl_store::seal::Place;

use super::explain::EXPLAINED_STEPS;
use super::problem::{Result, SizeLimit};
use super::remarks;
use super::request::{Path, read_body, require_media_type, run_id};
use super::state::AppState;
use super::submit::idempotency_key;
use super::types::{Problem, SentSignal};
use super::whose::Scoped;

/// What a signal carries if its sender says nothing.
const NOTHING: &[u8] = b"null";

pub(super) async fn send(
    Scoped(state): Scoped,
    Path((run, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<SentSignal>)> {
    let id = run_id(&run)?;
    let payload = payload(&state, &headers, body).await?;
    check_signal_name(&name).map_err(|rule| Problem::bad_request(format!("the name of a signal {rule}")))?;
    let key = idempotency_key(&headers)?;
    let pipeline = state.pipeline_of(id).await?;
    let payload = state.sealed(id, Place::Signal, payload).await?;
    let signal = Signal { name: name.clone(), payload, key, room: state.limits.inbox_signals };
    let (created, ready) = match state.store.signal(id, signal).await? {
        Sent::New(ready) => (true, ready),
        Sent::Same => (false, Vec::new()),
    };
    let steps = if ready.is_empty() { Vec::new() } else { state.changed(id, &pipeline, &ready).await?.steps };
    let remarks = if created && steps.is_empty() { nobody_awaits(&state, id, &name).await } else { None };
    Ok((StatusCode::ACCEPTED, Json(SentSignal { id, name, created, steps, remarks: remarks.into_iter().collect() })))
}

/// What to tell of a signal that no step has taken: its name may be misspelt, or a step will wait for it.
async fn nobody_awaits(state: &AppState, run: RunId, name: &str) -> Option<String> {
    // It is accepted, whatever can be said besides.
    let live = state.store.live_steps(run, EXPLAINED_STEPS).await.ok()?;
    remarks::nobody_awaits(run, name, &live)
}

/// What a signal carries, if every step can read it: it would lie in a run's way otherwise.
pub(super) async fn payload(state: &AppState, headers: &HeaderMap, body: Body) -> Result<Vec<u8>> {
    let limit = SizeLimit::set_by("limit_entry", state.limits.entry_bytes);
    let payload = read_body(body, headers, "what a signal carries", limit).await?;
    if payload.is_empty() {
        return Ok(NOTHING.to_vec());
    }
    require_media_type(headers, &["application/json"])?;
    match json::check(&payload) {
        Ok(()) => Ok(payload),
        Err(rule) => Err(Problem::bad_request(format!("the body is not JSON that every step can read: {rule}"))),
    }
}
