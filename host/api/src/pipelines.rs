//! Pipelines over HTTP: apply, check, list, show. Their versions, what they take and how long that takes: below.

use axum::Json;
use axum::body::Body;
use axum::extract::Extension;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use pawl_domain::namespace::Namespace;
use pawl_domain::pipeline::{Pipeline, StepSpec};
use pawl_domain::pipeline_file::{self, Format};
use pawl_store as store;
use pawl_store::pauses::{Pausable, Shelf};
use pawl_store::pipelines::PipelineRow;
use schemars::JsonSchema;
use serde::Deserialize;

use super::pauses::shelf_of_pipeline;
use super::problem::Result;
use super::recorded::{Subject, noted};
use super::request::{Params, Path, pipeline_name, read_body, require_media_type};
use super::route::JSON;
use super::routes::TOML;
use super::state::{AppState, step_name};
use super::types::{AppliedPipeline, PipelineDetail, PipelineList, PipelineStep, PipelineSummary, Problem};
use super::whose::Scoped;

pub(super) mod times;
pub(super) mod versions;

/// Largest pipeline file: ten thousand steps with some config each.
const FILE_BYTES: usize = 4 << 20;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ApplyParams {
    /// Only check it: nothing changes.
    #[serde(default)]
    check: bool,
}

pub(super) async fn apply(
    Scoped(state): Scoped,
    Params(params): Params<ApplyParams>,
    Extension(subject): Extension<Subject>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response> {
    let bytes = read_body(body, &headers, "a pipeline", FILE_BYTES).await?;
    let format = match require_media_type(&headers, &[TOML, JSON])? {
        JSON => Format::Json,
        _ => Format::Toml,
    };
    let plugins = state.store.known_plugins(&state.namespace).await?;
    let limits = state.limits;
    let read = move || {
        let pipeline = pipeline_file::read(&bytes, format, &limits, Some(&plugins));
        (pipeline, bytes, plugins)
    };
    let (pipeline, bytes, plugins) = state.check(read).await?;
    let pipeline = pipeline.map_err(Problem::invalid_pipeline)?;
    // A second time, when it is known which plugins it uses: most of their schemas are in memory.
    let schemas = state.known_schemas(&pipeline).await?;
    let read = move || pipeline_file::read_with_schemas(&bytes, format, &limits, Some(&plugins), &schemas);
    let pipeline = state.check(read).await?.map_err(Problem::invalid_pipeline)?;
    subject.is(format!("{} {}", pipeline.name, pipeline.digest()));
    let changed = !params.check && state.store.apply_pipeline(&state.namespace, &pipeline).await?;
    if changed {
        state.schemas.forget();
    }
    let status = if changed { StatusCode::CREATED } else { StatusCode::OK };
    let (digest, step_count) = (pipeline.digest(), pipeline.steps.len() as u32);
    let applied = AppliedPipeline { name: pipeline.name, digest, step_count, changed };
    Ok((status, noted(changed, applied)).into_response())
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParams {
    /// Only those that are paused, or only those that are not.
    paused: Option<bool>,
}

pub(super) async fn list(Scoped(state): Scoped, Params(params): Params<ListParams>) -> Result<Json<PipelineList>> {
    let shelves = state.store.shelves().await?;
    let is_here = |what: &Pausable| matches!(what, Pausable::Pipeline(whose, _) if *whose == state.namespace);
    if params.paused == Some(true) && !shelves.iter().any(|shelf| is_here(&shelf.pause.what)) {
        // Who asks all the time reads all of them only while there are some.
        return Ok(Json(PipelineList { pipelines: Vec::new() }));
    }
    let rows = state.store.pipelines(&state.namespace).await?;
    let summaries = rows.into_iter().map(|row| PipelineSummary::of(row, &shelves, &state.namespace));
    let is_meant = |summary: &PipelineSummary| params.paused.is_none_or(|paused| paused == summary.paused.is_some());
    Ok(Json(PipelineList { pipelines: summaries.filter(is_meant).collect() }))
}

pub(super) async fn show(Scoped(state): Scoped, Path(name): Path<String>) -> Result<Json<PipelineDetail>> {
    let name = pipeline_name(&name)?;
    let (row, pipeline) = state.store.pipeline(&state.namespace, name.as_str()).await.map_err(unknown)?;
    detail(&state, row, &pipeline).await.map(Json)
}

async fn detail(state: &AppState, row: PipelineRow, pipeline: &Pipeline) -> Result<PipelineDetail> {
    let shelves = state.store.shelves().await?;
    Ok(PipelineDetail {
        summary: PipelineSummary::of(row, &shelves, &state.namespace),
        versions: pipeline.versions,
        retention: pipeline.retention.into(),
        steps: pipeline.steps.iter().map(|step| step_of(pipeline, step)).collect(),
    })
}

fn unknown(error: store::Error) -> Problem {
    match error {
        store::Error::NotFound(detail) => Problem::unknown_pipeline(&detail),
        error => error.into(),
    }
}

fn step_of(pipeline: &Pipeline, step: &StepSpec) -> PipelineStep {
    PipelineStep {
        name: step.name.clone(),
        plugin: step.plugin.clone(),
        version: step.version.clone(),
        needs: step.needs.iter().map(|need| step_name(pipeline, *need)).collect(),
        config: step.config.clone(),
        secrets: step.secrets.clone(),
        allow: step.allow.as_ref().map(|grants| grants.iter().map(ToString::to_string).collect()),
        retry: step.retry,
        timeout_ms: step.timeout_ms,
        queue: step.queue.clone(),
        priority: step.priority,
    }
}

impl PipelineSummary {
    fn of(row: PipelineRow, shelves: &[Shelf], namespace: &Namespace) -> Self {
        let paused = shelf_of_pipeline(shelves, namespace, &row.name);
        Self {
            name: row.name,
            digest: row.digest,
            step_count: row.step_count,
            updated_at_ms: row.updated_at_ms,
            paused,
        }
    }
}
