//! One attempt of a step: what a worker gets when it claims one, and what it may report.

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::id::{Digest, Fence, RunId, StepId};
use super::journal::Entry;
use super::wait::Wait;
pub use divergence::{Divergence, Restored};

mod divergence;

/// A step that a worker owns from now on, until its fence is raised.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// The step.
    pub id: StepId,
    /// The worker's right to it.
    pub fence: Fence,
    /// The pipeline version, whose spec says everything else about the step.
    pub pipeline: Digest,
    /// The component that the submission fixed.
    pub component: Digest,
    /// Attempts that ended in a failure; the guest's attempt number is one more.
    pub failures: u32,
    /// Takeovers from a dead process without durable progress since the last.
    pub crashes: u32,
    /// Entries in the journal.
    pub journal_length: u32,
    /// Where the last checkpoint stands, if there is one.
    pub checkpoint_position: Option<u32>,
    /// Whether it comes after a takeover: what this attempt passes on its way back is a recovery ([`crate::recovery`]), and is
    /// told with what it writes. A retry or a resume that a person asked for is none.
    pub recovers: bool,
    /// What its input is made of.
    pub input: ClaimedInput,
}

/// What a step's input is made of, as its claim tells.
#[derive(Debug, Clone, PartialEq)]
pub enum ClaimedInput {
    /// All of it.
    Whole(Ingredients),
    /// More than a claim carries: so many bytes, to be read after it, in pieces.
    Apart(u64),
}

/// What a step's input is made of.
#[derive(Debug, Clone, PartialEq)]
pub enum Ingredients {
    /// The run's input, for a step that needs nothing: JSON bytes.
    Run(Vec<u8>),
    /// The outputs of the needed steps, in the order of `needs`: JSON bytes each.
    Outputs(Vec<Vec<u8>>),
}

impl Default for ClaimedInput {
    fn default() -> Self {
        Self::Whole(Ingredients::Outputs(Vec::new()))
    }
}

impl Claim {
    /// The right to a step and nothing else of it: enough to write for it.
    #[must_use]
    pub fn bare(id: StepId, fence: Fence) -> Self {
        Self {
            id,
            fence,
            pipeline: Digest([0; 32]),
            component: Digest([0; 32]),
            failures: 0,
            crashes: 0,
            journal_length: 0,
            checkpoint_position: None,
            recovers: false,
            input: ClaimedInput::default(),
        }
    }

    /// The run.
    #[must_use]
    pub fn run(&self) -> RunId {
        self.id.run
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The guest returned an output: JSON bytes.
    Succeeded(Vec<u8>),
    /// The guest failed in a way that its retry policy may answer.
    Failed(Failure),
    /// The replay did not match the journal; a person decides.
    Diverged(Box<Divergence>),
    /// The guest waits for a time or a signal: the step holds nothing until then.
    Suspended(Wait),
    /// The attempt was stopped by the host without a fault of the step (drain): it is ready again.
    HandedBack,
    /// A host that it would call is down: it goes on when that is over.
    Deferred(Deferral),
    /// The step is no longer this worker's; nothing is written.
    LeaseLost,
}

/// An attempt that ends because a host that it would call is down. It is no failure: the step goes on when the host is back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deferral {
    /// Scheme, host and port.
    pub origin: String,
    /// After how long the step comes by itself.
    pub delay_ms: u64,
}

/// Why an attempt failed, as people and the API see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// What kind of failure.
    pub cause: Cause,
    /// One line for a person.
    pub message: String,
    /// Anything that helps, as JSON text; for a trap the guest's backtrace. What is JSON to a reader of the whole failure
    /// stands in it as such, not as text in a text.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "embedded")]
    pub details: Option<String>,
    /// The guest's own wish for the delay before the next attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// The guest asked to forget every answer after the last checkpoint.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub from_checkpoint: bool,
}

/// Details as the JSON that they are, if they can be read inside of another document: a level deeper, that is, and with
/// numbers that fit.
fn embedded<S: Serializer>(details: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    let Some(details) = details else { return serializer.serialize_none() };
    let is_readable = serde_json::from_str::<[Value; 1]>(&format!("[{details}]")).is_ok();
    match RawValue::from_string(details.clone()) {
        Ok(raw) if is_readable => raw.serialize(serializer),
        _ => serializer.serialize_str(details),
    }
}

/// The causes of a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The guest asked for a retry.
    Retry,
    /// The guest said that a retry is pointless.
    Fatal,
    /// The guest trapped (unreachable, out of bounds, stack overflow, panic ...).
    Trap,
    /// The attempt took longer than it may, or passed no epoch for too long.
    Timeout,
    /// A limit was passed: memory, output, entry, checkpoint, journal.
    Limit,
    /// The output is not JSON, or does not fit the component's schema.
    InvalidOutput,
    /// The component can't be loaded here: unknown, damaged, of another world.
    Component,
    /// The input does not fit the component's schema; the guest was not called.
    InvalidInput,
    /// It called a host that it may not reach, or asked for a secret that it is not given: a grant is missing.
    Refused,
}

impl Cause {
    /// Whether another attempt may help. Traps and timeouts may; limits, missing grants and documents that
    /// do not fit are fatal.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Retry | Self::Trap | Self::Timeout)
    }

    /// The same in words that come after "failed".
    #[must_use]
    pub fn means(self) -> &'static str {
        if self.is_retryable() { ", and may be tried again" } else { " for good" }
    }
}

/// What is left of the journal after a failure that will be retried: see [`super::replay::Replay::cut`].
#[derive(Debug, Clone, PartialEq)]
pub struct Cut {
    /// Entries from this position on are dropped.
    pub at: u32,
    /// What stands there instead.
    pub notes: Vec<Entry>,
    /// The position of the dropped entry at which the guest was given a signal, if it has failed by that one: see
    /// [`super::replay::Replay::cut`]. If the failure is for good, the signal is rejected, and does not return to the inbox.
    pub failed_by: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_details_of_a_failure_stand_in_it_as_json_if_they_can_be_read_there() {
        let written = |details: &str| {
            let (message, details) = ("no".to_owned(), Some(details.to_owned()));
            let failure = Failure { cause: Cause::Fatal, message, details, delay_ms: None, from_checkpoint: false };
            serde_json::from_slice::<Value>(&serde_json::to_vec(&failure).unwrap()).unwrap()["details"].clone()
        };
        assert_eq!(written(r#"{"backtrace": ["a", "b"]}"#), serde_json::json!({"backtrace": ["a", "b"]}));
        let deep = format!("{}{}", "[".repeat(127), "]".repeat(127));
        for unreadable in ["1e999", r#""\ud800""#, deep.as_str(), "no JSON"] {
            assert_eq!(written(unreadable), Value::from(unreadable), "it is kept as text");
        }
    }
}
