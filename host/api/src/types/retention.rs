//! Retention: by what runs are deleted that have ended, what is due, and what went.

use pawl_domain::id::{RunId, WorkerId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::RetentionTerms;

/// `GET /v1/retention`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RetentionStatus {
    /// The worker that deletes, or did last; absent if none has looked after it so far, and nothing is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerId>,
    /// Whether it still does. If it does not, another one soon will.
    pub active: bool,
    /// Its settings: what holds for pipelines that say nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<RetentionSettings>,
    /// Pipelines that say something of their own runs.
    pub pipelines: Vec<PipelineTerms>,
    /// Runs that are due, and are deleted next.
    pub due_runs: u64,
    /// There may be more: only so many are counted.
    pub more: bool,
    /// For how long that one has been due which ended first, ms.
    pub late_ms: Option<u64>,
}

/// How long what has ended is kept: a duration such as `7d`, or `keep`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RetentionSettings {
    /// Runs that have succeeded.
    pub succeeded: String,
    /// Runs that have failed.
    pub failed: String,
    /// Runs that were cancelled.
    pub cancelled: String,
    /// Versions of pipelines and plugins that nothing names any more, and their components.
    pub versions: String,
    /// Lines of the record of changes.
    pub audit: String,
}

/// What a pipeline says of its runs.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PipelineTerms {
    /// Its name.
    pub pipeline: String,
    /// What it says.
    pub retention: RetentionTerms,
}

/// The answer to `POST /v1/retention/run`: what went.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct RetentionRun {
    /// Runs.
    pub runs: u64,
    /// Versions of pipelines.
    pub pipeline_versions: u64,
    /// Versions of plugins.
    pub plugin_versions: u64,
    /// Components.
    pub components: u64,
    /// Lines of the record of changes.
    #[serde(default)]
    pub audit_lines: u64,
    /// There is more: ask again.
    pub more: bool,
}

/// The answer to `PUT` and `DELETE /v1/runs/{run}/keep`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct KeptRun {
    /// The run.
    pub id: RunId,
    /// Whether it is kept, however long ago it ended.
    pub kept: bool,
}
