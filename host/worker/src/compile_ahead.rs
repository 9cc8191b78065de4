//! Compiles what will be asked for before it is: the components of active versions, and those that somebody wants
//! to activate. What was found out is reported: a version becomes active only when every worker that lives can
//! load it (`host/api/src/activation.rs`), so that no step meets a component for the first time.
//!
//! It looks when the queue tells of plugins, and when a heartbeat's answer does, so also while the queue is away.

use std::sync::Arc;

use pawl_domain::id::Digest;
use pawl_queue::SharedQueue;
use pawl_store::leases::Pulse;
use pawl_store::readiness::Report;
use pawl_store::{self as store, within};
use tokio::sync::{Notify, watch};

use super::flow::Flow;

/// Looks, compiles and reports, for ever.
pub async fn run(flow: Arc<Flow>, queue: SharedQueue, mut pulse: watch::Receiver<Pulse>) {
    let told = Notify::new();
    let hear = || told.notify_one();
    let listening = queue.plugin_changes(&hear);
    let following = async {
        let mut seen = None;
        loop {
            match run_once(&flow).await {
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
pub async fn run_once(flow: &Flow) -> store::Result<usize> {
    let wanted = within(flow.patience, flow.store.wanted_components(flow.worker)).await?;
    let mut reports = Vec::with_capacity(wanted.len());
    for digest in wanted {
        reports.push(Report { digest, refusal: refusal(flow, digest).await? });
    }
    if !reports.is_empty() {
        within(flow.patience, flow.store.report_components(flow.worker, &reports)).await?;
    }
    Ok(reports.len())
}

/// Why a component can't be loaded here; `None` if it can, and from now on at once.
async fn refusal(flow: &Flow, digest: Digest) -> store::Result<Option<String>> {
    let loaded = flow.loaded.component(&*flow.store, digest).await?;
    Ok(loaded.err().map(|failure| match failure.details {
        Some(details) => format!("{}: {details}", failure.message),
        None => failure.message,
    }))
}
