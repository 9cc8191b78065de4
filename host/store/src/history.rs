//! A step's past, read after a claim and outside its transaction, in pieces that each have a limit of their own: what
//! goes before the journal, then of the journal only what a replay touches, as the guest comes to it.
//!
//! ```text
//!  claim ──▶ past: where the checkpoint stands ──▶ rows, from a position on ──▶ rows …
//!                     └─▶ part, part … of its state        └─▶ part, part … of a large row
//! ```

use crate::seal::{Place, Seal};
use async_trait::async_trait;
use pawl_base::sealing::is_sealed;
use pawl_domain::attempt::Claim;
use pawl_domain::id::{Digest, Fence, StepId, StepNo, WorkerId};
use pawl_domain::journal::{Checkpoint, Entry, History, Unreadable, unpack};

use super::{Error, Result, verified};

/// Bytes that one piece of a journal, or one part of a large value, may have: they pass in a fraction of the time that a
/// statement has.
pub const PIECE_BYTES: usize = 1 << 20;

/// Entries before a checkpoint from which on they are worth the commit that drops them, and rows that one such commit
/// drops.
pub const TRIM_ENTRIES: u32 = 1_000;
/// See [`TRIM_ENTRIES`].
pub const TRIM_ROWS: u32 = 200;

/// What a replay begins with.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Past {
    /// The last checkpoint, if there is one.
    pub checkpoint: Option<Saved>,
    /// The component that made the journal, if it is not the one that the step has now.
    pub recorded_by: Option<Digest>,
}

/// A checkpoint without its state.
#[derive(Debug, Clone, PartialEq)]
pub struct Saved {
    /// All of it but the state, which is empty.
    pub checkpoint: Checkpoint,
    /// The digest of the state.
    pub digest: Digest,
    /// What the state takes, bytes.
    pub size_bytes: u64,
}

/// A row of a journal: the entries of a step in one batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The position of its first entry.
    pub first: u32,
    /// How many entries it has.
    pub length: u32,
    /// The digest of its bytes.
    pub digest: Digest,
    /// The entries, packed; `None` if they have more than [`PIECE_BYTES`], and are to be read in parts.
    pub bytes: Option<Vec<u8>>,
}

/// A value that may be too large to be read in one go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Large {
    /// The bytes of a component.
    Component(Digest),
    /// The state of a step's checkpoint of that ordinal.
    State(StepId, u32),
    /// The row of a step's journal that begins at that position.
    Row(StepId, u32),
}

impl Large {
    /// There is no such value.
    pub(super) fn missing(self) -> Error {
        Error::NotFound(match self {
            Self::Component(digest) => format!("there is no component {digest}"),
            Self::State(id, ordinal) => format!("there is no checkpoint {ordinal} of step {id}"),
            Self::Row(id, first) => format!("the journal of step {id} has no row at position {first}"),
        })
    }
}

/// Reading a step's past.
#[async_trait]
pub trait Histories: Send + Sync {
    /// What goes before the journal.
    ///
    /// # Errors
    /// If the store is away.
    async fn past(&self, claim: &Claim) -> Result<Past>;

    /// Rows in order, from the one on that holds position `from`, and none that begins at `until` or later: at least
    /// one, if there is one, and no more than have [`PIECE_BYTES`] together.
    ///
    /// # Errors
    /// If the store is away.
    async fn rows(&self, id: StepId, from: u32, until: u32) -> Result<Vec<Row>>;

    /// At most `most` bytes of a value, from `offset` on; fewer only where it ends.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such value (any more).
    async fn part(&self, of: Large, offset: usize, most: usize) -> Result<Vec<u8>>;

    /// The signal that was given to a position of a step's journal.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the stored bytes do not match their digest.
    async fn signal_at(&self, id: StepId, position: u32) -> Result<Option<Vec<u8>>>;

    /// Drops rows of a journal that no replay touches: those that lie between the guest's first `restore()` and the
    /// checkpoint, and before position `until`. At most [`TRIM_ROWS`], and only as long as the step is this worker's
    /// under this fence. How many they were.
    ///
    /// `until` is where a checkpoint stands of which the worker knows that it is durable. What it has sent since may be
    /// durable as well, and is sent again if the answer is lost: by the rows that are there, the resend is known.
    ///
    /// # Errors
    /// If the store is away.
    async fn trim(&self, worker: WorkerId, id: StepId, fence: Fence, until: u32) -> Result<u32>;

