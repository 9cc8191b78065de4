//! Dead letters: steps that have failed for good or are parked, until somebody has looked after them.

use pawl_domain::id::{Digest, RunId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::whole::whole;

/// What has become of a dead letter's step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeadLetterState {
    /// It has failed for good.
    Failed,
    /// It waits for a person.
    Parked,
}

impl DeadLetterState {
    /// The word in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Parked => "parked",
        }
    }
}

impl std::str::FromStr for DeadLetterState {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "failed" => Ok(Self::Failed),
            "parked" => Ok(Self::Parked),
            _ => Err(format!("`{word}` is no state of a dead letter; there are failed, parked")),
        }
    }
}

/// `GET /v1/dead-letters`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct DeadLetterList {
    /// Newest first.
    pub dead_letters: Vec<DeadLetter>,
    /// What to pass as `before` for the next page; absent on the last. A page may have fewer than were asked for, even none,
    /// and not be the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A step that has failed for good, or is parked. The step itself tells its whole error.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct DeadLetter {
    /// The run.
    pub run: RunId,
    /// The step.
    pub step: String,
    /// The run's pipeline.
    pub pipeline: String,
    /// What has become of the step.
    pub state: DeadLetterState,
    /// The first line of its error's message, with `#` for numbers and ids.
    pub cause: String,
    /// The group that it is of: what died of one cause at one step of one pipeline.
    pub group: String,
    /// When it failed or was parked.
    pub died_at_ms: i64,
    /// What it died on; not there if nobody has begun it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub died_on: Option<DiedOn>,
}

/// What a step has died on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DiedOn {
    /// The plugin that its pipeline names for it.
    pub plugin: String,
    /// The version of that plugin which the component is, if one is known: of several the active one, or the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Whether that version is the active one now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub active: bool,
    /// The component.
    pub component: Digest,
}

/// `GET /v1/dead-letters/groups`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct DeadLetterGroupList {
    /// Those of this page with the most letters first.
    pub groups: Vec<DeadLetterGroup>,
    /// What to pass as `after` for the next page; absent on the last. A group of several versions of a pipeline may go on
    /// there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What died of one cause at one step of one pipeline.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct DeadLetterGroup {
    /// Names it in filters.
    pub group: String,
    /// The pipeline.
    pub pipeline: String,
    /// The step.
    pub step: String,
    /// The first line of the error's message, with `#` for numbers and ids.
    pub cause: String,
    /// How many have failed.
    pub failed: u32,
    /// How many are parked.
    pub parked: u32,
    /// Whether there are more: of each version of the pipeline, ten thousand are counted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
    /// When the first one died.
    pub oldest_at_ms: i64,
    /// When the last one did.
    pub newest_at_ms: i64,
}

impl DeadLetterGroup {
    /// Adds what is told of the same group elsewhere.
    pub fn add(&mut self, other: &Self) {
        self.failed += other.failed;
        self.parked += other.parked;
        self.more |= other.more;
        self.oldest_at_ms = self.oldest_at_ms.min(other.oldest_at_ms);
        self.newest_at_ms = self.newest_at_ms.max(other.newest_at_ms);
    }

    /// The largest first; of equal ones the newest.
    pub fn sort(groups: &mut [Self]) {
        groups.sort_by_key(|group| std::cmp::Reverse((group.failed + group.parked, group.newest_at_ms)));
    }
}

/// What is done about dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeadLetterVerb {
    /// They are opened again, and tried again from their last checkpoint.
    Retry,
    /// Those that are parked go on.
    Resume,
    /// They get an output, and those who need them go on with it.
    Skip,
    /// Runs of those that are parked end as failed.
    Fail,
    /// Nobody need look after those that have failed: they are no dead letters any more. Their runs stay as they are.
    Purge,
}

/// `POST /v1/dead-letters`. Without a filter, it is about all of them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ActOnDeadLetters {
    /// What is done.
    pub verb: DeadLetterVerb,
    /// Only those of this run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// Only those of this step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Only those of this pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
    /// Only those of this group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Only those whose cause has this in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Only those that have failed, or that are parked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<DeadLetterState>,
    /// Only those that died at this time or later, ms since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "whole")]
    pub since_ms: Option<i64>,
    /// With `retry` and `resume`: on the versions that are active now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub latest: bool,
    /// With `skip`: the output, any JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Box<RawValue>>,
    /// With `fail`: why, for the runs' histories: one line of at most 4 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Only counts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// Goes on: `next` of the answer before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Goes on: `until` of the answer before. What died after it is left alone, so that what dies again is not met again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// The answer to `POST /v1/dead-letters`: one piece of the work.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct DeadLettersDone {
    /// Letters that the filter has met.
    pub met: u32,
    /// Runs of these.
    pub runs: u32,
    /// Letters about which it was done.
    pub done: u32,
    /// Those about which it could not be done.
    pub refused: Vec<DeadLetterRefused>,
    /// What to pass as `after` for the next piece; absent after the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// What to pass as `until` with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// A dead letter about which it could not be done.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct DeadLetterRefused {
    /// The run.
    pub run: RunId,
    /// The step.
    pub step: String,
    /// Why, and what to do.
    pub why: String,
}

/// `POST /v1/runs/{id}/steps/{step}/skip`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SkipStep {
    /// The output that the step has not got: any JSON.
    pub output: Box<RawValue>,
}
