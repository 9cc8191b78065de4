//! One incarnation of a worker, from its first heartbeat to the end of its lease or to a drain: what it consists of,
//! and the loops that run beside the flow.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use pawl_dispatch::incidents::Seeing;
use pawl_domain::id::WorkerId;
use pawl_engine::GuestThreads;
use pawl_engine::recorder::Stop;
use pawl_metrics::figures;
use pawl_queue::{SharedQueue, Stream};
use pawl_store::leases::Pulse;
use pawl_store::{SharedStore, within};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};

use crate::acknowledge::Done;
use crate::circuits::Circuits;
use crate::compile_ahead::Compiling;
use crate::config::Config;
use crate::desk::Desk;
use crate::drain::{drain, put_back};
use crate::flow::{Flow, Parts};
use crate::guests::Guests;
use crate::heartbeat::Beating;
use crate::loaded::Loaded;
use crate::logbook::Logbook;
use crate::mirror::Mirroring;
use crate::outbox::{Large, Outbox, Outboxes};
use crate::reconcile::Reconciling;
use crate::retain::Retaining;
use crate::scheduler::Scheduler;
use crate::session::Session;
use crate::standing::Standing;
use crate::tally::Ends;
use crate::trim::Trimming;
use crate::trust::{Trust, boottime_ms};
use crate::vitals::Vitals;
use crate::writer::Writing;
use crate::{acknowledge, compile_ahead, heartbeat, mirror, reconcile, retain, scheduler, trim, writer};

/// How often the process looks after itself.
const TICK: Duration = Duration::from_millis(250);

/// A tick that took longer than this was not the process's own doing: it was stopped, or starved.
const LONGEST_TICK_MS: u64 = 1_000;

/// Pause between attempts to begin a lease.
const LEASE_PAUSE: Duration = Duration::from_secs(1);

/// How long a read waits for messages: a server that has died is noticed this much later.
const READ_BLOCK: Duration = Duration::from_secs(2);

/// What outlives an incarnation.
pub struct Process {
    pub config: Config,
    pub store: SharedStore,
    pub queue: SharedQueue,
    pub loaded: Loaded,
    pub threads: Arc<GuestThreads>,
    /// Runs that have ended.
    pub ends: Arc<Ends>,
    pub standing: Standing,
    /// What steps have said; none if that is not kept.
    pub logbook: Option<Arc<Logbook<Session>>>,
    /// What happens to the whole installation.
    pub seeing: Arc<Seeing>,
}

/// How an incarnation ended.
pub enum Ended {
    /// Somebody asked for it.
    ShutDown,
    /// Somebody asked for it from afar.
    Drained,
    /// The lease could not be renewed.
    LeaseLost,
    /// A guest thread can't be freed.
    Stuck,
}

/// What an incarnation's loops share.
struct Incarnation<'a> {
    process: &'a Process,
    worker: WorkerId,
    desk: Arc<Desk>,
    flow: Arc<Flow>,
    outboxes: Outboxes<Session>,
    trust: Arc<Trust>,
    circuits: Arc<Circuits>,
    vitals: Arc<Vitals>,
    /// This worker has ended leases of others, whose steps are to be taken over.
    ended: Arc<Notify>,
    /// A step has died.
    died: Arc<Notify>,
    /// Somebody has asked this worker to drain, from afar.
    drain_asked: Arc<Notify>,
    done: mpsc::UnboundedSender<Done>,
}

/// The receiving ends of what the flow says. They are there before the first word is.
struct Said {
    lanes: Vec<(Arc<Outbox<Session>>, Large<Session>)>,
    after_commit: mpsc::UnboundedReceiver<Done>,
    due_soon: mpsc::UnboundedReceiver<Duration>,
}

