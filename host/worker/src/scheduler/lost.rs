//! Ready steps whose message is gone are delivered again: the queue may lose everything at any moment.
//!
//! A stream's messages are read in order, so a step that is ready since before the oldest unread message has
//! no unread message of its own; if everything is read, no step has. Such a step is either about to be
//! claimed, which the margin of a lease allows for, or lost. A queue that is merely long is left alone.

use std::sync::Arc;

use pawl_queue::{Stream, Watermark};
use pawl_store::within;

use super::{Scheduler, next};

/// Steps of a stream that are delivered again per sweep, so that a mistake can't flood it.
const RATE: usize = 1_000;

/// Sweeps whenever the pulse shows a step that is ready for long, for ever.
pub async fn run(mut scheduler: Scheduler) {
    let mut outage = false;
    loop {
        next(&mut scheduler.pulse).await;
        let pulse = *scheduler.pulse.borrow();
        let before_ms = pulse.now_ms - lease_ms(&scheduler);
        if pulse.oldest_ready_ms.is_none_or(|oldest_ms| oldest_ms >= before_ms) {
            continue;
        }
        for stream in scheduler.streams.clone() {
            match run_once(&scheduler, &stream, pulse.now_ms).await {
                Ok(_) => outage = false,
                Err(error) if !std::mem::replace(&mut outage, true) => {
                    tracing::warn!(error = error.chain(), "no search for lost messages");
                }
                Err(_) => {}
            }
        }
    }
}

/// One search in one stream; returns how many steps were delivered again.
///
/// # Errors
/// If the queue or the store is away.
pub async fn run_once(scheduler: &Scheduler, stream: &Arc<Stream>, now_ms: i64) -> pawl_dispatch::Result<usize> {
    let mark_ms = match scheduler.queue.watermark(stream).await? {
        Watermark::AllDelivered => now_ms,
        Watermark::DeliveredBefore(ready_at_ms) => ready_at_ms.min(now_ms),
    };
    let before_ms = mark_ms - lease_ms(scheduler);
    let search = scheduler.store.lost(&stream.queue, stream.priority, before_ms, RATE);
    let lost = within(scheduler.patience(), search).await?;
    if !lost.is_empty() {
        tracing::warn!(steps = lost.len(), queue = stream.queue, "ready steps without a message: delivered again");
        scheduler.queue.publish(&lost).await?;
    }
    Ok(lost.len())
}

fn lease_ms(scheduler: &Scheduler) -> i64 {
    i64::try_from(scheduler.lease.as_millis()).unwrap_or(i64::MAX)
}
