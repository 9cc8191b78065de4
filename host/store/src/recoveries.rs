//! Recoveries: the records of takeovers, which runs are interrupted, and how such runs go on at a person's word. What
//! writes the records are takeovers ([`crate::leases`]), claims and what replacements tell ([`crate::write`]).

use std::time::Duration;

use async_trait::async_trait;
use pawl_domain::id::{Digest, Fence, RunId, StepId, StepNo, WorkerId};
use pawl_domain::namespace::Namespace;
use pawl_domain::ready::Ready;
use pawl_domain::recovery::Outcome;
use pawl_domain::status::StepStatus;
use pawl_domain::suspicion::Suspicion;

use super::Result;

/// Which recovery it is: the step, and the fence that its takeover has left it with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecoveryId {
    /// The step.
    pub step: StepId,
    /// It grows from one recovery of a step to the next.
    pub fence: Fence,
}

/// Run, step and fence, with a `/` in between.
impl std::fmt::Display for RecoveryId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.step, self.fence)
    }
}

/// Text that is no [`RecoveryId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a recovery is named by its run, its step's number and a fence: RUN/STEP/FENCE")]
pub struct NoRecoveryId;

impl std::str::FromStr for RecoveryId {
    type Err = NoRecoveryId;

    fn from_str(text: &str) -> std::result::Result<Self, NoRecoveryId> {
        let mut parts = text.split('/');
        let (Some(run), Some(step), Some(fence), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NoRecoveryId);
        };
        let step = StepId {
            run: run.parse().map_err(|_| NoRecoveryId)?,
            step: StepNo(step.parse().map_err(|_| NoRecoveryId)?),
        };
        Ok(Self { step, fence: Fence(fence.parse().map_err(|_| NoRecoveryId)?) })
    }
}

/// Which recoveries to list.
#[derive(Debug, Clone)]
pub struct RecoveryFilter<'a> {
    /// Only those of runs of this namespace.
    pub namespace: &'a Namespace,
    /// Only those of this run.
    pub run: Option<RunId>,
    /// Only those before this one.
    pub before: Option<RecoveryId>,
    /// At most so many.
    pub limit: u32,
}

/// The record of a takeover. Times are ms since 1970 by the store's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryRow {
    /// Which one.
    pub id: RecoveryId,
    /// The name of the run's pipeline, and its version.
    pub pipeline: String,
    /// See `pipeline`.
    pub pipeline_digest: Digest,
    /// Whose lease has ended.
    pub worker: WorkerId,
    /// When it ended; none if the worker was forgotten by then.
    pub lease_ended_ms: Option<i64>,
    /// When that was seen: the takeover.
    pub taken_over_ms: i64,
    /// Where the checkpoint stands in the journal, if there is one.
    pub checkpoint_position: Option<u32>,
    /// Entries after it.
    pub to_replay: u32,
    /// Who has claimed the step since, the last one.
    pub replacement: Option<WorkerId>,
    /// When.
    pub claimed_ms: Option<i64>,
    /// When it had the checkpoint.
    pub reloaded_ms: Option<i64>,
    /// When everything recorded had been answered from the journal.
    pub replayed_ms: Option<i64>,
    /// When it made its first new call, or ended.
    pub ready_ms: Option<i64>,
    /// Entries that were executed again.
    pub replayed: Option<u32>,
    /// How it has ended, if it has.
    pub outcome: Option<Outcome>,
}

/// A place among the runs that nobody moves: those that stand longest come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Standing {
    /// See [`InterruptedRow::last_activity_ms`].
    pub since_ms: i64,
    /// The run.
    pub run: RunId,
}

/// Run and time, with a `/` in between.
impl std::fmt::Display for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.run, self.since_ms)
    }
}

/// Which interrupted runs to list.
#[derive(Debug, Clone)]
pub struct InterruptedFilter<'a> {
    /// Only those of this namespace.
    pub namespace: &'a Namespace,
    /// Only those of this pipeline.
    pub pipeline: Option<&'a str>,
    /// For how long no step of a run has done anything.
    pub threshold: Duration,
    /// Only those after this place.
    pub after: Option<Standing>,
    /// At most so many.
    pub limit: u32,
}

/// A run that has begun, and that nobody moves. Times are ms since 1970 by the store's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterruptedRow {
    /// The run.
    pub run: RunId,
    /// The name of its pipeline, and its version.
    pub pipeline: String,
    /// See `pipeline`.
    pub pipeline_digest: Digest,
    /// The first claim of a step.
    pub started_ms: Option<i64>,
    /// The last thing that its steps have done: a change of a state, a checkpoint; or the end of the lease of the worker
    /// that had one.
    pub last_activity_ms: i64,
    /// All its steps, and those that have succeeded and failed.
    pub steps: u32,
    /// See `steps`.
    pub completed: u32,
    /// See `steps`.
    pub failed: u32,
    /// The step that would go on: the first of those that stand.
    pub next: StepNo,
    /// Its state: running, and its worker is gone; ready, and nobody serves its queue; or waiting, and past its time.
    pub next_status: StepStatus,
}

impl InterruptedRow {
    /// Its place among others.
    #[must_use]
    pub fn standing(&self) -> Standing {
        Standing { since_ms: self.last_activity_ms, run: self.run }
    }
}

/// Ready steps of queues without a worker that are looked at, oldest first, and past ones: what else there is are runs that
/// have not begun, most likely, and they may be a million.
pub const LOOKED_AT: u32 = 1_000;

/// Recoveries and interrupted runs.
#[async_trait]
pub trait Recoveries {
    /// Records of takeovers, newest first.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn recoveries(&self, filter: &RecoveryFilter<'_>) -> Result<Vec<RecoveryRow>>;

    /// Runs that have begun, that nobody moves, and of which no step has done anything for a time; those that stand longest
    /// first. Whatever somebody is at work on is none: a step under a lease, one that waits and is not due, one in a queue that
    /// a live worker serves, one that is parked for a person. Pages go through what is looked at, see [`LOOKED_AT`]: when that
    /// has been moved, others come.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn interrupted_page(&self, filter: &InterruptedFilter<'_>) -> Result<Vec<InterruptedRow>>;

    /// The first page of all of a namespace.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn interrupted(&self, namespace: &Namespace, threshold: Duration, limit: u32) -> Result<Vec<InterruptedRow>> {
        self.interrupted_page(&InterruptedFilter { namespace, pipeline: None, threshold, after: None, limit }).await
    }

    /// Lets these runs go on, in one commit: steps whose worker's lease has ended are taken over, as [`crate::leases`] does
    /// it; what is due is woken; what is ready is to be delivered again. Everything else of them stays as it is, as do runs
    /// that somebody else holds at the moment. Returns what is to be delivered.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`]: nothing is lost by trying again.
    async fn recover(&self, runs: &[RunId], suspicion: Suspicion) -> Result<Vec<Ready>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recovery_is_found_by_its_name() {
        let step = StepId { run: RunId::new(), step: StepNo(3) };
        let id = RecoveryId { step, fence: Fence(5) };
        assert_eq!(id.to_string().parse(), Ok(id));
        for wrong in ["", "x", &format!("{step}"), &format!("{id}/1"), &format!("{step}/a")] {
            assert_eq!(wrong.parse::<RecoveryId>(), Err(NoRecoveryId), "{wrong}");
        }
    }
}
