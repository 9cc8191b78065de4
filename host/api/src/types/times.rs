//! How long runs of a pipeline and their steps take.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `GET /v1/pipelines/{pipeline}/times`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PipelineTimes {
    /// Of how many runs: the newest that have succeeded or failed.
    pub runs: u32,
    /// Whether there are others, which were not read.
    pub more: bool,
    /// From a run's submission to its end, of those that succeeded; not there if none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took: Option<Spread>,
    /// In the current version's order; those that only older versions have come last.
    pub steps: Vec<StepTimes>,
}

/// How long a step takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StepTimes {
    /// The step.
    pub name: String,
    /// How often it has failed for good.
    pub failed: u32,
    /// From its first claim to its end, retries and waits included, where it succeeded; not there if it never did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took: Option<Spread>,
}

/// How times are spread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Spread {
    /// How many there are.
    pub count: u32,
    /// Times of which a twentieth of all lies between each and the next, ms: the first is the least, the eleventh the median,
    /// the twentieth not exceeded by 95 of 100, the last the greatest.
    pub parts_ms: Vec<u64>,
}
