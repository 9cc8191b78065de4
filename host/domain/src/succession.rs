//! What follows a step that has succeeded: a pure function of the pipeline version and of the queues that
//! the worker serves.

use super::id::{Digest, StepNo};
use super::pipeline::Pipeline;

/// A pipeline version with what is asked of it at every outcome.
#[derive(Debug)]
pub struct Plan {
    /// The version.
    pub digest: Digest,
    /// What it says.
    pub pipeline: Pipeline,
    successors: Vec<Vec<StepNo>>,
}

/// What follows a success.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Succession {
    /// Steps that need the one that has succeeded.
    pub successors: Vec<StepNo>,
    /// The one of them that the worker goes on with, if it becomes ready.
    pub next: Option<Next>,
}

/// A successor that a worker wants to go on with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next {
    /// Its number.
    pub step: StepNo,
    /// Whether it needs others, too.
    pub joins: bool,
    /// The pipeline version.
    pub pipeline: Digest,
}

impl Plan {
    /// The plan of a pipeline version.
    #[must_use]
    pub fn new(digest: Digest, pipeline: Pipeline) -> Self {
        Self { digest, successors: pipeline.successors(), pipeline }
    }

    /// What follows the success of `step`. If the worker `may_continue`, it wants a successor on one of its
    /// `queues`: rather one that needs nothing else, and so is ready for certain.
    #[must_use]
    pub fn after(&self, step: StepNo, queues: &[String], may_continue: bool) -> Succession {
        let successors = self.successors_of(step);
        let served = successors
            .iter()
            .filter_map(|number| Some((*number, self.pipeline.step(*number)?)))
            .filter(|(_, spec)| may_continue && queues.contains(&spec.queue));
        let next = served
            .map(|(number, spec)| Next { step: number, joins: spec.needs.len() > 1, pipeline: self.digest })
            .min_by_key(|next| next.joins);
        Succession { successors: successors.to_vec(), next }
    }

    fn successors_of(&self, step: StepNo) -> &[StepNo] {
        usize::try_from(step.0).ok().and_then(|index| self.successors.get(index)).map_or(&[], Vec::as_slice)
    }
}

impl Succession {
    /// The successor that may be run ahead of the commit that hands it over: the only one, which needs
    /// nothing else.
    #[must_use]
    pub fn run_ahead(&self) -> Option<&Next> {
        self.next.as_ref().filter(|next| self.successors.len() == 1 && !next.joins)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{StepSpec, Versions};

    /// 0 → 1 → 2, 0 → 3 on another queue, 2 and 3 → 4.
    fn plan() -> Plan {
        let needs: [&[i32]; 5] = [&[], &[0], &[1], &[0], &[2, 3]];
        let steps = needs.iter().enumerate().map(|(number, needs)| {
            let queue = if number == 3 { "gpu" } else { "default" };
            let spec = serde_json::json!({"name": format!("s{number}"), "plugin": "p", "needs": needs, "queue": queue});
            serde_json::from_value::<StepSpec>(spec).expect("a step")
        });
        let pipeline = Pipeline {
            name: "test".into(),
            versions: Versions::default(),
            retention: Default::default(),
            steps: steps.collect(),
        };
        Plan::new(pipeline.digest(), pipeline)
    }

    fn next(step: i32, queues: &[&str], may_continue: bool) -> Option<i32> {
        let queues: Vec<String> = queues.iter().map(|queue| (*queue).to_owned()).collect();
        plan().after(StepNo(step), &queues, may_continue).next.map(|next| next.step.0)
    }

    #[test]
    fn a_worker_goes_on_with_what_it_serves() {
        assert_eq!(next(0, &["default"], true), Some(1));
        assert_eq!(next(0, &["gpu"], true), Some(3));
        assert_eq!(next(0, &["other"], true), None);
        assert_eq!(next(0, &["default"], false), None);
        assert_eq!(next(2, &["default"], true), Some(4), "also with a join, if it becomes ready");
        assert_eq!(next(4, &["default"], true), None);
    }

    #[test]
    fn only_a_chain_is_run_ahead() {
        let queues = ["default".to_owned()];
        let ahead = |step| plan().after(StepNo(step), &queues, true).run_ahead().map(|next| next.step.0);
        assert_eq!(ahead(0), None, "two successors");
        assert_eq!(ahead(1), Some(2));
        assert_eq!(ahead(2), None, "its successor needs another step, too");
    }

    #[test]
    fn all_successors_are_told_whoever_goes_on() {
        assert_eq!(plan().after(StepNo(0), &[], false).successors, [StepNo(1), StepNo(3)]);
    }
}
