//! Why a run has not ended, or why it has failed, and what a person can do.

use pawl_domain::id::{RunId, WorkerId};
use pawl_domain::status::{RunStatus, StepStatus};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `GET /v1/runs/{id}/explain`: why the run has not ended, or why it has failed.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Explanation {
    /// The run.
    pub id: RunId,
    /// Where it stands.
    pub status: RunStatus,
    /// One line for a person.
    pub summary: String,
    /// One for each step that has failed, or has not ended and waits for more than other steps.
    pub reasons: Vec<Reason>,
    /// What to know besides, a line for a person each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
}

/// Why a step has not ended, or has failed.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
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
    /// When this reason ends by itself: the end of the lease, the due time; of an outside host, when it is probed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<i64>,
    /// What a person can do about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ways_out: Vec<WayOut>,
}

/// The kinds of reasons why a step has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// It waits for an outside host that is down.
    Circuit,
    /// It waits for a worker that has a secret.
    Secret,
    /// It waits for a worker that can read its journal, which a newer version of Pawl has written.
    Version,
    /// It waits for a signal.
    Signal,
    /// It waits for a person.
    Person,
    /// It is ready, and its run, its pipeline or its queue is paused.
    Paused,
    /// Another step has failed: it will not start.
    Failing,
    /// It has failed for good itself.
    Failed,
}

/// What a person can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WayOut {
    /// A command of `pawl`.
    pub command: String,
    /// When to choose it.
    pub what: String,
}