    /// The entries of the row that holds position `at` but does not start there, up to `at`; with the row's
    /// start. What a cut at that position must put back.
    ///
    /// # Errors
    /// [`Error::Damaged`] if stored bytes do not match their digest or can't be read.
    async fn entries_before_cut(&self, id: StepId, at: u32, seal: &Seal) -> Result<Option<(u32, Vec<Entry>)>> {
        let Some(row) = self.rows(id, at, at.saturating_add(1)).await?.into_iter().next() else { return Ok(None) };
        if row.first >= at || row.first + row.length <= at {
            return Ok(None);
        }
        let mut entries = entries_of(id, &row, self.bytes_of(id, &row).await?, seal)?;
        entries.truncate((at - row.first) as usize);
        Ok(Some((row.first, entries)))
    }

    /// Entries from position `from` on, in order: those of a piece, and none from `until` on.
    ///
    /// # Errors
    /// As [`Histories::entries_before_cut`].
    async fn entries(&self, id: StepId, from: u32, until: u32, seal: &Seal) -> Result<Vec<Entry>> {
        let mut all = Vec::new();
        let mut next = from;
        for row in self.rows(id, from, until).await? {
            check_order(id, &row, next)?;
            let entries = entries_of(id, &row, self.bytes_of(id, &row).await?, seal)?;
            all.extend(between(row.first, entries, next, until));
            next = row.first + row.length;
        }
        Ok(all)
    }

    /// All of a step's past that a replay touches, for who keeps it in memory; `None` if that has more than `most`
    /// bytes.
    ///
    /// # Errors
    /// As [`Histories::entries_before_cut`].
    async fn history(&self, claim: &Claim, most: usize, seal: &Seal) -> Result<Option<History>> {
        let id = claim.id;
        let Past { checkpoint, recorded_by } = self.past(claim).await?;
        let mut left = most;
        let mut history = History { length: claim.journal_length, recorded_by, ..History::default() };
        if let Some(saved) = checkpoint {
            let size = usize::try_from(saved.size_bytes).unwrap_or(usize::MAX);
            let Some(rest) = left.checked_sub(size) else { return Ok(None) };
            left = rest;
            let mut parts = Parts::new(Large::State(id, saved.checkpoint.ordinal), saved.digest);
            while !parts.take(self.part(parts.of, parts.offset(), PIECE_BYTES).await?, PIECE_BYTES) {}
            let state = opened(seal, Place::State(id.step, saved.checkpoint.ordinal), parts.whole()?)?;
            history.checkpoint = Some(Checkpoint { state, ..saved.checkpoint });
        }
        for (mut from, until) in touched(history.checkpoint.as_ref(), history.length) {
            while from < until {
                let rows = self.rows(id, from, until).await?;
                if rows.is_empty() {
                    return Err(hole(id, from));
                }
                for row in rows {
                    check_order(id, &row, from)?;
                    let bytes = self.bytes_of(id, &row).await?;
                    let Some(rest) = left.checked_sub(bytes.len()) else { return Ok(None) };
                    left = rest;
                    let entries: Vec<_> = between(row.first, entries_of(id, &row, bytes, seal)?, from, until).collect();
                    for (position, entry) in (from..).zip(&entries) {
                        if let Entry::Awaited { .. } = entry
                            && let Some(signal) = self.signal_at(id, position).await?
                        {
                            history.signals.push((position, opened(seal, Place::Signal, signal)?));
                        }
                    }
                    history.segments.push((from, entries));
                    from = until.min(row.first + row.length);
                }
            }
        }
        Ok(Some(history))
    }

    /// A row's bytes, read in parts if they are many.
    ///
    /// # Errors
    /// [`Error::Damaged`] if they do not match their digest.
    async fn bytes_of(&self, id: StepId, row: &Row) -> Result<Vec<u8>> {
        if let Some(bytes) = &row.bytes {
            return Ok(bytes.clone());
        }
        let mut parts = Parts::new(Large::Row(id, row.first), row.digest);
        while !parts.take(self.part(parts.of, parts.offset(), PIECE_BYTES).await?, PIECE_BYTES) {}
        parts.whole()
    }
}

/// A value that is read in parts.
#[derive(Debug)]
pub struct Parts {
    /// Of what.
    pub of: Large,
    digest: Digest,
    bytes: Vec<u8>,
}

