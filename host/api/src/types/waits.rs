//! What waits.

use pawl_domain::id::RunId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WaitKind {
    /// What waits for a signal.
    Signal,
    /// What goes on at a time, the soonest first.
    Time,
}

/// `GET /v1/waits`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct WaitList {
    /// By run for signals, the oldest first; else the soonest first.
    pub waits: Vec<Wait>,
    /// The `after` of the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A step that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Wait {
    /// The run.
    pub run: RunId,
    /// Its pipeline.
    pub pipeline: String,
    /// The step.
    pub step: String,
    /// For what.
    pub waits_for: WaitsFor,
    /// The signal's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// When it goes on whatever comes, ms since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<i64>,
    /// Scheme, name and port of the host that is down; or the secret that its worker lacks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Attempts that have failed before.
    pub failures: u32,
}

/// What a step waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WaitsFor {
    /// A signal, perhaps with a limit.
    Signal,
    /// A time that it has named itself.
    Time,
    /// Its next attempt.
    Retry,
    /// An outside host that is down, or a secret that its worker lacks: see `GET /v1/circuits`.
    Circuit,
}
