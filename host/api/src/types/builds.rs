//! What `pawl dev` builds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `GET /v1/builds`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BuildList {
    /// Something has changed that is not active yet.
    pub under_way: bool,
    /// Plugins and pipelines that it is, by name, as far as these are known.
    pub building: Vec<String>,
    /// What could not be built the last time, or was not let in; the version before stays active.
    pub failed: Vec<FailedBuild>,
}

/// Something that could not be built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailedBuild {
    /// Its folder or file.
    pub what: String,
    /// What the compiler has said, or why it was refused: at most 8 KiB.
    pub why: String,
}
