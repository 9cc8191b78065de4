//! Compiles what will be asked for before it is: the components of active versions, and those that somebody wants
//! to activate. What was found out is reported: a version becomes active only when every worker that lives can
//! load it (`host/api/src/activation.rs`), so that no step meets a component for the first time.
//!
//! It looks when the queue tells of plugins, and when a look's answer does, so also while the queue is away.

use std::time::Duration;

use pawl_domain::id::{Digest, WorkerId};
use pawl_queue::SharedQueue;
use pawl_store::leases::Pulse;
use pawl_store::readiness::Report;
use pawl_store::{self as store, SharedStore, within};
use tokio::sync::{Notify, watch};

use crate::loaded::Loaded;
use crate::reading::Reading;

/// Who compiles.
pub struct Compiling {
    /// This start of the worker.
    pub worker: WorkerId,
    /// Where it reads what is wanted, and reports.
    pub store: SharedStore,
    /// How long an answer of the store is waited for.
    pub patience: Duration,
    /// What is compiled already.
    pub loaded: Loaded,
}

/// Looks, compiles and reports, for ever.
pub async fn run(compiling: Compiling, queue: SharedQueue, mut pulse: watch::Receiver<Pulse>) {
    let told = Notify::new();
    let hear = || told.notify_one();
    let listening = queue.plugin_changes(&hear);
    let following = async {
        let mut seen = None;
        loop {
            match run_once(&compiling).await {
                // While it compiled, more may have been wanted.
                Ok(0) => {}
                Ok(_) => continue,
                Err(error) => tracing::debug!(error = error.chain(), "components are compiled ahead later"),
            }
            let wanted = async {
                while pulse.borrow_and_update().newest_wanted_us == seen {
                    if pulse.changed().await.is_err() {
                        std::future::pending::<()>().await;
                    }
                }
            };
            tokio::select! {
                () = told.notified() => {}
                () = wanted => {}
            }
            seen = pulse.borrow().newest_wanted_us;
        }
    };
    tokio::join!(listening, following);
}

/// One look; returns how many components were compiled and reported.
///
/// # Errors
/// If the store is away.
pub async fn run_once(compiling: &Compiling) -> store::Result<usize> {
    let Compiling { worker, store, patience, .. } = compiling;
    let wanted = within(*patience, store.wanted_components(*worker)).await?;
    let mut reports = Vec::with_capacity(wanted.len());
    for digest in wanted {
        reports.push(Report { digest, refusal: refusal(compiling, digest).await });
    }
    if !reports.is_empty() {
        within(*patience, store.report_components(*worker, &reports)).await?;
    }
    Ok(reports.len())
}

/// Why a component can't be loaded here; `None` if it can, and from now on at once.
async fn refusal(compiling: &Compiling, digest: Digest) -> Option<String> {
    let reading = Reading::new(SharedStore::clone(&compiling.store), compiling.patience);
    // Wanted for as long as this worker lives: then this is dropped.
    let Ok(loaded) = compiling.loaded.component(&reading, digest, &|| false).await else { return None };
    loaded.err().map(|failure| match failure.details {
        Some(details) => format!("{}: {details}", failure.message),
        None => failure.message,
    })
}
