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
}

/// A queue that is paused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PausedQueue {
    /// Its name.
    pub queue: String,
    /// Since when, and why.
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
