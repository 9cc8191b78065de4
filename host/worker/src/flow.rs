//! The main flow of a worker: receive, claim, execute, settle, acknowledge.
//!
//! ```text
//!  receive ─▶ ask ─▶ [writer: claim] ─▶ start ─▶ [guest thread: execute] ─▶ settle ─▶ [writer: outcome]
//!     ▲   │                │ not ready               ▲  ▲                                 │ committed
//!     │   └──── a head start, before the claim ──────│──┘                                 │
//!     │                    ▼                         └──── successor, claimed with it ────┤
//!     └──── a slot is free ◀─────────────── acknowledge, deliver the others ◀─────────────┘
//! ```
//!
//! `execution` has the middle of it, from `start` to `settle`; `ahead` how short steps need not wait for their
//! claims, nor chains for their commits.
//!
//! What a crash leaves, between every two: before the claim's commit a pending message, which another
//! worker adopts; after it a running step under a lease, which is taken over; after the outcome's commit
//! an unacknowledged message, whose step is found not ready, and undelivered successors, which are found
//! as lost.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pawl_base::lock;
use pawl_domain::id::{RunId, StepId, WorkerId};
use pawl_domain::suspicion::Suspicion;
use pawl_engine::GuestThreads;
use pawl_queue::{Delivery, Reader};
use pawl_store::SharedStore;
use pawl_store::write::{Ahead, Batch, Member, Verdict, Written};
use tokio::sync::{Notify, RwLock, mpsc};

use super::acknowledge::Done;
use super::loaded::Loaded;
use super::outbox::Outbox;
use super::session::Session;
use super::trust::Trust;

/// A claim that met a locked run is asked for again after this.
const BUSY_PAUSE: Duration = Duration::from_millis(5);

/// Pauses of a loop whose other side is away.
pub(super) const OUTAGE_PAUSE: Duration = Duration::from_millis(500);

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
    /// When a step is blamed for the deaths of its workers.
    pub suspicion: Suspicion,
    /// The truth.
    pub store: SharedStore,
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
    /// Steps in execution ahead of their claims. They use the slots of those before them, or of those asked for.
    pub ahead: Mutex<HashMap<StepId, Arc<Session>>>,
    /// Steps that were asked for, or given a head start, and the messages that led to them.
    pub asked: Mutex<HashMap<StepId, Vec<Delivery>>>,
    /// A slot is free.
    pub freed: Notify,
}

impl Flow {
    /// Receives messages and asks for their steps, as slots are free. Ends with its task.
    pub async fn receive(self: Arc<Self>, mut reader: Box<dyn Reader>) {
        let mut backlog: VecDeque<Delivery> = VecDeque::new();
        let mut outage = false;
        loop {
            let free = self.free_slots().await;
            while backlog.is_empty() {
                match reader.read(free).await {
                    Ok(deliveries) => {
                        if std::mem::take(&mut outage) {
                            tracing::info!("messages are read again");
                        }
                        self.others_wait.store(deliveries.len() >= free, Ordering::Relaxed);
                        if !deliveries.is_empty() {
                            pawl_base::fault::point("redis.read.before_claim");
                            backlog.extend(deliveries);
                        }
                    }
                    Err(error) => {
                        if !std::mem::replace(&mut outage, true) {
                            tracing::warn!(error = error.chain(), "no messages are read");
                        }
                        tokio::time::sleep(OUTAGE_PAUSE).await;
                    }
                }
            }
            for _ in 0..self.free_now() {
                let Some(mut delivery) = backlog.pop_front() else { break };
                let start = delivery.start.take();
                let Some(id) = self.note(delivery) else { continue };
                if !start.is_some_and(|start| self.start_ahead(id, start)) {
                    self.lane(id.run).claim([id]);
                }
            }
        }
    }

    /// Asks the writer for the step of a message.
    pub fn ask(&self, delivery: Delivery) {
        if let Some(id) = self.note(delivery) {
            self.lane(id.run).claim([id]);
        }
    }

    /// Keeps the message of a step that is going to be asked for; `None` if there is nothing to ask for.
    fn note(&self, delivery: Delivery) -> Option<StepId> {
        // It runs here already: the step is not ready, whatever the message thought.
        let Some(id) = delivery.step.filter(|id| !lock(&self.sessions).contains_key(id)) else {
            self.acknowledge(vec![delivery]);
            return None;
        };
        let mut asked = lock(&self.asked);
        let is_first = !asked.contains_key(&id);
        asked.entry(id).or_default().push(delivery);
        is_first.then_some(id)
    }

    /// Takes in the answer to a batch: called by the writer, after the commit.
    pub fn written(self: &Arc<Self>, sessions: &[Arc<Session>], batch: &Batch, written: Written) {
        if batch.members.iter().any(Member::ends) {
            pawl_base::fault::point("outcome.committed.before_publish");
        }
        let moved = written.moved(batch);
        let mut acknowledged = Vec::new();
        let mut in_a_row: HashMap<RunId, u32> = HashMap::new();
        for ((session, member), verdict) in sessions.iter().zip(&batch.members).zip(&written.members) {
            session.written(member, *verdict);
            if member.ends() {
                in_a_row.insert(session.claim.run(), session.in_a_row + 1);
                acknowledged.extend(self.forget(session));
                match (verdict, member.ahead) {
                    (Verdict::Written, Some(Ahead::Start { .. })) => {
                        acknowledged.extend(lock(&self.asked).remove(&member.id).unwrap_or_default());
                    }
                    // A wrong guess: what is true is asked for.
                    (_, Some(Ahead::Start { .. })) => self.lane(member.id.run).claim([member.id]),
                    (Verdict::Written, _) | (_, Some(Ahead::Follows { .. })) => {}
                    (_, None) => {
                        tracing::warn!(step.id = %member.id, fence = %member.fence, worker.id = %self.worker,
                            "LeaseLost: the outcome was refused, the step belongs to another worker");
                    }
                }
            }
        }
        for delay in batch.members.iter().filter_map(Member::due_after) {
            let _ = self.soon.send(delay);
        }
        for claim in written.claimed {
            let deliveries = lock(&self.asked).remove(&claim.id).unwrap_or_default();
            let before = if deliveries.is_empty() { in_a_row.get(&claim.run()).copied() } else { None };
            self.start(claim, deliveries, before.unwrap_or(0));
        }
        // What was run ahead of these and is not claimed now never will be.
        for (session, member) in sessions.iter().zip(&batch.members).filter(|(_, member)| member.ends()) {
            if let Some(next) = session.take_next().filter(|next| next.is_ahead()) {
                tracing::debug!(step.id = %member.id, "what was run ahead of this step is given up");
                self.give_up(next);
            }
        }
        for id in &written.not_ready {
            acknowledged.extend(lock(&self.asked).remove(id).unwrap_or_default());
            let ahead = lock(&self.ahead).get(id).cloned();
            if let Some(session) = ahead {
                self.give_up(session);
            }
        }
        if !written.busy.is_empty() {
            self.ask_again_later(written.busy);
        }
        self.freed.notify_one();
        let _ = self.done.send(Done { acknowledged, ready: written.ready, moved, flushed: None });
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

    pub(super) fn acknowledge(&self, acknowledged: Vec<Delivery>) {
        let _ = self.done.send(Done { acknowledged, ..Done::default() });
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
