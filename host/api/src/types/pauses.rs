//! Pauses of runs, pipelines and queues.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::LINE;

/// `POST …/pause` of a run, a pipeline or a queue.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PauseRequest {
    /// Why, for whoever finds it paused: one line of at most 1 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), extend("pattern" = LINE))]
    pub reason: Option<String>,
}

/// That something is paused: nothing of it starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pause {
    /// Since when; ms since 1970.
    pub since_ms: i64,
    /// Why, in the words of whoever paused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The steps that wait for its end; of pipelines and queues where these are read, not of runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<PausedSteps>,
}

/// Steps that were to start, and wait for the end of a pause. What no worker has asked for yet is not among them, but among a
/// queue's messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PausedSteps {
    /// How many: of these ten thousand are looked at.
    pub steps: u32,
    /// Whether there may be more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
    /// Since when the oldest of them waits: the begin of the pause, or the submission of its run, if that was later; ms since
    /// 1970. Not there if none waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<i64>,
}

/// A queue that is paused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PausedQueue {
    /// Its name.
    pub queue: String,
    /// Since when, why, and what waits for its end.
    #[serde(flatten)]
    pub pause: Pause,
}

/// The answer to `POST …/pause` and `…/unpause` of a pipeline or a queue.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PauseChanged {
    /// Of the pipeline or the queue.
    pub name: String,
    /// Whether it is paused now; if it is, since when, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Pause>,
    /// False if it was so before.
    pub changed: bool,
}
