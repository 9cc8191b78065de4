//! What was paused goes on: whoever ends a pause delivers what is on the shelf by it, and this finishes that when they can't.
//!
//! The look tells of pauses that have ended. One goes with the last step that was on the shelf by it, so that nothing is asked
//! for while pauses last, however much waits for their end.

use pawl_dispatch::pauses::release;

use super::{Scheduler, next};

/// Pieces per pulse, as for lost messages.
const PIECES: usize = 4;

/// Sweeps whenever the pulse shows a pause that has ended, for ever.
pub async fn run(mut scheduler: Scheduler) {
    let mut outage = false;
    loop {
        next(&mut scheduler.pulse).await;
        if !scheduler.pulse.borrow().releases {
            continue;
        }
        match run_once(&scheduler).await {
            Ok(there_may_be_more) => {
                outage = false;
                if there_may_be_more {
                    scheduler.prodded.notify_one();
                }
            }
            Err(error) if !std::mem::replace(&mut outage, true) => {
                tracing::warn!(error = error.chain(), "what was paused is not delivered yet");
            }
            Err(_) => {}
        }
    }
}

/// Releases what one pulse may; whether there may be more.
///
/// # Errors
/// If the queue or the store is away.
pub async fn run_once(scheduler: &Scheduler) -> pawl_dispatch::Result<bool> {
    let releasing = release(&*scheduler.store, &*scheduler.queue, PIECES);
    let patience = scheduler.long_patience();
    tokio::time::timeout(patience, releasing).await.unwrap_or_else(|_| Err(pawl_store::Error::Silent.into()))
}
