//! The main flow of a worker: receive, claim, execute, settle, acknowledge.
//!
//! ```text
//!  receive ─▶ ask ─▶ [writer: claim] ─▶ start ─▶ [guest thread: execute] ─▶ settle ─▶ [writer: outcome]
//!     ▲                    │ not ready               ▲                                    │ committed
//!     │                    ▼                         └──── successor, claimed with it ────┤
//!     └──── a slot is free ◀─────────────── acknowledge, deliver the others ◀─────────────┘
//! ```
//!
//! What a crash leaves, between every two: before the claim's commit a pending message, which another
//! worker adopts; after it a running step under a lease, which is taken over; after the outcome's commit
//! an unacknowledged message, whose step is found not ready, and undelivered successors, which are found
//! as lost.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, RwLock, mpsc};

use super::acknowledge::Done;
use super::loaded::{Loaded, Loading};
use super::outbox::Outbox;
use super::session::Session;
use super::settle::{Settling, decide, segment_of};
use super::trust::Trust;
use crate::domain::attempt::{Claim, Cut, Outcome};
use crate::domain::id::{RunId, StepId, WorkerId};
use crate::domain::retry::RetryPolicy;
use crate::engine::recorder::{Recorder, Stop};
use crate::engine::{Executed, GuestThreads};
use crate::queue::{Delivery, Reader};
use crate::store::write::{Batch, Member, Settlement, Verdict, Written};
use crate::store::{Store, within};

/// A claim that met a locked run is asked for again after this.
const BUSY_PAUSE: Duration = Duration::from_millis(5);

/// Pauses of a loop whose other side is away.
const OUTAGE_PAUSE: Duration = Duration::from_millis(500);

/// What all parts of a worker's incarnation share.
pub struct Flow {
    /// This start of the worker.
    pub worker: WorkerId,
    /// The queues that it serves.
    pub queues: Arc<[String]>,
    /// How long an answer of the database is waited for.
    pub patience: Duration,
    /// Steps that it executes at once.
    pub slots: usize,
    /// Successors that it takes in a row while others wait.
    pub in_a_row: u32,
    /// A step that crashed this often is a suspect and runs alone.
    pub suspect_from: u32,
    /// The truth.
    pub store: Store,
    /// Components and pipelines.
    pub loaded: Loaded,
    /// Where guests run.
    pub threads: Arc<GuestThreads>,
    /// The writer's lanes; a run belongs to one.
    pub lanes: Vec<Arc<Outbox>>,
    /// What follows commits.
    pub done: mpsc::UnboundedSender<Done>,
    /// Delays after which steps of this worker are due.
    pub soon: mpsc::UnboundedSender<Duration>,
    /// The lease, as this process may rely on it.
    pub trust: Arc<Trust>,
    /// For work that needs the control runtime.
    pub runtime: tokio::runtime::Handle,
    /// Shared by all steps in execution; a suspect takes it alone.
    pub gate: Arc<RwLock<()>>,
    /// Messages wait for a slot.
    pub others_wait: AtomicBool,
    /// Nothing new is taken.
    pub draining: AtomicBool,
    /// Steps in execution.
    pub sessions: Mutex<HashMap<StepId, Arc<Session>>>,
    /// Steps that were asked for, and the messages that led to them.
    pub asked: Mutex<HashMap<StepId, Vec<Delivery>>>,
    /// A slot is free.
    pub freed: Notify,
}

impl Flow {
    /// Receives messages and asks for their steps, as slots are free. Ends with its task.
    pub async fn receive(self: Arc<Self>, mut reader: Reader) {
        let mut backlog: VecDeque<Delivery> = VecDeque::new();
        let mut outage = false;
        loop {
            let free = self.free_slots().await;
            while backlog.is_empty() {
                match reader.read(free).await {
                    Ok(deliveries) => {
                        if std::mem::take(&mut outage) {
                            tracing::info!("Redis is back: messages are read");
                        }
                        self.others_wait.store(deliveries.len() >= free, Ordering::Relaxed);
                        if !deliveries.is_empty() {
                            crate::fault::point("redis.read.before_claim");
                            backlog.extend(deliveries);
                        }
                    }
                    Err(error) => {
                        if !std::mem::replace(&mut outage, true) {
                            tracing::warn!(%error, "Redis is away: no messages are read");
                        }
                        tokio::time::sleep(OUTAGE_PAUSE).await;
                    }
                }
            }
            for _ in 0..self.free_now() {
                let Some(delivery) = backlog.pop_front() else { break };
                self.ask(delivery);
            }
        }
    }

