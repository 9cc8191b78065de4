//! What goes over the wire: the requests and responses of the HTTP API, as the server writes and the CLI
//! reads them. `docs/http.md` shows them to people.
//!
//! Fields are only ever added. A server refuses unknown fields in requests; a client ignores unknown
//! fields in responses. Times are in ms since 1970. Payloads are JSON, passed on byte by byte.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::domain::id::{Digest, RunId, WorkerId};
use crate::domain::pipeline::Priority;
use crate::domain::retry::RetryPolicy;

/// The header of a submission whose value makes it safe to send twice.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The media type of errors, RFC 9457.
pub const PROBLEM_JSON: &str = "application/problem+json";

pub use crate::domain::status::{RunStatus, StepStatus, UnknownStatus};

/// `POST /v1/runs`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubmitRun {
    /// The pipeline's name; its current version is taken.
    pub pipeline: String,
    /// Any JSON; `null` if it is left out.
    #[serde(default = "null")]
    pub input: Box<RawValue>,
}

fn null() -> Box<RawValue> {
    RawValue::NULL.to_owned()
}

/// The answer to a submission, 202. The run is committed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SubmittedRun {
    /// The run.
    pub id: RunId,
    /// `pending` for a new run.
    pub status: RunStatus,
    /// False if the idempotency key's run was there before.
    pub created: bool,
}

/// A run without its steps and payloads.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunSummary {
    /// The run.
    pub id: RunId,
    /// The pipeline's name.
    pub pipeline: String,
    /// The pipeline's version.
    pub pipeline_digest: Digest,
    /// Where it stands.
    pub status: RunStatus,
    /// All its steps.
    pub step_count: u32,
    /// Its steps that have not ended.
    pub live_steps: u32,
    /// The number of its last event.
    pub event_count: u32,
    /// As given at submission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// Submission.
    pub created_at_ms: i64,
    /// First claim of a step.
    pub started_at_ms: Option<i64>,
    /// End.
    pub ended_at_ms: Option<i64>,
}

/// `GET /v1/runs`, newest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunList {
    /// One page.
    pub runs: Vec<RunSummary>,
    /// What to pass as `before` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<RunId>,
}

/// `GET /v1/runs/{id}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    /// The run itself.
    #[serde(flatten)]
    pub summary: RunSummary,
    /// In the order of the pipeline.
    pub steps: Vec<Step>,
}

/// A step without its payloads.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Step {
    /// Unique in the pipeline.
    pub name: String,
    /// Where it stands.
    pub status: StepStatus,
    /// The plugin that executes it.
    pub plugin: String,
    /// The version that the pipeline asks for; the active one at the first claim if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The component that the first claim fixed.
    pub component: Option<Digest>,
    /// Steps whose outputs it takes.
    pub needs: Vec<String>,
    /// Its queue.
    pub queue: String,
    /// Its priority in the queue.
    pub priority: Priority,
    /// Attempts that were begun.
    pub attempts: u32,
    /// Attempts that failed. They count against the retry policy.
    pub failures: u32,
    /// Attempts that ended with their worker, without durable progress since the last of these.
    pub crashes: u32,
    /// Grows with every claim and takeover.
    pub fence: i64,
    /// Who has it, or had it last.
    pub worker: Option<WorkerId>,
    /// Journal entries.
    pub journal_length: u32,
    /// Where the last checkpoint stands in the journal.
    pub checkpoint_position: Option<u32>,
    /// From 0 to 1, as the step last said.
    pub progress: Option<f32>,
    /// As the step last said.
    pub progress_message: Option<String>,
    /// The failure of the last attempt, or why the step is parked.
    pub error: Option<Value>,
    /// When it last became ready.
    pub ready_at_ms: Option<i64>,
    /// When it wakes.
    pub due_at_ms: Option<i64>,
    /// The last claim.
    pub claimed_at_ms: Option<i64>,
    /// The first claim.
    pub started_at_ms: Option<i64>,
    /// End.
    pub ended_at_ms: Option<i64>,
}

