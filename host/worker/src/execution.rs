//! From a claim to a settled attempt: load, execute on a guest thread, settle what came out.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pawl_base::lock;
use pawl_domain::attempt::{Claim, Cut, Outcome};
use pawl_domain::succession::{Plan, Succession};
use pawl_engine::Executed;
use pawl_engine::recorder::{Recorder, Stop};
use pawl_queue::Delivery;
use pawl_store::within;
use pawl_store::write::{Segment, Settlement};

use super::flow::{Flow, OUTAGE_PAUSE};
use super::loaded::Loading;
use super::session::Session;
use super::settle::{Settling, decide};

impl Flow {
    /// Starts a claimed step, unless it was run ahead of its claim: at once if everything that it needs is in
    /// memory.
    pub(super) fn start(self: &Arc<Self>, claim: Claim, deliveries: Vec<Delivery>, in_a_row: u32) {
        self.loaded.learn(&claim);
        let Err(deliveries) = self.was_run_ahead(&claim, deliveries) else { return };
        pawl_base::fault::point("claim.before_guest");
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
            self.conclude(&session, None, not_begun(Outcome::HandedBack));
            return;
        }
        match (self.loaded.at_hand(&session.claim), Arc::clone(&self.gate).try_read_owned()) {
            (Some(loading), Ok(pass)) if !self.is_suspect(&session) => self.execute(session, loading, pass),
            _ => {
                let flow = Arc::clone(self);
                self.runtime.spawn(async move { flow.prepare(session).await });
            }
        }
    }

    /// Loads what the step needs, then executes it. A suspect waits until it is alone.
    async fn prepare(self: Arc<Self>, session: Arc<Session>) {
        let loading = loop {
            if let Some(stop) = session.stop() {
                self.conclude(&session, None, not_begun(stop.into()));
                return;
            }
            match within(self.patience, self.loaded.load(&*self.store, &session.claim)).await {
                Ok(Ok(loading)) => break loading,
                Ok(Err(failure)) => {
                    self.conclude(&session, None, not_begun(Outcome::Failed(failure)));
                    return;
                }
                Err(error) => {
                    tracing::warn!(error = error.chain(), step.id = %session.claim.id, "the step can't be loaded yet");
                    tokio::time::sleep(OUTAGE_PAUSE).await;
                }
            }
        };
        if self.is_suspect(&session) {
            tracing::warn!(step.id = %session.claim.id, crashes = session.claim.crashes,
                "this step may have brought workers down: it runs alone on this one");
            let alone = Arc::clone(&self.gate).write_owned().await;
            // On record first: from now on, the death of this process is the step's.
            let flow = Arc::clone(&self);
            self.threads.submit(Box::new(move || match session.run_alone() {
                Ok(()) => flow.execute_here(session, loading, alone),
                Err(stop) => {
                    flow.conclude(&session, None, not_begun(stop.into()));
                }
            }));
        } else {
            let pass = Arc::clone(&self.gate).read_owned().await;
            self.execute(session, loading, pass);
        }
    }

    /// Hands the step to a guest thread, which goes on with what may be run ahead of its commit. `pass` is
    /// its place among those that run.
    pub(super) fn execute<P: Send + 'static>(self: &Arc<Self>, session: Arc<Session>, loading: Loading, pass: P) {
        let flow = Arc::clone(self);
        self.threads.submit(Box::new(move || flow.execute_here(session, loading, pass)));
    }

    fn execute_here<P>(self: &Arc<Self>, session: Arc<Session>, loading: Loading, pass: P) {
        let mut turn = Some((session, loading));
        while let Some((session, loading)) = turn {
            let plan = Arc::clone(&loading.plan);
            let executed = self.loaded.execute(loading, &session);
            turn = self.conclude(&session, Some(&plan), executed);
        }
        drop(pass);
    }

    /// Settles what came out of an attempt; returns the step to go on with at once, ahead of the commit.
    /// Called on the guest's thread.
    fn conclude(
        self: &Arc<Self>,
        session: &Arc<Session>,
        plan: Option<&Arc<Plan>>,
        executed: Executed,
    ) -> Option<(Arc<Session>, Loading)> {
        let claim = &session.claim;
        let succeeded = matches!(executed.outcome, Outcome::Succeeded(_));
        if (!succeeded || session.is_lost())
            && let Some(must_ask) = session.discard()
        {
            self.forget(session);
            if must_ask {
                self.lane(claim.run()).claim([claim.id]);
            }
            return None;
        }
        let policy = plan.and_then(|plan| plan.pipeline.step(claim.id.step)).map(|spec| spec.retry);
        let (then, next) = match (plan, &executed.outcome) {
            (Some(plan), Outcome::Succeeded(output)) => {
                let then = plan.after(claim.id.step, &self.queues, self.may_continue(session));
                let next = self.run_ahead(session, plan, &then, output);
                (then, next)
            }
            _ => (Succession::default(), None),
        };
        match decide(executed, &policy.unwrap_or_default(), claim, then) {
            Settling::Write(settlement) => session.settle(settlement, None),
            Settling::Suspend(wait) => session.suspend(wait),
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
        next
    }

    /// Settles a failed attempt whose journal is cut: the row that the cut goes through is read and put
    /// back up to there.
    async fn cut(&self, session: &Arc<Session>, cut: Cut, settlement: Settlement) {
        loop {
            match within(self.patience, self.store.entries_before_cut(session.claim.id, cut.at)).await {
                Ok(row) => {
                    let (first, mut entries) = row.unwrap_or((cut.at, Vec::new()));
                    entries.extend(cut.notes);
                    return session.settle(settlement, Some(Segment::of(first, &entries)));
                }
                Err(error) if error.is_passing() && session.stop() != Some(Stop::LeaseLost) => {
                    tokio::time::sleep(OUTAGE_PAUSE).await;
                }
                Err(error) => {
                    tracing::error!(error = error.chain(), step.id = %session.claim.id, "the journal can't be cut: the step is given up");
                    session.stop_with(Stop::LeaseLost);
                    return self.acknowledge(self.forget(session));
                }
            }
        }
    }

    /// The step is over for this worker; its messages may be acknowledged.
    pub(super) fn forget(&self, session: &Arc<Session>) -> Vec<Delivery> {
        for map in [&self.sessions, &self.ahead] {
            let mut sessions = lock(map);
            if sessions.get(&session.claim.id).is_some_and(|known| Arc::ptr_eq(known, session)) {
                sessions.remove(&session.claim.id);
            }
        }
        session.take_deliveries()
    }

    /// A finished step may hand its slot to a successor, unless others have waited for long.
    fn may_continue(&self, session: &Session) -> bool {
        let pressed = session.in_a_row + 1 >= self.in_a_row && self.others_wait.load(Ordering::Relaxed);
        !pressed && !self.draining.load(Ordering::Relaxed)
    }

    /// A step that may have brought its workers down.
    pub(super) fn is_suspect(&self, session: &Session) -> bool {
        self.suspicion.is_suspect(session.claim.crashes)
    }
}

fn not_begun(outcome: Outcome) -> Executed {
    Executed { outcome, cut: None, replayed: 0, position: 0, resumed_from: None, elapsed: Duration::ZERO }
}
