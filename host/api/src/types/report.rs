//! A run's report: what somebody who helps needs to judge it, on one page.

use pawl_domain::id::RunId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Event, LogLine, Reason, Recovery, RunSummary, Step, WayOut};

/// `GET /v1/runs/{run}/report`. Bounded, whatever the run is: long texts are cut, and what is left out is counted.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RunReport {
    /// The run.
    pub id: RunId,
    /// When this was told; ms since 1970.
    pub told_at_ms: i64,
    /// The version of the API that tells it.
    pub pawl: String,
    /// Where the run stands, and its pipeline's version.
    pub run: RunSummary,
    /// Why it has not ended, or how it has, in a sentence.
    pub summary: String,
    /// Why its steps have failed, or stand; 20 at most.
    pub reasons: Vec<Reason>,
    /// The steps that have failed, then those that are parked, then those that have not ended; 8 at most.
    pub steps: Vec<ReportedStep>,
    /// Steps that have failed or not ended, and are not among these; of more than 100 these 100 are counted.
    pub steps_left_out: u32,
    /// Takeovers of its steps, the last first; 10 at most.
    pub recoveries: Vec<Recovery>,
    /// The end of its history; 30 at most.
    pub events: Vec<Event>,
    /// Commands that would move it.
    pub commands: Vec<WayOut>,
}

/// A step, with the end of what it has recorded and said.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ReportedStep {
    /// The step. An error that is long is cut, and is a text then.
    pub step: Step,
    /// The version that its component was pushed as; none if it has no component, or the version is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component_version: Option<String>,
    /// The version of its plugin that is active now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_version: Option<String>,
    /// The end of its journal; 10 entries at most.
    pub journal: Vec<JournalLine>,
    /// The end of its log; 10 lines at most.
    pub logs: Vec<LogLine>,
}

/// An entry of a journal in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JournalLine {
    /// From 0.
    pub position: u32,
    /// The call, or what a note is.
    pub call: String,
    /// What it was answered, in short; empty where a call gets no answer.
    pub answer: String,
}
