//! A step that this worker executes: the meeting point of its guest's thread and the writer.
//!
//! ```text
//!  guest thread ──record, checkpoint, end──▶ pending ──take──▶ in a batch ──written──▶ durable
//!        │                                      │ (one member per step and batch)          │
//!        └────────── barrier: waits here ◀──────┴──────────────────────────────────────────┘
//! ```
//!
//! Whatever the guest hands over waits here until the writer takes it; a step stands in the writer's queue
//! once, however much it has to say. The first refusal ends everything: no later write of the attempt is
//! sent.
//!
//! `guest` is the guest's side of it, `writing` the writer's, `state` what lies under the lock, `recovery` what is told
//! after a takeover, `saying` and `printing` what the guest logs, `traced` what its trace is told. What only sessions
//! know that are run ahead of their claims stands in `ahead`; for all others [`Standing::Claimed`] is all of it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, Weak};
use std::time::{Duration, Instant};

use pawl_base::{lock, or_poisoned};
use pawl_domain::attempt::{Claim, Cut};
use pawl_domain::recovery::Passed;
use pawl_domain::wait::Wait;
use pawl_engine::recorder::{Interrupt, Stop};
use pawl_queue::Delivery;
use pawl_store::seal::{Place, Seal};
use pawl_store::write::{Segment, Settlement};

use self::saying::Saying;
use self::state::{Alone, Attempt, Standing, State};
use self::traced::Traced;
use self::unwritten::Unwritten;
use crate::circuits::Circuits;
use crate::outbox::Outbox;
use crate::trust::Trust;
use crate::version::Version;

mod ahead;
mod guest;
mod printing;
mod recovery;
mod saying;
mod state;
mod traced;
mod unwritten;
mod writing;

pub use saying::Said;
pub use writing::Taken;

/// Checkpoints from this size on go on a connection of their own, so that they do not hold up a batch.
const BULK_BYTES: usize = 256 << 10;

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
    /// Once somebody has had it at hand.
    version: OnceLock<Arc<Version>>,
    /// What its run's payloads are sealed with, once its guest begins.
    seal: OnceLock<Seal>,
    this: Weak<Session>,
    outbox: Arc<Outbox<Session>>,
    trust: Arc<Trust>,
    state: Mutex<State>,
    changed: Condvar,
    /// Apart from all that the writer takes.
    saying: Saying,
    /// What is known of outside hosts; none if nobody heeds that.
    circuits: OnceLock<Arc<Circuits>>,
    /// None if its process sends no spans.
    traced: Option<Box<Traced>>,
}

impl Session {
    /// A step that was just claimed.
    #[must_use]
    pub fn new(claim: Claim, in_a_row: u32, outbox: Arc<Outbox<Session>>, trust: Arc<Trust>) -> Arc<Self> {
        let recovering = claim.recovers.then(Passed::default);
        let begun_ms = if claim.recovers { trust.clock.unix_ms() } else { 0 };
        let (recorded, durable) = (claim.journal_length, claim.journal_length);
        let state = State { recorded, durable, recovering, begun_ms, ..State::default() };
        Self::with(claim, in_a_row, 0, outbox, trust, state)
    }

    fn with(
        claim: Claim,
        in_a_row: u32,
        depth: u32,
        outbox: Arc<Outbox<Session>>,
        trust: Arc<Trust>,
        mut state: State,
    ) -> Arc<Self> {
        state.unwritten = Unwritten::new(outbox.unwritten());
        let traced = Traced::of(&claim, || trust.clock.unix_ns());
        Arc::new_cyclic(|this| Self {
            claim,
            in_a_row,
            depth,
            version: OnceLock::new(),
            seal: OnceLock::new(),
            this: this.clone(),
            outbox,
            trust,
            state: Mutex::new(state),
            changed: Condvar::new(),
            saying: Saying::default(),
            circuits: OnceLock::new(),
            traced,
        })
    }

    /// From now on, its guest calls no outside host that is down.
    pub fn heed(&self, circuits: &Arc<Circuits>) {
        // Set before the guest begins, and once.
        let _ = self.circuits.set(Arc::clone(circuits));
    }

    /// The step is one of this pipeline version.
    pub fn is_of(&self, version: &Arc<Version>) -> &Self {
        self.version.get_or_init(|| Arc::clone(version));
        self
    }

    /// What it writes is sealed with this.
    pub fn seal_with(&self, seal: &Seal) {
        self.seal.get_or_init(|| seal.clone());
    }

    /// What its run's payloads are sealed with. What has not begun writes none.
    pub fn seal(&self) -> &Seal {
        self.seal.get().unwrap_or(&Seal::CLEAR)
    }

    /// The pipeline version, if somebody has had it at hand.
    pub fn version(&self) -> Option<Arc<Version>> {
        self.version.get().cloned()
    }

