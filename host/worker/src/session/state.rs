//! What a session holds under its lock: what waits for the writer, and how far the attempt has come.

use std::sync::Arc;

use pawl_domain::attempt::Claim;
use pawl_domain::id::Digest;
use pawl_domain::journal::{Checkpoint, Entry, append};
use pawl_engine::recorder::Stop;
use pawl_queue::Delivery;
use pawl_store::write::{Ahead, Member, Segment, Settlement};

use super::Session;

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

/// All of it.
#[derive(Default)]
pub(super) struct State {
    /// Journal entries recorded, and how many of them are durable.
    pub(super) recorded: u32,
    pub(super) durable: u32,
    pub(super) segment: Option<Segment>,
    pub(super) checkpoint: Option<Checkpoint>,
    /// A large checkpoint that waits for the entries before it, and whether one is being written.
    pub(super) bulk: Option<Checkpoint>,
    pub(super) bulk_in_flight: bool,
    pub(super) progress: Option<(f32, String)>,
    /// To be written: it runs alone from now on. And whether it was.
    pub(super) alone: bool,
    pub(super) on_record: bool,
    pub(super) cut: Option<u32>,
    pub(super) settlement: Option<Settlement>,
    pub(super) settled: bool,
    /// Stands in the outbox.
    pub(super) queued: bool,
    pub(super) stop: Option<Stop>,
    pub(super) standing: Standing,
    /// The successor that is run ahead.
    pub(super) next: Option<Arc<Session>>,
    /// Messages to acknowledge once the attempt has ended.
    pub(super) deliveries: Vec<Delivery>,
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
        matches!(self.settlement, Some(Settlement::Succeeded { .. }))
    }

    /// Adds an entry to what is to be written; returns its position.
    pub(super) fn append(&mut self, entry: &Entry) -> u32 {
        let position = self.recorded;
        let segment = self.segment.get_or_insert_with(|| Segment { first: position, length: 0, bytes: Vec::new() });
        append(&mut segment.bytes, entry);
        segment.length += 1;
        self.recorded += 1;
        position
    }

    /// A large checkpoint goes out when the entries before it are durable.
    pub(super) fn bulk_is_ready(&self) -> bool {
        !self.is_ahead() && self.bulk.as_ref().is_some_and(|checkpoint| checkpoint.position <= self.durable)
    }

    /// Progress goes along with other things.
    pub(super) fn has_something_to_write(&self) -> bool {
        self.alone
            || self.cut.is_some()
            || self.segment.is_some()
            || self.checkpoint.is_some()
            || self.settlement.is_some()
    }

    /// Takes what there is to write.
    pub(super) fn member(&mut self, claim: &Claim, ahead: Option<Ahead>) -> Member {
        Member {
            id: claim.id,
            fence: claim.fence,
            ahead,
            alone: std::mem::take(&mut self.alone),
            cut: self.cut.take(),
            segment: self.segment.take(),
            checkpoint: self.checkpoint.take(),
            progress: self.progress.take(),
            settlement: self.settlement.take(),
        }
    }
}