/// `GET /v1/runs/{id}/steps/{step}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StepDetail {
    /// The step itself.
    #[serde(flatten)]
    pub step: Step,
    /// Its output, once it has succeeded.
    pub output: Option<Box<RawValue>>,
}

/// One line of a run's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// From 1, without gaps.
    pub number: u32,
    /// When it was committed.
    pub at_ms: i64,
    /// For example `step.started`.
    pub kind: String,
    /// Absent for events of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The step's fence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<i64>,
    /// Who did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerId>,
    /// What a person wants to know besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// `GET /v1/runs/{id}/events` as JSON. As server-sent events, each event's data is an [`Event`], its `id`
/// the number, its `event` the kind; the stream ends after the run's end.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EventList {
    /// In order, from `after` on.
    pub events: Vec<Event>,
    /// Whether the run has ended, so that these are all.
    pub ended: bool,
}

/// `GET /v1/runs/{id}/explain`: why the run has not ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Explanation {
    /// The run.
    pub id: RunId,
    /// Where it stands.
    pub status: RunStatus,
    /// One line for a person.
    pub summary: String,
    /// One for each step that has not ended and waits for more than other steps.
    pub reasons: Vec<Reason>,
}

/// Why a step has not ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Reason {
    /// The step.
    pub step: String,
    /// Where it stands.
    pub status: StepStatus,
    /// What kind of reason.
    pub because: Because,
    /// One line for a person.
    pub message: String,
    /// The worker that has the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerId>,
    /// When this reason ends by itself: the end of the lease, the due time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<i64>,
}

/// The kinds of reasons why a step has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Because {
    /// A live worker executes it.
    Lease,
    /// Its worker's lease ran out; the next sweep takes it over.
    ExpiredLease,
    /// It is in a queue.
    Queue,
    /// It waits for a time.
    Due,
    /// It waits for other steps.
    Needs,
    /// It waits for a person.
    Person,
    /// Another step has failed: it will not start.
    Failing,
}

/// The answer to cancel, retry and resume.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Changed {
    /// The run.
    pub id: RunId,
    /// Where it stands now.
    pub status: RunStatus,
    /// The steps that became ready by this.
    pub steps: Vec<String>,
}

/// `POST /v1/runs/{id}/steps/{step}/resume`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResumeStep {
    /// `pinned` (the component of the first claim), `latest` (the plugin's active version) or a digest.
    #[serde(default = "pinned")]
    pub on: String,
}

fn pinned() -> String {
    "pinned".to_owned()
}

/// `GET /v1/plugins`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PluginList {
    /// By name.
    pub plugins: Vec<Plugin>,
}

/// A plugin and its versions.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plugin {
    /// Unique.
    pub name: String,
    /// The version that steps get which ask for none.
    pub active_version: Option<String>,
    /// Newest first.
    pub versions: Vec<PluginVersion>,
}

/// A version of a plugin.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PluginVersion {
    /// As pushed.
    pub version: String,
    /// The component.
    pub digest: Digest,
    /// The component's size.
    pub size_bytes: u64,
    /// What the component says about itself.
    pub manifest: Value,
    /// When it was pushed.
    pub created_at_ms: i64,
}

/// `POST /v1/plugins/{name}/versions/{version}`: 201 if it is new, 200 if the same bytes were there.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PushedPlugin {
    /// The plugin.
    pub name: String,
    /// The version.
    pub version: String,
    /// The component.
    pub digest: Digest,
    /// The component's size.
    pub size_bytes: u64,
    /// Whether this version is the active one now.
    pub active: bool,
    /// False if the same bytes were there before.
    pub created: bool,
    /// What the component says about itself.
    pub manifest: Value,
}

/// `POST /v1/plugins/{name}/activate`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActivatePlugin {
    /// A pushed version.
    pub version: String,
}

