//! Secrets of the store, without their values: nothing that is answered has one.

use pawl_domain::name::Name;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `GET /v1/secrets`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SecretList {
    /// By name.
    pub secrets: Vec<StoredSecret>,
    /// The `after` of the next page; none if this is the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A secret that the store keeps, sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoredSecret {
    /// What it is called.
    pub name: String,
    /// Raised by each new value.
    pub version: i64,
    /// Which master key it needs.
    pub key_id: String,
    /// When this value was set; ms since 1970.
    pub set_at_ms: i64,
    /// The name of the token by which it was set; if it is not there, none was wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_by: Option<String>,
    /// To whom it is granted. Nobody else is given it.
    pub grants: Vec<SecretGrant>,
}

/// Whom a secret is granted to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretGrant {
    /// Steps of this pipeline.
    pub pipeline: Name,
    /// The one of this name; each, if it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<Name>,
    /// Only if it executes this plugin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<Name>,
    /// Only in requests to these hosts, where the host puts it in; if there are none, the step is given the value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
}

/// `DELETE /v1/secrets/{secret}`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RemovedSecret {
    /// What it was called.
    pub name: String,
}

/// `POST /admin/rotate_secrets`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RotatedSecrets {
    /// Secrets whose data keys are under the first master key now, and were not.
    pub rotated: u32,
    /// Those that stay as they are.
    pub stuck: Vec<StuckSecret>,
    /// The `after` of the next piece; none if this was the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A secret that could not be put under another master key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StuckSecret {
    /// What it is called.
    pub name: String,
    /// Why, and what can be done.
    pub reason: String,
}
