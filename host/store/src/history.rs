//! A step's past, read after a claim and outside its transaction: the checkpoint, and of the journal only
//! what a replay will touch, so that resuming takes as long as there is to replay, not as the step is old.

use async_trait::async_trait;
use pawl_domain::attempt::Claim;
use pawl_domain::id::{Digest, StepId};
use pawl_domain::journal::{Entry, History, unpack};

use super::{Error, Result};

/// Reading a step's past.
#[async_trait]
pub trait Histories {
    /// What the step of this claim did before.
    ///
    /// # Errors
    /// [`Error::Damaged`] if stored bytes do not match their digest or can't be read.
    async fn history(&self, claim: &Claim) -> Result<History>;

    /// The entries of the row that holds position `at` but does not start there, up to `at`; with the row's
    /// start. What a cut at that position must put back.
    ///
    /// # Errors
    /// As [`Histories::history`].
    async fn entries_before_cut(&self, id: StepId, at: u32) -> Result<Option<(u32, Vec<Entry>)>>;
}

/// Where a step waited for a signal.
pub(super) fn awaited(segments: &[(u32, Vec<Entry>)]) -> Vec<u32> {
    let numbered = segments.iter().flat_map(|(first, entries)| (*first..).zip(entries));
    numbered.filter(|(_, entry)| matches!(entry, Entry::Awaited { .. })).map(|(position, _)| position).collect()
}

pub(super) fn verified_entries(id: StepId, first: u32, bytes: &[u8], digest: Digest) -> Result<Vec<Entry>> {
    let damaged = |what: &str| Error::Damaged(format!("the journal of step {id} at position {first}{what}"));
    if Digest::of(bytes) != digest {
        return Err(damaged(""));
    }
    unpack(bytes).map_err(|error| damaged(&format!(" ({error})")))
}