    /// Asks the writer for the step of a message.
    pub fn ask(&self, delivery: Delivery) {
        let Some(id) = delivery.step else {
            self.acknowledge(vec![delivery]);
            return;
        };
        // It runs here already: the step is not ready, whatever the message thought.
        if lock(&self.sessions).contains_key(&id) {
            self.acknowledge(vec![delivery]);
            return;
        }
        let mut asked = lock(&self.asked);
        let first = !asked.contains_key(&id);
        asked.entry(id).or_default().push(delivery);
        drop(asked);
        if first {
            self.lane(id.run).claim([id]);
        }
    }

    /// Takes in the answer to a batch: called by the writer, after the commit.
    pub fn written(self: &Arc<Self>, sessions: &[Arc<Session>], batch: &Batch, written: Written) {
        if batch.members.iter().any(Member::ends) {
            crate::fault::point("outcome.committed.before_publish");
        }
        let moved = written.moved(batch);
        let mut acknowledged = Vec::new();
        let mut in_a_row: HashMap<RunId, u32> = HashMap::new();
        for ((session, member), verdict) in sessions.iter().zip(&batch.members).zip(&written.members) {
            session.written(member, *verdict);
            if member.ends() {
                in_a_row.insert(session.claim.run(), session.in_a_row + 1);
                acknowledged.extend(self.forget(session));
                if *verdict != Verdict::Written {
                    tracing::warn!(step.id = %member.id, fence = %member.fence, worker.id = %self.worker,
                        "LeaseLost: the outcome was refused, the step belongs to another worker");
                }
            }
        }
        for delay in batch.members.iter().filter_map(Member::retry_delay) {
            let _ = self.soon.send(delay);
        }
        for claim in written.claimed {
            let deliveries = lock(&self.asked).remove(&claim.id).unwrap_or_default();
            let before = if deliveries.is_empty() { in_a_row.get(&claim.run()).copied() } else { None };
            self.start(claim, deliveries, before.unwrap_or(0));
        }
        for id in &written.not_ready {
            acknowledged.extend(lock(&self.asked).remove(id).unwrap_or_default());
        }
        if !written.busy.is_empty() {
            self.ask_again_later(written.busy);
        }
        self.freed.notify_one();
        let _ = self.done.send(Done { acknowledged, ready: written.ready, moved, flushed: None });
    }

    /// Starts a claimed step: at once if everything that it needs is in memory.
    fn start(self: &Arc<Self>, claim: Claim, deliveries: Vec<Delivery>, in_a_row: u32) {
        crate::fault::point("claim.before_guest");
        let id = claim.id;
        let session = {
            let mut sessions = lock(&self.sessions);
            // The same claim, told twice: by a resend, or because it was asked for again.
            if let Some(known) = sessions.get(&id).filter(|known| known.claim.fence == claim.fence) {
                return known.also_acknowledge(deliveries);
            }
            let lane = Arc::clone(self.lane(id.run));
            let session = Session::new(claim, deliveries, in_a_row, lane, Arc::clone(&self.trust));
            sessions.insert(id, Arc::clone(&session));
            session
        };
        if self.draining.load(Ordering::Relaxed) {
            return self.conclude(&session, None, not_begun(Outcome::HandedBack));
        }
        let suspect = session.claim.crashes >= self.suspect_from;
        match (self.loaded.at_hand(&session.claim), Arc::clone(&self.gate).try_read_owned()) {
            (Some(loading), Ok(pass)) if !suspect => self.execute(session, loading, pass),
            _ => {
                let flow = Arc::clone(self);
                self.runtime.spawn(async move { flow.prepare(session, suspect).await });
            }
        }
    }

    /// Loads what the step needs, then executes it. A suspect waits until it is alone.
    async fn prepare(self: Arc<Self>, session: Arc<Session>, suspect: bool) {
        let loading = loop {
            if let Some(stop) = session.stop() {
                return self.conclude(&session, None, not_begun(stop.into()));
            }
            match within(self.patience, self.loaded.load(&self.store, &session.claim)).await {
                Ok(Ok(loading)) => break loading,
                Ok(Err(failure)) => {
                    return self.conclude(&session, None, not_begun(Outcome::Failed(failure)));
                }
                Err(error) => {
                    tracing::warn!(%error, step.id = %session.claim.id, "the step can't be loaded yet");
                    tokio::time::sleep(OUTAGE_PAUSE).await;
                }
            }
        };
        if suspect {
            tracing::warn!(step.id = %session.claim.id, crashes = session.claim.crashes,
                "this step may have brought workers down: it runs alone on this one");
            let alone = Arc::clone(&self.gate).write_owned().await;
            self.execute(session, loading, alone);
        } else {
            let pass = Arc::clone(&self.gate).read_owned().await;
            self.execute(session, loading, pass);
        }
    }

