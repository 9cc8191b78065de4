//! The checklist after an incident.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `GET /v1/doctor`: what `pawl doctor` finds, as far as the API knows it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Findings {
    /// The worst of all; that something can't be told is nothing wrong.
    pub status: CheckStatus,
    /// One for each thing that was looked at.
    pub checks: Vec<Check>,
}

/// How something stands, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckStatus {
    /// As it should.
    Ok,
    /// It can't be told.
    Unknown,
    /// Somebody should look at it; nothing stands still by it.
    Warn,
    /// Something stands still, or may be lost or wrong.
    Fail,
}

/// One line of the checklist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// What was looked at: a word that stays.
    pub check: String,
    /// Of what, where there are several: a queue, a worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// How it stands.
    pub status: CheckStatus,
    /// What was found, a sentence.
    pub found: String,
    /// What to do about it, a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// The numbers that it was judged by, with their units in their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub figures: BTreeMap<String, i64>,
}
