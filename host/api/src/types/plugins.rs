//! Plugins and their versions.

use pawl_domain::id::Digest;
use pawl_domain::name::Version;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `GET /v1/plugins`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PluginList {
    /// By name.
    pub plugins: Vec<Plugin>,
}

/// A plugin and its versions.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Plugin {
    /// What steps name in `plugin`; unique.
    pub name: String,
    /// The version that steps get which ask for none.
    pub active_version: Option<String>,
    /// Newest first.
    pub versions: Vec<PluginVersion>,
}

/// A version of a plugin.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PluginVersion {
    /// As it was pushed: any name, compared as a whole.
    pub version: String,
    /// The digest of the component's bytes: what steps are pinned to.
    pub digest: Digest,
    /// Of the component as it was pushed.
    pub size_bytes: u64,
    /// What the component says about itself.
    pub manifest: Value,
    /// When it was pushed.
    pub created_at_ms: i64,
}

/// `POST /v1/plugins/{name}/versions/{version}`: 201 if it is new, 200 if the same bytes were there.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PushedPlugin {
    /// The plugin.
    pub name: String,
    /// The version.
    pub version: String,
    /// The digest of the component's bytes: what steps are pinned to.
    pub digest: Digest,
    /// Of the component as it was pushed.
    pub size_bytes: u64,
    /// Whether this version is the active one now.
    pub active: bool,
    /// False if the same bytes were there before.
    pub created: bool,
    /// What the component says about itself.
    pub manifest: Value,
}

/// `POST /v1/plugins/{name}/activate`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ActivatePlugin {
    /// A pushed version.
    #[schemars(with = "Version")]
    pub version: String,
}

/// The answer to an activation.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ActivatedPlugin {
    /// The plugin.
    pub name: String,
    /// The version that is active now.
    pub version: String,
    /// The one that was active before, to go back to.
    pub previous: Option<String>,
}
