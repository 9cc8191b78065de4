//! What a person does to a run or one of its steps.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Body;
use axum::http::HeaderMap;
use pawl_domain::decision::check_message;
use pawl_domain::id::{Digest, StepId, StepNo};
use pawl_domain::pipeline::Pipeline;
use pawl_store::control::{Resume, since_checkpoint};
use schemars::JsonSchema;
use serde::Deserialize;

use super::component::{latest, to_resume_on};
use super::problem::Result;
use super::request::{Params, Path, read_json, run_id};
use super::state::{AppState, step_named};
use super::types::{Changed, FailRun, Problem, ResumeStep};
use super::whose::Scoped;

/// A request to fail a run, with its message in whatever escapes.
const MESSAGE_BYTES: usize = 32 << 10;

/// A request to resume a step.
const RESUME_BYTES: usize = 4 << 10;

pub(super) async fn cancel(Scoped(state): Scoped, Path(run): Path<String>) -> Result<Json<Changed>> {
    let id = run_id(&run)?;
    let pipeline = state.pipeline_of(id).await?;
    state.store.cancel(id).await?;
    state.may_end(id, &pipeline, &[]).await.map(Json)
}

pub(super) async fn fail(
    Scoped(state): Scoped,
    Path(run): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Changed>> {
    let FailRun { message } = read_json(body, &headers, "a request to fail a run", MESSAGE_BYTES).await?;
    check_message(&message).map_err(|rule| Problem::bad_request(format!("the message {rule}")))?;
    let id = run_id(&run)?;
    let pipeline = state.pipeline_of(id).await?;
    state.store.fail(id, message).await?;
    state.may_end(id, &pipeline, &[]).await.map(Json)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RetryParams {
    /// On which components: `pinned`, those that the steps have, if nothing is said; or `latest`, what their plugins have
    /// active now.
    #[serde(default)]
    on: RetryOn,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RetryRunParams {
    /// On which components: `pinned`, those that the steps have, if nothing is said; or `latest`, what their plugins have
    /// active now.
    #[serde(default)]
    on: RetryOn,
    /// The step from which on all is done again, from its start.
    from: Option<String>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum RetryOn {
    #[default]
    Pinned,
    Latest,
}

impl RetryOn {
    async fn components(&self, state: &AppState, pipeline: &Pipeline) -> Result<BTreeMap<StepNo, Digest>> {
        match self {
            Self::Pinned => Ok(BTreeMap::new()),
            Self::Latest => latest(state, pipeline).await,
        }
    }
}

pub(super) async fn retry(
    Scoped(state): Scoped,
    Path(run): Path<String>,
    Params(params): Params<RetryRunParams>,
) -> Result<Json<Changed>> {
    let id = run_id(&run)?;
    let pipeline = state.pipeline_of(id).await?;
    let on = params.on.components(&state, &pipeline).await?;
    state.must_be_readable(id).await?;
    let ready = match &params.from {
        Some(step) => state.store.again(id, step_named(&pipeline, step)?, on).await?,
        None => state.store.retry(id, None, on).await?,
    };
    state.goes_on(id, &pipeline, &ready).await.map(Json)
}

pub(super) async fn retry_step(
    Scoped(state): Scoped,
    Path((run, step)): Path<(String, String)>,
    Params(params): Params<RetryParams>,
) -> Result<Json<Changed>> {
    let id = run_id(&run)?;
    let pipeline = state.pipeline_of(id).await?;
    let number = step_named(&pipeline, &step)?;
    state.must_be_readable(id).await?;
    let ready = state.store.retry(id, Some(number), params.on.components(&state, &pipeline).await?).await?;
    state.goes_on(id, &pipeline, &ready).await.map(Json)
}

pub(super) async fn resume_step(
    Scoped(state): Scoped,
    Path((run, step)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Changed>> {
    let request: ResumeStep = read_json(body, &headers, "a request to resume", RESUME_BYTES).await?;
    let id = run_id(&run)?;
    let pipeline = state.pipeline_of(id).await?;
    let number = step_named(&pipeline, &step)?;
    let on = to_resume_on(&state, &pipeline, &step, &request.on).await?;
    state.must_be_readable(id).await?;
    let forget = match request.from_checkpoint {
        true => {
            Some(since_checkpoint(&*state.store, StepId { run: id, step: number }, &state.seal_of(id).await?).await?)
        }
        false => None,
    };
    let ready = state.store.resume(id, number, Resume { on, forget }).await?;
    state.goes_on(id, &pipeline, &ready).await.map(Json)
}
