//! The figures of one pipeline: handles that are made when it is first met, so that nobody looks a label up per step.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use pawl_base::lock;
use pawl_domain::decision::outcome::Settlement;
use pawl_domain::id::Fence;
use pawl_domain::status::RunStatus;

use crate::figure::{Count, Spread};
use crate::figures::Figures;

/// Pipelines with figures of their own. Each is some dozens of series; what comes after them shares one label.
pub(crate) const PIPELINES: usize = 100;

/// The label of all others.
pub(crate) const OTHER: &str = "other";

/// How an attempt ended: the values of a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptEnd {
    /// Its output is recorded.
    Succeeded,
    /// The step has failed for good.
    Failed,
    /// Another attempt follows.
    Retried,
    /// The step waits for a time or a signal.
    Waiting,
    /// The worker gave it back without a fault.
    HandedBack,
    /// A host that it would call is down.
    Deferred,
    /// The step waits for a person.
    Parked,
}

impl AttemptEnd {
    const ALL: [Self; 7] =
        [Self::Succeeded, Self::Failed, Self::Retried, Self::Waiting, Self::HandedBack, Self::Deferred, Self::Parked];

    /// The label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Retried => "retried",
            Self::Waiting => "waiting",
            Self::HandedBack => "handed_back",
            Self::Deferred => "deferred",
            Self::Parked => "parked",
        }
    }
}

impl From<&Settlement> for AttemptEnd {
    fn from(settlement: &Settlement) -> Self {
        match settlement {
            Settlement::Succeeded { .. } => Self::Succeeded,
            Settlement::Failed { .. } => Self::Failed,
            Settlement::Retry { .. } => Self::Retried,
            Settlement::Suspended { .. } => Self::Waiting,
            Settlement::Released => Self::HandedBack,
            Settlement::Deferred { .. } => Self::Deferred,
            Settlement::Parked(_) => Self::Parked,
        }
    }
}

/// How a run may end.
const RUN_ENDS: [RunStatus; 3] = [RunStatus::Succeeded, RunStatus::Failed, RunStatus::Cancelled];

/// The fence of a first claim.
const FIRST: Fence = Fence(1);

/// The handles of one pipeline.
#[derive(Debug)]
pub struct OfPipeline {
    /// See the figures of these names.
    pub runs_submitted: Count,
    /// From submission to end.
    pub run_seconds: Spread,
    /// Time of execution.
    pub attempt_seconds: Spread,
    first_attempts: Count,
    later_attempts: Count,
    attempts_ended: [Count; 7],
    runs_ended: [Count; 3],
}

impl OfPipeline {
    fn new(figures: &Figures, name: &str) -> Self {
        Self {
            runs_submitted: figures.runs_submitted.of(&[name]),
            run_seconds: figures.run_seconds.of(&[name]),
            attempt_seconds: figures.attempt_seconds.of(&[name]),
            first_attempts: figures.attempts_started.of(&[name, "first"]),
            later_attempts: figures.attempts_started.of(&[name, "later"]),
            attempts_ended: AttemptEnd::ALL.map(|end| figures.attempts_ended.of(&[name, end.as_str()])),
            runs_ended: RUN_ENDS.map(|status| figures.runs_ended.of(&[name, status.as_str()])),
        }
    }

    /// An attempt was begun under a claim with this fence.
    pub fn attempt_started(&self, fence: Fence) {
        if fence == FIRST { self.first_attempts.one() } else { self.later_attempts.one() }
    }

    /// The end of an attempt was committed.
    pub fn attempt_ended(&self, end: AttemptEnd) {
        self.attempts_ended[end as usize].one();
    }

    /// The end of a run was committed; of one that goes on nothing is counted.
    pub fn run_ended(&self, status: RunStatus) {
        if let Some(place) = RUN_ENDS.iter().position(|end| *end == status) {
            self.runs_ended[place].one();
        }
    }
}

/// The pipelines that were met.
#[derive(Debug, Default)]
pub(crate) struct Pipelines(Mutex<HashMap<String, Arc<OfPipeline>>>);

impl Figures {
    /// The handles of a pipeline: to be kept with what else is known of it. Beyond a hundred pipelines, they are those of
    /// all others.
    #[must_use]
    pub fn of_pipeline(&self, name: &str) -> Arc<OfPipeline> {
        let mut met = lock(&self.pipelines.0);
        if let Some(known) = met.get(name) {
            return Arc::clone(known);
        }
        let name = if met.len() < PIPELINES { name } else { OTHER };
        let new = || Arc::new(OfPipeline::new(self, name));
        Arc::clone(met.entry(name.to_owned()).or_insert_with(new))
    }

    /// The handles for what is of no known pipeline.
    #[must_use]
    pub fn of_others(&self) -> Arc<OfPipeline> {
        let mut met = lock(&self.pipelines.0);
        Arc::clone(met.entry(OTHER.to_owned()).or_insert_with(|| Arc::new(OfPipeline::new(self, OTHER))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_pipelines_have_names_and_the_rest_shares_one() {
        let figures = Figures::default();
        for number in 0..2 * PIPELINES {
            figures.of_pipeline(&format!("pipeline-{number}")).runs_submitted.one();
        }
        assert_eq!(figures.runs_submitted.of(&["pipeline-7"]).get(), 1);
        assert_eq!(figures.runs_submitted.of(&[OTHER]).get(), PIPELINES as u64);
        assert!(lock(&figures.pipelines.0).len() <= PIPELINES + 1);
        figures.of_pipeline("pipeline-7").runs_submitted.one();
        assert_eq!(figures.runs_submitted.of(&["pipeline-7"]).get(), 2, "who has a name keeps it");
    }

    #[test]
    fn ends_are_counted_under_their_own_words() {
        let figures = Figures::default();
        let of = figures.of_pipeline("p");
        for (times, end) in (1..).zip(AttemptEnd::ALL) {
            (0..times).for_each(|_| of.attempt_ended(end));
            assert_eq!(figures.attempts_ended.of(&["p", end.as_str()]).get(), times, "{end:?}");
        }
        for status in [RunStatus::Running, RunStatus::Failed, RunStatus::Cancelled, RunStatus::Failed] {
            of.run_ended(status);
        }
        let ended = |outcome| figures.runs_ended.of(&["p", outcome]).get();
        assert_eq!((ended("succeeded"), ended("failed"), ended("cancelled")), (0, 2, 1));
        of.attempt_started(Fence(1));
        of.attempt_started(Fence(3));
        assert_eq!(figures.attempts_started.of(&["p", "first"]).get(), 1);
        assert_eq!(figures.attempts_started.of(&["p", "later"]).get(), 1);
    }
}
