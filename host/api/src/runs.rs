//! Runs over HTTP: submit, list, look, wait. What a person does to one: [`verbs`](super::verbs).

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use pawl_dispatch::submissions::Refused;
use pawl_domain::id::{RunId, StepId};
use pawl_domain::name::Name;
use pawl_domain::pipeline::Pipeline;
use pawl_store::logs::Wanted;
use pawl_store::recoveries::{InterruptedFilter, Standing};
use pawl_store::runs::{RunFilter, RunRow, StepRow};
use pawl_store::seal::Place;
use pawl_store::submit::{NewRun, Submission};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::explain::{EXPLAINED_SIGNALS, EXPLAINED_STEPS, LOGS_READ, explain, last_logged, name_rejected};
use super::health;
use super::home::Home;
use super::parked::{again, ways_out};
use super::pauses;
use super::problem::{Result, SizeLimit, followed};
use super::remarks;
use super::request::{Params, Path, pipeline_name, read_json, run_id};
use super::state::{AppState, step_name, step_named};
use super::traced::{context_of, trace_of};
use super::types::{
    Because, EventKind, Explanation, IDEMPOTENCY_KEY, ListedStatus, Problem, Run, RunList, RunStatus, RunSummary, Step,
    StepDetail, StepStatus, SubmitRun, SubmittedRun, check_idempotency_key,
};
use super::whose::Scoped;

/// Runs on a page, unless the client says otherwise, and at most.
const PAGE: u32 = 50;
const LONGEST_PAGE: u32 = 1_000;

/// Digits of a run's id.
const ID_DIGITS: usize = 32;

/// For how long a run stands still before it counts as stuck: longer than any takeover or look takes.
const STUCK_AFTER: Duration = Duration::from_secs(60);

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
fn wait_of(wait_ms: Option<u64>) -> Option<Duration> {
    let wait = Duration::from_millis(wait_ms.filter(|wait_ms| *wait_ms > 0)?);
    Some(wait.min(LONGEST_WAIT))
}

