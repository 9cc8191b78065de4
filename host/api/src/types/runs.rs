//! Runs, their steps, their history.

use pawl_domain::event::EventKind;
use pawl_domain::id::{Digest, RunId, WorkerId};
use pawl_domain::name::Name;
use pawl_domain::pipeline::Priority;
use pawl_domain::status::{RunStatus, StepStatus};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Pause, WayOut};

/// `POST /v1/runs`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SubmitRun {
    /// The pipeline's name; its current version is taken.
    #[schemars(with = "Name")]
    pub pipeline: String,
    /// Any JSON; `null` if it is left out.
    #[serde(default = "null")]
    pub input: Box<RawValue>,
}

fn null() -> Box<RawValue> {
    RawValue::NULL.to_owned()
}

/// The answer to a submission, 202. The run is committed.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SubmittedRun {
    /// The run.
    pub id: RunId,
    /// `pending` for a new run, unless the request waited.
    pub status: RunStatus,
    /// False if the idempotency key's run was there before.
    pub created: bool,
    /// What to know besides, a line for a person each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
}

/// A run without its steps and payloads.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
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
    /// Nothing of it is executed, and a step waits for a person: it goes no further by itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub parked: bool,
    /// A person keeps it: it stays, however long ago it ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub kept: bool,
    /// A person has paused it itself, and not its pipeline or a queue: nothing of it starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Pause>,
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

/// Which runs are listed: those of a status, or those that a person may want to look after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ListedStatus {
    /// No step has started.
    Pending,
    /// A step has started.
    Running,
    /// Every step has succeeded or was skipped.
    Succeeded,
    /// A step has failed for good.
    Failed,
    /// A person stopped it.
    Cancelled,
    /// A step waits for a person, whatever else of the run goes on.
    Parked,
    /// It has begun and has not ended, and for a minute nobody has moved it: no live worker has a step of it, none waits for
    /// its turn in a queue that somebody serves, and none for a time to come, a signal or a person.
    Stuck,
    /// A person has paused it itself, and it has not ended.
    Paused,
}

impl ListedStatus {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Pending,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
        Self::Parked,
        Self::Stuck,
        Self::Paused,
    ];

    /// The word in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Parked => "parked",
            Self::Stuck => "stuck",
            Self::Paused => "paused",
            Self::Pending => RunStatus::Pending.as_str(),
            Self::Running => RunStatus::Running.as_str(),
            Self::Succeeded => RunStatus::Succeeded.as_str(),
            Self::Failed => RunStatus::Failed.as_str(),
            Self::Cancelled => RunStatus::Cancelled.as_str(),
        }
    }

    /// The status of runs that it is.
    #[must_use]
    pub fn plain(self) -> Option<RunStatus> {
        self.as_str().parse().ok()
    }
}

impl std::str::FromStr for ListedStatus {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        let all = || Self::ALL.iter().map(|status| status.as_str()).collect::<Vec<_>>().join(", ");
        let found = Self::ALL.iter().copied().find(|status| status.as_str() == word);
        found.ok_or_else(|| format!("`{word}` is no status; there are {}", all()))
    }
}

/// `GET /v1/runs`, newest first; with `status=stuck` those that stand longest.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RunList {
    /// One page.
    pub runs: Vec<RunSummary>,
    /// What to pass as `before` for the next page; absent on the last. A run; with `status=stuck` a run, a `/` and a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Of how many runs these were picked, where no index tells them: a page may have few or none, and a `next` all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked_at: Option<u32>,
    /// When the last one of these was submitted: so far back was looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked_to_ms: Option<i64>,
}

/// `GET /v1/runs/{id}`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    /// The run itself.
    #[serde(flatten)]
    pub summary: RunSummary,
    /// In the order of the pipeline.
    pub steps: Vec<Step>,
}

/// A step without its payloads.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// Unique in the pipeline.
    pub name: String,
    /// Where it stands.
    pub status: StepStatus,
    /// The plugin that executes it.
    pub plugin: String,
    /// The version that the pipeline asks for; if there is none, the one that is active when its `versions` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The component that it runs on; none before its start, if that decides.
    pub component: Option<Digest>,
    /// Of a step that has failed or is parked, the version of its plugin that its component is, if one is known: of several the
    /// active one, or the newest. It is told of the first fifty of a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component_version: Option<String>,
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
    /// The trace of its last attempt, where the API sends spans, too: 32 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
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
    /// When it last became ready; none if it is ready and paused.
    pub ready_at_ms: Option<i64>,
    /// When it wakes.
    pub due_at_ms: Option<i64>,
    /// The signal that it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub awaits: Option<String>,
    /// The last claim.
    pub claimed_at_ms: Option<i64>,
    /// The first claim.
    pub started_at_ms: Option<i64>,
    /// End.
    pub ended_at_ms: Option<i64>,
}

/// `GET /v1/runs/{id}/steps/{step}`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct StepDetail {
    /// The step itself.
    #[serde(flatten)]
    pub step: Step,
    /// Its output, once it has succeeded.
    pub output: Option<Box<RawValue>>,
    /// What a person can do about a step that is parked, or has failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ways_out: Vec<WayOut>,
}

/// One line of a run's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// From 1, without gaps.
    pub number: u32,
    /// When it was committed.
    pub at_ms: i64,
    /// For example `step.started`. A word, so that a client shows also those that it does not know.
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

impl Event {
    /// Whether it tells this.
    #[must_use]
    pub fn is(&self, kind: EventKind) -> bool {
        self.kind == kind.as_str()
    }
}

/// `GET /v1/runs/{id}/events` as JSON. As server-sent events, each event's data is an [`Event`], its `id`
/// the number, its `event` the kind; the stream ends after the run's end.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct EventList {
    /// In order, from `after` on.
    pub events: Vec<Event>,
    /// Whether the run has ended, so that these are all.
    pub ended: bool,
}

/// How far a run's history goes: what `GET /v1/runs/{id}/events?marks_every_ms=` tells as a stream, with the number as `id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventMark {
    /// The number of the last event.
    pub number: u32,
    /// Where the run stands.
    pub status: RunStatus,
}

/// The answer to cancel, fail, pause, unpause, retry and resume.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Changed {
    /// The run.
    pub id: RunId,
    /// Where it stands now.
    pub status: RunStatus,
    /// The steps that became ready by this.
    pub steps: Vec<String>,
    /// What to know besides, a line for a person each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
}

/// The answer to `POST /v1/runs/{id}/signals/{name}`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SentSignal {
    /// The run.
    pub id: RunId,
    /// The signal's name.
    pub name: String,
    /// False if it was sent before, under the same idempotency key.
    pub created: bool,
    /// The step that has waited for it. If there is none, it waits for a step.
    pub steps: Vec<String>,
    /// What to know besides, a line for a person each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
}

/// A line for people: not empty, without control characters.
pub(super) const LINE: &str =
    r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$";

/// `POST /v1/runs/{id}/fail`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FailRun {
    /// Why, for the run's history: one line of at most 4 KiB.
    #[schemars(length(max = 4096), extend("pattern" = LINE))]
    pub message: String,
}

/// `POST /v1/runs/{id}/steps/{step}/resume`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResumeStep {
    /// `pinned` (the component that the step has), `latest` (the plugin's active version) or a digest, of which the
    /// first digits are enough.
    #[serde(default = "pinned")]
    #[schemars(extend("pattern" = "^(pinned|latest|[0-9A-Fa-f]{6,64})$"))]
    pub on: String,
    /// Forget the journal after the last checkpoint, or all of it if there is none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub from_checkpoint: bool,
}

fn pinned() -> String {
    "pinned".to_owned()
}
