//! A worker process: claims steps, executes them on guest threads, writes what they did, and holds the
//! lease under which it may. The main flow is `flow`; around it stand
//!
//! ```text
//!  flow        receive, claim, execute, settle, acknowledge
//!  execution   … its middle: from a claim to a settled attempt
//!  ahead       … without waiting for the commits of a chain
//!  session     a step in execution: where its guest and the writer meet
//!  outbox      what waits for the writer        writer       the group commit
//!  acknowledge what follows a commit           loaded       components, pipelines, histories
//!  heartbeat   renews the lease, if             vitals       … the process makes progress
//!  trust       may we still act?                reconcile    do we and the database agree?
//!  compile_ahead  what will be asked for
//! ```
//!
//! The life of a worker is one or more *incarnations*: when a lease has run out it can't be renewed, so the
//! process stops its guests and begins again under a new id. No error of a port ends it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use pawl_base::lock;
use pawl_dispatch::Ports;
use pawl_domain::id::WorkerId;
use pawl_domain::suspicion::Suspicion;
use pawl_engine::recorder::Stop;
use pawl_engine::{Engine, GuestThreads};
use pawl_queue::SharedQueue;
use pawl_store::leases::Pulse;
use pawl_store::{SharedStore, Store, within};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::scheduler::Scheduler;

mod acknowledge;
mod ahead;
mod compile_ahead;
mod execution;
mod flow;
mod heartbeat;
mod loaded;
mod outbox;
mod reconcile;
pub mod scheduler;
mod session;
mod settle;
mod trust;
mod vitals;
mod writer;

use flow::Flow;
use loaded::Loaded;
use outbox::Outbox;
use trust::boottime_ms;
use vitals::Vitals;

/// How a worker is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// Steps executed at once.
    pub slots: usize,
    /// Queues served.
    pub queues: Vec<String>,
    /// How long the worker's right to its steps outlives its last sign of life.
    pub lease: Duration,
    /// How long a drain waits for running steps before it hands them back.
    pub drain: Duration,
    /// Connections of the group writer; a run belongs to one.
    pub lanes: usize,
    /// Successors taken in a row while others wait.
    pub in_a_row: u32,
    /// When a step is blamed for the deaths of its workers.
    pub suspicion: Suspicion,
    /// Whether short steps may start before the commit that hands them over.
    pub run_ahead: bool,
    /// Plans of pipeline versions kept in memory.
    pub plans: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            // Many short steps make large batches; long ones wait for the outside, or share the cores.
            slots: 256,
            queues: vec![pawl_domain::pipeline::default_queue()],
            lease: Duration::from_secs(5),
            drain: Duration::from_secs(10),
            lanes: 1,
            in_a_row: 16,
            suspicion: Suspicion::default(),
            run_ahead: true,
            plans: 1_000,
        }
    }
}

