//! Retention over HTTP: how it stands, a run of it now, and runs that a person keeps. Who deletes all the time is a worker, by
//! its own settings; those count here, too.

use std::time::{Duration, Instant};

use axum::Json;
use pawl_dispatch::retention::{self, Pace, Standing, Sweeper};
use pawl_domain::retention::{Policy, Term};

use super::problem::Result;
use super::recorded::{Noted, noted};
use super::request::{Path, run_id};
use super::state::AppState;
use super::types::{KeptRun, PipelineTerms, Problem, RetentionRun, RetentionSettings, RetentionStatus};
use super::whose::Scoped;

/// How long one request deletes; who wants more asks again.
const AT_ONCE: Duration = Duration::from_secs(5);

pub(super) async fn show(Scoped(state): Scoped) -> Result<Json<RetentionStatus>> {
    let Some(standing) = retention::standing(&*state.store).await? else {
        return Ok(Json(RetentionStatus {
            worker: None,
            active: false,
            settings: None,
            pipelines: Vec::new(),
            due_runs: 0,
            more: false,
            late_ms: None,
        }));
    };
    let Standing { turn, pipelines, due, more, late_ms } = standing;
    let here = pipelines.into_iter().filter(|said| said.namespace == state.namespace);
    let said = |said: pawl_store::retention::PipelineRetention| PipelineTerms {
        pipeline: said.pipeline,
        retention: said.retention.into(),
    };
    Ok(Json(RetentionStatus {
        worker: Some(turn.holder),
        active: turn.holds,
        settings: Some(turn.policy.into()),
        pipelines: here.map(said).collect(),
        due_runs: due,
        more,
        late_ms,
    }))
}

pub(super) async fn run(Scoped(state): Scoped) -> Result<Noted<RetentionRun>> {
    let Ok(mut sweeper) = state.sweeper.try_lock() else {
        return Err(Problem::busy("retention is being run for somebody else", "try again in a moment"));
    };
    let turn = state.store.turn().await?.ok_or_else(|| {
        Problem::conflict(
            "no worker has looked after retention so far, and its settings are those that count: start one",
        )
    })?;
    let swept = sweeper.sweep(&*state.store, &turn.policy, Pace::Now, Instant::now() + AT_ONCE).await?;
    if !swept.more {
        // The next one who asks begins at the beginning.
        *sweeper = Sweeper::default();
    }
    let ran = RetentionRun {
        runs: swept.runs,
        pipeline_versions: swept.versions.pipelines,
        plugin_versions: swept.versions.plugins,
        components: swept.versions.components,
        audit_lines: swept.audit_lines,
        more: swept.more,
    };
    let deleted = [ran.runs, ran.pipeline_versions, ran.plugin_versions, ran.components];
    Ok(noted(deleted.iter().any(|count| *count > 0), ran))
}

pub(super) async fn keep(Scoped(state): Scoped, Path(run): Path<String>) -> Result<Json<KeptRun>> {
    kept(&state, &run, true).await
}

pub(super) async fn keep_no_longer(Scoped(state): Scoped, Path(run): Path<String>) -> Result<Json<KeptRun>> {
    kept(&state, &run, false).await
}

async fn kept(state: &AppState, run: &str, kept: bool) -> Result<Json<KeptRun>> {
    let id = run_id(run)?;
    state.store.keep_run(id, kept).await?;
    Ok(Json(KeptRun { id, kept }))
}

impl From<Policy> for RetentionSettings {
    fn from(policy: Policy) -> Self {
        let grace_ms = u64::try_from(policy.grace.as_millis()).unwrap_or(u64::MAX);
        Self {
            succeeded: policy.succeeded.to_string(),
            failed: policy.failed.to_string(),
            cancelled: policy.cancelled.to_string(),
            versions: Term::Ms(grace_ms).to_string(),
            audit: policy.audit.to_string(),
        }
    }
}
