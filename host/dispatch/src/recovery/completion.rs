//! How far a run has come, step by step: what is done and stays done, what is begun again and from where, what has not
//! begun. Whoever resumes a run executes nothing again that stands here as done.

use pawl_domain::id::{RunId, StepNo};
use pawl_domain::status::StepStatus;
use pawl_store::Store;
use pawl_store::runs::{RunRow, StepRow};

use crate::Result;

/// What a resumption means for a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Todo {
    /// It has succeeded: its output is kept, and it is not executed again.
    Done,
    /// It was begun: it goes on from its checkpoint, or from its start, and is answered from its journal so far.
    GoesOn {
        /// Where the checkpoint stands in the journal, if there is one.
        checkpoint_position: Option<u32>,
        /// Entries after it.
        to_replay: u32,
    },
    /// Nobody has begun with it.
    Begins,
    /// It is parked, or has failed for good: a person decides.
    Person,
    /// It was stopped with its run.
    Stopped,
}

/// How far a run has come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Completion {
    /// In the order of the pipeline.
    pub steps: Vec<(StepNo, Todo)>,
    /// Steps that have succeeded.
    pub completed: u32,
    /// Steps that have failed for good, or are parked.
    pub failed: u32,
    /// The first step that goes on or begins.
    pub next: Option<StepNo>,
}

/// What a resumption means for each of these steps.
#[must_use]
pub fn completion(steps: &[StepRow]) -> Completion {
    let mut found = Completion::default();
    for step in steps {
        let todo = match step.status {
            StepStatus::Succeeded | StepStatus::Skipped => Todo::Done,
            StepStatus::Failed | StepStatus::Parked => Todo::Person,
            StepStatus::Cancelled => Todo::Stopped,
            _ if step.attempts == 0 => Todo::Begins,
            _ => Todo::GoesOn {
                checkpoint_position: step.checkpoint_position,
                to_replay: step.journal_length - step.checkpoint_position.unwrap_or(0),
            },
        };
        found.completed += u32::from(todo == Todo::Done);
        found.failed += u32::from(todo == Todo::Person);
        if found.next.is_none() && matches!(todo, Todo::GoesOn { .. } | Todo::Begins) {
            found.next = Some(step.no);
        }
        found.steps.push((step.no, todo));
    }
    found
}

/// Analyses how far a run has come. Reading only.
///
/// ```no_run
/// # async fn example(ports: pawl_dispatch::Ports, run: pawl_domain::id::RunId) -> pawl_dispatch::Result<()> {
/// let (row, done) = pawl_dispatch::recovery::analyse(&*ports.store, run).await?;
/// println!("{} of {} steps are done, {} need a person; next is {:?}", done.completed, row.step_count, done.failed, done.next);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`pawl_store::Error::NotFound`]; or the store is away.
pub async fn analyse(store: &dyn Store, run: RunId) -> Result<(RunRow, Completion)> {
    let (row, steps) = store.run(run, None).await?;
    Ok((row, completion(&steps)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(no: i32, status: StepStatus, attempts: u32) -> StepRow {
        StepRow {
            no: StepNo(no),
            status,
            component: None,
            attempts,
            failures: 0,
            crashes: 0,
            fence: 1,
            worker: None,
            journal_length: 7,
            checkpoint_position: (no == 2).then_some(5),
            progress: None,
            progress_message: None,
            error: None,
            ready_at_ms: None,
            due_at_ms: None,
            awaits: None,
            claimed_at_ms: None,
            started_at_ms: None,
            ended_at_ms: None,
        }
    }

    #[test]
    fn what_is_done_stays_done_and_the_rest_goes_on_or_begins() {
        use StepStatus::{Blocked, Cancelled, Failed, Parked, Ready, Running, Succeeded};
        let steps = [
            step(0, Succeeded, 1),
            step(1, Parked, 1),
            step(2, Running, 1),
            step(3, Ready, 2),
            step(4, Ready, 0),
            step(5, Blocked, 0),
            step(6, Failed, 3),
            step(7, Cancelled, 0),
        ];
        let goes_on = |checkpoint_position, to_replay| Todo::GoesOn { checkpoint_position, to_replay };
        let found = completion(&steps);
        let todo: Vec<Todo> = found.steps.iter().map(|(_, todo)| *todo).collect();
        let expected = [
            Todo::Done,
            Todo::Person,
            goes_on(Some(5), 2),
            goes_on(None, 7),
            Todo::Begins,
            Todo::Begins,
            Todo::Person,
            Todo::Stopped,
        ];
        assert_eq!(todo, expected);
        assert_eq!((found.completed, found.failed, found.next), (1, 2, Some(StepNo(2))));
        assert_eq!(completion(&[]).next, None);
    }
}
