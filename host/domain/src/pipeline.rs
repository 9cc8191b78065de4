//! Pipelines: a named, versioned DAG of step specs. A version is the digest of its canonical form.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::attempt::Ingredients;
use super::id::{Digest, StepNo};
use super::reach::Grant;
use super::retention::Retention;
use super::retry::RetryPolicy;

/// A checked pipeline. Steps stand in an order that respects `needs`: what a step needs has a smaller
/// number. Made by [`super::pipeline_file`] from what a user wrote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pipeline {
    /// Unique; a letter, then letters, digits, `-`, `_`.
    pub name: String,
    /// When steps that name no version get one.
    #[serde(default, skip_serializing_if = "Versions::is_default")]
    pub versions: Versions,
    /// How long its runs are kept. That of the current version counts for all of its runs, those of older versions too.
    #[serde(default, skip_serializing_if = "Retention::is_default")]
    pub retention: Retention,
    /// At least one.
    pub steps: Vec<StepSpec>,
}

/// When a step that names no version of its plugin gets the active one. From then on it stays on that component,
/// for all attempts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Versions {
    /// When the run is submitted: the whole run is of one time.
    #[default]
    Submission,
    /// When a worker first claims the step: also runs that were submitted before an activation get what it brings.
    Start,
}

impl Versions {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Submission, Self::Start];

    /// `submission` or `start`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Submission => "submission",
            Self::Start => "start",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|versions| versions.as_str() == name)
    }

    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// One node of a pipeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepSpec {
    /// Unique in the pipeline.
    pub name: String,
    /// The plugin that executes it.
    pub plugin: String,
    /// Its version; if there is none, the one that is active when [`Pipeline::versions`] says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Steps whose outputs it takes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<StepNo>,
    /// Given to the guest as it is.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub config: Value,
    /// Secrets that the guest may read, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// What it may reach; what the installation gives to those that say nothing, if it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<Grant>>,
    /// What happens after a failure.
    #[serde(default)]
    pub retry: RetryPolicy,
    /// Longest time for one attempt.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u64,
    /// The queue whose workers execute it.
    #[serde(default = "default_queue")]
    pub queue: String,
    /// Which of the queue's streams its messages take.
    #[serde(default)]
    pub priority: Priority,
}

/// Ten minutes.
#[must_use]
pub fn default_timeout_ms() -> u64 {
    600_000
}

/// `default`.
#[must_use]
pub fn default_queue() -> String {
    "default".to_owned()
}

/// How urgent a step's messages are within a queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Before all others.
    High,
    /// Where nothing is said.
    #[default]
    Normal,
    /// After all others.
    Low,
}

impl Priority {
    /// Most urgent first.
    pub const ALL: [Self; 3] = [Self::High, Self::Normal, Self::Low];

    /// `high`, `normal` or `low`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
        }
    }
}

impl std::str::FromStr for Priority {
    type Err = UnknownPriority;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|priority| priority.as_str() == text).ok_or(UnknownPriority)
    }
}

/// A priority of another name.
#[derive(Debug, thiserror::Error)]
#[error("a priority is high, normal or low")]
pub struct UnknownPriority;

impl Pipeline {
    /// The canonical form: compact JSON with fields in the order of the structs and sorted objects. Equal
    /// pipelines have equal bytes, however they were written.
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a pipeline has only string keys")
    }

    /// The version: the digest of the canonical form.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.canonical())
    }

    /// Whether a step's start decides on which component it runs; else the submission does.
    #[must_use]
    pub fn resolves_at_start(&self, step: &StepSpec) -> bool {
        self.versions == Versions::Start && step.version.is_none()
    }

    /// The step of that number.
    #[must_use]
    pub fn step(&self, number: StepNo) -> Option<&StepSpec> {
        self.steps.get(usize::try_from(number.0).ok()?)
    }

    /// The number of the step of that name.
    #[must_use]
    pub fn step_named(&self, name: &str) -> Option<StepNo> {
        self.numbered().find(|(_, step)| step.name == name).map(|(number, _)| number)
    }

    /// All steps with their numbers.
    pub fn numbered(&self) -> impl Iterator<Item = (StepNo, &StepSpec)> {
        (0..).map(StepNo).zip(&self.steps)
    }

    /// For each step the steps that need it.
    #[must_use]
    pub fn successors(&self) -> Vec<Vec<StepNo>> {
        let mut successors = vec![Vec::new(); self.steps.len()];
        for (number, step) in self.numbered() {
            for need in &step.needs {
                if let Some(list) = usize::try_from(need.0).ok().and_then(|index| successors.get_mut(index)) {
                    list.push(number);
                }
            }
        }
        successors
    }

    /// A step's input: the run's input if it needs nothing, the one output if it needs one step, an object
    /// by step name if it needs several.
    #[must_use]
    pub fn input_of(&self, number: StepNo, made_of: Ingredients) -> Vec<u8> {
        match made_of {
            Ingredients::Run(input) => input,
            Ingredients::Outputs(mut outputs) if outputs.len() == 1 => outputs.remove(0),
            Ingredients::Outputs(outputs) => {
                let needs = self.step(number).map_or(&[][..], |step| &step.needs);
                self.object_of(needs, &outputs)
            }
        }
    }

    /// A run's output: that of its one last step, or an object by step name if there are several.
    #[must_use]
    pub fn output_of(&self, outputs: &BTreeMap<StepNo, Vec<u8>>) -> Option<Vec<u8>> {
        let last: Vec<StepNo> = self
            .successors()
            .iter()
            .zip(self.numbered())
            .filter(|(successors, _)| successors.is_empty())
            .map(|(_, (number, _))| number)
            .collect();
        let found: Vec<Vec<u8>> = last.iter().map(|number| outputs.get(number).cloned()).collect::<Option<_>>()?;
        match found.as_slice() {
            [only] => Some(only.clone()),
            several => Some(self.object_of(&last, several)),
        }
    }

    fn object_of(&self, steps: &[StepNo], outputs: &[Vec<u8>]) -> Vec<u8> {
        let mut object = Vec::with_capacity(outputs.iter().map(|output| output.len() + 24).sum());
        object.push(b'{');
        for (index, (number, output)) in steps.iter().zip(outputs).enumerate() {
            if index > 0 {
                object.push(b',');
            }
            let name = self.step(*number).map_or("", |step| step.name.as_str());
            object.extend(serde_json::to_vec(name).expect("a string is JSON"));
            object.push(b':');
            object.extend(output);
        }
        object.push(b'}');
        object
    }
}