impl Process {
    /// One incarnation, from the first heartbeat to its end. `before` is the id of the last one.
    ///
    /// # Errors
    /// A wrong setting of the queue.
    pub async fn live(
        &self,
        worker: WorkerId,
        before: Option<WorkerId>,
        mut shutdown: Pin<&mut impl Future<Output = ()>>,
    ) -> pawl_queue::Result<Ended> {
        let (this, said) = self.incarnate(worker);
        let mut expired = tokio::select! {
            expired = this.begin_lease() => expired,
            () = &mut shutdown => return Ok(Ended::ShutDown),
        };
        if let Some(before) = before
            && let Err(error) = within(self.config.patience(), self.store.forgive_crash(before)).await
        {
            tracing::warn!(error = error.chain(), worker.id = %before, "the lost lease counts as a crash of its steps");
        }
        tracing::info!(worker.id = %worker, slots = self.config.slots, queues = ?self.config.queues, "the worker is ready");
        let mut tasks = JoinSet::new();
        let (receiving, streams) = this.start(said, &mut tasks)?;
        self.standing.set(true);
        let ended = tokio::select! {
            () = &mut shutdown => Ended::ShutDown,
            _ = &mut expired => Ended::LeaseLost,
            () = this.drain_asked.notified() => Ended::Drained,
            () = this.until_stuck() => Ended::Stuck,
        };
        self.standing.set(false);
        if matches!(ended, Ended::Drained) {
            tracing::info!(worker.id = %worker, "somebody has asked the worker to drain, and to end");
        }
        match ended {
            Ended::LeaseLost => this.flow.stop_all(Stop::LeaseLost),
            Ended::ShutDown | Ended::Drained | Ended::Stuck => {
                receiving.abort();
                drain(&this.flow, &this.desk, &this.done, &self.config, &this.vitals).await;
                if this.desk.is_empty() {
                    put_back(&*self.queue, &streams, worker, self.config.patience()).await;
                }
                match within(self.config.patience(), self.store.forget_worker(worker)).await {
                    Ok(()) => tracing::info!(worker.id = %worker, "the worker has said goodbye"),
                    Err(error) => tracing::warn!(error = error.chain(), "the lease is left to run out"),
                }
            }
        }
        // Dropping the receiver ends the heartbeat: the lease outlives all that was done under it.
        drop(expired);
        tasks.shutdown().await;
        this.outboxes.clear();
        Ok(ended)
    }

    fn incarnate(&self, worker: WorkerId) -> (Incarnation<'_>, Said) {
        let config = &self.config;
        let lanes: Vec<_> = (0..config.lanes.max(1)).map(|_| Outbox::new()).collect();
        let outboxes = Outboxes::new(lanes.iter().map(|(outbox, _)| Arc::clone(outbox)).collect());
        let (done, after_commit) = mpsc::unbounded_channel();
        let (soon, due_soon) = mpsc::unbounded_channel();
        let desk = Arc::new(Desk::new(config.slots, config.in_a_row));
        let trust = Arc::new(Trust::default());
        let died = Arc::new(Notify::new());
        let (store, patience) = (self.store.clone(), config.patience());
        let (rules, whose, secrets) =
            (config.circuits, Arc::clone(&self.loaded.whose), Arc::clone(&self.loaded.secrets));
        let circuits = Arc::new(Circuits::new(rules, worker, store, patience, Arc::clone(&trust), whose, secrets));
        let (store, loaded, threads) = (self.store.clone(), self.loaded.clone(), Arc::clone(&self.threads));
        let flow = Flow::new(Parts {
            worker,
            queues: config.queues.clone(),
            run_ahead: config.run_ahead,
            desk: Arc::clone(&desk),
            guests: Guests::new(store, config.patience(), loaded, threads, config.suspicion, Arc::clone(&desk))
                .keeping_logs(self.logbook.clone(), worker)
                .heeding(&circuits),
            outboxes: outboxes.clone(),
            done: done.clone(),
            soon,
            trust: Arc::clone(&trust),
            longest_retry_delay: config.longest_retry_delay,
            died: Arc::clone(&died),
        });
        let (vitals, ended, drain_asked) = Default::default();
        let this = Incarnation {
            process: self,
            worker,
            desk,
            flow,
            outboxes,
            trust,
            circuits,
            vitals,
            ended,
            died,
            drain_asked,
            done,
        };
        (this, Said { lanes, after_commit, due_soon })
    }
}