/// Why a worker ended though nobody asked for it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The schema is not this build's.
    #[error(transparent)]
    Store(#[from] pawl_store::Error),
    /// A setting of the queue is wrong.
    #[error(transparent)]
    Queue(#[from] pawl_queue::Error),
    /// The system gives no threads for guests.
    #[error("the threads for guests can't be started")]
    Threads(#[source] std::io::Error),
    /// A guest can't be stopped, and holds its thread.
    #[error("a guest thread could not be freed: start the worker again")]
    Stuck,
}

/// How an incarnation ended.
enum Ended {
    /// Somebody asked for it.
    ShutDown,
    /// The lease could not be renewed.
    LeaseLost,
    /// A guest thread can't be freed.
    Stuck,
}

/// How often the process looks after itself.
const TICK: Duration = Duration::from_millis(250);

/// A tick that took longer than this was not the process's own doing: it was stopped, or starved.
const LONGEST_TICK_MS: u64 = 1_000;

/// Pause between attempts to reach a database that is away at the start.
const START_PAUSE: Duration = Duration::from_secs(1);

/// The longest time that a worker's statement may take: less than half a lease, so that nothing hangs past it.
#[must_use]
pub fn session_timeout(lease: Duration) -> Duration {
    lease / 2 - lease / 20
}

/// Runs a worker until `shutdown`.
///
/// # Errors
/// A wrong setting, a schema that is not this build's, a machine without the means to run guests, or a guest
/// thread that could not be freed: then the process should be started anew.
pub async fn run(
    config: Config,
    ports: Ports,
    engine: Arc<Engine>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), Error> {
    let Ports { store, queue } = ports;
    let mut shutdown = std::pin::pin!(shutdown);
    tokio::select! {
        ready = wait_for_schema(&*store) => ready?,
        () = &mut shutdown => return Ok(()),
    }
    let process = Process {
        loaded: Loaded::new(engine, config.plans),
        threads: Arc::new(GuestThreads::new(config.slots).map_err(Error::Threads)?),
        store,
        queue,
        config,
    };
    let mut before = None;
    loop {
        let worker = WorkerId::new();
        match process.live(worker, before.replace(worker), shutdown.as_mut()).await? {
            Ended::ShutDown => return Ok(()),
            Ended::LeaseLost => {
                tracing::warn!(worker.id = %worker, "the lease ran out: the worker goes on under a new id");
            }
            Ended::Stuck => return Err(Error::Stuck),
        }
    }
}

/// Waits for the store, and for the schema of this build.
async fn wait_for_schema(store: &dyn Store) -> Result<(), Error> {
    let mut told = false;
    loop {
        match store.check_schema().await {
            Ok(()) => return Ok(()),
            Err(error) if error.is_passing() => {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(error = error.chain(), "waiting for {}", store.name());
                }
                tokio::time::sleep(START_PAUSE).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// What outlives an incarnation.
struct Process {
    config: Config,
    store: SharedStore,
    queue: SharedQueue,
    loaded: Loaded,
    threads: Arc<GuestThreads>,
}

impl Process {
    /// One incarnation, from the first heartbeat to its end. `before` is the id of the last one.
    async fn live(
        &self,
        worker: WorkerId,
        before: Option<WorkerId>,
        mut shutdown: std::pin::Pin<&mut impl Future<Output = ()>>,
    ) -> Result<Ended, Error> {
        let lease = self.config.lease;
        let (lanes, bulk): (Vec<_>, Vec<_>) = (0..self.config.lanes.max(1)).map(|_| Outbox::new()).unzip();
        let (done, after_commit) = mpsc::unbounded_channel();
        let (soon, due_soon) = mpsc::unbounded_channel();
        let flow = Arc::new(self.flow(worker, lanes.clone(), done, soon));
        let vitals = Arc::new(Vitals::default());
        let (pulse, pulses) = watch::channel(Pulse::default());
        let mut expired = loop {
            let beating = heartbeat::Beating {
                flow: Arc::clone(&flow),
                lease,
                vitals: Arc::clone(&vitals),
                pulse: pulse.clone(),
            };
            tokio::select! {
                begun = heartbeat::begin(beating) => match begun {
                    Ok(expired) => break expired,
                    Err(error) => tracing::warn!(error = error.chain(), "no lease yet"),
                },
                () = &mut shutdown => return Ok(Ended::ShutDown),
            }
            tokio::time::sleep(START_PAUSE).await;
        };
        if let Some(before) = before
            && let Err(error) = within(flow.patience, self.store.forgive_crash(before)).await
        {
            tracing::warn!(error = error.chain(), worker.id = %before, "the lost lease counts as a crash of its steps");
        }
        tracing::info!(worker.id = %worker, slots = flow.slots, queues = ?flow.queues, "the worker is ready");

        let reader = self.queue.reader(worker, &self.config.queues, Duration::from_secs(5))?;
        let (adopted, mut adoptions) = mpsc::unbounded_channel();
        let scheduler = Scheduler {
            store: self.store.clone(),
            queue: Arc::clone(&self.queue),
            worker,
            streams: reader.streams().to_vec(),
            lease,
            suspicion: self.config.suspicion,
            pulse: pulses.clone(),
            adopted,
        };
        let mut tasks = JoinSet::new();
        for (lane, large) in lanes.into_iter().zip(bulk) {
            tasks.spawn(writer::run(Arc::clone(&flow), lane, Arc::clone(&vitals)));
            tasks.spawn(writer::run_bulk(Arc::clone(&flow), large));
        }
        tasks.spawn(acknowledge::run(Arc::clone(&self.queue), after_commit));
        tasks.spawn(reconcile::run(Arc::clone(&flow), lease));
        tasks.spawn(compile_ahead::run(Arc::clone(&flow), Arc::clone(&self.queue), pulses));
        tasks.spawn(scheduler::takeover::run(scheduler.clone()));
        tasks.spawn(scheduler::timers::run(scheduler.clone()));
        tasks.spawn(scheduler::timers::run_soon(scheduler.clone(), due_soon));
        tasks.spawn(scheduler::lost::run(scheduler.clone()));
        tasks.spawn(scheduler::consumers::run(scheduler));
        tasks.spawn({
            let flow = Arc::clone(&flow);
            async move {
                while let Some(delivery) = adoptions.recv().await {
                    flow.ask(delivery);
                }
            }
        });
        let receiving = tasks.spawn(Arc::clone(&flow).receive(reader));

        // Guests are silent while the whole process is stopped: only time in which it ran counts.
        let mut ran_since = boottime_ms();
        let mut ticked_ms = ran_since;
        let silence = lease * 2;
        let ended = loop {
            tokio::select! {
                () = &mut shutdown => break Ended::ShutDown,
                _ = &mut expired => break Ended::LeaseLost,
                () = tokio::time::sleep(TICK) => {
                    vitals.tick();
                    let now_ms = boottime_ms();
                    if now_ms - ticked_ms > LONGEST_TICK_MS {
                        ran_since = now_ms;
                    }
                    ticked_ms = now_ms;
                    let ran = Duration::from_millis(now_ms - ran_since);
                    if ran > silence && let Some(stuck) = self.threads.stuck(silence).first() {
                        tracing::error!(thread = stuck.thread, silent = ?stuck.silent, "a guest passes no epoch: draining");
                        break Ended::Stuck;
                    }
                }
            }
        };
        match ended {
            Ended::LeaseLost => stop_all(&flow, Stop::LeaseLost),
            Ended::ShutDown | Ended::Stuck => {
                receiving.abort();
                self.drain(&flow, &vitals).await;
                if let Err(error) = within(flow.patience, self.store.forget_worker(worker)).await {
                    tracing::warn!(error = error.chain(), "the lease is left to run out");
                }
            }
        }
        drop(expired);
        tasks.shutdown().await;
        flow.lanes.iter().for_each(|lane| lane.clear());
        Ok(ended)
    }

    fn flow(
        &self,
        worker: WorkerId,
        lanes: Vec<Arc<Outbox>>,
        done: mpsc::UnboundedSender<acknowledge::Done>,
        soon: mpsc::UnboundedSender<Duration>,
    ) -> Flow {
        Flow {
            worker,
            queues: self.config.queues.clone().into(),
            slots: self.config.slots,
            in_a_row: self.config.in_a_row,
            suspicion: self.config.suspicion,
            patience: self.config.lease / 2,
            store: self.store.clone(),
            loaded: self.loaded.clone(),
            threads: Arc::clone(&self.threads),
            lanes,
            done,
            soon,
            trust: Arc::default(),
            runtime: tokio::runtime::Handle::current(),
            gate: Arc::default(),
            others_wait: false.into(),
            draining: false.into(),
            sessions: std::sync::Mutex::default(),
            ahead: std::sync::Mutex::default(),
            asked: std::sync::Mutex::default(),
            freed: tokio::sync::Notify::new(),
        }
    }

    /// Takes nothing new, lets running steps end, hands back those that take too long, and waits until
    /// everything is committed and acknowledged.
    async fn drain(&self, flow: &Arc<Flow>, vitals: &Vitals) {
        flow.draining.store(true, Ordering::Relaxed);
        let idle = || lock(&flow.sessions).is_empty() && lock(&flow.asked).is_empty();
        if !idle() {
            tracing::info!(steps = lock(&flow.sessions).len(), "draining: running steps may end");
        }
        wait_until(&idle, self.config.drain, vitals).await;
        if !idle() {
            stop_all(flow, Stop::Draining);
            wait_until(&idle, self.config.lease, vitals).await;
        }
        let (flushed, all_flushed) = oneshot::channel();
        let _ = flow.done.send(acknowledge::Done { flushed: Some(flushed), ..acknowledge::Done::default() });
        let _ = tokio::time::timeout(self.config.lease, all_flushed).await;
    }
}

fn stop_all(flow: &Flow, stop: Stop) {
    for session in lock(&flow.sessions).values().chain(lock(&flow.ahead).values()) {
        session.stop_with(stop);
    }
}

async fn wait_until(condition: &impl Fn() -> bool, at_most: Duration, vitals: &Vitals) {
    let end = Instant::now() + at_most;
    while !condition() && Instant::now() < end {
        vitals.tick();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
