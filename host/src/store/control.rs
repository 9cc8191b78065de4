//! What a person may do to a run.

use async_trait::async_trait;

use super::{Error, Result};
use crate::domain::id::{Digest, RunId, StepNo};
use crate::domain::ready::Ready;

/// The component that a resumed step goes on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResumeOn {
    /// The one that it has.
    Pinned,
    /// This one.
    Component(Digest),
}

/// What a person may do to a run.
#[async_trait]
pub trait Control {
    /// Ends a run now; its running steps lose their fence at once.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] if it has ended already.
    async fn cancel(&self, run: RunId) -> Result<()>;

    /// Reopens failed and parked steps, all or one, and with them the run. Returns what is to be delivered.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] if nothing failed or the run was cancelled.
    async fn retry(&self, run: RunId, step: Option<StepNo>) -> Result<Vec<Ready>>;

    /// Makes a step that is parked, waiting or ready go on, on its component or another one.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] if the step is in another state.
    async fn resume(&self, run: RunId, step: StepNo, on: ResumeOn) -> Result<Vec<Ready>>;
}

// Refusals, in the words of both stores.

pub(super) fn has_ended(run: RunId) -> Error {
    Error::Conflict(format!("run {run} has ended already"))
}

pub(super) fn nothing_to_retry(run: RunId, step: Option<StepNo>) -> Error {
    let which = if step.is_some() { "that step neither" } else { "no step" };
    Error::Conflict(format!("nothing to retry in run {run}: {which} has failed or is parked"))
}

pub(super) fn was_cancelled(run: RunId) -> Error {
    Error::Conflict(format!("run {run} was cancelled: submit it again"))
}

pub(super) fn is_running() -> Error {
    Error::Conflict("the step is running: nothing to resume".into())
}

pub(super) fn awaits_signal() -> Error {
    let what = "the step waits for a signal: send it with `pawl run signal`; `pawl run explain` names it";
    Error::Conflict(what.into())
}

pub(super) fn is_blocked() -> Error {
    Error::Conflict("the step waits for the steps that it needs".into())
}

pub(super) fn step_has_ended() -> Error {
    Error::Conflict("the step has ended: use `retry`".into())
}
