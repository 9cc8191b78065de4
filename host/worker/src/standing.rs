//! Whether a worker has a lease and takes steps, for those outside who want to know: a rollout waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Shared by the worker and by who asks; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Standing(Arc<AtomicBool>);

impl Standing {
    /// Whether the worker takes steps: from its first heartbeat on, while its lease stands, to the word that it must
    /// stop.
    #[must_use]
    pub fn takes_steps(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, takes_steps: bool) {
        self.0.store(takes_steps, Ordering::Relaxed);
    }
}
