//! What somebody outside may do to a run: a person, or a program that sends it a signal. A store reads what a verb looks
//! at, lets [`pawl_domain::decision`] decide, and applies the changes; it knows none of the verbs.

use std::collections::BTreeMap;

use crate::seal::Seal;
use async_trait::async_trait;
use pawl_domain::attempt::Cut;
use pawl_domain::decision::{Refusal, Verb, may_resume};
use pawl_domain::id::{Digest, Fence, RunId, StepId, StepNo};
use pawl_domain::ready::Ready;
use pawl_domain::replay::Unseen;

pub use pawl_domain::decision::{Forget, InboxChange, Resume, ResumeOn, Signal, SignalChange};

use super::runs::no_run;
use super::write::Segment;
use super::{Error, Result, Store};

/// What came of a verb.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Done {
    /// Whether it has changed anything; if not, it was done before.
    pub is_new: bool,
    /// Steps to be delivered.
    pub ready: Vec<Ready>,
}

/// What became of a signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// It is stored. With the step to be delivered, if one has waited for it.
    New(Vec<Ready>),
    /// It was sent before under its key.
    Same,
}

/// What somebody outside may do to a run.
#[async_trait]
pub trait Control: Sync {
    /// Does it, in one commit.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] if the state of the run forbids it.
    async fn act(&self, run: RunId, verb: Verb) -> Result<Done>;

    /// Ends a run now; its running steps lose their fence at once.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] if it has ended already.
    async fn cancel(&self, run: RunId) -> Result<()> {
        self.act(run, Verb::Cancel).await.map(drop)
    }

    /// Ends a run now, as failed; the history says why.
    ///
    /// # Errors
    /// As [`Control::cancel`].
    async fn fail(&self, run: RunId, message: String) -> Result<()> {
        self.act(run, Verb::Fail { message }).await.map(drop)
    }

    /// Starts nothing of a run from now on, until it is unpaused; what runs goes on to its end. Whether that is new.
    ///
    /// # Errors
    /// As [`Control::cancel`].
    async fn pause_run(&self, run: RunId, reason: Option<String>) -> Result<bool> {
        Ok(self.act(run, Verb::Pause { reason }).await?.is_new)
    }

    /// Lets a run go on that is paused. Returns what is to be delivered.
    ///
    /// # Errors
    /// As [`Control::cancel`].
    async fn unpause_run(&self, run: RunId) -> Result<Vec<Ready>> {
        Ok(self.act(run, Verb::Unpause).await?.ready)
    }

    /// Reopens failed and parked steps, all or one, and with them the run; those that are in `on` go on with another component.
    /// Returns what is to be delivered.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] if nothing failed, and nobody has failed or cancelled the run.
    async fn retry(&self, run: RunId, step: Option<StepNo>, on: BTreeMap<StepNo, Digest>) -> Result<Vec<Ready>> {
        Ok(self.act(run, Verb::Retry { step, on }).await?.ready)
    }

    /// Gives a step that has failed or is parked the output that it has not got, JSON bytes. Returns what is to be delivered.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] if it is neither.
    async fn skip(&self, run: RunId, step: StepNo, output: Vec<u8>) -> Result<Vec<Ready>> {
        Ok(self.act(run, Verb::Skip { step, output }).await?.ready)
    }

    /// Has a step done again from its start, and all that follow it; those that are in `on` go on with another component.
    /// Returns what is to be delivered.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] if the step waits for others.
    async fn again(&self, run: RunId, from: StepNo, on: BTreeMap<StepNo, Digest>) -> Result<Vec<Ready>> {
        Ok(self.act(run, Verb::Again { from, on }).await?.ready)
    }

    /// Makes a step that is parked, waiting or ready go on, on its component or another one, with its journal or
    /// what is left of that. Returns what is to be delivered.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] if the step is in another state, or has moved since its journal
    /// was read.
    async fn resume(&self, run: RunId, step: StepNo, how: Resume) -> Result<Vec<Ready>> {
        Ok(self.act(run, Verb::Resume { step, how }).await?.ready)
    }

    /// Sends a signal to a run.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] if the run has ended, or the key was used for another signal.
    async fn signal(&self, run: RunId, signal: Signal) -> Result<Sent> {
        let done = self.act(run, Verb::Signal(signal)).await?;
        Ok(if done.is_new { Sent::New(done.ready) } else { Sent::Same })
    }

    /// Changes a signal that lies in the inbox, or was rejected. Returns what is to be delivered.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] if a step has it.
    async fn change_signal(&self, run: RunId, signal: u32, how: SignalChange) -> Result<Vec<Ready>> {
        Ok(self.act(run, Verb::Inbox(InboxChange { signal, how })).await?.ready)
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoStep(..) | Refusal::NoSignal(..) => Self::NotFound(refusal.to_string()),
            _ => Self::Conflict(refusal.to_string()),
        }
    }
}

/// What is to be forgotten of a step that goes on from its last checkpoint. What left under a key and what a
/// `once` gave stays, as notes.
///
/// # Errors
/// As [`Control::resume`]; [`Error::Damaged`].
pub async fn since_checkpoint(store: &dyn Store, id: StepId, seal: &Seal) -> Result<Forget> {
    let (_, steps) = store.run(id.run, Some(id.step)).await?;
    let step = steps.into_iter().next().ok_or_else(|| no_run(id.run))?;
    // A step that runs may write under the fence that was read.
    may_resume(step.status, step.awaits.as_deref())?;
    let fence = Fence(step.fence);
    let (length, kept) = (step.journal_length, step.checkpoint_position.unwrap_or(0));
    let mut unseen = Unseen::since(kept);
    let mut next = kept;
    while next < length {
        let entries = store.entries(id, next, length, seal).await?;
        if entries.is_empty() {
            return Err(Error::Damaged(format!("the journal of step {id}, which lacks position {next},")));
        }
        for entry in entries {
            unseen.take_in(next, entry);
            next += 1;
        }
    }
    let Cut { at, notes, .. } = unseen.cut();
    let (first, mut entries) = store.entries_before_cut(id, at, seal).await?.unwrap_or((at, Vec::new()));
    entries.extend(notes);
    Ok(Forget { fence, kept, segment: seal.segment(id.step, Segment::of(first, &entries)) })
}
