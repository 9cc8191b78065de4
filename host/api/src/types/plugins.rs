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

/// `GET /v1/plugins/{plugin}`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PluginDetail {
    /// What steps name in `plugin`; unique.
    pub name: String,
    /// The version that steps get which ask for none.
    pub active_version: Option<String>,
    /// What a rollback goes back to.
    pub previous_version: Option<String>,
    /// Newest first.
    pub versions: Vec<VersionUse>,
    /// Current pipelines whose steps use it, by name, each once for each version that it names.
    pub used_by: Vec<PluginUser>,
    /// Whether not all pipelines were looked at.
    pub more_pipelines: bool,
    /// In how many of the newest open runs `open_runs` were counted.
    pub looked_runs: u32,
    /// Whether there are others.
    pub more_runs: bool,
}

/// A version of a plugin, and what keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VersionUse {
    /// As it was pushed.
    pub version: String,
    /// The digest of the component's bytes: what steps are pinned to.
    pub digest: Digest,
    /// Of the component as it was pushed.
    pub size_bytes: u64,
    /// When it was pushed.
    pub created_at_ms: i64,
    /// What keeps it.
    pub standing: Standing,
    /// Open runs of which a step that has not ended is pinned to its component, of those that were looked at.
    pub open_runs: u32,
}

/// What keeps a version of a plugin, the strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// Steps get it that ask for none.
    Active,
    /// A pipeline names it.
    Named,
    /// Open runs are on it.
    Open,
    /// It was active before: a rollback may go back to it.
    History,
    /// None of these. Retention deletes it when no run is there any more that was on it.
    Unused,
}

/// A pipeline that uses a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PluginUser {
    /// The pipeline.
    pub pipeline: String,
    /// The version that these steps name, if they name one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// How many steps.
    pub steps: u32,
}

/// `GET /v1/plugins/{plugin}/versions/{version}`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PluginVersionDetail {
    /// The plugin.
    pub name: String,
    /// The version.
    #[serde(flatten)]
    pub version: PluginVersion,
    /// The interfaces that its component imports: of `pawl:step`, and of WASI.
    pub imports: Vec<String>,
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
