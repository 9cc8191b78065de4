//! The life of a worker: one or more incarnations. When a lease has run out it can't be renewed, so the process stops
//! its guests and begins again under a new id. No error of the store or the queue ends it.

use std::sync::Arc;
use std::time::Duration;

use pawl_dispatch::Ports;
use pawl_dispatch::incidents::Seeing;
use pawl_domain::id::WorkerId;
use pawl_engine::{Engine, GuestThreads};
use pawl_metrics::figures;
use pawl_store::Store;
use tokio::task::JoinSet;

use crate::config::Config;
use crate::incarnation::{Ended, Process};
use crate::loaded::Loaded;
use crate::logs::{self, Bringing};
use crate::standing::Standing;
use crate::tally;
use crate::unnamed::warn_of_unnamed;

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

/// Pause between attempts to reach a database that is away at the start.
const START_PAUSE: Duration = Duration::from_secs(1);

/// Runs a worker until `shutdown`, or until somebody asks it to drain. `standing` says meanwhile whether it takes steps.
///
/// # Errors
/// A wrong setting, a schema that is not this build's, a machine without the means to run guests, or a guest
/// thread that could not be freed: then the process should be started anew.
pub async fn run(
    config: Config,
    ports: Ports,
    engine: Arc<Engine>,
    standing: Standing,
    shutdown: impl Future<Output = ()>,
) -> Result<(), Error> {
    let Ports { store, queue } = ports;
    let mut shutdown = std::pin::pin!(shutdown);
    let seeing = Seeing::new("a worker", store.name(), queue.name());
    tokio::select! {
        ready = wait_for_schema(&*store, &seeing) => ready?,
        () = &mut shutdown => return Ok(()),
    }
    let most = engine.limits().kept_log();
    let process = Process {
        loaded: Loaded::new(engine, config.plans, config.secrets.clone()),
        threads: Arc::new(GuestThreads::new(config.slots).map_err(Error::Threads)?),
        store,
        queue,
        logbook: config.step_logs.then(Arc::default),
        config,
        ends: Arc::default(),
        standing,
        seeing,
    };
    let mut beside = JoinSet::new();
    let (seeing, store) = (Arc::clone(&process.seeing), process.store.clone());
    beside.spawn(async move { seeing.tell(&*store).await });
    beside.spawn(tally::run(Arc::clone(&process.ends), process.store.clone(), process.config.patience()));
    if let Some(logbook) = &process.logbook {
        let (logbook, store, patience) = (Arc::clone(logbook), process.store.clone(), process.config.patience());
        beside.spawn(logs::run(Bringing { logbook, store, patience, most }));
    }
    // Beside its work: it takes a look at all pipelines.
    let (store, queues) = (process.store.clone(), process.config.queues.clone());
    tokio::spawn(warn_of_unnamed(store, queues, process.config.patience()));
    let mut before = None;
    loop {
        let worker = WorkerId::new();
        let ended = process.live(worker, before.replace(worker), shutdown.as_mut()).await?;
        if let (Ended::ShutDown | Ended::Drained | Ended::Stuck, Some(logbook)) = (&ended, &process.logbook) {
            logs::flush(logbook, process.config.patience()).await;
        }
        match ended {
            Ended::ShutDown | Ended::Drained => return Ok(()),
            Ended::LeaseLost => {
                figures().leases_lost.one();
                tracing::warn!(worker.id = %worker, "the lease ran out: the worker goes on under a new id");
            }
            Ended::Stuck => return Err(Error::Stuck),
        }
    }
}

/// Waits for the store, and for the schema of this build.
async fn wait_for_schema(store: &dyn Store, seeing: &Seeing) -> Result<(), Error> {
    let mut told = false;
    loop {
        match pawl_store::check(store).await {
            Ok(()) => {
                seeing.store_is_there();
                return Ok(());
            }
            Err(error) if error.is_passing() => {
                if !error.is_to_be_migrated() {
                    seeing.store_is_away(None);
                }
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(error = error.chain(), "waiting for {}", store.name());
                }
                tokio::time::sleep(START_PAUSE).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}
