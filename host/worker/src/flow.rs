//! The main flow of a worker: receive, claim, execute, settle, acknowledge.
//!
//! ```text
//!  receive ─▶ ask ─▶ [writer: claim] ─▶ start ─▶ [guest thread: execute] ─▶ settle ─▶ [writer: outcome]
//!     ▲                    │ not ready               ▲                                     │ committed
//!     │                    ▼                         └── successor, claimed with it ───────┤
//!     └──── a slot is free ◀─────────────── acknowledge, deliver the others ◀──────────────┘
//! ```
//!
//! What a crash leaves, between every two: before the claim's commit a pending message, which another
//! worker adopts; after it a running step under a lease, which is taken over; after the outcome's commit
//! an unacknowledged message, whose step is found not ready, and undelivered successors, which are found
//! as lost.
//!
//! Where `ahead` is called, steps may overtake their own claims, or the commits of those before them. To read this
//! page, take it that the answer is no: the flow is then all of it. What the answer to a batch sets going is in `written`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pawl_base::lock;
use pawl_dispatch::incidents::Seeing;
use pawl_domain::attempt::{Claim, Cut, Outcome};
use pawl_domain::id::{StepId, WorkerId};
use pawl_domain::succession::Succession;
use pawl_engine::Executed;
use pawl_engine::recorder::{Interrupt, Stop};
use pawl_queue::{Delivery, Reader};
use pawl_store::write::Settlement;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};

use crate::acknowledge::Done;
use crate::ahead::RunAhead;
use crate::config::OUTAGE_PAUSE;
use crate::desk::{Desk, Noted};
use crate::gate::Pass;
use crate::guests::Guests;
use crate::loaded::Loading;
use crate::outbox::Outboxes;
use crate::session::Session;
use crate::settle::{Settling, decide, without_payloads};
use crate::tally::Waits;
use crate::trust::Trust;
use crate::version::Version;

mod written;

/// While a step is executed alone, this is how often it is looked whether it still is.
const CLOSED_PAUSE: Duration = Duration::from_millis(50);

/// An incarnation's way of steps, from their messages to their acknowledgements.
pub struct Flow {
    worker: WorkerId,
    /// The queues that are served: only their steps can be gone on with.
    queues: Vec<String>,
    desk: Arc<Desk>,
    /// Where its steps are executed.
    pub guests: Arc<Guests>,
    ahead: RunAhead,
    outboxes: Outboxes<Session>,
    /// What follows commits.
    done: mpsc::UnboundedSender<Done>,
    /// Delays after which steps of this worker are due.
    soon: mpsc::UnboundedSender<Duration>,
    trust: Arc<Trust>,
    /// The longest delay that a guest may ask for.
    longest_retry_delay: Duration,
    /// A step has died: other systems are told.
    died: Arc<Notify>,
    /// Messages that were read and not asked for yet.
    backlog: Mutex<VecDeque<Delivery>>,
    /// Guest threads have none of their own.
    runtime: Handle,
}

/// What a flow is made of; see the fields of [`Flow`].
pub struct Parts {
    pub worker: WorkerId,
    pub queues: Vec<String>,
    pub run_ahead: bool,
    pub desk: Arc<Desk>,
    pub guests: Guests,
    pub outboxes: Outboxes<Session>,
    pub done: mpsc::UnboundedSender<Done>,
    pub soon: mpsc::UnboundedSender<Duration>,
    pub trust: Arc<Trust>,
    pub longest_retry_delay: Duration,
    pub died: Arc<Notify>,
}

impl Flow {
    /// The flow on the current runtime.
    #[must_use]
    pub fn new(parts: Parts) -> Arc<Self> {
        let Parts { worker, queues, run_ahead, desk, guests, outboxes, done, soon, trust, longest_retry_delay, died } =
            parts;
        let guests = Arc::new(guests);
        let ahead = RunAhead::new(run_ahead, Arc::clone(&guests), outboxes.clone(), Arc::clone(&trust));
        let (backlog, runtime) = (Mutex::default(), Handle::current());
        Arc::new(Self {
            worker,
            queues,
            desk,
            guests,
            ahead,
            outboxes,
            done,
            soon,
            trust,
            longest_retry_delay,
            died,
            backlog,
            runtime,
        })
    }

