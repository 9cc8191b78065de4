//! The sweeps as a person asks for them, at once and over all queues: what `pawl admin requeue-…` and the
//! HTTP routes of that name do.

use std::collections::HashSet;
use std::sync::Arc;

use pawl_domain::ready::Ready;
use pawl_domain::suspicion::Suspicion;
use pawl_metrics::figures;
use pawl_queue::{Delivery, FollowUp, Queue, Stream};
use pawl_store::Store;

use super::{Result, SWEEP};

/// The consumer that holds messages on their way back into a stream.
const ADMIN: &str = "admin";

/// Puts messages that dead workers had read and not acknowledged back into their streams. Returns how many.
///
/// # Errors
/// If the queue or the store is away.
pub async fn processing(store: &dyn Store, queue: &dyn Queue) -> Result<usize> {
    let live: HashSet<String> = store.live_workers().await?.iter().map(ToString::to_string).collect();
    let mut count = 0;
    for state in queue.streams().await? {
        let stream: Arc<Stream> = Arc::new(state.stream);
        let dead = state.consumers.iter().filter(|consumer| consumer.name != ADMIN && !live.contains(&consumer.name));
        for consumer in dead {
            count += put_back(queue, &stream, &consumer.name).await?;
        }
        // With nothing pending any more, this deletes the helper.
        put_back(queue, &stream, ADMIN).await?;
    }
    Ok(count)
}

/// Puts the messages that a consumer has read and not acknowledged back into their stream, and deletes the consumer.
/// Returns how many they were.
///
/// # Errors
/// If the queue is away.
pub async fn put_back(queue: &dyn Queue, stream: &Arc<Stream>, consumer: &str) -> Result<usize> {
    let mut count = 0;
    loop {
        let deliveries = queue.adopt(stream, consumer, ADMIN, SWEEP).await?;
        if deliveries.is_empty() {
            return Ok(count);
        }
        let ready: Vec<Ready> = deliveries.iter().filter_map(Delivery::again).collect();
        queue.follow_up(FollowUp { done: &deliveries, ready: &ready, moved: &[] }).await?;
        count += deliveries.len();
    }
}

/// Takes over the steps of workers whose lease has ended, and delivers every ready step again; a second
/// message for a step is found not ready and acknowledged. Returns how many steps were delivered.
///
/// # Errors
/// If the queue or the store is away.
pub async fn stale(store: &dyn Store, queue: &dyn Queue, suspicion: Suspicion) -> Result<usize> {
    let taken = store.take_over(SWEEP, true, suspicion).await?;
    figures().takeovers.add(taken.len() as u64);
    queue.publish(&taken).await?;
    let mut others = store.redeliver_ready(SWEEP).await?;
    others.retain(|ready| !taken.iter().any(|taken| taken.id == ready.id));
    queue.publish(&others).await?;
    Ok(taken.len() + others.len())
}
