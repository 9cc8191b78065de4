//! Ready steps whose message is gone are delivered again: the queue may lose everything at any moment.
//!
//! A stream's messages are read in order, so a step that is ready since before the oldest unread message has
//! no unread message of its own; if everything is read, no step has. Such a step is either about to be
//! claimed, which the margin of a lease allows for, or lost. A queue that is merely long is left alone: the store is asked
//! only if its oldest ready step is older than the oldest unread message, and reads those that are.

use std::sync::Arc;

use pawl_metrics::figures;
use pawl_queue::{Stream, Watermark};
use pawl_store::leases::ReadyFrom;
use pawl_store::within;

use super::{Scheduler, next};

/// Steps that are delivered again at once.
const PIECE: usize = 1_000;

/// Pieces of a stream per pulse, which bounds both what a mistake can flood it with and how much of what this sweep has just
/// found the next piece walks over. A pulse comes twenty times a lease while there is more: a queue that was lost whole is
/// delivered again faster than its steps are executed.
const PIECES: usize = 4;

/// Sweeps whenever the pulse shows a step that is ready for long, for ever.
pub async fn run(mut scheduler: Scheduler) {
    let mut outage = false;
    loop {
        next(&mut scheduler.pulse).await;
        let pulse = scheduler.pulse.borrow().clone();
        for (stream, oldest_ms) in scheduler.streams.clone().iter().zip(pulse.oldest_ready_ms) {
            let Some(oldest_ms) = oldest_ms else { continue };
            match run_through(&scheduler, stream, oldest_ms, pulse.now_ms).await {
                Ok(there_may_be_more) => {
                    outage = false;
                    if there_may_be_more {
                        scheduler.prodded.notify_one();
                    }
                }
                Err(error) if !std::mem::replace(&mut outage, true) => {
                    tracing::warn!(error = error.chain(), "no search for lost messages");
                }
                Err(_) => {}
            }
        }
    }
}

/// Searches in one stream until nothing is left, or enough was found for now: then there may be more.
async fn run_through(
    scheduler: &Scheduler,
    stream: &Arc<Stream>,
    oldest_ms: i64,
    now_ms: i64,
) -> pawl_dispatch::Result<bool> {
    for _ in 0..PIECES {
        if run_once(scheduler, stream, oldest_ms, now_ms).await? < PIECE {
            return Ok(false);
        }
    }
    Ok(true)
}

/// One search in one stream, whose oldest ready step is ready since `oldest_ms`; returns how many steps were delivered
/// again.
///
/// # Errors
/// If the queue or the store is away.
pub async fn run_once(
    scheduler: &Scheduler,
    stream: &Arc<Stream>,
    oldest_ms: i64,
    now_ms: i64,
) -> pawl_dispatch::Result<usize> {
    let mark_ms = match scheduler.queue.watermark(stream).await? {
        Watermark::AllDelivered => now_ms,
        Watermark::DeliveredBefore(ready_at_ms) => ready_at_ms.min(now_ms),
    };
    let before_ms = mark_ms - scheduler.lease_ms();
    if oldest_ms >= before_ms {
        return Ok(0);
    }
    let ready = ReadyFrom { queue: &stream.queue, priority: stream.priority, from_ms: Some(oldest_ms) };
    let lost = within(scheduler.patience(), scheduler.store.lost(ready, before_ms, PIECE)).await?;
    if !lost.is_empty() {
        tracing::warn!(steps = lost.len(), queue = stream.queue, "ready steps without a message: delivered again");
        scheduler.queue.publish(&lost).await?;
        figures().lost_messages.add(lost.len() as u64);
    }
    Ok(lost.len())
}