    /// Receives messages and asks for their steps, as slots are free. Ends with its task.
    pub async fn receive(self: Arc<Self>, mut reader: Box<dyn Reader>, seeing: Arc<Seeing>) {
        let mut outage = false;
        let waits = Waits::of(reader.streams());
        loop {
            let free = self.desk.free_slots().await;
            if !self.guests.is_open() {
                tokio::time::sleep(CLOSED_PAUSE).await;
                continue;
            }
            while lock(&self.backlog).is_empty() {
                let read = reader.read(free).await;
                waits.count(&read, || self.trust.clock.unix_ns());
                if reader.has_lost() {
                    seeing.queue_has_lost();
                }
                match read {
                    Ok(deliveries) => {
                        seeing.queue_is_there();
                        if std::mem::take(&mut outage) {
                            tracing::info!("messages are read again");
                        }
                        self.desk.others_wait(deliveries.len() >= free);
                        if !deliveries.is_empty() {
                            pawl_base::fault::point("redis.read.before_claim");
                            lock(&self.backlog).extend(deliveries);
                        }
                    }
                    Err(error) => {
                        seeing.queue_is_away(None);
                        if !std::mem::replace(&mut outage, true) {
                            tracing::warn!(error = error.chain(), "no messages are read");
                        }
                        tokio::time::sleep(OUTAGE_PAUSE).await;
                    }
                }
            }
            // Slots may have been taken meanwhile.
            let asked: Vec<Delivery> = {
                let mut backlog = lock(&self.backlog);
                let free = self.desk.free_now().min(backlog.len());
                backlog.drain(..free).collect()
            };
            asked.into_iter().for_each(|delivery| self.ask(delivery));
        }
    }

    /// Gives back what was read and is not going to be asked for: others may have place for it.
    pub fn return_backlog(&self) {
        let acknowledged: Vec<Delivery> = lock(&self.backlog).drain(..).collect();
        let ready = acknowledged.iter().filter_map(Delivery::again).collect();
        let _ = self.done.send(Done { acknowledged, ready, ..Done::default() });
    }

    /// Asks the writer for the step of a message, or begins with it at once.
    fn ask(self: &Arc<Self>, mut delivery: Delivery) {
        let (start, ready_at_ms) = (delivery.start.take(), delivery.ready_at_ms);
        let Some(id) = self.note(delivery) else { return };
        match start.and_then(|start| self.ahead.head_start(id, start)) {
            Some((session, loading, pass)) => {
                session.was_ready_at(ready_at_ms);
                self.execute(session, loading, pass);
            }
            None => self.outboxes.request_claim(id),
        }
    }

    /// Asks for the step of a message that a dead worker had: it may have died of a head start.
    pub fn adopt(&self, delivery: Delivery) {
        if let Some(id) = self.note(delivery) {
            self.outboxes.request_claim(id);
        }
    }

    /// Keeps the message until its consequence is committed; `None` if nothing is to be asked for.
    fn note(&self, delivery: Delivery) -> Option<StepId> {
        match self.desk.note(delivery) {
            Noted::AskFor(id) => Some(id),
            Noted::Asked => None,
            Noted::Nothing(delivery) => {
                self.acknowledge(vec![delivery]);
                None
            }
        }
    }

    /// Starts a claimed step: at once if everything that it needs is in memory.
    fn start(self: &Arc<Self>, claim: Claim, in_a_row: u32) {
        self.guests.learn(&claim);
        if let Some(session) = self.ahead.confirm(&claim, &self.desk) {
            self.guests.count_start(&session);
            return;
        }
        pawl_base::fault::point("claim.before_guest");
        let outbox = Arc::clone(self.outboxes.of(claim.run()));
        let session = Session::new(claim, in_a_row, outbox, Arc::clone(&self.trust));
        if !self.desk.begin(&session) {
            return;
        }
        if self.desk.is_draining() {
            // It was asked for before the drain: others need not wait until its lease runs out.
            self.guests.count_start(&session);
            self.settle_unbegun(&session, Outcome::HandedBack);
        } else if let Some((loading, pass)) = self.guests.at_hand(&session.claim) {
            self.guests.count_start(session.is_of(&loading.version));
            self.execute(session, loading, pass);
        } else {
            let flow = Arc::clone(self);
            self.runtime.spawn(async move {
                match flow.guests.prepare(&session).await {
                    Ok((loading, pass)) => flow.execute(session, loading, pass),
                    Err(outcome) => flow.settle_unbegun(&session, outcome),
                }
            });
        }
    }

    /// Hands the step to a guest thread, which goes on with what may be run ahead of its commit.
    fn execute(self: &Arc<Self>, session: Arc<Session>, loading: Loading, pass: Pass) {
        let flow = Arc::clone(self);
        self.guests.submit(move || {
            // On record first: from now on, the death of this process is the step's.
            if pass.is_suspect()
                && let Err(Interrupt::Stop(stop)) = session.run_alone()
            {
                return flow.settle_unbegun(&session, stop.into());
            }
            let mut turn = Some((session, loading));
            while let Some((session, loading)) = turn {
                let version = Arc::clone(&loading.version);
                let executed = flow.guests.execute(loading, &session);
                turn = flow.settle(&session, Some(&version), executed);
            }
            drop(pass);
        });
    }