/// The answer to an activation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ActivatedPlugin {
    /// The plugin.
    pub name: String,
    /// The version that is active now.
    pub version: String,
    /// The one that was active before, to go back to.
    pub previous: Option<String>,
}

/// `GET /v1/pipelines`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PipelineList {
    /// By name.
    pub pipelines: Vec<PipelineSummary>,
}

/// A pipeline's current version.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PipelineSummary {
    /// Unique.
    pub name: String,
    /// The version.
    pub digest: Digest,
    /// How many steps it has.
    pub step_count: u32,
    /// When this version became the current one.
    pub updated_at_ms: i64,
}

/// `GET /v1/pipelines/{name}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PipelineDetail {
    /// The version.
    #[serde(flatten)]
    pub summary: PipelineSummary,
    /// In an order that respects `needs`.
    pub steps: Vec<PipelineStep>,
}

/// A step as the pipeline has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PipelineStep {
    /// Unique in the pipeline.
    pub name: String,
    /// The plugin that executes it.
    pub plugin: String,
    /// Its version; the active one at the step's first claim if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Steps whose outputs it takes.
    pub needs: Vec<String>,
    /// Given to the guest as it is.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub config: Value,
    /// What happens after a failure.
    pub retry: RetryPolicy,
    /// Longest time for one attempt.
    pub timeout_ms: u64,
    /// The queue whose workers execute it.
    pub queue: String,
    /// Its priority in the queue.
    pub priority: Priority,
}

/// `POST /v1/pipelines`: 201 for a new version, 200 if this version is the current one or it was only
/// checked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AppliedPipeline {
    /// The pipeline.
    pub name: String,
    /// The version.
    pub digest: Digest,
    /// How many steps it has.
    pub step_count: u32,
    /// Whether this is now another version than before; never with `check=true`.
    pub changed: bool,
}

/// `GET /v1/workers`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WorkerList {
    /// Newest first.
    pub workers: Vec<Worker>,
}

/// A worker process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Worker {
    /// New at every start.
    pub id: WorkerId,
    /// The machine.
    pub host: String,
    /// The process there.
    pub pid: u32,
    /// How many steps it executes at once.
    pub slots: u32,
    /// How many it says it executes now.
    pub running: u32,
    /// The queues it reads.
    pub queues: Vec<String>,
    /// Whether it takes no more steps.
    pub draining: bool,
    /// Whether its lease is good.
    pub alive: bool,
    /// Start.
    pub started_at_ms: i64,
    /// The last heartbeat.
    pub renewed_at_ms: i64,
    /// The end of its lease.
    pub expires_at_ms: i64,
}

/// `GET /v1/queues`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct QueueList {
    /// By queue, most urgent first.
    pub queues: Vec<Queue>,
}

/// One stream of a queue.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Queue {
    /// The queue.
    pub queue: String,
    /// The priority.
    pub priority: Priority,
    /// Messages in the stream, delivered or not.
    pub depth: u64,
    /// Messages delivered and not acknowledged.
    pub pending: u64,
    /// Consumers of the group.
    pub consumers: u64,
}

/// The answer to `POST /admin/requeue_processing` and `POST /admin/requeue_stale`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Requeued {
    /// How many steps were delivered again.
    pub requeued: u64,
}

/// `GET /health`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Health {
    /// `ok`.
    pub status: String,
}

/// `GET /ready`: 200, or 503 with reasons.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Readiness {
    /// `ready` or `not ready`.
    pub status: String,
    /// What is missing.
    pub reasons: Vec<String>,
}

/// An error, RFC 9457.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// A URI reference that names the kind of problem; a client may branch on it.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened and what to do about it.
    pub detail: String,
    /// Everything that is wrong with a pipeline file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<FileProblem>,
}

pub use crate::domain::pipeline_file::Problem as FileProblem;
