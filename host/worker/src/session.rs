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
//!
//! A step that is run *ahead* (see `ahead`) has no claim in the database yet: nothing of it leaves, and the writer
//! takes nothing of it, until the claim is confirmed. If it has succeeded before, the writer takes its success and
//! its claim at once: along with the step before it, or, after a head start, by itself.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::time::Duration;

use pawl_base::{lock, or_poisoned};
use pawl_domain::attempt::{Claim, Cut};
use pawl_domain::id::{Digest, StepId};
use pawl_domain::wait::Wait;
use pawl_engine::recorder::Stop;
use pawl_queue::Delivery;
use pawl_store::write::{Ahead, Member, Segment, Settlement, Verdict};

use self::state::{Standing, State};
use super::outbox::Outbox;
use super::trust::Trust;

mod guest;
mod state;

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
    /// How many steps it was ahead of the database when it began.
    pub depth: u32,
    this: Weak<Session>,
    outbox: Arc<Outbox>,
    trust: Arc<Trust>,
    state: Mutex<State>,
    changed: Condvar,
}

/// What the writer takes of a session.
pub(super) enum Taken {
    /// What it has to write.
    Member(Box<Member>),
    /// It asks for its claim.
    Claim(StepId),
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
        let state =
            State { recorded: claim.journal_length, durable: claim.journal_length, deliveries, ..State::default() };
        Self::with(claim, in_a_row, 0, outbox, trust, state)
    }

    /// The successor of `before` under the claim that the database is going to answer with.
    #[must_use]
    pub fn ahead_of(before: &Self, claim: Claim) -> Arc<Self> {
        let depth = if before.is_ahead() { before.depth + 1 } else { 1 };
        let state = State { standing: Standing::Follows, ..State::default() };
        let (outbox, trust) = (Arc::clone(&before.outbox), Arc::clone(&before.trust));
        Self::with(claim, before.in_a_row + 1, depth, outbox, trust, state)
    }

    /// A step that is given a head start, under the claim that the database would answer with. `request` is the digest
    /// of what its run asks for.
    #[must_use]
    pub fn unclaimed(claim: Claim, request: Digest, outbox: Arc<Outbox>, trust: Arc<Trust>) -> Arc<Self> {
        let state = State { standing: Standing::Unclaimed(request), ..State::default() };
        Self::with(claim, 0, 1, outbox, trust, state)
    }

    fn with(
        claim: Claim,
        in_a_row: u32,
        depth: u32,
        outbox: Arc<Outbox>,
        trust: Arc<Trust>,
        state: State,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            claim,
            in_a_row,
            depth,
            this: this.clone(),
            outbox,
            trust,
            state: Mutex::new(state),
            changed: Condvar::new(),
        })
    }

    /// Whether its claim is not in the database yet.
    pub fn is_ahead(&self) -> bool {
        self.state().is_ahead()
    }

    /// The database has answered with just this claim: from now on the session is like any other. False if
    /// it was given up before.
    pub fn confirm(&self) -> bool {
        let mut state = self.state();
        if state.is_lost() {
            return false;
        }
        state.standing = Standing::Claimed;
        if state.has_something_to_write() {
            self.queue(&mut state);
        }
        if state.bulk_is_ready() {
            self.outbox.push_bulk(self.this.clone());
        }
        self.changed.notify_all();
        true
    }

    /// Gives the session up if it is still ahead; its step will be executed again under its true claim. `None` if it
    /// is not ahead; otherwise whether that claim has to be asked for.
    pub fn discard(&self) -> Option<bool> {
        let mut state = self.state();
        if !state.is_ahead() {
            return None;
        }
        let must_ask = matches!(state.standing, Standing::Unclaimed(_)) && !state.is_lost();
        state.stop = Some(Stop::LeaseLost);
        self.changed.notify_all();
        Some(must_ask)
    }

    /// A head start is over: the writer asks for the step's claim, if it has not ended by now.
    pub fn end_head_start(&self) {
        self.queue_unclaimed(&mut self.state());
    }

    /// Whether nothing more of it may be written.
    pub fn is_lost(&self) -> bool {
        self.state().is_lost()
    }

    /// Makes `next` the session that is run ahead of this one's commit; false if this one was given up.
    pub fn lead(&self, next: &Arc<Session>) -> bool {
        let mut state = self.state();
        let may = state.stop.is_none();
        if may {
            state.next = Some(Arc::clone(next));
        }
        may
    }

    /// The session that is run ahead of this one's commit.
    pub fn next(&self) -> Option<Arc<Session>> {
        self.state().next.clone()
    }

    /// Parts from the session that was run ahead.
    pub fn take_next(&self) -> Option<Arc<Session>> {
        self.state().next.take()
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
        if matches!(settlement, Settlement::Succeeded { .. }) {
            // Nobody will resume it.
            state.checkpoint = None;
            state.bulk = None;
        }
        state.settlement = Some(settlement);
        state.settled = true;
        self.queue(&mut state);
        self.queue_unclaimed(&mut state);
    }

    /// Ends the attempt, and with it the journal for now: the step waits. Large checkpoints go before it, since
    /// what waits writes nothing.
    pub fn suspend(&self, wait: Wait) {
        let is_written = |state: &State| state.bulk.is_none() && !state.bulk_in_flight;
        // Stopped while it waits here, it resumes from an older checkpoint: that takes longer, and no more.
        let _ = self.wait(self.state(), is_written);
        let mut state = self.state();
        let position = state.append(&wait.entry());
        state.settlement = Some(Settlement::Suspended { wait, position });
        state.settled = true;
        self.queue(&mut state);
    }

    /// Puts on record that the step runs alone on its worker, and waits until that is durable.
    ///
    /// # Errors
    /// [`Stop`] if that can't happen any more.
    pub fn run_alone(&self) -> Result<(), Stop> {
        let mut state = self.state();
        state.alone = true;
        self.queue(&mut state);
        self.wait(state, |state| state.on_record)
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

    /// What the writer is to do for the step; `None` if nothing (any more).
    pub(super) fn take(&self) -> Option<Taken> {
        let mut state = self.state();
        state.queued = false;
        if state.is_lost() && (state.is_ahead() || state.settlement.is_none()) {
            return None;
        }
        let ahead = match state.standing {
            Standing::Claimed => None,
            Standing::Unclaimed(request) if state.has_succeeded() => {
                let Claim { component, pipeline, .. } = self.claim;
                Some(Ahead::Start { component, pipeline, request })
            }
            Standing::Unclaimed(_) => {
                state.standing = Standing::Asked;
                return Some(Taken::Claim(self.claim.id));
            }
            Standing::Follows | Standing::Asked => return None,
        };
        state.has_something_to_write().then(|| Taken::Member(Box::new(state.member(&self.claim, ahead))))
    }

    /// All that the step has to write, if it was run ahead and has succeeded: to go with the step before it.
    pub(super) fn take_follower(&self) -> Option<Member> {
        let mut state = self.state();
        let may = state.standing == Standing::Follows && state.has_succeeded() && state.stop.is_none();
        may.then(|| state.member(&self.claim, Some(Ahead::Follows { component: self.claim.component })))
    }

    /// A large checkpoint whose entries are durable, for the bulk writer.
    pub(super) fn take_bulk(&self) -> Option<Member> {
        let mut state = self.state();
        let checkpoint = if state.bulk_is_ready() { state.bulk.take() } else { None }?;
        state.bulk_in_flight = true;
        Some(Member { checkpoint: Some(checkpoint), ..Member::bare(self.claim.id, self.claim.fence) })
    }

    /// What became of a member of this step.
    pub(super) fn written(&self, member: &Member, verdict: Verdict) {
        let mut state = self.state();
        if member.checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.state.len() >= BULK_BYTES) {
            state.bulk_in_flight = false;
        }
        match verdict {
            Verdict::Written => {
                state.standing = Standing::Claimed;
                state.on_record |= member.alone;
                if let Some(segment) = &member.segment {
                    state.durable = segment.first + segment.length;
                }
                if state.bulk_is_ready() {
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
        lock(&self.state)
    }

    fn queue(&self, state: &mut State) {
        if state.standing == Standing::Claimed {
            self.push(state);
        }
    }

    /// The same for a step that was given a head start: the writer takes its success, or asks for its claim.
    fn queue_unclaimed(&self, state: &mut State) {
        if matches!(state.standing, Standing::Unclaimed(_)) {
            self.push(state);
        }
    }

    fn push(&self, state: &mut State) {
        if !state.queued
            && let Some(this) = self.this.upgrade()
        {
            state.queued = true;
            self.outbox.push(this);
        }
    }

    /// Waits until `done`, for as long as the step is this worker's.
    fn wait(&self, mut state: MutexGuard<'_, State>, done: impl Fn(&State) -> bool) -> Result<(), Stop> {
        loop {
            self.allowed(&state)?;
            if done(&state) {
                return Ok(());
            }
            state = or_poisoned(self.changed.wait_timeout(state, TRUST_CHECK)).0;
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
