//! Recoveries over HTTP: the records of takeovers, interrupted runs, and their resumption. What is interrupted, and what comes
//! of it, is `pawl_dispatch::recovery`'s; here steps get their names.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::http::HeaderMap;
use pawl_dispatch::Ports;
use pawl_dispatch::recovery::{self, MOST, Options, THRESHOLD};
use pawl_domain::id::{Digest, RunId, StepNo};
use pawl_store::recoveries::{InterruptedRow, RecoveryFilter, RecoveryId, RecoveryRow};
use pawl_store::runs::RunRow;
use schemars::JsonSchema;
use serde::Deserialize;

use super::problem::Result;
use super::recorded::{Noted, noted};
use super::request::{Params, Path, read_json, run_id};
use super::state::{AppState, step_name};
use super::types::{
    Changed, Interrupted, InterruptedList, NeedsPerson, Problem, RecoverRuns, Recovery, RecoveryList, RecoverySummary,
};
use super::whose::Scoped;

/// Records and runs on a page, unless the client says otherwise.
const PAGE: u32 = 50;

/// Longest wait for what comes of a recovery.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// How a recovery is named: run, number of the step, fence.
const RECOVERY: &str = "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}/[0-9]{1,9}/[0-9]{1,18}$";

/// A request to recover has two members.
const BODY_BYTES: usize = 4 << 10;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParams {
    /// Only those of this run.
    run: Option<RunId>,
    /// Only those before this one: the `next` of the page before.
    #[schemars(extend("pattern" = RECOVERY))]
    before: Option<String>,
    /// At most so many; 50, if nothing is said, and never more than 1,000.
    limit: Option<u32>,
}

pub(super) async fn list(Scoped(state): Scoped, Params(params): Params<ListParams>) -> Result<Json<RecoveryList>> {
    let limit = page(params.limit);
    let before = params.before.map(|text| text.parse::<RecoveryId>()).transpose();
    let before = before.map_err(|error| Problem::bad_request(format!("`before` is wrong: {error}")))?;
    let filter = RecoveryFilter { namespace: &state.namespace, run: params.run, before, limit: limit + 1 };
    let mut rows = state.store.recoveries(&filter).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|row| row.id.to_string());
    Ok(Json(RecoveryList { recoveries: named(&state, rows).await?, next }))
}

/// Records with the names of their steps.
pub(super) async fn named(state: &AppState, rows: Vec<RecoveryRow>) -> Result<Vec<Recovery>> {
    let mut recoveries = Vec::with_capacity(rows.len());
    for row in rows {
        let step = name(state, row.pipeline_digest, row.id.step.step).await?;
        recoveries.push(recovery_of(row, step));
    }
    Ok(recoveries)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct InterruptedParams {
    /// For how long nothing must have happened in a run, ms; ten minutes, if nothing is said.
    threshold_ms: Option<u64>,
    /// At most so many; 50, if nothing is said, and never more than 1,000.
    limit: Option<u32>,
}

pub(super) async fn interrupted(
    Scoped(state): Scoped,
    Params(params): Params<InterruptedParams>,
) -> Result<Json<InterruptedList>> {
    let limit = page(params.limit);
    let mut rows = state.store.interrupted(&state.namespace, threshold(params.threshold_ms), limit + 1).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    Ok(Json(InterruptedList { runs: with_names(&state, rows).await?, more }))
}

pub(super) async fn resume(Scoped(state): Scoped, Path(run): Path<String>) -> Result<Json<Changed>> {
    let id = run_id(&run)?;
    let pipeline = state.pipeline_of(id).await?;
    let resumed = recovery::resume(&ports(&state), id, state.suspicion).await?;
    let ready = resumed.map_err(|why| Problem::conflict(why.to_string()))?;
    Ok(Json(state.changed(id, &pipeline, &ready).await?))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RecoverParams {
    /// Waits for what comes of it, for so long at most, ms; never longer than five minutes.
    wait_ms: Option<u64>,
}

pub(super) async fn recover(
    Scoped(state): Scoped,
    Params(params): Params<RecoverParams>,
    headers: HeaderMap,
    body: Body,
) -> Result<Noted<RecoverySummary>> {
    let asked: RecoverRuns = read_json(body, &headers, "a request to recover", BODY_BYTES).await?;
    let wait = Duration::from_millis(params.wait_ms.unwrap_or(0)).min(LONGEST_WAIT);
    let _place = if wait.is_zero() { None } else { Some(state.reader()?) };
    let options =
        Options { threshold: threshold(asked.threshold_ms), resume: asked.resume, wait, suspicion: state.suspicion };
    let found = recovery::recover_all(&ports(&state), &state.namespace, &options).await?;
    let judged = found.judged;
    let changed = asked.resume && !found.detected.is_empty();
    let summary = RecoverySummary {
        detected: with_names(&state, found.detected).await?,
        more: found.more,
        recovered: judged.recovered,
        failed: judged.failed,
        pending: judged.pending,
        steps_again: judged.steps_again,
        entries_again: judged.entries_again,
        mean_ms: judged.mean.map(|mean| u64::try_from(mean.as_millis()).unwrap_or(u64::MAX)),
        needs_person: found.failed.into_iter().map(needs_person).collect(),
    };
    Ok(noted(changed, summary))
}

fn needs_person(run: RunRow) -> NeedsPerson {
    let retry = format!("`pawl run retry {}` tries its failed steps again", run.id);
    let what = match run.status.is_ended() {
        true => format!("`pawl run explain {}` tells by what it has failed; when that is mended, {retry}", run.id),
        false => format!("a step has failed: once the others have ended and the cause is mended, {retry}"),
    };
    NeedsPerson { id: run.id, pipeline: run.pipeline, what }
}

fn ports(state: &AppState) -> Ports {
    Ports { store: state.store.clone(), queue: state.queue.clone() }
}

fn page(limit: Option<u32>) -> u32 {
    limit.unwrap_or(PAGE).clamp(1, MOST)
}

fn threshold(ms: Option<u64>) -> Duration {
    ms.map_or(THRESHOLD, Duration::from_millis)
}

async fn name(state: &AppState, pipeline: Digest, step: StepNo) -> Result<String> {
    Ok(step_name(&*state.pipeline(pipeline).await?, step))
}

async fn with_names(state: &AppState, rows: Vec<InterruptedRow>) -> Result<Vec<Interrupted>> {
    let mut runs = Vec::with_capacity(rows.len());
    for row in rows {
        runs.push(Interrupted {
            id: row.run,
            started_at_ms: row.started_ms,
            last_activity_at_ms: row.last_activity_ms,
            step_count: row.steps,
            completed_steps: row.completed,
            failed_steps: row.failed,
            next_step: name(state, row.pipeline_digest, row.next).await?,
            next_step_status: row.next_status,
            pipeline: row.pipeline,
        });
    }
    Ok(runs)
}

fn recovery_of(row: RecoveryRow, step: String) -> Recovery {
    Recovery {
        id: row.id.to_string(),
        run: row.id.step.run,
        pipeline: row.pipeline,
        step,
        worker: row.worker,
        lease_ended_at_ms: row.lease_ended_ms,
        taken_over_at_ms: row.taken_over_ms,
        checkpoint_position: row.checkpoint_position,
        to_replay: row.to_replay,
        replacement: row.replacement,
        claimed_at_ms: row.claimed_ms,
        reloaded_at_ms: row.reloaded_ms,
        replayed_at_ms: row.replayed_ms,
        ready_at_ms: row.ready_ms,
        replayed: row.replayed,
        outcome: row.outcome.map(Into::into),
    }
}