    /// Hands the step to a guest thread. `pass` is its place among those that run.
    fn execute<P: Send + 'static>(self: &Arc<Self>, session: Arc<Session>, loading: Loading, pass: P) {
        let flow = Arc::clone(self);
        self.threads.submit(Box::new(move || {
            let policy = loading.retry_policy(&session.claim);
            let executed = flow.loaded.execute(loading, &session);
            drop(pass);
            flow.conclude(&session, policy, executed);
        }));
    }

    /// Settles what came out of an attempt. Called on the guest's thread.
    fn conclude(self: &Arc<Self>, session: &Arc<Session>, policy: Option<RetryPolicy>, executed: Executed) {
        let claim = &session.claim;
        match decide(executed, &policy.unwrap_or_default(), claim, self.may_continue(session)) {
            Settling::Write(settlement) => session.settle(settlement, None),
            Settling::CutAndWrite(cut, settlement) if session.keeps_all(&cut) => session.settle(settlement, None),
            Settling::CutAndWrite(cut, settlement) => {
                let (flow, session) = (Arc::clone(self), Arc::clone(session));
                self.runtime.spawn(async move { flow.cut(&session, cut, settlement).await });
            }
            Settling::Lost => {
                let acknowledged = self.forget(session);
                tracing::info!(step.id = %claim.id, fence = %claim.fence, "LeaseLost: the step was stopped");
                self.freed.notify_one();
                self.acknowledge(acknowledged);
            }
        }
    }

    /// Settles a failed attempt whose journal is cut: the row that the cut goes through is read and put
    /// back up to there.
    async fn cut(&self, session: &Arc<Session>, cut: Cut, settlement: Settlement) {
        loop {
            match within(self.patience, self.store.entries_before_cut(session.claim.id, cut.at)).await {
                Ok(row) => {
                    let (first, mut entries) = row.unwrap_or((cut.at, Vec::new()));
                    entries.extend(cut.notes);
                    return session.settle(settlement, Some(segment_of(first, &entries)));
                }
                Err(error) if error.is_passing() && session.stop() != Some(Stop::LeaseLost) => {
                    tokio::time::sleep(OUTAGE_PAUSE).await;
                }
                Err(error) => {
                    tracing::error!(%error, step.id = %session.claim.id, "the journal can't be cut: the step is given up");
                    session.stop_with(Stop::LeaseLost);
                    return self.acknowledge(self.forget(session));
                }
            }
        }
    }

    /// The step is over for this worker; its messages may be acknowledged.
    pub fn forget(&self, session: &Arc<Session>) -> Vec<Delivery> {
        let mut sessions = lock(&self.sessions);
        if sessions.get(&session.claim.id).is_some_and(|known| Arc::ptr_eq(known, session)) {
            sessions.remove(&session.claim.id);
        }
        session.take_deliveries()
    }

    /// Asks again for steps whose runs were locked.
    fn ask_again_later(self: &Arc<Self>, busy: Vec<StepId>) {
        let flow = Arc::clone(self);
        self.runtime.spawn(async move {
            tokio::time::sleep(BUSY_PAUSE).await;
            for id in busy {
                flow.lane(id.run).claim([id]);
            }
        });
    }

    fn acknowledge(&self, acknowledged: Vec<Delivery>) {
        let _ = self.done.send(Done { acknowledged, ..Done::default() });
    }

    /// A finished step may hand its slot to a successor, unless others have waited for long.
    fn may_continue(&self, session: &Session) -> bool {
        let pressed = session.in_a_row + 1 >= self.in_a_row && self.others_wait.load(Ordering::Relaxed);
        !pressed && !self.draining.load(Ordering::Relaxed)
    }

    /// The writer's lane that a run belongs to.
    pub(super) fn lane(&self, run: RunId) -> &Arc<Outbox> {
        let lane = run.0.as_u128() % self.lanes.len() as u128;
        &self.lanes[lane as usize]
    }

    fn free_now(&self) -> usize {
        if self.draining.load(Ordering::Relaxed) {
            return 0;
        }
        self.slots.saturating_sub(lock(&self.sessions).len() + lock(&self.asked).len())
    }

    /// Waits for free slots.
    async fn free_slots(&self) -> usize {
        loop {
            let freed = self.freed.notified();
            match self.free_now() {
                0 => freed.await,
                free => return free,
            }
        }
    }
}

fn not_begun(outcome: Outcome) -> Executed {
    Executed { outcome, cut: None, replayed: 0, resumed_from: None, elapsed: Duration::ZERO }
}

/// The maps stay whole whatever happens to a thread that holds them: each change is one call.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
