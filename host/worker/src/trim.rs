//! Drops what no replay touches any more of the journals of this worker's steps: entries between a guest's first
//! `restore()` and its checkpoint. In pieces, beside the flow: nothing waits for it, and what is left by a worker that
//! dies takes room and no time.

use std::sync::Arc;
use std::time::Duration;

use pawl_domain::id::WorkerId;
use pawl_store::history::TRIM_ROWS;
use pawl_store::{SharedStore, within};

use crate::desk::Desk;

/// Who drops.
pub struct Trimming {
    /// This start of the worker.
    pub worker: WorkerId,
    /// Where the journals are.
    pub store: SharedStore,
    /// How long an answer of it is waited for.
    pub patience: Duration,
    /// The worker's steps.
    pub desk: Arc<Desk>,
}

/// Looks every `interval`, for ever.
pub async fn run(trimming: Trimming, interval: Duration) {
    loop {
        tokio::time::sleep(interval).await;
        if let Err(error) = run_once(&trimming).await {
            tracing::debug!(error = error.chain(), "journals are trimmed later");
        }
    }
}

/// Drops a piece of each journal that is worth it; the rest comes at the next look.
///
/// # Errors
/// If the store is away.
pub async fn run_once(trimming: &Trimming) -> pawl_store::Result<()> {
    let Trimming { worker, store, patience, desk } = trimming;
    for session in desk.running() {
        let Some(until) = session.to_trim() else { continue };
        let claim = &session.claim;
        let dropped = within(*patience, store.trim(*worker, claim.id, claim.fence, until)).await?;
        if dropped < TRIM_ROWS {
            session.trimmed(until);
        }
    }
    Ok(())
}
