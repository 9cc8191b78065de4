//! Incidents: what happened to the whole installation.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::IncidentKind;

/// `GET /v1/incidents`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct IncidentList {
    /// Newest first.
    pub incidents: Vec<Incident>,
    /// What to pass as `before` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<i64>,
}

/// Something that happened to the whole installation, or an outside host that was down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Incident {
    /// Its number.
    pub id: i64,
    /// What has happened.
    pub kind: IncidentKind,
    /// To what: a server, a queue, a worker, an outside host.
    pub subject: String,
    /// Who has seen it first; of a worker, where it was; of an outside host, what the last call came to.
    pub detail: String,
    /// Of a worker that died: steps that it had in hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<u32>,
    /// When it was first seen; of a worker that died, when its lease ended. ms since 1970.
    pub began_at_ms: i64,
    /// When it was over; of a worker that died, when its steps were taken over. ms since 1970; absent as long as it lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at_ms: Option<i64>,
}
