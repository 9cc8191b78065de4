//! A step that this worker executes: the meeting point of its guest's thread and the writer.
//!
//! ```text
//!  guest thread ──record, checkpoint, settle──▶ pending ──take──▶ in a batch ──written──▶ durable
//!        │                                        │ (one member per step and batch)          │
//!        └────────── barrier: waits here ◀────────┴──────────────────────────────────────────┘
//! ```
//!
//! Whatever the guest hands over waits here until the writer takes it; a step stands in the writer's queue
//! once, however much it has to say. The first refusal ends everything: no later write of the attempt is
//! sent.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::outbox::Outbox;
use super::trust::Trust;
use crate::domain::attempt::{Claim, Cut};
use crate::domain::journal::{Checkpoint, Entry, append};
use crate::engine::recorder::{Recorder, Stop};
use crate::queue::Delivery;
use crate::store::write::{Member, Segment, Settlement, Verdict};

/// Checkpoints from this size on go on a connection of their own, so that they do not hold up a batch.
pub(super) const BULK_BYTES: usize = 256 << 10;

/// How often a waiting guest looks whether the worker's trust still holds.
const TRUST_CHECK: Duration = Duration::from_millis(100);

/// One step in execution.
pub struct Session {
    /// The right to it.
    pub claim: Claim,
    /// Steps of this run that the worker has executed in a row before this one.
    pub in_a_row: u32,
    this: Weak<Session>,
    outbox: Arc<Outbox>,
    trust: Arc<Trust>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Journal entries recorded, and how many of them are durable.
    recorded: u32,
    durable: u32,
    segment: Option<Segment>,
    checkpoint: Option<Checkpoint>,
    /// A large checkpoint, and whether it waits for the entries before it.
    bulk: Option<Checkpoint>,
    progress: Option<(f32, String)>,
    cut: Option<u32>,
    settlement: Option<Settlement>,
    settled: bool,
    /// Stands in the outbox.
    queued: bool,
    stop: Option<Stop>,
    /// Messages to acknowledge once the attempt has ended.
    deliveries: Vec<Delivery>,
}

