//! The end of a pause of a pipeline or a queue: what is on the shelf by it is released and delivered, in pieces. Whoever ends
//! the pause begins with that; the workers' sweep does what is left, whatever becomes of that process.

use pawl_queue::Queue;
use pawl_store::Store;
use pawl_store::pauses::Pausable;

use super::{Result, SWEEP};

/// Pieces that a request takes: more than that is left to the sweeps.
const PIECES: usize = 4;

/// Ends a pause; false if there was none.
///
/// # Errors
/// If the store is away. A queue that is away delays: what was released is found as lost.
pub async fn end(store: &dyn Store, queue: &dyn Queue, what: &Pausable) -> Result<bool> {
    let ended = store.unpause(what).await?;
    pawl_base::fault::point("pause.ended.before_release");
    if ended && let Err(error) = release(store, queue, PIECES).await {
        tracing::warn!(error = error.chain(), "what was paused is left to the sweeps");
    }
    Ok(ended)
}

/// Releases up to so many pieces; whether there may be more.
///
/// # Errors
/// If the store or the queue is away.
pub async fn release(store: &dyn Store, queue: &dyn Queue, pieces: usize) -> Result<bool> {
    for _ in 0..pieces {
        let released = store.release(SWEEP).await?;
        // A crash here: they are ready and nobody has a message, as after any commit.
        queue.publish(&released.ready).await?;
        if !released.more {
            return Ok(false);
        }
    }
    Ok(true)
}
