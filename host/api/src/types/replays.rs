//! What a replay of a step has shown.

use std::collections::BTreeMap;

use pawl_domain::attempt::Divergence;
use pawl_domain::id::{Digest, RunId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::LogLevel;

/// `GET /v1/runs/{id}/steps/{step}/replay`: what a step's component does against the step's journal.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct StepReplay {
    /// The run.
    pub run: RunId,
    /// The step.
    pub step: String,
    /// The component that was executed.
    pub component: Digest,
    /// The component that made the journal.
    pub recorded_by: Digest,
    /// Entries in the journal.
    pub length: u32,
    /// The checkpoint from which the guest went on, if it has come so far: the number of entries before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed_from: Option<u32>,
    /// What the guest asked for, and what it was answered, in its order.
    pub calls: Vec<ReplayedCall>,
    /// Calls before these that are not told: of many, the last ones are.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub calls_left_out: u32,
    /// What it logged, in its order.
    pub lines: Vec<ReplayedLine>,
    /// Lines before these that are not told.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lines_left_out: u32,
    /// How it ended.
    pub end: ReplayEnd,
    /// What to know besides, a line for a person each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// An entry of the journal that the step has gone through.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ReplayedCall {
    /// None for `restore`, which is no entry.
    pub position: Option<u32>,
    /// In words.
    pub call: String,
    /// In short; empty where the call gets no answer.
    pub answer: String,
}

/// A line that the step has logged again.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ReplayedLine {
    /// How many entries of the journal stand before it.
    pub position: u32,
    /// How much it matters.
    pub level: LogLevel,
    /// The text, as the step gave it.
    pub message: String,
    /// Its named values: each is a text, or a list of texts if the name was given more than once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<BTreeMap<String, Value>>")]
    pub fields: Option<Box<RawValue>>,
}

/// How a replay has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReplayHow {
    /// At the entry that was picked, by the call that is to be answered there.
    Stopped,
    /// At the end of the journal, with a call that is not in it.
    Live,
    /// With an output.
    Returned,
    /// With a failure.
    Failed,
    /// The step left the journal.
    Diverged,
}

/// How a replay has ended, and with what.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ReplayEnd {
    /// How.
    pub how: ReplayHow,
    /// The entry at which the guest was stopped, or that would be the first new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u32>,
    /// The call that it made there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
    /// What it has returned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Box<RawValue>>,
    /// What it has failed by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Value>,
    /// Where and how it left the journal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub divergence: Option<Box<Divergence>>,
}

impl StepReplay {
    /// Whether the journal holds what this component does.
    #[must_use]
    pub fn fits(&self) -> bool {
        matches!(self.end.how, ReplayHow::Stopped | ReplayHow::Live | ReplayHow::Returned)
    }
}
