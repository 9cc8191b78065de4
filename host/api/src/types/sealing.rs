//! Payloads at rest.

use pawl_domain::id::RunId;
use pawl_domain::namespace::Namespace;
use pawl_domain::sealed::Sealing;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `PUT /v1/namespaces/{namespace}/sealing`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SealNamespace {
    /// What becomes of payloads of runs that are submitted from now on.
    pub sealing: WantedSealing,
}

/// What is to become of new runs' payloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WantedSealing {
    /// They are in the clear.
    Off,
    /// They are sealed, under the key that there is, or a first one.
    On,
    /// They are sealed under a new key, though there is one.
    NewKey,
}

/// What becomes of new runs' payloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SealingState {
    /// They are in the clear.
    Off,
    /// They are sealed.
    On,
    /// The namespace takes none: its keys were erased, and nobody has said what comes after that.
    Erased,
}

impl From<Sealing> for SealingState {
    fn from(sealing: Sealing) -> Self {
        match sealing {
            Sealing::Clear => Self::Off,
            Sealing::On => Self::On,
            Sealing::Erased => Self::Erased,
        }
    }
}

/// `GET /v1/namespaces/{namespace}/keys`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct NamespaceKeys {
    /// The namespace.
    pub name: Namespace,
    /// What becomes of new runs' payloads.
    pub sealing: SealingState,
    /// By version; the last one seals.
    pub keys: Vec<NamespaceKey>,
}

/// A key of a namespace, without the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NamespaceKey {
    /// From 1 on.
    pub version: u32,
    /// The id of the master key that it is under; none: it is erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// When it was made, ms since 1970.
    pub created_at_ms: i64,
    /// The name of the token by which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// Since when new runs are in the clear, ms since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired_at_ms: Option<i64>,
    /// When it was erased, ms since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erased_at_ms: Option<i64>,
}

/// `DELETE /v1/namespaces/{namespace}/keys`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ErasedKeys {
    /// The namespace.
    pub name: Namespace,
    /// Keys that were there.
    pub erased: u32,
}

/// `DELETE /v1/runs/{run}/key`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ErasedRun {
    /// The run.
    pub id: RunId,
    /// It was there.
    pub changed: bool,
}