    /// Settles an attempt that did not begin.
    fn settle_unbegun(self: &Arc<Self>, session: &Arc<Session>, outcome: Outcome) {
        let (cut, elapsed) = (None, Duration::ZERO);
        let executed = Executed { outcome, cut, replayed: 0, position: 0, resumed_from: None, elapsed };
        let next = self.settle(session, None, executed);
        debug_assert!(next.is_none(), "nothing is run ahead of what has not succeeded");
    }

    /// Settles what came out of an attempt: decides what it means, and hands that to the writer. Called on the guest's
    /// thread; returns the step to go on with at once, ahead of the commit.
    ///
    /// Nothing is told to anybody here: a crash from here to the commit leaves a running step under a lease, whose
    /// attempt is made up for from its checkpoint and journal. Whether the fence is still this worker's is judged in
    /// the statement that writes, and nowhere else.
    fn settle(
        self: &Arc<Self>,
        session: &Arc<Session>,
        version: Option<&Arc<Version>>,
        executed: Executed,
    ) -> Option<(Arc<Session>, Loading)> {
        if self.ahead.discard(session, &executed.outcome) {
            return None;
        }
        let executed = if session.seal().is_clear() { executed } else { without_payloads(executed) };
        if let Some(version) = version {
            version.count(&executed);
        }
        session.has_replayed(executed.replayed);
        let claim = &session.claim;
        let (then, next) = match (version, &executed.outcome) {
            (Some(version), Outcome::Succeeded(output)) => {
                let may_continue = self.guests.is_open() && self.desk.may_continue(session.in_a_row);
                let then = version.plan.after(claim.id.step, &self.queues, may_continue);
                // Before the writer has the success: its answer may come at any time after, and confirms the next.
                let next = self.ahead.next_of(session, version, &then, output);
                (then, next)
            }
            _ => (Succession::default(), None),
        };
        let spec = version.and_then(|version| version.plan.pipeline.step(claim.id.step));
        let policy = spec.map(|spec| spec.retry).unwrap_or_default();
        match decide(executed, &policy, self.longest_retry_delay, claim, then) {
            Settling::Write(settlement) => session.hand_over(settlement, None),
            Settling::Suspend(wait) => session.suspend(wait),
            Settling::Defer(settlement) => session.defer(settlement),
            Settling::CutAndWrite(cut, settlement) if session.keeps_all(&cut) => session.hand_over(settlement, None),
            Settling::CutAndWrite(cut, settlement) => self.cut_and_end(Arc::clone(session), cut, settlement),
            Settling::Lost => {
                tracing::info!(step.id = %claim.id, fence = %claim.fence, "LeaseLost: the step was stopped");
                session.trace_end(self.worker, None);
                self.leave(session);
            }
        }
        next
    }

    /// Ends an attempt whose journal is cut. For that it reads, which a guest thread is not to wait for.
    fn cut_and_end(self: &Arc<Self>, session: Arc<Session>, cut: Cut, settlement: Settlement) {
        let flow = Arc::clone(self);
        self.runtime.spawn(async move {
            match flow.guests.row_of_cut(&session, &cut).await {
                Some(row) => session.hand_over(settlement, Some(row)),
                None => {
                    session.stop_with(Stop::LeaseLost);
                    session.trace_end(flow.worker, None);
                    flow.leave(&session);
                }
            }
        });
    }

    /// Leaves the step as it stands in the database. Its messages are acknowledged although nothing was committed here:
    /// whoever has raised the fence delivers the step anew; if nobody has, the takeover of the lease does, or the
    /// reconciliation.
    fn leave(&self, session: &Arc<Session>) {
        let acknowledged = self.end(session);
        self.desk.wake_receiver();
        self.acknowledge(acknowledged);
    }

    /// Gives up a step that was run ahead of its claim, and all that was run ahead of it.
    pub fn give_up(&self, session: Arc<Session>) {
        self.ahead.give_up(session);
    }

    /// Stops all steps in execution.
    pub fn stop_all(&self, stop: Stop) {
        self.desk.running().iter().for_each(|session| session.stop_with(stop));
        self.ahead.stop_all(stop);
    }

    /// The step is over for this worker; its messages may be acknowledged.
    fn end(&self, session: &Arc<Session>) -> Vec<Delivery> {
        self.ahead.end(session);
        self.desk.end(session)
    }

    fn acknowledge(&self, acknowledged: Vec<Delivery>) {
        let _ = self.done.send(Done { acknowledged, ..Done::default() });
    }
}
