//! Recoveries: records of takeovers, interrupted runs, and what came of resuming them.

use pawl_domain::id::{RunId, WorkerId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::StepStatus;
use super::whole::whole;

/// `GET /v1/recoveries`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RecoveryList {
    /// Newest first.
    pub recoveries: Vec<Recovery>,
    /// What to pass as `before` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One takeover of a step, from the end of its worker's lease to the first new call of its replacement.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Recovery {
    /// Which one: run, number of the step, fence.
    pub id: String,
    /// The run.
    pub run: RunId,
    /// The run's pipeline.
    pub pipeline: String,
    /// The step.
    pub step: String,
    /// Whose lease has ended.
    pub worker: WorkerId,
    /// When it ended; none if the worker was forgotten by then.
    pub lease_ended_at_ms: Option<i64>,
    /// When that was seen, and the step taken over.
    pub taken_over_at_ms: i64,
    /// Where the last checkpoint stands in the journal.
    pub checkpoint_position: Option<u32>,
    /// Entries after it.
    pub to_replay: u32,
    /// Who has claimed the step since, the last one.
    pub replacement: Option<WorkerId>,
    /// When it was claimed.
    pub claimed_at_ms: Option<i64>,
    /// When the replacement had the checkpoint.
    pub reloaded_at_ms: Option<i64>,
    /// When everything recorded had been answered from the journal.
    pub replayed_at_ms: Option<i64>,
    /// When it made its first new call, or ended. Told with what the step writes next.
    pub ready_at_ms: Option<i64>,
    /// Entries that were executed again.
    pub replayed: Option<u32>,
    /// How it has ended; none as long as it has not.
    pub outcome: Option<RecoveryOutcome>,
}

/// How a recovery has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecoveryOutcome {
    /// The step goes on, or has ended by itself.
    Recovered,
    /// The step was parked, or failed for good, before it came to anything new.
    Failed,
    /// Its run had failed by then.
    Stopped,
    /// Its replacement has gone, too: there is a newer record.
    Lost,
}

impl RecoveryOutcome {
    /// The word in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        pawl_domain::recovery::Outcome::from(self).as_str()
    }
}

impl From<pawl_domain::recovery::Outcome> for RecoveryOutcome {
    fn from(outcome: pawl_domain::recovery::Outcome) -> Self {
        use pawl_domain::recovery::Outcome;
        match outcome {
            Outcome::Recovered => Self::Recovered,
            Outcome::Failed => Self::Failed,
            Outcome::Stopped => Self::Stopped,
            Outcome::Lost => Self::Lost,
        }
    }
}

impl From<RecoveryOutcome> for pawl_domain::recovery::Outcome {
    fn from(outcome: RecoveryOutcome) -> Self {
        match outcome {
            RecoveryOutcome::Recovered => Self::Recovered,
            RecoveryOutcome::Failed => Self::Failed,
            RecoveryOutcome::Stopped => Self::Stopped,
            RecoveryOutcome::Lost => Self::Lost,
        }
    }
}

/// `GET /v1/interrupted`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct InterruptedList {
    /// Those that stand longest first.
    pub runs: Vec<Interrupted>,
    /// Whether there are more.
    pub more: bool,
}

/// A run that has begun, that nobody moves, and of which no step has done anything for some time.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Interrupted {
    /// The run.
    pub id: RunId,
    /// Its pipeline.
    pub pipeline: String,
    /// The first claim of a step.
    pub started_at_ms: Option<i64>,
    /// The last thing that its steps have done, or the end of the lease of the worker that had one.
    pub last_activity_at_ms: i64,
    /// All its steps.
    pub step_count: u32,
    /// Those that have succeeded.
    pub completed_steps: u32,
    /// Those that have failed.
    pub failed_steps: u32,
    /// The step that would go on.
    pub next_step: String,
    /// Its state: `running`, and its worker is gone; `ready`, and no live worker serves its queue; `waiting`, and it is past
    /// its time.
    pub next_step_status: StepStatus,
}

/// `POST /v1/recover`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecoverRuns {
    /// For how long nothing must have happened in a run, ms; ten minutes if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "whole")]
    pub threshold_ms: Option<u64>,
    /// Lets the runs go on; else they are only told.
    #[serde(default)]
    pub resume: bool,
}

/// The answer to `POST /v1/recover`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RecoverySummary {
    /// Interrupted runs in which no step has failed.
    pub detected: Vec<Interrupted>,
    /// Whether there are more: ask again.
    pub more: bool,
    /// Runs that were resumed and go on, or have ended by themselves.
    pub recovered: Vec<RunId>,
    /// Runs that were resumed and can't go on: a step was parked, or failed before it came to anything new.
    pub failed: Vec<RunId>,
    /// Runs that were resumed, of which nothing is known so far: no worker has come.
    pub pending: Vec<RunId>,
    /// Steps that were begun again by a replacement.
    pub steps_again: u32,
    /// Journal entries that these have executed again.
    pub entries_again: u64,
    /// From the end of a lease to the first new call, on average, ms.
    pub mean_ms: Option<u64>,
    /// Runs in which a step has failed: they are never resumed like this. Those of the newest dead letters, and interrupted ones.
    pub needs_person: Vec<NeedsPerson>,
}

/// A run that a person must decide about.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct NeedsPerson {
    /// The run.
    pub id: RunId,
    /// Its pipeline.
    pub pipeline: String,
    /// What can be done.
    pub what: String,
}
