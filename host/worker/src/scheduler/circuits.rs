//! Circuits of outside hosts are looked after while there are any: this worker learns what others have found, a step is made due
//! that can probe, and what was deferred goes on when its circuit has closed.
//!
//! The look tells whether there are circuits, within two fifths of a lease, and so does a call that fails; from then on they are
//! asked for every second, until there are none.

use std::sync::Arc;
use std::time::Duration;

use pawl_store::within;

use super::{Scheduler, next, timers};
use crate::circuits::Circuits;

/// How often they are asked for, and at most, if there may be news.
const EVERY: Duration = Duration::from_secs(1);
const AT_MOST_EVERY: Duration = Duration::from_millis(200);

/// Steps that are released at once: what was deferred meets a host that has just come back.
const PIECE: usize = 500;

/// Looks after them for ever, while there are any.
pub async fn run(mut scheduler: Scheduler, circuits: Arc<Circuits>) {
    let mut outage = false;
    loop {
        tokio::select! {
            () = next(&mut scheduler.pulse) => {
                if !scheduler.pulse.borrow().circuits {
                    continue;
                }
            }
            () = circuits.noticed() => {}
        }
        loop {
            match run_once(&scheduler, &circuits).await {
                Ok(0) => {
                    // Calls that fail now and then ask no more often than that.
                    tokio::time::sleep(EVERY).await;
                    break;
                }
                Ok(_) => outage = false,
                Err(error) if !std::mem::replace(&mut outage, true) => {
                    tracing::warn!(error = error.chain(), "circuits of outside hosts are not looked after");
                }
                Err(_) => {}
            }
            tokio::time::sleep(AT_MOST_EVERY).await;
            tokio::select! {
                () = tokio::time::sleep(EVERY - AT_MOST_EVERY) => {}
                () = circuits.noticed() => {}
            }
        }
    }
}

/// Looks after them once; how many there are.
///
/// # Errors
/// If the store is away.
pub async fn run_once(scheduler: &Scheduler, circuits: &Circuits) -> pawl_store::Result<usize> {
    let changes = circuits.changes();
    let tended = within(scheduler.patience(), scheduler.store.tend_circuits(PIECE)).await?;
    circuits.learn(changes, &tended.circuits);
    if circuits.tell_secrets().await? {
        // What waits for them is released by the next look, which need not be waited for.
        circuits.notice();
    }
    if tended.due {
        timers::run_once(scheduler).await?;
    }
    Ok(tended.circuits.len())
}
