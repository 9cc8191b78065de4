//! A claimed step's past, as the engine reads it on the guest's thread: a piece at a time, when the guest comes to it.

use std::fmt;

use pawl_domain::attempt::Claim;
use pawl_domain::id::{Digest, StepId};
use pawl_domain::journal::{Entry, History};
use pawl_domain::replay::Unread;
use pawl_engine::recorder;
use pawl_store::Error;
use pawl_store::history::{Large, Past, opened};
use pawl_store::seal::{Place, Seal};
use tokio::runtime::Handle;

use crate::reading::{Missed, Reading};

/// Where a step's past is read from.
pub struct StepPast {
    reading: Reading,
    runtime: Handle,
    id: StepId,
    /// Ordinal, digest and size of the checkpoint's state.
    state: Option<(u32, Digest, u64)>,
    seal: Seal,
}

impl StepPast {
    /// What goes before the journal, and where the rest is read from. On a runtime.
    #[must_use]
    pub fn of(claim: &Claim, past: Past, reading: Reading, seal: Seal) -> (History, Self) {
        let Past { checkpoint, recorded_by } = past;
        let state = checkpoint.as_ref().map(|saved| (saved.checkpoint.ordinal, saved.digest, saved.size_bytes));
        let checkpoint = checkpoint.map(|saved| saved.checkpoint);
        let history = History { checkpoint, length: claim.journal_length, recorded_by, ..History::default() };
        (history, Self { reading, runtime: Handle::current(), id: claim.id, state, seal })
    }
}

impl recorder::Past for StepPast {
    fn entries(&self, from: u32, until: u32, given_up: &dyn Fn() -> bool) -> Result<Vec<Entry>, Unread> {
        self.runtime.block_on(self.reading.entries(self.id, from, until, &self.seal, given_up)).map_err(unread)
    }

    fn state_bytes(&self) -> u64 {
        self.state.map_or(0, |(_, _, size_bytes)| size_bytes)
    }

    fn state(&self, given_up: &dyn Fn() -> bool) -> Result<Vec<u8>, Unread> {
        let Some((ordinal, digest, _)) = self.state else { return Ok(Vec::new()) };
        let kept = self.reading.whole(Large::State(self.id, ordinal), digest, given_up);
        self.opened(Place::State(self.id.step, ordinal), self.runtime.block_on(kept).map_err(unread)?)
    }

    fn signal(&self, position: u32, given_up: &dyn Fn() -> bool) -> Result<Option<Vec<u8>>, Unread> {
        let store = self.reading.store();
        let kept = self.runtime.block_on(self.reading.ask(given_up, || store.signal_at(self.id, position)));
        kept.map_err(unread)?.map(|kept| self.opened(Place::Signal, kept)).transpose()
    }
}

impl StepPast {
    fn opened(&self, place: Place, kept: Vec<u8>) -> Result<Vec<u8>, Unread> {
        opened(&self.seal, place, kept).map_err(|error| Unread::Damaged(error.chain()))
    }
}

impl fmt::Debug for StepPast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepPast").field("id", &self.id).finish_non_exhaustive()
    }
}

fn unread(missed: Missed) -> Unread {
    match missed {
        Missed::GivenUp => Unread::Stopped,
        Missed::Error(error @ Error::Newer { needs, .. }) => Unread::Newer { needs, what: error.to_string() },
        Missed::Error(error) => Unread::Damaged(error.chain()),
    }
}
