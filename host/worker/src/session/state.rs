//! What a session holds under its lock: what waits for the writer, and how far the attempt has come.

use std::sync::Arc;

use pawl_domain::attempt::Claim;
use pawl_domain::id::Digest;
use pawl_domain::journal::{Checkpoint, Entry, append};
use pawl_domain::recovery::{Passed, Recovered};
use pawl_engine::recorder::Stop;
use pawl_queue::Delivery;
use pawl_store::seal::Seal;
use pawl_store::write::{Ahead, Member, Segment, Settlement};

use super::Session;
use super::unwritten::Unwritten;

/// Where a session stands with the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Standing {
    /// Its claim is there.
    #[default]
    Claimed,
    /// It is ahead: its claim comes with the commit of the step before it.
    Follows,
    /// It is ahead: it was given a head start, and nobody has asked for its claim. With the digest of what its run
    /// asks for.
    Unclaimed(Digest),
    /// It is ahead: its claim is being asked for.
    Asked,
}

/// How far the attempt has come.
#[derive(Debug, Default)]
pub(super) enum Attempt {
    /// Its guest is executed, or going to be.
    #[default]
    Executing,
    /// It has ended like this, which waits for the writer.
    Ended(Settlement),
    /// The writer has it.
    Settled,
}

/// Whether it is on record that a suspect runs alone on its worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Alone {
    /// It is no suspect.
    #[default]
    No,
    /// To be written.
    Pending,
    /// The writer has it.
    Sent,
    /// Written: a death of the worker is the step's from now on.
    OnRecord,
}

/// What goes into the next batch.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) cut: Option<u32>,
    pub(super) segment: Option<Segment>,
    pub(super) checkpoint: Option<Checkpoint>,
    /// Goes along with other things, and is never a reason for a batch.
    pub(super) progress: Option<(f32, String)>,
}

/// Large checkpoints: they go by themselves.
#[derive(Default)]
pub(super) struct Bulk {
    /// The newest, until the entries before it are durable.
    pub(super) waiting: Option<Checkpoint>,
    /// Where these end: also the notes that were handed over along with it, without which nobody goes on from it.
    pub(super) needs: u32,
    /// An older one is being written.
    pub(super) in_flight: bool,
}

impl Bulk {
    pub(super) fn is_written(&self) -> bool {
        self.waiting.is_none() && !self.in_flight
    }
}

/// All of it.
#[derive(Default)]
pub(super) struct State {
    pub(super) standing: Standing,
    pub(super) attempt: Attempt,
    pub(super) alone: Alone,
    pub(super) stop: Option<Stop>,
    /// Journal entries recorded, and how many of them are durable.
    pub(super) recorded: u32,
    pub(super) durable: u32,
    /// Bytes of those that are not.
    pub(super) unwritten: Unwritten,
    pub(super) pending: Pending,
    pub(super) bulk: Bulk,
    /// The last checkpoint that is durable, as the entries between which nothing is replayed any more; and up to where
    /// these have been dropped.
    pub(super) replaced: Option<(u32, u32)>,
    pub(super) trimmed: u32,
    /// It stands in the outbox.
    pub(super) queued: bool,
    /// The writer has a member of it: until that is answered, nothing else is taken, whoever sends it and however
    /// often. Large checkpoints have a way of their own.
    pub(super) in_flight: bool,
    /// After a takeover: what of its recovery has been passed; and, once it has ended, what is to be told of it, with
    /// whatever is written next.
    pub(super) recovering: Option<Passed>,
    pub(super) recovered: Option<Recovered>,
    /// When the replacement had it, ms since 1970 by the clock of the store.
    pub(super) begun_ms: i64,
    /// The successor that is run ahead.
    pub(super) next: Option<Arc<Session>>,
    /// Its guest has had to wait: for its claim, for what is durable, or for room.
    pub(super) has_waited: bool,
    /// To be acknowledged once the attempt has ended.
    pub(super) messages: Vec<Delivery>,
}

impl State {
    /// Whether its claim is not in the database yet.
    pub(super) fn is_ahead(&self) -> bool {
        self.standing != Standing::Claimed
    }

    /// Whether it was given up, or refused: nothing more of it may be written.
    pub(super) fn is_lost(&self) -> bool {
        self.stop == Some(Stop::LeaseLost)
    }

    pub(super) fn has_succeeded(&self) -> bool {
        matches!(self.attempt, Attempt::Ended(Settlement::Succeeded { .. }))
    }

    /// Adds an entry to what is to be written; returns its position.
    pub(super) fn append(&mut self, entry: &Entry) -> u32 {
        let position = self.recorded;
        let new = || Segment { first: position, length: 0, bytes: Vec::new() };
        let segment = self.pending.segment.get_or_insert_with(new);
        let before = segment.bytes.len();
        append(&mut segment.bytes, entry);
        segment.length += 1;
        self.unwritten.add(segment.bytes.len() - before);
        self.recorded += 1;
        position
    }

    /// A large checkpoint goes out when the entries before it are durable.
    pub(super) fn bulk_is_ready(&self) -> bool {
        !self.is_ahead() && self.bulk.waiting.is_some() && self.bulk.needs <= self.durable
    }

    /// Whether there is a reason for a batch.
    pub(super) fn has_something_to_write(&self) -> bool {
        self.alone == Alone::Pending
            || self.pending.cut.is_some()
            || self.pending.segment.is_some()
            || self.pending.checkpoint.is_some()
            || matches!(self.attempt, Attempt::Ended(_))
    }

    /// Takes what there is to write.
    pub(super) fn member(&mut self, claim: &Claim, ahead: Option<Ahead>, seal: &Seal) -> Member {
        let Pending { cut, segment, checkpoint, progress } = std::mem::take(&mut self.pending);
        let segment = segment.map(|segment| seal.segment(claim.id.step, segment));
        let alone = self.alone == Alone::Pending;
        if alone {
            self.alone = Alone::Sent;
        }
        let (attempt, settlement) = match std::mem::take(&mut self.attempt) {
            Attempt::Ended(settlement) => (Attempt::Settled, Some(settlement)),
            other => (other, None),
        };
        self.attempt = attempt;
        self.in_flight = true;
        let recovered = self.recovered.take();
        Member {
            id: claim.id,
            fence: claim.fence,
            ahead,
            alone,
            cut,
            segment,
            checkpoint,
            progress,
            settlement,
            recovered,
        }
    }
}
