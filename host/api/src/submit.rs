//! Runs over HTTP: submitted.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use pawl_dispatch::submissions::Refused;
use pawl_domain::id::RunId;
use pawl_store::submit::{NewRun, Submission};
use schemars::JsonSchema;
use serde::Deserialize;

use super::home::Home;
use super::problem::{Result, SizeLimit, followed};
use super::request::{Params, pipeline_name, read_json};
use super::state::AppState;
use super::traced::context_of;
use super::types::{IDEMPOTENCY_KEY, Problem, RunStatus, SubmitRun, SubmittedRun, check_idempotency_key};
use super::whose::Scoped;

/// Longest wait for a run's end.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// What is around a submission's input.
const ENVELOPE_BYTES: usize = 4 << 10;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SubmitParams {
    /// Waits until the run has ended, for so long at most, ms; never longer than five minutes.
    wait_ms: Option<u64>,
}

pub(super) async fn submit(
    Scoped(state): Scoped,
    Params(params): Params<SubmitParams>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response> {
    let limit = state.limits.input_bytes;
    let too_large = || Problem::too_large("a run's input", SizeLimit::set_by("limit_input", limit));
    let request = read_json::<SubmitRun>(body, &headers, "a submission", limit + ENVELOPE_BYTES).await;
    let request = request.map_err(|problem| if problem.status == 413 { too_large() } else { problem })?;
    let input = request.input.get().as_bytes();
    if input.len() > limit {
        return Err(too_large());
    }
    let pipeline = pipeline_name(&request.pipeline)?;
    let key = idempotency_key(&headers)?;
    let remarks = match &state.home {
        Some(home) => home.until_built(&state, &request.pipeline).await?,
        None => Vec::new(),
    };
    let run = NewRun::new(state.namespace.clone(), pipeline.into(), input.to_vec(), key.clone());
    let run = run.in_trace(context_of(&headers));
    let id = run.id;
    let refused = match state.check_input(&run).await {
        Ok(()) => state.has_room().await.map_err(|over| Problem::over_quota(&state.namespace, &over)),
        refused => refused,
    };
    if let Err(problem) = refused
        // With the key of a run that is there, this is a question for it, whatever its steps would take now.
        && (key.is_none() || state.store.run_marks(&[id]).await?.is_empty())
    {
        return Err(problem);
    }
    // Before the commit, so that no word of the end is missed. With too many others that wait, it is answered at once: to
    // refuse it for that would be a pity.
    let end = wait_of(params.wait_ms).and_then(|wait| Some((wait, state.reader().ok()?)));
    let end = end.map(|(wait, place)| (wait, state.watch.await_end_of_new(id), place));
    let run = state.seal_new(run).await?;
    let sealed_by = run.sealed.as_ref().map(|key| key.version);
    let submission = match state.submissions.submit(run).await {
        Ok(Submission::KeyReused) if state.is_same_request(id, &request.pipeline, input).await? => Submission::Same,
        Ok(submission) => submission,
        Err(refused @ Refused::Content(_)) => {
            let otherwise = state.is_sealed_otherwise(sealed_by).await?;
            return Err(otherwise.unwrap_or_else(|| Problem::internal(&refused)));
        }
        Err(refused) => return Err(Problem::unavailable(refused.to_string())),
    };
    let created = match submission {
        Submission::Created => true,
        Submission::Same => false,
        Submission::KeyReused => return Err(Problem::idempotency_conflict(key.as_deref().unwrap_or_default())),
        Submission::UnknownPipeline => {
            let unknown = state.store.unknown_pipeline(&state.namespace, &request.pipeline).await;
            let failed = state.home.as_ref().and_then(Home::failed);
            let detail = failed.map_or(unknown.to_string(), |what| {
                followed(&unknown.to_string(), &format!("{what} did not build, the output of `pawl dev` says why"))
            });
            return Err(Problem::unknown_pipeline(&detail));
        }
    };
    let mut status = if created { RunStatus::Pending } else { status_of(&state, id).await? };
    if let Some((wait, mut end, _place)) = end.filter(|_| !status.is_ended()) {
        status = tokio::time::timeout(wait, end.end_of_new()).await.ok().flatten().unwrap_or(status);
    }
    let answer = Json(SubmittedRun { id, status, created, remarks });
    Ok((StatusCode::ACCEPTED, [(LOCATION, format!("/v1/runs/{id}"))], answer).into_response())
}

pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    // What is no text is no key, either.
    let key = value.to_str().unwrap_or_default();
    check_idempotency_key(key).map_err(Problem::bad_request)?;
    Ok(Some(key.to_owned()))
}

/// How long a request waits for the end of its run, if it does.
pub(super) fn wait_of(wait_ms: Option<u64>) -> Option<Duration> {
    let wait = Duration::from_millis(wait_ms.filter(|wait_ms| *wait_ms > 0)?);
    Some(wait.min(LONGEST_WAIT))
}

async fn status_of(state: &AppState, run: RunId) -> Result<RunStatus> {
    let marks = state.store.run_marks(&[run]).await?;
    marks.first().map(|mark| mark.status).ok_or_else(|| Problem::not_found(format!("there is no run {run}")))
}
