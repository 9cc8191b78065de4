//! Messages that a dead worker had read and not acknowledged are adopted: their steps are claimed, or found
//! not ready and the messages acknowledged. Then the dead consumer is deleted.

use std::collections::HashSet;
use std::sync::Arc;

use pawl_dispatch::SWEEP;
use pawl_queue::Stream;
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
        let me = scheduler.worker.to_string();
        for delivery in scheduler.queue.adopt(stream, &dead.name, &me, SWEEP).await? {
            adopted += 1;
            let _ = scheduler.adopted.send(delivery);
        }
    }
    Ok(adopted)
}
