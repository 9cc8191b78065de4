//! Retention: what is due to go, and its going, in pieces. Which term a run has is decided in `domain`; what calls this, and in
//! which order, is `pawl_dispatch::retention`.
//!
//! A run that is deleted is gone at once for whoever asks: its own row goes first. What is left of a large one goes in pieces of
//! its own, and as long as something is, a submission under the same id is [`Error::Held`](super::Error::Held).

use std::time::Duration;

use async_trait::async_trait;
use pawl_domain::id::{RunId, WorkerId};
use pawl_domain::namespace::Namespace;
use pawl_domain::retention::{Policy, Retention};
use pawl_domain::status::RunStatus;

use super::Result;

/// Whose turn it is to delete, or was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// The worker.
    pub holder: WorkerId,
    /// Whether it has kept its turn until now.
    pub holds: bool,
    /// What it deletes by.
    pub policy: Policy,
}

/// What a pipeline says of its runs, those of older versions included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineRetention {
    /// Whose it is.
    pub namespace: Namespace,
    /// Its name.
    pub pipeline: String,
    /// By its current version.
    pub retention: Retention,
}

/// Runs of one pipeline that have ended in one way, and for how long they are kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lane {
    /// Whose they are.
    pub namespace: Namespace,
    /// The pipeline's name.
    pub pipeline: String,
    /// How they have ended.
    pub status: RunStatus,
    /// Kept after the end, ms.
    pub term_ms: u64,
}

/// A run's place among those of its lane, by submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// When it was submitted, in the store's own unit.
    pub at: i64,
    /// The run.
    pub run: RunId,
}

/// What one piece may come to.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Runs that are looked at.
    pub runs: u32,
    /// Rows that go.
    pub rows: u32,
    /// Bytes that go, about: what is larger goes alone.
    pub bytes: u32,
}

/// What a piece has come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Piece {
    /// The last run that it has looked at: where the next one begins. None: the lane is through.
    pub last: Option<Place>,
    /// Runs that are gone.
    pub runs: u64,
    /// Rows that went.
    pub rows: u64,
    /// Something of them is left, see [`Retentions::delete_remains`].
    pub remains: bool,
    /// For how long that run has been due which ended first, ms.
    pub late_ms: Option<u64>,
}

/// What has gone of that which was left of runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remains {
    /// Nothing is left.
    pub done: bool,
    /// Rows that went.
    pub rows: u64,
}

/// Runs of a lane that are due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Due {
    /// How many, of those that were looked at.
    pub runs: u64,
    /// Whether there may be more than were looked at.
    pub more: bool,
    /// For how long that run has been due which ended first, ms.
    pub late_ms: Option<u64>,
}

/// Versions that are gone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GoneVersions {
    /// Of pipelines.
    pub pipelines: u64,
    /// Of plugins.
    pub plugins: u64,
    /// Components.
    pub components: u64,
}

/// Runs that may be on a version, and are looked at before it goes; if there are more, it stays.
pub(super) const LOOKED_AT: i32 = 1_000;

/// Versions that are looked at in one go.
pub(super) const VERSIONS: i64 = 100;

/// Retention.
#[async_trait]
pub trait Retentions {
    /// Takes the turn to delete, or keeps it, for `time`; while somebody else has it, nothing changes. It keeps others from
    /// doing the same work; that two do it would harm nothing.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn take_turn(&self, holder: WorkerId, time: Duration, policy: &Policy) -> Result<bool>;

    /// Whose turn it is, or was last; none if nobody has ever had it.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn turn(&self) -> Result<Option<Turn>>;

    /// Pipelines of all namespaces, by namespace and name: up to `limit` after this one.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn pipeline_retentions(
        &self,
        after: Option<&PipelineRetention>,
        limit: u32,
    ) -> Result<Vec<PipelineRetention>>;

    /// Which of these lanes, by their index, have a run that may be due after the place.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn may_be_due(&self, lanes: &[(Lane, Option<Place>)]) -> Result<Vec<usize>>;

    /// Deletes what is due of the first runs of a lane after a place. What somebody holds is passed over, as is what a person
    /// keeps, and what was submitted long ago and has ended lately.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`]: it may have been done; nothing is lost by trying again.
    async fn delete_ended(&self, lane: &Lane, after: Option<Place>, bounds: Bounds) -> Result<Piece>;

    /// Goes on with what is left of runs that are gone.
    ///
    /// # Errors
    /// As [`Retentions::delete_ended`].
    async fn delete_remains(&self, bounds: Bounds) -> Result<Remains>;

    /// How many runs of a lane are due, of the first `most`.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn count_due(&self, lane: &Lane, most: u32) -> Result<Due>;

    /// Keeps a run for ever, whatever its retention says, or no longer.
    ///
    /// # Errors
    /// [`super::Error::NotFound`].
    async fn keep_run(&self, run: RunId, keep: bool) -> Result<()>;

    /// Deletes versions that nothing has named for `grace`: of pipelines, those that are not the current one and that no run is
    /// on; of plugins, those that are neither active, nor in the history that a rollback goes back in, nor named by a version of
    /// a pipeline, and that no step has got; and components without a version.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`]: nothing is lost by trying again.
    async fn delete_versions(&self, grace: Duration) -> Result<GoneVersions>;

    /// Deletes lines of the record of changes that were written longer ago than `term_ms`, of the first `lines`. Returns how many
    /// went: as many as that, and there may be more.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`]: nothing is lost by trying again.
    async fn delete_audit(&self, term_ms: u64, lines: u32) -> Result<u64>;
}

/// How a submission is refused under the id of a run that is being deleted.
pub(super) const BEING_DELETED: &str = "the run that had this id is being deleted";
