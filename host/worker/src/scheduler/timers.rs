//! Steps that wait become ready when they are due. The database's clock decides; a worker's only wakes it.

use std::time::Duration;

use pawl_base::lock;
use pawl_dispatch::SWEEP;
use pawl_store::{self as store, within};
use tokio::sync::mpsc;

use super::{Scheduler, due, next, tell};

/// Sweeps when the next step is due, for ever.
pub async fn run(mut scheduler: Scheduler) {
    let mut outage = false;
    loop {
        due(&mut scheduler.pulse, |pulse| pulse.next_due_ms).await;
        let mut woken = run_once(&scheduler).await;
        // Others may have had some of a full sweep. What is left is due as well.
        while woken.as_ref().is_ok_and(|woken| *woken >= SWEEP / 2) {
            woken = run_once(&scheduler).await;
        }
        tell(&mut outage, "no step is woken", woken);
        scheduler.prodded.notify_one();
        next(&mut scheduler.pulse).await;
    }
}

/// Sweeps for steps of this worker that are due before the next pulse could tell: `soon` brings their
/// delays. What is due after a lease is told by a pulse in any case.
pub async fn run_soon(scheduler: Scheduler, mut soon: mpsc::UnboundedReceiver<Duration>) {
    while let Some(delay) = soon.recv().await {
        if delay > scheduler.lease {
            continue;
        }
        let scheduler = scheduler.clone();
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            if let Err(error) = run_once(&scheduler).await {
                tracing::debug!(error = error.chain(), "a due step is left to the next sweep");
            }
        });
    }
}

/// One sweep; returns how many steps were woken.
///
/// # Errors
/// If the store is away.
pub async fn run_once(scheduler: &Scheduler) -> store::Result<usize> {
    let from_ms = lock(&scheduler.edges).due_ms;
    let patience = if from_ms.is_some() { scheduler.patience() } else { scheduler.long_patience() };
    let ready = within(patience, scheduler.store.wake(SWEEP, from_ms)).await?;
    if !ready.is_empty()
        && let Err(error) = scheduler.queue.publish(&ready).await
    {
        tracing::warn!(error = error.chain(), "woken, not delivered: the steps will be found as lost");
    }
    Ok(ready.len())
}
