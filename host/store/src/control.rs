//! What a person may do to a run.

use async_trait::async_trait;
use pawl_domain::attempt::{Claim, Cut};
use pawl_domain::id::{Digest, Fence, RunId, StepId, StepNo};
use pawl_domain::ready::Ready;
use pawl_domain::replay::Replay;
use pawl_domain::status::StepStatus;

use super::runs::no_run;
use super::write::Segment;
use super::{Error, Result, Store};

/// The component that a resumed step goes on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResumeOn {
    /// The one that it has.
    Pinned,
    /// This one.
    Component(Digest),
}

/// How a step goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    /// On which component.
    pub on: ResumeOn,
    /// From its last checkpoint: what is to be dropped of its journal.
    pub forget: Option<Forget>,
}

/// A journal that is cut to its last checkpoint by a person's word, in the same commit that makes the step ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forget {
    /// The fence under which the journal was read. If it was raised since, nothing is done.
    pub fence: Fence,
    /// The checkpoint's position; 0 if there is none.
    pub kept: u32,
    /// Takes the place of all rows from its first position on; it may be empty.
    pub segment: Segment,
}

impl Resume {
    /// On this component, with the whole journal.
    #[must_use]
    pub fn on(on: ResumeOn) -> Self {
        Self { on, forget: None }
    }

    /// What the history tells.
    #[must_use]
    pub fn note(&self) -> String {
        let on = match self.on {
            ResumeOn::Pinned => String::new(),
            ResumeOn::Component(component) => format!(" on component {}", component.short()),
        };
        let from = match self.forget.as_ref().map(|forget| forget.kept) {
            None => return format!("a person resumed it{on}"),
            Some(0) => "from its start".to_owned(),
            Some(kept) => format!("from its checkpoint at entry {kept}"),
        };
        format!(
            "a person resumed it{on} {from}: what it did since is done again, effects without a name perhaps under \
             another key"
        )
    }
}

/// What is to be forgotten of a step that goes on from its last checkpoint. What left under a key and what a
/// `once` gave stays, as notes.
///
/// # Errors
/// As [`Control::resume`]; [`Error::Damaged`].
pub async fn since_checkpoint(store: &dyn Store, id: StepId) -> Result<Forget> {
    let (_, steps) = store.run(id.run, Some(id.step)).await?;
    let step = steps.into_iter().next().ok_or_else(|| no_run(id.run))?;
    // A step that runs may write under the fence that was read.
    may_resume(step.status, step.awaits.as_deref())?;
    let fence = Fence(step.fence);
    let (journal_length, checkpoint_position) = (step.journal_length, step.checkpoint_position);
    let claim = Claim { journal_length, checkpoint_position, ..Claim::bare(id, fence) };
    let Cut { at, notes } = Replay::cut_unseen(id, store.history(&claim).await?);
    let (first, mut entries) = store.entries_before_cut(id, at).await?.unwrap_or((at, Vec::new()));
    entries.extend(notes);
    Ok(Forget { fence, kept: checkpoint_position.unwrap_or(0), segment: Segment::of(first, &entries) })
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

    /// Makes a step that is parked, waiting or ready go on, on its component or another one, with its journal or
    /// what is left of that. Returns what is to be delivered.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] if the step is in another state, or has moved since its journal
    /// was read.
    async fn resume(&self, run: RunId, step: StepNo, how: &Resume) -> Result<Vec<Ready>>;
}

/// Whether a step in this state can be resumed.
pub(super) fn may_resume(status: StepStatus, awaits: Option<&str>) -> Result<()> {
    match status {
        // The step would see that as a timeout.
        StepStatus::Waiting if awaits.is_some() => Err(awaits_signal()),
        StepStatus::Parked | StepStatus::Waiting | StepStatus::Ready => Ok(()),
        StepStatus::Running => Err(is_running()),
        StepStatus::Blocked => Err(is_blocked()),
        _ => Err(step_has_ended()),
    }
}

// Refusals, in the words of both stores.

pub(super) fn has_moved() -> Error {
    Error::Conflict("the step has moved on while its journal was read: look at it, and ask again".into())
}

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
