//! What steps have logged.

use std::collections::BTreeMap;

use pawl_domain::id::WorkerId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::LogLevel;

/// `GET /v1/runs/{id}/logs` and `GET /v1/runs/{id}/steps/{step}/logs` as JSON. As server-sent events, each event `line` has a
/// [`LogLine`], its `id` the number; the last event is `end`, with a [`LogEnd`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct LogList {
    /// By number.
    pub lines: Vec<LogLine>,
    /// What to pass as `after` for the next page; absent on the last. A page that leaves out much may be short, or empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
    /// Whether the run, or the step, has ended, and these are all. What it said in its last moments may come a second later.
    pub ended: bool,
}

/// A line of a step's log.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct LogLine {
    /// Its number in the log of the run, from 1, in the order in which lines were stored. Numbers of lines that are gone are
    /// missing.
    pub number: u64,
    /// When it was said, by the clock of the store.
    pub at_ms: i64,
    /// The step.
    pub step: String,
    /// The attempt, as the step is told it: those that failed before, and one.
    pub attempt: u32,
    /// The step's fence in that attempt: after a takeover, or a wait, an attempt goes on under another one.
    pub fence: i64,
    /// Who executed it.
    pub worker: WorkerId,
    /// How much it matters.
    pub level: LogLevel,
    /// The text, as the step gave it.
    pub message: String,
    /// Its named values: each is a text, or a list of texts if the name was given more than once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<BTreeMap<String, Value>>")]
    pub fields: Option<Box<RawValue>>,
}

/// The end of a stream of lines.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogEnd {
    /// How the run, or the step, has ended.
    pub ended: String,
}
