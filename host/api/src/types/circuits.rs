//! Circuits: outside hosts that are down, so that attempts which would call them are deferred.

use pawl_domain::id::WorkerId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::LINE;

/// `GET /v1/circuits`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CircuitList {
    /// Those that are open, by host.
    pub circuits: Vec<Circuit>,
}

/// Whether somebody may call a host that is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CircuitState {
    /// Nobody calls it.
    Open,
    /// One attempt calls it, as a probe.
    HalfOpen,
}

/// An outside host that is down, or a secret that workers lack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Circuit {
    /// Scheme, name and port of the host.
    pub origin: String,
    /// Whether somebody calls it.
    pub state: CircuitState,
    /// What the last call has come to.
    pub reason: String,
    /// Calls that have failed since one was answered: those that opened it, and probes.
    pub failures: u32,
    /// Since when it is down; ms since 1970.
    pub since_ms: i64,
    /// The worker whose calls failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened_by: Option<WorkerId>,
    /// When it may be probed; ms since 1970.
    pub retry_at_ms: i64,
    /// The worker that probes it now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probed_by: Option<WorkerId>,
    /// Steps that wait for it; of more than ten thousand, ten thousand.
    pub deferred: u32,
}

/// `POST /v1/circuits/close`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CloseCircuit {
    /// Scheme, name and port of the host, as the list tells it.
    #[schemars(length(min = 1, max = 300), extend("pattern" = LINE))]
    pub origin: String,
}

/// The answer to it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CircuitClosed {
    /// The host.
    pub origin: String,
    /// Always true: where no circuit is open, nothing is found. Builds before said false.
    pub changed: bool,
}
