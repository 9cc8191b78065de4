//! Messages that a dead worker had read and not acknowledged are adopted: their steps are claimed as far as slots are
//! free, and delivered anew as far as they are ready, so that others get them. Then the dead consumer is deleted.

use std::collections::HashSet;
use std::sync::Arc;

use pawl_dispatch::SWEEP;
use pawl_domain::id::StepId;
use pawl_queue::{FollowUp, Stream};
use pawl_store::within;

use super::Scheduler;

/// Looks once a lease, for ever.
pub async fn run(scheduler: Scheduler) {
    loop {
        tokio::time::sleep(scheduler.lease).await;
        for stream in scheduler.streams.clone() {
            if let Err(error) = run_once(&scheduler, &stream).await {
                tracing::debug!(error = error.chain(), "dead consumers are looked for later");
            }
        }
    }
}

/// One look at one stream; returns how many messages were adopted.
///
/// # Errors
/// If the queue or the store is away.
pub async fn run_once(scheduler: &Scheduler, stream: &Arc<Stream>) -> pawl_dispatch::Result<usize> {
    let quiet_ms = u64::try_from(scheduler.lease.as_millis()).unwrap_or(u64::MAX);
    let mut quiet = scheduler.queue.consumers(stream).await?;
    quiet.retain(|consumer| consumer.idle_ms > quiet_ms && consumer.name != scheduler.worker.to_string());
    if quiet.is_empty() {
        return Ok(0);
    }
    let live: HashSet<String> =
        within(scheduler.patience(), scheduler.store.live_workers()).await?.iter().map(ToString::to_string).collect();
    let mut adopted = 0;
    for dead in quiet.iter().filter(|consumer| !live.contains(&consumer.name)) {
        adopted += adopt(scheduler, stream, &dead.name).await?;
    }
    Ok(adopted)
}

async fn adopt(scheduler: &Scheduler, stream: &Arc<Stream>, dead: &str) -> pawl_dispatch::Result<usize> {
    let me = scheduler.worker.to_string();
    let mut adopted = scheduler.queue.adopt(stream, dead, &me, SWEEP).await?;
    let count = adopted.len();
    let others = adopted.split_off((scheduler.free_slots)().min(count));
    for delivery in adopted {
        let _ = scheduler.adopted.send(delivery);
    }
    if !others.is_empty() {
        // A crash in between leaves them pending at this worker, whose death is next.
        let steps: Vec<StepId> = others.iter().filter_map(|delivery| delivery.step).collect();
        let ready = within(scheduler.patience(), scheduler.store.redeliver(&steps)).await?;
        scheduler.queue.follow_up(FollowUp { done: &others, ready: &ready, moved: &[] }).await?;
    }
    Ok(count)
}
