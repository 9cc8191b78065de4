//! How a run stands, seen from outside: whether somebody moves it, and if not, who could. Pure.

use pawl_domain::id::RunId;
use pawl_domain::status::{RunStatus, StepStatus};
use pawl_store::live::LiveStep;
use pawl_store::runs::RunRow;

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nobody moves a step of it: its worker is gone, it is past its time, or in a queue that no live worker serves.
    Interrupted,
    /// A step of it is in a queue that is served.
    Queued,
    /// Somebody is at work on it.
    AtWork,
    /// It waits for a time or a signal.
    Waits,
    /// It waits for a person.
    Parked,
    /// It is paused, or a step of it is, with its pipeline or its queue.
    Paused,
    /// A step has failed: nothing new starts, and it ends with what runs.
    Failing,
    /// It has ended.
    Ended(RunStatus),
}

/// How a run stands whose live steps are these.
///
/// ```
/// use pawl_dispatch::recovery::{Standing, standing};
/// # use pawl_domain::status::RunStatus;
/// # let run = pawl_store::runs::RunRow::example(RunStatus::Succeeded);
/// assert_eq!(standing(&run, &[]), Standing::Ended(RunStatus::Succeeded));
/// ```
#[must_use]
pub fn standing(run: &RunRow, live: &[LiveStep]) -> Standing {
    if run.status.is_ended() {
        return Standing::Ended(run.status);
    }
    if run.failing {
        return Standing::Failing;
    }
    if run.paused_at_ms.is_some() {
        return Standing::Paused;
    }
    let any = |is_so: fn(&LiveStep) -> bool| live.iter().any(is_so);
    if any(is_interrupted) {
        Standing::Interrupted
    } else if any(|step| step.status == StepStatus::Running) {
        Standing::AtWork
    } else if any(is_shelved) {
        Standing::Paused
    } else if any(|step| step.status == StepStatus::Ready) {
        Standing::Queued
    } else if any(|step| step.status == StepStatus::Waiting) {
        Standing::Waits
    } else {
        Standing::Parked
    }
}

fn is_shelved(step: &LiveStep) -> bool {
    step.status == StepStatus::Ready && step.ready_at_ms.is_none()
}

fn is_interrupted(step: &LiveStep) -> bool {
    let is_over = |at_ms: Option<i64>| at_ms.is_some_and(|at_ms| at_ms <= step.now_ms);
    match step.status {
        StepStatus::Running => step.lease_end_ms.is_none() || is_over(step.lease_end_ms),
        StepStatus::Ready => step.queue_workers == 0 && !is_shelved(step),
        StepStatus::Waiting => is_over(step.due_at_ms),
        _ => false,
    }
}

/// Why a run was not resumed, and what to do instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotResumed {
    /// A step of it is under a live lease.
    #[error("run {0} is not interrupted: a live worker executes a step of it; `pawl run explain {0}` tells which")]
    AtWork(RunId),
    /// It sleeps, or waits for a signal.
    #[error("run {0} is not interrupted: it waits; `pawl run explain {0}` tells for what, and how to end that")]
    Waits(RunId),
    /// A person has paused it, or its pipeline, or the queue of a step.
    #[error("run {0} is not interrupted: it is paused; `pawl run explain {0}` tells what ends that")]
    Paused(RunId),
    /// A step is parked.
    #[error("a step of run {0} is parked until a person decides: `pawl run explain {0}` tells the ways out")]
    Parked(RunId),
    /// A step has failed, and others of its steps still run.
    #[error("a step of run {0} has failed: when the run has ended, mend the cause, then `pawl run retry {0}`")]
    Failing(RunId),
    /// It has ended.
    #[error("run {0} has ended: it is {1}{retry}", retry = retry(.0, .1))]
    Ended(RunId, RunStatus),
}

fn retry(run: &RunId, status: &RunStatus) -> String {
    match status {
        RunStatus::Failed => format!("; mend the cause, then `pawl run retry {run}` opens it again"),
        RunStatus::Cancelled => format!("; `pawl run retry {run}` opens it again"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pawl_domain::id::{StepNo, WorkerId};
    use pawl_domain::pipeline::Priority;

    fn run(status: RunStatus, failing: bool) -> RunRow {
        RunRow { step_count: 3, live_steps: 2, failing, started_at_ms: Some(0), ..RunRow::example(status) }
    }

    /// At 1,000 ms.
    fn step(status: StepStatus, until_ms: Option<i64>, queue_workers: u32) -> LiveStep {
        LiveStep {
            no: StepNo(0),
            status,
            worker: Some(WorkerId::new()),
            lease_end_ms: until_ms,
            due_at_ms: until_ms,
            awaits: None,
            ready_at_ms: Some(0),
            queue: "q".into(),
            priority: Priority::Normal,
            queue_workers,
            ready_before: 0,
            error: None,
            down: None,
            doing: None,
            now_ms: 1_000,
        }
    }

    #[test]
    fn a_run_stands_where_its_steps_do() {
        use StepStatus::{Parked, Ready, Running, Waiting};
        let at_work = || step(Running, Some(1_001), 1);
        for (steps, expected) in [
            (vec![at_work()], Standing::AtWork),
            (vec![step(Running, Some(1_000), 1)], Standing::Interrupted),
            (vec![step(Running, None, 1)], Standing::Interrupted),
            (vec![step(Ready, None, 1)], Standing::Queued),
            (vec![step(Ready, None, 0)], Standing::Interrupted),
            (vec![step(Waiting, Some(1_001), 1)], Standing::Waits),
            (vec![step(Waiting, None, 1)], Standing::Waits),
            (vec![step(Waiting, Some(1_000), 1)], Standing::Interrupted),
            (vec![step(Parked, None, 1)], Standing::Parked),
            (vec![at_work(), step(Ready, None, 1), step(Parked, None, 1)], Standing::AtWork),
            (vec![at_work(), step(Waiting, Some(999), 1)], Standing::Interrupted),
        ] {
            assert_eq!(standing(&run(RunStatus::Running, false), &steps), expected, "{steps:?}");
        }
        let shelved = LiveStep { ready_at_ms: None, ..step(Ready, None, 0) };
        assert_eq!(standing(&run(RunStatus::Running, false), &[shelved]), Standing::Paused);
        let paused = RunRow { paused_at_ms: Some(1), ..run(RunStatus::Running, false) };
        assert_eq!(standing(&paused, &[step(Running, None, 1)]), Standing::Paused, "it goes on when that ends");
        assert_eq!(standing(&run(RunStatus::Running, true), &[step(Running, None, 1)]), Standing::Failing);
        let ended = run(RunStatus::Failed, true);
        assert_eq!(standing(&ended, &[]), Standing::Ended(RunStatus::Failed));
        let why = NotResumed::Ended(ended.id, RunStatus::Failed).to_string();
        assert!(why.ends_with(&format!("mend the cause, then `pawl run retry {}` opens it again", ended.id)), "{why}");
        let why = NotResumed::Ended(ended.id, RunStatus::Succeeded).to_string();
        assert_eq!(why, format!("run {} has ended: it is succeeded", ended.id));
    }
}