impl Parts {
    /// None so far of a value with this digest.
    #[must_use]
    pub fn new(of: Large, digest: Digest) -> Self {
        Self { of, digest, bytes: Vec::new() }
    }

    /// Where the next part begins.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.bytes.len()
    }

    /// Takes in the next part, of which `asked` bytes were asked for; whether it was the last.
    pub fn take(&mut self, part: Vec<u8>, asked: usize) -> bool {
        let is_last = part.len() < asked;
        if self.bytes.is_empty() {
            self.bytes = part;
        } else {
            self.bytes.extend(part);
        }
        is_last
    }

    /// The whole.
    ///
    /// # Errors
    /// [`Error::Damaged`] if it does not match its digest.
    pub fn whole(self) -> Result<Vec<u8>> {
        let of = self.of;
        verified(self.bytes, self.digest, || match of {
            Large::Component(digest) => format!("component {digest}"),
            Large::State(id, _) => format!("the checkpoint of step {id}"),
            Large::Row(id, first) => format!("the journal of step {id} at position {first}"),
        })
    }
}

/// The positions that a replay touches: from the first up to the second of each. Without a prelude the guest never asks
/// for the checkpoint: it replays everything.
#[must_use]
pub fn touched(checkpoint: Option<&Checkpoint>, length: u32) -> [(u32, u32); 2] {
    match checkpoint {
        Some(Checkpoint { prelude: Some(prelude), position, .. }) => [(0, *prelude), (*position, length)],
        _ => [(0, length), (length, length)],
    }
}

/// A row must hold the entry that comes next.
///
/// # Errors
/// [`Error::Damaged`].
pub fn check_order(id: StepId, row: &Row, next: u32) -> Result<()> {
    if row.first <= next && next < row.first + row.length { Ok(()) } else { Err(hole(id, next)) }
}

fn hole(id: StepId, position: u32) -> Error {
    Error::Damaged(format!("the journal of step {id}, which lacks position {position},"))
}

/// The entries of a row.
///
/// # Errors
/// [`Error::Damaged`] if the bytes do not match their digest, or can't be read; [`Error::Newer`].
pub fn entries_of(id: StepId, row: &Row, bytes: Vec<u8>, seal: &Seal) -> Result<Vec<Entry>> {
    let what = || format!("the journal of step {id} at position {}", row.first);
    let bytes = verified(bytes, row.digest, what)?;
    // What a store notes itself says nothing of any payload, and no store has a key.
    let is_note = !seal.is_clear() && !is_sealed(&bytes);
    let bytes = if is_note { bytes } else { opened(seal, Place::Row(id.step, row.first), bytes)? };
    let entries = unpack(&bytes).map_err(|error| match error {
        Unreadable::Newer(needs) => Error::Newer { what: what(), needs },
        error => Error::Damaged(format!("{} ({error})", what())),
    })?;
    if entries.len() != row.length as usize
        || is_note && !entries.iter().all(|entry| matches!(entry, Entry::Again { .. }))
    {
        return Err(Error::Damaged(what()));
    }
    Ok(entries)
}

/// A payload that was read, with what its run's payloads are sealed with.
///
/// # Errors
/// [`Error::Damaged`] if it was sealed with something else, or for another place.
pub fn opened(seal: &Seal, place: Place, kept: Vec<u8>) -> Result<Vec<u8>> {
    // Only a guest's state may begin as it likes.
    if seal.is_clear() && is_sealed(&kept) && !matches!(place, Place::State(..)) {
        return Err(Error::Damaged(format!("a sealed payload ({place}), whose key is not there, or it")));
    }
    seal.open(place, kept).map_err(|_| Error::Damaged(format!("a sealed payload ({place})")))
}

/// The outputs of these steps that were read, in their order.
///
/// # Errors
/// As [`opened`].
pub fn opened_outputs(seal: &Seal, steps: &[StepNo], kept: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>> {
    steps.iter().zip(kept).map(|(step, kept)| opened(seal, Place::Output(*step), kept)).collect()
}

/// Those of a row's entries that have these positions.
pub fn between(first: u32, entries: Vec<Entry>, from: u32, until: u32) -> impl Iterator<Item = Entry> {
    let (skipped, end) = (from.saturating_sub(first), until.saturating_sub(first));
    entries.into_iter().take(end as usize).skip(skipped as usize)
}
