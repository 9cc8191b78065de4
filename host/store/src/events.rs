//! The history of runs, and the marks by which a reader sees that there is more of it.

use async_trait::async_trait;
use pawl_domain::event::EventKind;
use pawl_domain::id::{RunId, StepNo, WorkerId};
use pawl_domain::status::RunStatus;

use super::Result;

/// One line of a run's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// From 1, without gaps.
    pub number: u32,
    /// When it was committed.
    pub at_ms: i64,
    /// What it tells.
    pub kind: EventKind,
    /// None for events of the run.
    pub step: Option<StepNo>,
    /// The step's fence.
    pub fence: Option<i64>,
    /// Who did it.
    pub worker: Option<WorkerId>,
    /// For people.
    pub note: Option<String>,
}

/// What tells a reader whether there is something new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunMark {
    /// The run.
    pub id: RunId,
    /// Where it stands.
    pub status: RunStatus,
    /// The number of its last event.
    pub event_count: u32,
}

/// Reading histories.
#[async_trait]
pub trait Events {
    /// Up to about `limit` events of a run after number `after`; whole commits, so it may be a few more.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`]. An unknown run has no events.
    async fn events(&self, run: RunId, after: u32, limit: u32) -> Result<Vec<EventRow>>;

    /// Where these runs stand, those that there are.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn run_marks(&self, runs: &[RunId]) -> Result<Vec<RunMark>>;
}
