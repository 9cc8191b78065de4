//! Steps of workers whose lease has ended become ready again, under a new fence.
//!
//! The pulse tells when the next lease ends. Besides, there is a sweep every two leases for strays: a delayed claim may
//! commit after the sweep that removed its worker's lease, and only this one finds it. Were it dear, it would come rarely.

use std::time::Instant;

use pawl_dispatch::SWEEP;
use pawl_metrics::figures;
use pawl_store::{self as store, within};

use super::edge::paced;
use super::{Scheduler, due, next, tell};

/// Sweeps when the next lease ends, for ever.
pub async fn run(mut scheduler: Scheduler) {
    let mut outage = false;
    let mut pause = scheduler.lease * 2;
    loop {
        let regular = tokio::time::sleep(pause);
        let strays = tokio::select! {
            () = due(&mut scheduler.pulse, |pulse| pulse.next_lease_end_ms) => false,
            () = scheduler.ended.notified() => false,
            () = regular => true,
        };
        let begun = Instant::now();
        let mut taken = run_once(&scheduler, strays).await;
        if strays && taken.is_ok() {
            pause = paced(scheduler.lease * 2, begun.elapsed());
        }
        // A worker may leave more than one sweep takes.
        while taken.as_ref().is_ok_and(|taken| *taken >= SWEEP) {
            taken = run_once(&scheduler, strays).await;
        }
        if !strays || taken.as_ref().is_ok_and(|taken| *taken > 0) {
            scheduler.died.notify_one();
        }
        tell(&mut outage, "no takeover", taken);
        if !strays {
            scheduler.prodded.notify_one();
            next(&mut scheduler.pulse).await;
        }
    }
}

/// One sweep; returns how many steps are to be delivered. Its commit raises their fences: nobody holds them until the next
/// claim. A crash or a loss of the queue after it leaves ready steps that are found as lost.
///
/// # Errors
/// If the store is away.
pub async fn run_once(scheduler: &Scheduler, strays: bool) -> store::Result<usize> {
    let sweep = scheduler.store.take_over(SWEEP, strays, scheduler.suspicion);
    let ready = within(scheduler.long_patience(), sweep).await?;
    if ready.is_empty() {
        return Ok(0);
    }
    figures().takeovers.add(ready.len() as u64);
    tracing::warn!(steps = ready.len(), "leases have ended: their steps are ready again");
    pawl_base::fault::point("takeover.committed.before_publish");
    if let Err(error) = scheduler.queue.publish(&ready).await {
        tracing::warn!(error = error.chain(), "taken over, not delivered: the steps will be found as lost");
    }
    Ok(ready.len())
}
