//! The signals of a run that no step has.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// `GET /v1/runs/{id}/inbox`, by number.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Inbox {
    /// One page: what no step has taken, and what was rejected.
    pub signals: Vec<InboxSignal>,
    /// What to pass as `after` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u32>,
}

/// A signal without what it carries.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct InboxSignal {
    /// Its number in the run, which it keeps. The oldest of a name is taken first.
    pub number: u32,
    /// What a step waits for.
    pub name: String,
    /// As its sender gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// What it carries, bytes.
    pub size_bytes: u64,
    /// When it was sent.
    pub sent_at_ms: i64,
    /// No step takes it, since one has failed by it for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<Rejection>,
}

/// Why a signal is not in the inbox.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Rejection {
    /// The step that took it last.
    pub step: String,
    /// How that step failed.
    pub error: Value,
}

/// `GET /v1/runs/{id}/inbox/{number}`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SignalDetail {
    /// The signal itself.
    #[serde(flatten)]
    pub signal: InboxSignal,
    /// What it carries.
    pub payload: Box<RawValue>,
}
