//! Pipelines and their versions.

use pawl_domain::id::Digest;
use pawl_domain::pipeline::{Priority, Versions};
use pawl_domain::retention::Retention;
use pawl_domain::retry::RetryPolicy;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Pause;

/// `GET /v1/pipelines`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PipelineList {
    /// By name.
    pub pipelines: Vec<PipelineSummary>,
}

/// A pipeline's current version.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PipelineSummary {
    /// What submissions name; unique.
    pub name: String,
    /// The version: the digest of its canonical form.
    pub digest: Digest,
    /// How many steps it has.
    pub step_count: u32,
    /// When this version became the current one.
    pub updated_at_ms: i64,
    /// A person has paused it: runs are taken, and nothing of them starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Pause>,
}

/// `GET /v1/pipelines/{pipeline}/versions`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PipelineVersionList {
    /// Those that were current, newest first: a hundred and the one that is so now.
    pub versions: Vec<PipelineVersion>,
}

/// A version of a pipeline, and when it was the current one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PipelineVersion {
    /// The version: the digest of its canonical form. One may have been current more than once.
    pub digest: Digest,
    /// How many steps it has.
    pub step_count: u32,
    /// When it became the current one.
    pub since_ms: i64,
    /// When another one did; not there if it is current.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<i64>,
}

/// `GET /v1/pipelines/{pipeline}/schema`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PipelineInput {
    /// The pipeline.
    pub name: String,
    /// Its current version.
    pub digest: Digest,
    /// What its first steps take, each of which is given the input. Those that take anything are left out.
    pub steps: Vec<InputSchema>,
}

/// What a step takes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct InputSchema {
    /// The step.
    pub step: String,
    /// The JSON Schema of its component's input.
    pub schema: Value,
}

/// `GET /v1/pipelines/{name}`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PipelineDetail {
    /// Which pipeline, and which version of it.
    #[serde(flatten)]
    pub summary: PipelineSummary,
    /// When steps that name no version get one.
    pub versions: Versions,
    /// How long its runs are kept after their ends, as the pipeline says.
    #[serde(default)]
    pub retention: RetentionTerms,
    /// In an order that respects `needs`.
    pub steps: Vec<PipelineStep>,
}

/// How long runs are kept after their ends, by outcome: a duration such as `7d`, or `keep`. What is left out is as for all.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct RetentionTerms {
    /// Runs that have succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succeeded: Option<String>,
    /// Runs that have failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// Runs that were cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled: Option<String>,
}

impl From<Retention> for RetentionTerms {
    fn from(Retention { succeeded, failed, cancelled }: Retention) -> Self {
        let text = |term: Option<pawl_domain::retention::Term>| term.map(|term| term.to_string());
        Self { succeeded: text(succeeded), failed: text(failed), cancelled: text(cancelled) }
    }
}

/// A step as the pipeline has it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PipelineStep {
    /// Unique in the pipeline.
    pub name: String,
    /// The plugin that executes it.
    pub plugin: String,
    /// Its version; if there is none, the one that is active when `versions` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Steps whose outputs it takes.
    pub needs: Vec<String>,
    /// Given to the guest as it is.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub config: Value,
    /// Secrets that the guest may read, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// What it may reach, each as scheme, host and port; if it is not there, what the installation gives to such steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<String>>,
    /// What happens after a failure.
    pub retry: RetryPolicy,
    /// How long one attempt may take.
    pub timeout_ms: u64,
    /// The queue whose workers execute it.
    pub queue: String,
    /// Its priority in the queue.
    pub priority: Priority,
}

/// `POST /v1/pipelines`: 201 for a new version, 200 if this version is the current one or it was only
/// checked.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct AppliedPipeline {
    /// The pipeline.
    pub name: String,
    /// The version: the digest of its canonical form.
    pub digest: Digest,
    /// How many steps it has.
    pub step_count: u32,
    /// Whether this is now another version than before; never with `check=true`.
    pub changed: bool,
}