    /// Hands the outcome to the writer; nothing is durable yet. With a cut, the journal's rows from the segment's first
    /// position on are dropped, and it stands there instead.
    pub fn hand_over(&self, settlement: Settlement, cut: Option<Segment>) {
        self.trace_handed_over();
        let settlement = match settlement {
            Settlement::Succeeded { output, then } => Settlement::Succeeded { output: self.as_kept(output), then },
            other => other,
        };
        let mut state = self.state();
        if let Some(rest) = cut {
            state.pending.cut = Some(rest.first);
            state.pending.segment = (rest.length > 0).then_some(rest);
            state.pending.checkpoint = None;
        }
        if matches!(settlement, Settlement::Succeeded { .. }) {
            // Nobody will resume it.
            state.pending.checkpoint = None;
            state.bulk.waiting = None;
        }
        self.recovery_ends(&mut state, Some(&settlement));
        state.attempt = Attempt::Ended(settlement);
        self.queue(&mut state);
        self.queue_unclaimed(&mut state);
        if state.next.is_none() {
            self.stir(&state);
        }
    }

    /// Its output, as it is kept.
    pub fn as_kept(&self, output: Vec<u8>) -> Vec<u8> {
        self.seal().seal(Place::Output(self.claim.id.step), output)
    }

    /// Ends the attempt, and with it the journal for now: the step waits. Large checkpoints go before it, since
    /// what waits writes nothing.
    pub fn suspend(&self, wait: Wait) {
        // Stopped while it waits here, it resumes from an older checkpoint: that takes longer, and no more.
        let _ = self.wait(self.state(), Duration::MAX, |state| state.bulk.is_written());
        self.trace_handed_over();
        let mut state = self.state();
        let position = state.append(&wait.entry());
        let settlement = Settlement::Suspended { wait, position };
        self.recovery_ends(&mut state, Some(&settlement));
        state.attempt = Attempt::Ended(settlement);
        self.queue(&mut state);
    }

    /// Ends the attempt until an outside host is back. Large checkpoints go before it, as in [`Session::suspend`].
    pub fn defer(&self, settlement: Settlement) {
        let _ = self.wait(self.state(), Duration::MAX, |state| state.bulk.is_written());
        self.hand_over(settlement, None);
    }

    /// Puts on record that the step runs alone on its worker, and waits until that is durable.
    ///
    /// # Errors
    /// [`Interrupt::Stop`] if that can't happen any more.
    pub fn run_alone(&self) -> Result<(), Interrupt> {
        let mut state = self.state();
        state.alone = Alone::Pending;
        self.queue(&mut state);
        self.wait(state, Duration::MAX, |state| state.alone == Alone::OnRecord)
    }

    /// Whether a cut of the journal would change nothing.
    pub fn keeps_all(&self, cut: &Cut) -> bool {
        cut.at == self.state().recorded && cut.notes.is_empty()
    }

    /// Whether the attempt has ended and its outcome is on its way.
    pub fn has_ended(&self) -> bool {
        !matches!(self.state().attempt, Attempt::Executing)
    }

    /// Stops the guest: at its next epoch, host call or wait.
    pub fn stop_with(&self, stop: Stop) {
        let mut state = self.state();
        state.stop.get_or_insert(stop);
        self.changed.notify_all();
        self.stir(&state);
    }

    /// Messages that led to this step: they will be acknowledged when it ends, or suspends.
    pub fn also_acknowledge(&self, messages: Vec<Delivery>) {
        self.state().messages.extend(messages);
    }

    /// The messages to acknowledge, once.
    pub fn take_messages(&self) -> Vec<Delivery> {
        std::mem::take(&mut self.state().messages)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while the lock is held is a fault of ours in code that does not panic; the data is whole.
        lock(&self.state)
    }

    /// Stands in line for the writer, once the step is claimed.
    fn queue(&self, state: &mut State) {
        if state.standing == Standing::Claimed {
            self.push(state);
        }
    }

    fn push(&self, state: &mut State) {
        // What is in flight comes first; then it stands in line again.
        if !state.queued
            && !state.in_flight
            && let Some(this) = self.this.upgrade()
        {
            state.queued = true;
            self.outbox.push(this);
        }
    }

    fn queue_bulk(&self, state: &State) {
        if state.bulk_is_ready() {
            self.outbox.push_bulk(self.this.clone());
        }
    }

    /// Waits until `done`, for as long as the step is this worker's, `at_most` so long.
    fn wait(
        &self,
        mut state: MutexGuard<'_, State>,
        at_most: Duration,
        done: impl Fn(&State) -> bool,
    ) -> Result<(), Interrupt> {
        let began = Instant::now();
        loop {
            self.allowed(&state)?;
            if done(&state) {
                return Ok(());
            }
            let left = at_most.saturating_sub(began.elapsed());
            if left.is_zero() {
                return Err(Interrupt::Timeout);
            }
            if !std::mem::replace(&mut state.has_waited, true) {
                self.stir(&state);
            }
            // An answer of the writer wakes it; the lease may run out without one.
            state = or_poisoned(self.changed.wait_timeout(state, TRUST_CHECK.min(left))).0;
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
