//! Steps of workers whose lease has ended become ready again, under a new fence.
//!
//! The pulse, the answer to this worker's heartbeat, tells when the next lease ends. Besides, there is a sweep once a
//! lease: a delayed claim may commit after the sweep that removed its worker's lease, and only this one finds it.

use pawl_dispatch::SWEEP;
use pawl_store::{self as store, within};

use super::{Scheduler, due, next, tell};

/// Sweeps when the next lease ends, for ever.
pub async fn run(mut scheduler: Scheduler) {
    let mut outage = false;
    loop {
        let regular = tokio::time::sleep(scheduler.lease);
        tokio::select! {
            () = due(&mut scheduler.pulse, |pulse| pulse.next_lease_end_ms) => {}
            () = regular => {}
        }
        let taken = run_once(&scheduler).await;
        tell(&mut outage, "no takeover", taken);
        next(&mut scheduler.pulse).await;
    }
}

/// One sweep; returns how many steps are to be delivered. Its commit raises their fences: nobody holds them until the next
/// claim. A crash or a loss of the queue after it leaves ready steps that are found as lost.
///
/// # Errors
/// If the store is away.
pub async fn run_once(scheduler: &Scheduler) -> store::Result<usize> {
    let ready = within(scheduler.patience(), scheduler.store.take_over(SWEEP, scheduler.suspicion)).await?;
    if ready.is_empty() {
        return Ok(0);
    }
    tracing::warn!(steps = ready.len(), "leases have ended: their steps are ready again");
    pawl_base::fault::point("takeover.committed.before_publish");
    if let Err(error) = scheduler.queue.publish(&ready).await {
        tracing::warn!(error = error.chain(), "taken over, not delivered: the steps will be found as lost");
    }
    Ok(ready.len())
}
