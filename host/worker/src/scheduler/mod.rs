//! Background work that keeps promises when a worker, a message or a timer is gone. Every worker process
//! runs it; locked rows are skipped, so that many do the same as one.
//!
//! | loop | when | what |
//! |---|---|---|
//! | [`look`] | every two fifths of a lease | what there is to do, for those below |
//! | [`takeover`] | a lease ends, or was ended | running steps of dead workers become ready |
//! | [`timers`] | a step is due | waiting steps become ready |
//! | [`lost`] | a ready step is older than its stream's watermark | it is delivered again |
//! | [`circuits`] | an outside host is down, or was | workers learn of it, a step probes, what was deferred goes on |
//! | [`pauses`] | a pause has ended | what was on the shelf by it is delivered |
//! | [`consumers`] | once a lease | messages of dead consumers are adopted |
//!
//! What to do when is read off the look's answer (the pulse), so that an idle installation costs no queries besides. A
//! look begins where nothing older was left ([`edge`]), so that it costs what has happened since. Each loop looks alike:
//! `run` for ever, `run_once` for tests; no error ends it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use pawl_domain::id::WorkerId;
use pawl_domain::suspicion::Suspicion;
use pawl_queue::{Delivery, SharedQueue, Stream};
use pawl_store::SharedStore;
use pawl_store::leases::Pulse;
use tokio::sync::{Notify, mpsc, watch};

pub mod circuits;
pub mod consumers;
pub mod edge;
pub mod look;
pub mod lost;
pub mod pauses;
pub mod takeover;
pub mod timers;

pub use edge::Edges;

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
    /// The answers to the looks.
    pub pulse: watch::Receiver<Pulse>,
    /// How many slots of the worker are free.
    pub free_slots: Arc<dyn Fn() -> usize + Send + Sync>,
    /// Asks for a look now: something was done, and there may be more.
    pub prodded: Arc<Notify>,
    /// Says that leases were ended before their time.
    pub ended: Arc<Notify>,
    /// Says that steps may have died: those that were taken over once too often.
    pub died: Arc<Notify>,
    /// Where a look begins.
    pub edges: Arc<Mutex<Edges>>,
    /// Messages of the dead, for the worker.
    pub adopted: mpsc::UnboundedSender<Delivery>,
}

impl Scheduler {
    /// How long an answer of the database is waited for.
    fn patience(&self) -> Duration {
        self.lease / 2
    }

    /// The same for what goes through everything there is: no lease hangs on it, and it may walk over much that is gone.
    fn long_patience(&self) -> Duration {
        self.lease * 6
    }

    fn lease_ms(&self) -> i64 {
        i64::try_from(self.lease.as_millis()).unwrap_or(i64::MAX)
    }
}

/// Waits until the time that the newest pulse names has come.
async fn due(pulse: &mut watch::Receiver<Pulse>, at_ms: impl Fn(&Pulse) -> Option<i64>) {
    loop {
        let (at_ms, now_ms) = {
            let newest = pulse.borrow_and_update();
            (at_ms(&newest), newest.now_ms)
        };
        // Times are cut to ms: a moment later it has come.
        let wait = at_ms.map(|at| Duration::from_millis(u64::try_from(at + 1 - now_ms).unwrap_or(0)));
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
