//! The look for what there is to do: the pulse that the other loops go by. It is a question of its own, so that the
//! heartbeat waits for nothing but its own row.

use std::time::{Duration, Instant};

use pawl_base::lock;
use pawl_store::leases::{Look, Pulse, ReadyFrom};
use pawl_store::{self as store, within};
use tokio::sync::watch;

use super::edge::{Edges, pause_after};
use super::{Scheduler, tell};

/// Looks every two fifths of a lease, and when a loop asks for it, for ever. The first look, and one now and then, is at
/// everything.
pub async fn run(scheduler: Scheduler, pulse: watch::Sender<Pulse>) {
    let mut outage = false;
    let mut everything_at = Instant::now();
    loop {
        let begun = Instant::now();
        let at_everything = begun >= everything_at;
        if at_everything {
            *lock(&scheduler.edges) = Edges::default();
        }
        let looked = run_once(&scheduler).await.map(|seen| usize::from(pulse.send(seen).is_ok()));
        if at_everything && looked.is_ok() {
            everything_at = Instant::now() + pause_after(begun.elapsed());
        }
        tell(&mut outage, "no look for what is due, lost or left behind", looked);
        tokio::select! {
            () = tokio::time::sleep(scheduler.lease * 2 / 5) => {}
            // However much is done, a look comes only so often.
            () = async {
                tokio::time::sleep(scheduler.lease / 20).await;
                scheduler.prodded.notified().await;
            } => {}
        }
    }
}

/// One look, from the edges on; it moves them.
///
/// # Errors
/// If the store is away.
pub async fn run_once(scheduler: &Scheduler) -> store::Result<Pulse> {
    let edges = lock(&scheduler.edges).clone();
    let patience = if edges.due_ms.is_some() { scheduler.patience() } else { scheduler.long_patience() };
    let from = |place: usize| edges.ready_ms.get(place).copied().flatten();
    let ready = scheduler.streams.iter().enumerate();
    let look = Look {
        worker: scheduler.worker,
        due_from_ms: edges.due_ms,
        horizon_ms: ms(scheduler.lease),
        ready: ready
            .map(|(place, stream)| ReadyFrom { queue: &stream.queue, priority: stream.priority, from_ms: from(place) })
            .collect(),
        margin_ms: ms(scheduler.lease),
    };
    let pulse = within(patience, scheduler.store.look(&look)).await?;
    *lock(&scheduler.edges) = Edges::after(&pulse, scheduler.lease_ms());
    Ok(pulse)
}

fn ms(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}
