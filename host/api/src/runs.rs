//! Runs over HTTP: looked at, one at a time. How they are submitted: [`submit`](super::submit); listed: [`listed`](super::listed);
//! what a person does to one: [`verbs`](super::verbs).

use std::collections::BTreeMap;

use axum::Json;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use pawl_domain::id::{RunId, StepId};
use pawl_domain::pipeline::Pipeline;
use pawl_store::dead_letters::DeadStep;
use pawl_store::logs::Wanted;
use pawl_store::runs::{RunRow, StepRow};
use pawl_store::seal::Place;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::dead_letters::plugin_of;
use super::explain::{EXPLAINED_SIGNALS, EXPLAINED_STEPS, LOGS_READ, explain, last_logged, name_rejected};
use super::health;
use super::parked::{again, ways_out};
use super::pauses;
use super::problem::Result;
use super::remarks;
use super::request::{Params, Path, run_id};
use super::state::{AppState, step_name, step_named};
use super::submit::wait_of;
use super::traced::trace_of;
use super::types::{
    Because, EventKind, Explanation, Problem, Run, RunStatus, RunSummary, Step, StepDetail, StepStatus,
};
use super::whose::Scoped;

/// Steps of a run that have died and of which it is told on which version of their plugin.
const VERSIONS_TOLD: usize = 50;

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
    let steps = steps_of(&state, id, &pipeline, steps).await?;
    Ok(Json(Run { summary: row.into(), steps }))
}

/// The steps, and of those that have died on which version of their plugin.
async fn steps_of(state: &AppState, run: RunId, pipeline: &Pipeline, rows: Vec<StepRow>) -> Result<Vec<Step>> {
    let is_dead = |row: &&StepRow| matches!(row.status, StepStatus::Failed | StepStatus::Parked);
    let dead = rows.iter().filter(is_dead).take(VERSIONS_TOLD);
    let dead: Vec<DeadStep> =
        dead.map(|row| DeadStep { step: StepId { run, step: row.no }, plugin: plugin_of(pipeline, row.no) }).collect();
    let died_on = if dead.is_empty() { Vec::new() } else { state.store.died_on(&state.namespace, &dead).await? };
    let told = rows.into_iter().map(|row| {
        let component_version = died_on.iter().find(|on| on.step.step == row.no).and_then(|on| on.version.clone());
        Step { component_version, ..step_of(run, pipeline, row) }
    });
    Ok(told.collect())
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
    let step = steps_of(&state, id, &pipeline, vec![row]).await?.remove(0);
    Ok(Json(StepDetail { step, output, ways_out }))
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
        component_version: None,
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
