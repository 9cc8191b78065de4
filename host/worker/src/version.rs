//! A pipeline version as a worker keeps it: its plan, and what is counted of its pipeline.

use std::sync::Arc;

use pawl_domain::id::{Digest, StepNo};
use pawl_domain::pipeline::Pipeline;
use pawl_domain::status::RunStatus;
use pawl_domain::succession::Plan;
use pawl_engine::Executed;
use pawl_metrics::{OfPipeline, figures};

/// Immutable, and shared by all of its steps.
#[derive(Debug)]
pub struct Version {
    /// What follows each step.
    pub plan: Plan,
    /// Looked up once, for all steps.
    pub figures: Arc<OfPipeline>,
    /// The one step that all others lead to, if there is one.
    last: Option<StepNo>,
}

impl Version {
    /// Of this pipeline, which has this digest.
    #[must_use]
    pub fn new(digest: Digest, pipeline: Pipeline) -> Arc<Self> {
        let successors = pipeline.successors();
        let mut ends = successors.iter().enumerate().filter(|(_, after)| after.is_empty()).map(|(number, _)| number);
        let last = ends.next().filter(|_| ends.next().is_none());
        let last = last.and_then(|number| i32::try_from(number).ok()).map(StepNo);
        let figures = figures().of_pipeline(&pipeline.name);
        Arc::new(Self { plan: Plan::new(digest, pipeline), figures, last })
    }

    /// Counts what a guest has executed.
    pub fn count(&self, executed: &Executed) {
        self.figures.attempt_seconds.took(executed.elapsed);
        figures().replayed_entries.add(u64::from(executed.replayed));
    }

    /// How a run has ended, if a commit says as much: whether it has failed a step, and those that it has succeeded with.
    /// `None` where several steps end a pipeline: one of the others may have failed before.
    #[must_use]
    pub fn end_of_run(&self, failed: bool, mut succeeded: impl Iterator<Item = StepNo>) -> Option<RunStatus> {
        if failed {
            return Some(RunStatus::Failed);
        }
        // It runs only when all others have succeeded, and a run ends without it only if one of them has not.
        let last = self.last?;
        Some(if succeeded.any(|step| step == last) { RunStatus::Succeeded } else { RunStatus::Failed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pawl_domain::pipeline::{StepSpec, Versions};

    fn version(needs: &[&[i32]]) -> Arc<Version> {
        let steps = needs.iter().enumerate().map(|(number, needs)| {
            let spec = serde_json::json!({"name": format!("s{number}"), "plugin": "p", "needs": needs});
            serde_json::from_value::<StepSpec>(spec).expect("a step")
        });
        let pipeline = Pipeline {
            name: "test".into(),
            versions: Versions::default(),
            retention: Default::default(),
            steps: steps.collect(),
        };
        Version::new(pipeline.digest(), pipeline)
    }

    #[test]
    fn a_commit_tells_how_a_run_has_ended_where_one_step_is_the_last() {
        let steps = |numbers: &'static [i32]| numbers.iter().copied().map(StepNo);
        let diamond = version(&[&[], &[0], &[0], &[1, 2]]);
        assert_eq!(diamond.end_of_run(false, steps(&[3])), Some(RunStatus::Succeeded));
        assert_eq!(diamond.end_of_run(false, steps(&[0, 3])), Some(RunStatus::Succeeded), "a chain in one commit");
        assert_eq!(diamond.end_of_run(false, steps(&[1])), Some(RunStatus::Failed), "its sister had failed before");
        assert_eq!(diamond.end_of_run(true, steps(&[1])), Some(RunStatus::Failed));
        assert_eq!(diamond.end_of_run(false, steps(&[])), Some(RunStatus::Failed), "the last one was handed back");
        let fork = version(&[&[], &[0], &[0]]);
        assert_eq!(fork.end_of_run(false, steps(&[1])), None);
        assert_eq!(fork.end_of_run(true, steps(&[1])), Some(RunStatus::Failed));
    }
}
