//! Background work that keeps promises when a worker, a message or a timer is gone. Every worker process
//! runs it; locked rows are skipped, so that many do the same as one.
//!
//! | loop | when | what |
//! |---|---|---|
//! | [`takeover`] | a lease ends | running steps of dead workers become ready |
//! | [`timers`] | a step is due | waiting steps become ready |
//! | [`lost`] | a ready step is older than its stream's watermark | it is delivered again |
//! | [`consumers`] | once a lease | messages of dead consumers are adopted |
//!
//! What to do when is read off the heartbeat's answer (the pulse), so that an idle installation costs no
//! queries besides. Each loop looks alike: `run` for ever, `run_once` for tests; no error ends it.

use std::sync::Arc;
use std::time::Duration;

use pawl_domain::id::WorkerId;
use pawl_domain::suspicion::Suspicion;
use pawl_queue::{Delivery, SharedQueue, Stream};
use pawl_store::SharedStore;
use pawl_store::leases::Pulse;
use tokio::sync::{mpsc, watch};

use crate::desk::Desk;

pub mod consumers;
pub mod lost;
pub mod takeover;
pub mod timers;

/// What the loops share.
#[derive(Clone)]
pub struct Scheduler {
    /// The truth.
    pub store: SharedStore,
    /// The delivery.
    pub queue: SharedQueue,
    /// The worker in whose process they run.
    pub worker: WorkerId,
    /// The streams that it reads.
    pub streams: Vec<Arc<Stream>>,
    /// How long a lease lasts.
    pub lease: Duration,
    /// When a step is blamed for the deaths of its workers.
    pub suspicion: Suspicion,
    /// The answers to the heartbeat.
    pub pulse: watch::Receiver<Pulse>,
    /// What the worker has at hand: how many slots are free.
    pub desk: Arc<Desk>,
    /// Messages of the dead, for the worker.
    pub adopted: mpsc::UnboundedSender<Delivery>,
}

impl Scheduler {
    /// How long an answer of the database is waited for.
    fn patience(&self) -> Duration {
        self.lease / 2
    }
}

/// Waits until the time that the newest pulse names has come.
async fn due(pulse: &mut watch::Receiver<Pulse>, at_ms: impl Fn(&Pulse) -> Option<i64>) {
    loop {
        let newest = *pulse.borrow_and_update();
        let wait = at_ms(&newest).map(|at| Duration::from_millis(u64::try_from(at - newest.now_ms).unwrap_or(0)));
        tokio::select! {
            changed = pulse.changed() => if changed.is_err() { std::future::pending::<()>().await },
            () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => return,
        }
    }
}

/// Waits for the next pulse: what was done after the last one shows only there.
async fn next(pulse: &mut watch::Receiver<Pulse>) {
    if pulse.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// One line when an outage begins, none while it lasts.
fn tell(outage: &mut bool, what: &str, result: Result<usize, pawl_store::Error>) {
    match result {
        Ok(_) => *outage = false,
        Err(error) if !std::mem::replace(outage, true) => tracing::warn!(error = error.chain(), "{what}"),
        Err(_) => {}
    }
}
