//! Namespaces.

use std::fmt;

use pawl_domain::namespace::Namespace;
use pawl_domain::quota::Quota;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::whole::whole;

/// The header that names the namespace which a request is about.
pub const NAMESPACE: &str = "pawl-namespace";

/// `GET /v1/namespaces`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct NamespaceList {
    /// By name; `default` is there from the start.
    pub namespaces: Vec<NamespaceSummary>,
}

/// A namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NamespaceSummary {
    /// What it is called.
    pub name: Namespace,
    /// When it was made, ms since 1970; if it is not there, it was from the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at_ms: Option<i64>,
    /// The name of the token by which it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// What it may take of what all share.
    #[serde(default)]
    pub quota: NamespaceQuota,
    /// Bytes that its runs and components held when they were last measured; if it is not there, they never were: they are where
    /// a quota bounds them, while the namespace submits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored_bytes: Option<u64>,
}

/// What a namespace may take of what all share; what is not there is not bounded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NamespaceQuota {
    /// Runs that have not ended.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "whole")]
    #[schemars(range(max = 2_147_483_647))]
    pub runs: Option<u32>,
    /// Submissions in a second, to each API.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "whole")]
    #[schemars(range(max = 2_147_483_647))]
    pub submissions: Option<u32>,
    /// Components, of all versions of its plugins.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "whole")]
    #[schemars(range(max = 2_147_483_647))]
    pub components: Option<u32>,
    /// Bytes that its runs and components hold: inputs, outputs, errors, journals, checkpoints, signals, logs.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "whole")]
    #[schemars(range(max = 1_125_899_906_842_624_u64))]
    pub stored_bytes: Option<u64>,
}

impl fmt::Display for NamespaceQuota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [("runs", self.runs), ("submissions", self.submissions), ("components", self.components)];
        let counts = counts.map(|(what, most)| (what, most.map(u64::from)));
        let parts = [counts.as_slice(), &[("stored_bytes", self.stored_bytes)]].concat();
        let parts = parts.iter().filter_map(|(what, most)| Some(format!("{what}={}", (*most)?)));
        let parts: Vec<String> = parts.collect();
        f.write_str(if parts.is_empty() { "none" } else { "" })?;
        f.write_str(&parts.join(" "))
    }
}

impl From<NamespaceQuota> for Quota {
    fn from(NamespaceQuota { runs, submissions, components, stored_bytes }: NamespaceQuota) -> Self {
        Self { runs, submissions, components, stored_bytes }
    }
}

impl From<Quota> for NamespaceQuota {
    fn from(Quota { runs, submissions, components, stored_bytes }: Quota) -> Self {
        Self { runs, submissions, components, stored_bytes }
    }
}

/// `PUT /v1/namespaces/{namespace}/quota`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct QuotaSet {
    /// The namespace.
    pub name: Namespace,
    /// What it may take from now on.
    pub quota: NamespaceQuota,
    /// It was not so before.
    pub changed: bool,
}

/// `PUT /v1/namespaces/{namespace}`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct MadeNamespace {
    /// What it is called.
    pub name: Namespace,
    /// It was not there before.
    pub created: bool,
}