impl Session {
    /// A step that was just claimed, and the messages that led to it.
    #[must_use]
    pub fn new(
        claim: Claim,
        deliveries: Vec<Delivery>,
        in_a_row: u32,
        outbox: Arc<Outbox>,
        trust: Arc<Trust>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            state: Mutex::new(State {
                recorded: claim.journal_length,
                durable: claim.journal_length,
                deliveries,
                ..State::default()
            }),
            claim,
            in_a_row,
            this: this.clone(),
            outbox,
            trust,
            changed: Condvar::new(),
        })
    }

    /// Ends the attempt. `cut` drops the journal's rows from that position on, and `rest` stands there
    /// instead.
    pub fn settle(&self, settlement: Settlement, cut: Option<Segment>) {
        let mut state = self.state();
        if let Some(rest) = cut {
            state.cut = Some(rest.first);
            state.segment = (rest.length > 0).then_some(rest);
            state.checkpoint = None;
        }
        state.settlement = Some(settlement);
        state.settled = true;
        self.queue(&mut state);
    }

    /// Whether a cut of the journal would change nothing.
    pub fn keeps_all(&self, cut: &Cut) -> bool {
        cut.at == self.state().recorded && cut.notes.is_empty()
    }

    /// Whether the attempt has ended and its outcome is on its way.
    pub fn is_settling(&self) -> bool {
        self.state().settled
    }

    /// Stops the guest: at its next epoch, host call or wait.
    pub fn stop_with(&self, stop: Stop) {
        let mut state = self.state();
        state.stop.get_or_insert(stop);
        self.changed.notify_all();
    }

    /// More messages for this step came while it runs: they will be acknowledged with the first.
    pub fn also_acknowledge(&self, deliveries: Vec<Delivery>) {
        self.state().deliveries.extend(deliveries);
    }

    /// The messages to acknowledge, once.
    pub fn take_deliveries(&self) -> Vec<Delivery> {
        std::mem::take(&mut self.state().deliveries)
    }

    /// What the step has to write, for the writer; `None` if nothing (any more).
    pub(super) fn take_member(&self) -> Option<Member> {
        let mut state = self.state();
        state.queued = false;
        if state.stop == Some(Stop::LeaseLost) && state.settlement.is_none() {
            return None;
        }
        let member = Member {
            id: self.claim.id,
            fence: self.claim.fence,
            cut: state.cut.take(),
            segment: state.segment.take(),
            checkpoint: state.checkpoint.take(),
            progress: state.progress.take(),
            settlement: state.settlement.take(),
        };
        let empty = member.cut.is_none()
            && member.segment.is_none()
            && member.checkpoint.is_none()
            && member.progress.is_none()
            && member.settlement.is_none();
        (!empty).then_some(member)
    }

    /// A large checkpoint whose entries are durable, for the bulk writer.
    pub(super) fn take_bulk(&self) -> Option<Member> {
        let mut state = self.state();
        let ready = state.bulk.as_ref().is_some_and(|checkpoint| checkpoint.position <= state.durable);
        let checkpoint = if ready { state.bulk.take() } else { None }?;
        Some(Member {
            id: self.claim.id,
            fence: self.claim.fence,
            cut: None,
            segment: None,
            checkpoint: Some(checkpoint),
            progress: None,
            settlement: None,
        })
    }

    /// What became of a member of this step.
    pub(super) fn written(&self, member: &Member, verdict: Verdict) {
        let mut state = self.state();
        match verdict {
            Verdict::Written => {
                if let Some(segment) = &member.segment {
                    state.durable = segment.first + segment.length;
                }
                if state.bulk.as_ref().is_some_and(|checkpoint| checkpoint.position <= state.durable) {
                    self.outbox.push_bulk(self.this.clone());
                }
            }
            Verdict::LeaseLost => state.stop = Some(Stop::LeaseLost),
            Verdict::Gap => {
                tracing::error!(step.id = %self.claim.id, fence = %self.claim.fence,
                    "a journal segment did not start where the journal ends: the attempt is given up");
                state.stop = Some(Stop::LeaseLost);
            }
        }
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while the lock is held is a fault of ours in code that does not panic; the data is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self, state: &mut State) {
        if !state.queued
            && let Some(this) = self.this.upgrade()
        {
            state.queued = true;
            self.outbox.push(this);
        }
    }

    fn allowed(&self, state: &State) -> Result<(), Stop> {
        match state.stop {
            Some(stop) => Err(stop),
            None if self.trust.holds() => Ok(()),
            None => Err(Stop::LeaseLost),
        }
    }
}

impl Recorder for Session {
    fn record(&self, entry: &Entry) -> Result<(), Stop> {
        let mut state = self.state();
        if let Some(stop) = state.stop {
            return Err(stop);
        }
        let first = state.recorded;
        let segment = state.segment.get_or_insert_with(|| Segment { first, length: 0, bytes: Vec::new() });
        append(&mut segment.bytes, entry);
        segment.length += 1;
        state.recorded += 1;
        self.queue(&mut state);
        Ok(())
    }

    fn barrier(&self) -> Result<(), Stop> {
        let mut state = self.state();
        let target = state.recorded;
        while state.durable < target {
            self.allowed(&state)?;
            state = self.changed.wait_timeout(state, TRUST_CHECK).unwrap_or_else(PoisonError::into_inner).0;
        }
        self.allowed(&state)
    }

    fn check_trust(&self) -> Result<(), Stop> {
        self.allowed(&self.state())
    }

    fn checkpoint(&self, checkpoint: Checkpoint) -> Result<(), Stop> {
        let mut state = self.state();
        if let Some(stop) = state.stop {
            return Err(stop);
        }
        if state.checkpoint.is_some() || state.bulk.is_some() {
            crate::fault::point("checkpoint.in_flight.superseded");
        }
        if checkpoint.state.len() < BULK_BYTES {
            state.bulk = None;
            state.checkpoint = Some(checkpoint);
            self.queue(&mut state);
        } else {
            state.checkpoint = None;
            let durable = checkpoint.position <= state.durable;
            state.bulk = Some(checkpoint);
            if durable {
                self.outbox.push_bulk(self.this.clone());
            }
        }
        Ok(())
    }

    fn progress(&self, fraction: f64, message: String) {
        // Postgres' text holds no NUL. Written along with the next write, never a reason for one.
        self.state().progress = Some((fraction.clamp(0.0, 1.0) as f32, message.replace('\0', "")));
    }

    fn stop(&self) -> Option<Stop> {
        self.allowed(&self.state()).err()
    }
}
