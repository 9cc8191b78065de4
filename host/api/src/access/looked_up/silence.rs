//! Whether the store answers. A request that had no answer begins a silence; as long as that lasts, one task asks beside the
//! requests, once in [`FRESH`], and the first answer ends it. So a silence is never older than what was asked a moment ago, and
//! nobody is let in by it who was revoked while the store was there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pawl_store::{self as store, SharedStore};

use super::{FRESH, PATIENCE};
use crate::unmigrated;

/// A silence of the store, or none.
pub(super) struct Silence {
    store: SharedStore,
    fits: Arc<AtomicBool>,
    is_there: AtomicBool,
}

impl Silence {
    pub(super) fn new(store: SharedStore, fits: Arc<AtomicBool>) -> Self {
        Self { store, fits, is_there: AtomicBool::new(false) }
    }

    /// Whether the store did not answer when it was asked last.
    pub(super) fn is_there(&self) -> bool {
        self.is_there.load(Ordering::Relaxed)
    }

    /// What is said to those who need what nobody knows.
    pub(super) fn error(&self) -> store::Error {
        store::Error::Unavailable(self.store.name(), "it did not answer a moment ago".into())
    }

    /// Begins with a question that failed like that, unless it lasts already. On a runtime.
    pub(super) fn may_begin(self: &Arc<Self>, error: &store::Error) {
        if is_answer(error) || self.is_there.swap(true, Ordering::Relaxed) {
            return;
        }
        let silence = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(FRESH).await;
                // Nobody asks any more.
                let Some(silence) = silence.upgrade() else { return };
                if silence.is_over().await {
                    return silence.is_there.store(false, Ordering::Relaxed);
                }
            }
        });
    }

    async fn is_over(&self) -> bool {
        let asked = async {
            unmigrated::check(&self.fits, &*self.store).await?;
            self.store.has_tokens().await
        };
        store::within(PATIENCE, asked).await.as_ref().map_or_else(is_answer, |_| true)
    }
}

/// One whose schema is to be migrated has answered, too, and is asked at each request until somebody has done so.
fn is_answer(error: &store::Error) -> bool {
    error.is_to_be_migrated() || !error.is_passing()
}