async fn status_of(state: &AppState, run: RunId) -> Result<RunStatus> {
    let marks = state.store.run_marks(&[run]).await?;
    marks.first().map(|mark| mark.status).ok_or_else(|| Problem::not_found(format!("there is no run {run}")))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParams {
    /// Only runs that stand there.
    status: Option<ListedStatus>,
    /// Only runs of this pipeline.
    pipeline: Option<Name>,
    /// Runs on a page: 50 if nothing is said, and 1,000 at most, whatever is said.
    limit: Option<u32>,
    /// Only runs that are older than this one: `next` of the page before. With `status=stuck` there is a time behind it.
    #[schemars(extend("pattern" = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(/[0-9]{1,15})?$"))]
    before: Option<String>,
    /// The first digits of ids, with their hyphens or without; goes with `limit` alone.
    #[schemars(extend("pattern" = "^-*([0-9A-Fa-f]-*){1,32}$"))]
    id: Option<String>,
}

pub(super) async fn list(Scoped(state): Scoped, Params(params): Params<ListParams>) -> Result<Json<RunList>> {
    let limit = params.limit.unwrap_or(PAGE).clamp(1, LONGEST_PAGE);
    if let Some(digits) = &params.id {
        let (first, last) = ids_from(digits)?;
        let rows = state.store.runs_between(&state.namespace, first, last, limit).await?;
        return Ok(Json(RunList { runs: rows.into_iter().map(RunSummary::from).collect(), next: None }));
    }
    if params.status == Some(ListedStatus::Stuck) {
        return stuck(&state, &params, limit).await;
    }
    let filter = RunFilter {
        namespace: &state.namespace,
        status: params.status.and_then(ListedStatus::plain),
        pipeline: params.pipeline.as_ref().map(Name::as_str),
        before: params.place()?.map(|(run, _)| run),
        limit: limit + 1,
    };
    let rows = match params.status {
        Some(ListedStatus::Parked) => {
            state.store.parked_runs(filter.namespace, filter.pipeline, filter.before, filter.limit).await?
        }
        Some(ListedStatus::Paused) => {
            state.store.paused_runs(filter.namespace, filter.pipeline, filter.before, filter.limit).await?
        }
        _ => state.store.runs(&filter).await?,
    };
    let has_more = rows.len() > limit as usize;
    let runs: Vec<RunSummary> = rows.into_iter().take(limit as usize).map(RunSummary::from).collect();
    let next = runs.last().map(|run| run.id.to_string()).filter(|_| has_more);
    Ok(Json(RunList { runs, next }))
}

impl ListParams {
    /// After which run the page begins, and since when that one stands.
    fn place(&self) -> Result<Option<(RunId, Option<i64>)>> {
        let Some(before) = &self.before else { return Ok(None) };
        let (run, since_ms) = before.split_once('/').map_or((&**before, None), |(run, ms)| (run, Some(ms.parse())));
        match (run.parse(), since_ms.transpose()) {
            (Ok(run), Ok(since_ms)) => Ok(Some((run, since_ms))),
            _ => Err(Problem::bad_request(format!("`before` is `next` of the page before, not {before:?}"))),
        }
    }
}

/// Runs that nobody moves: those that stand longest first.
async fn stuck(state: &AppState, params: &ListParams, limit: u32) -> Result<Json<RunList>> {
    let filter = InterruptedFilter {
        namespace: &state.namespace,
        pipeline: params.pipeline.as_ref().map(Name::as_str),
        threshold: STUCK_AFTER,
        // A run alone is no place in this order: the page is the first.
        after: params.place()?.and_then(|(run, since_ms)| Some(Standing { since_ms: since_ms?, run })),
        limit: limit + 1,
    };
    let mut standing = state.store.interrupted_page(&filter).await?;
    let has_more = standing.len() > limit as usize;
    standing.truncate(limit as usize);
    let next = standing.last().filter(|_| has_more).map(|row| row.standing().to_string());
    let order: Vec<RunId> = standing.iter().map(|run| run.run).collect();
    let mut rows = state.store.runs_named(&order).await?;
    rows.sort_by_key(|row| order.iter().position(|run| *run == row.id));
    Ok(Json(RunList { runs: rows.into_iter().map(RunSummary::from).collect(), next }))
}

/// The first and the last id that begin with these digits.
fn ids_from(digits: &str) -> Result<(RunId, RunId)> {
    let plain = digits.replace('-', "").to_ascii_lowercase();
    let bound =
        |filler: &str| format!("{plain}{}", filler.repeat(ID_DIGITS.saturating_sub(plain.len()))).parse::<RunId>();
    match (bound("0"), bound("f")) {
        (Ok(first), Ok(last)) if !plain.is_empty() => Ok((first, last)),
        _ => Err(Problem::bad_request(format!(
            "`id` is the beginning of a run's id, hexadecimal digits, not {digits:?}"
        ))),
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ShowParams {
    /// Waits until the run has ended, for so long at most, ms; never longer than five minutes.
    wait_ms: Option<u64>,
    /// Whether the steps are told, too; they are, if nothing is said.
    steps: Option<bool>,
}

pub(super) async fn show(
    Scoped(state): Scoped,
    Path(run): Path<String>,
    Params(params): Params<ShowParams>,
) -> Result<Json<Run>> {
    let id = run_id(&run)?;
    if let Some(wait) = wait_of(params.wait_ms) {
        let _place = state.reader()?;
        // Whatever it was told, or if time is up: the answer is what the database says then.
        let _ = tokio::time::timeout(wait, state.watch.await_end(id).ended()).await;
    }
    if params.steps == Some(false) {
        return Ok(Json(Run { summary: state.store.run_alone(id).await?.into(), steps: Vec::new() }));
    }
    let (row, steps) = state.store.run(id, None).await?;
    let pipeline = state.pipeline(row.pipeline_digest).await?;
    let steps = steps.into_iter().map(|step| step_of(id, &pipeline, step)).collect();
    Ok(Json(Run { summary: row.into(), steps }))
}

pub(super) async fn show_step(
    Scoped(state): Scoped,
    Path((run, step)): Path<(String, String)>,
) -> Result<Json<StepDetail>> {
    let id = run_id(&run)?;
    let pipeline = state.pipeline_of(id).await?;
    let number = step_named(&pipeline, &step)?;
    let (_, rows) = state.store.run(id, Some(number)).await?;
    let row = rows.into_iter().next().ok_or_else(|| Problem::not_found(format!("run {id} has no step `{step}`")))?;
    let output = match state.store.step_output(id, number).await? {
        Some(kept) => Some(to_raw(state.opened(id, Place::Output(number), kept).await?)?),
        None => None,
    };
    let ways_out = match row.status {
        StepStatus::Parked => ways_out(id, &step, row.error.as_deref()),
        StepStatus::Failed => again(id, &step),
        _ => Vec::new(),
    };
    Ok(Json(StepDetail { step: step_of(id, &pipeline, row), output, ways_out }))
}

pub(super) async fn input(Scoped(state): Scoped, Path(run): Path<String>) -> Result<Response> {
    let id = run_id(&run)?;
    let input = state.opened(id, Place::Input, state.store.run_input(id).await?).await?;
    Ok(([(CONTENT_TYPE, "application/json")], input).into_response())
}

pub(super) async fn output(Scoped(state): Scoped, Path(run): Path<String>) -> Result<Response> {
    let id = run_id(&run)?;
    let pipeline = state.pipeline_of(id).await?;
    let mut outputs = BTreeMap::new();
    for (step, kept) in state.store.last_outputs(id, &pipeline).await? {
        outputs.insert(step, state.opened(id, Place::Output(step), kept).await?);
    }
    let output = pipeline.output_of(&outputs).ok_or_else(|| Problem::not_found(format!("run {id} has no output")))?;
    Ok(([(CONTENT_TYPE, "application/json")], output).into_response())
}

pub(super) async fn why(Scoped(state): Scoped, Path(run): Path<String>) -> Result<Json<Explanation>> {
    explained(&state, run_id(&run)?).await.map(Json)
}

pub(super) async fn explained(state: &AppState, id: RunId) -> Result<Explanation> {
    // In this order: a step that moves in between is missing from the reasons only if it has ended.
    let live = state.store.live_steps(id, EXPLAINED_STEPS).await?;
    let row = state.store.run_alone(id).await?;
    let pipeline = state.pipeline(row.pipeline_digest).await?;
    let failed = if row.failing { state.store.failed_steps(id, EXPLAINED_STEPS).await? } else { Vec::new() };
    let why_failed = match row.status {
        RunStatus::Failed => why_failed(state, &row).await?,
        _ => None,
    };
    let pauses = if row.status.is_ended() { Vec::new() } else { state.store.pauses().await? };
    let paused = (pauses.as_slice(), &state.namespace);
    let mut explanation = explain(&row, &pipeline, &live, &failed, why_failed.as_deref(), paused);
    let executed = explanation.reasons.iter_mut().zip(&live).filter(|(reason, _)| reason.because == Because::Lease);
    for (reason, step) in executed.take(LOGS_READ) {
        let wanted = Wanted { step: Some(step.no), ..Wanted::all(id) };
        // It helps, and is no part of the truth: what can't be read is left out.
        let last = state.store.log_tail(&wanted, 0, 1).await.ok().and_then(|mut page| page.lines.pop());
        reason.message.extend(last.map(|last| last_logged(&last, step.now_ms)));
    }
    if row.failing || row.parked || matches!(row.status, RunStatus::Failed | RunStatus::Cancelled) {
        explanation.remarks.extend(state.keeps_pipeline(&row.pipeline, row.pipeline_digest).await);
    }
    if !row.status.is_ended() {
        let away = health::not_ready(state.queue.name(), state.queue.ping()).await;
        explanation.remarks.extend(away.map(|why| remarks::queue_away(&why)));
    }
    let is_awaited = live.iter().any(|step| step.awaits.is_some());
    if is_awaited || !failed.is_empty() {
        let rejected = state.store.rejected_signals(id, EXPLAINED_SIGNALS).await?;
        name_rejected(&mut explanation, &live, &failed, &rejected);
    }
    if is_awaited {
        let inbox = state.store.inbox(id, 0, EXPLAINED_SIGNALS).await?;
        explanation.remarks.extend(remarks::not_awaited(id, &inbox, &live));
    }
    Ok(explanation)
}

/// What a person said who failed the run; it is the last that its history tells.
async fn why_failed(state: &AppState, run: &RunRow) -> Result<Option<String>> {
    let end = state.store.events(run.id, run.event_count.saturating_sub(1), 1).await?.pop();
    Ok(end.filter(|end| end.kind == EventKind::RunFailed).and_then(|end| end.note))
}

pub(super) fn to_raw(json: Vec<u8>) -> Result<Box<RawValue>> {
    // Checked when it was recorded, and its digest when it was read.
    let text = String::from_utf8(json).map_err(|error| Problem::internal(&error))?;
    RawValue::from_string(text).map_err(|error| Problem::internal(&error))
}

pub(super) fn step_of(run: RunId, pipeline: &Pipeline, row: StepRow) -> Step {
    let spec = pipeline.step(row.no);
    Step {
        name: step_name(pipeline, row.no),
        status: row.status,
        plugin: spec.map(|spec| spec.plugin.clone()).unwrap_or_default(),
        version: spec.and_then(|spec| spec.version.clone()),
        component: row.component,
        needs: spec.map_or_else(Vec::new, |spec| spec.needs.iter().map(|need| step_name(pipeline, *need)).collect()),
        queue: spec.map(|spec| spec.queue.clone()).unwrap_or_default(),
        priority: spec.map(|spec| spec.priority).unwrap_or_default(),
        attempts: row.attempts,
        failures: row.failures,
        crashes: row.crashes,
        trace_id: trace_of(StepId { run, step: row.no }, &row),
        fence: row.fence,
        worker: row.worker,
        journal_length: row.journal_length,
        checkpoint_position: row.checkpoint_position,
        progress: row.progress,
        progress_message: row.progress_message,
        error: row
            .error
            .map(|error| serde_json::from_slice(&error).unwrap_or_else(|_| String::from_utf8_lossy(&error).into())),
        ready_at_ms: row.ready_at_ms,
        due_at_ms: row.due_at_ms,
        awaits: row.awaits,
        claimed_at_ms: row.claimed_at_ms,
        started_at_ms: row.started_at_ms,
        ended_at_ms: row.ended_at_ms,
    }
}

impl From<RunRow> for RunSummary {
    fn from(row: RunRow) -> Self {
        Self {
            paused: pauses::of_run(&row),
            id: row.id,
            pipeline: row.pipeline,
            pipeline_digest: row.pipeline_digest,
            status: row.status,
            step_count: row.step_count,
            live_steps: row.live_steps,
            parked: row.parked,
            kept: row.kept,
            event_count: row.event_count,
            idempotency_key: row.idempotency_key,
            created_at_ms: row.created_at_ms,
            started_at_ms: row.started_at_ms,
            ended_at_ms: row.ended_at_ms,
        }
    }
}