impl Incarnation<'_> {
    /// Begins the lease, as soon as the store is there. The receiver hears when it can't be renewed any more.
    async fn begin_lease(&self) -> oneshot::Receiver<()> {
        let beating = Beating {
            worker: self.worker,
            queues: self.process.config.queues.clone(),
            store: self.process.store.clone(),
            lease: self.process.config.lease,
            desk: Arc::clone(&self.desk),
            trust: Arc::clone(&self.trust),
            vitals: Arc::clone(&self.vitals),
            ended: Arc::clone(&self.ended),
            drain_asked: Arc::clone(&self.drain_asked),
            seeing: Arc::clone(&self.process.seeing),
        };
        loop {
            match heartbeat::begin(beating.clone()).await {
                Ok(expired) => return expired,
                Err(error) => tracing::warn!(error = error.chain(), "no lease yet"),
            }
            tokio::time::sleep(LEASE_PAUSE).await;
        }
    }

    /// Starts all loops, and the receiver: its handle, and what it reads.
    fn start(&self, said: Said, tasks: &mut JoinSet<()>) -> pawl_queue::Result<(AbortHandle, Vec<Arc<Stream>>)> {
        let Process { config, store, queue, loaded, .. } = self.process;
        let (worker, lease, patience) = (self.worker, config.lease, config.patience());
        let reader = queue.reader(worker, &config.queues, READ_BLOCK)?;

        let flow = Arc::clone(&self.flow);
        let ends = Arc::clone(&self.process.ends);
        let writing = Arc::new(Writing { worker, store: store.clone(), patience, flow, ends });
        for (outbox, large) in said.lanes {
            tasks.spawn(writer::run(Arc::clone(&writing), outbox, Arc::clone(&self.vitals)));
            tasks.spawn(writer::run_bulk(Arc::clone(&writing), large));
        }
        tasks.spawn(acknowledge::run(Arc::clone(queue), said.after_commit));
        let (desk, outboxes, trust) = (Arc::clone(&self.desk), self.outboxes.clone(), Arc::clone(&self.trust));
        let reconciling = Reconciling { worker, store: store.clone(), patience, desk, outboxes, trust };
        tasks.spawn(reconcile::run(reconciling, lease));
        let desk = Arc::clone(&self.desk);
        tasks.spawn(trim::run(Trimming { worker, store: store.clone(), patience, desk }, lease));
        let retaining = Retaining { worker, store: store.clone(), patience, policy: config.retention };
        tasks.spawn(retain::run(retaining));
        let died = Arc::clone(&self.died);
        tasks.spawn(mirror::run(Mirroring { store: store.clone(), queue: Arc::clone(queue), patience, died }));
        let compiling = Compiling { worker, store: store.clone(), patience, loaded: loaded.clone() };
        let (pulse, pulses) = watch::channel(Pulse::default());
        tasks.spawn(compile_ahead::run(compiling, Arc::clone(queue), pulses.clone()));

        let (adopted, mut adoptions) = mpsc::unbounded_channel();
        let scheduler = Scheduler {
            store: store.clone(),
            queue: Arc::clone(queue),
            worker,
            streams: reader.streams().to_vec(),
            lease,
            suspicion: config.suspicion,
            pulse: pulses,
            free_slots: Arc::new({
                let desk = Arc::clone(&self.desk);
                move || desk.free_now()
            }),
            prodded: Arc::default(),
            ended: Arc::clone(&self.ended),
            died: Arc::clone(&self.died),
            edges: Arc::default(),
            adopted,
        };
        tasks.spawn(scheduler::look::run(scheduler.clone(), pulse));
        tasks.spawn(scheduler::takeover::run(scheduler.clone()));
        tasks.spawn(scheduler::timers::run(scheduler.clone()));
        tasks.spawn(scheduler::timers::run_soon(scheduler.clone(), said.due_soon));
        tasks.spawn(scheduler::lost::run(scheduler.clone()));
        tasks.spawn(scheduler::pauses::run(scheduler.clone()));
        tasks.spawn(scheduler::circuits::run(scheduler.clone(), Arc::clone(&self.circuits)));
        tasks.spawn(scheduler::consumers::run(scheduler));
        let flow = Arc::clone(&self.flow);
        tasks.spawn(async move {
            while let Some(delivery) = adoptions.recv().await {
                flow.adopt(delivery);
            }
        });
        let streams = reader.streams().to_vec();
        let seeing = Arc::clone(&self.process.seeing);
        Ok((tasks.spawn(Arc::clone(&self.flow).receive(reader, seeing)), streams))
    }

    /// Says whether its lease stands, and how much of what it has is in use. In this loop, so that nothing of a step's way has
    /// to.
    fn tell_levels(&self) {
        self.process.standing.set(self.trust.holds());
        let (figures, memory) = (figures(), self.process.loaded.engine.memory());
        figures.slots_used.set_count(self.desk.running_count());
        figures.slots_free.set_count(self.desk.free_now());
        figures.guest_memory.set_count(memory.held_bytes());
        figures.guest_memory_budget.set_count(memory.total_bytes());
        figures.guests_waiting.set_count(memory.waiting());
    }

    /// Shows that the process lives, until a guest passes no epoch for two leases: then its thread is lost.
    async fn until_stuck(&self) {
        // Guests are silent while the whole process is stopped: only time in which it ran counts.
        let mut ran_since = boottime_ms();
        let mut ticked_ms = ran_since;
        let silence = self.process.config.lease * 2;
        loop {
            tokio::time::sleep(TICK).await;
            self.vitals.tick();
            self.tell_levels();
            let now_ms = boottime_ms();
            if now_ms - ticked_ms > LONGEST_TICK_MS {
                ran_since = now_ms;
            }
            ticked_ms = now_ms;
            let ran = Duration::from_millis(now_ms - ran_since);
            if ran > silence
                && let Some(stuck) = self.process.threads.stuck(silence).first()
            {
                tracing::error!(thread = stuck.thread, silent = ?stuck.silent, "a guest passes no epoch: draining");
                return;
            }
        }
    }
}
