//! Signs of life inside the process. The heartbeat renews the lease only while these move: a worker whose
//! control runtime or writer hangs must lose its steps. Waiting for the store counts as progress.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::trust::boottime_ms;

/// Shared by the heartbeat's thread and those whom it watches.
#[derive(Debug)]
pub struct Vitals {
    /// When the control runtime last ran its ticker.
    ticked_ms: AtomicU64,
    /// Since when the writer works without a pause; 0 while it waits for work or for the store.
    working_since_ms: AtomicU64,
}

impl Default for Vitals {
    fn default() -> Self {
        Self { ticked_ms: AtomicU64::new(boottime_ms()), working_since_ms: AtomicU64::new(0) }
    }
}

impl Vitals {
    /// The control runtime is alive.
    pub fn tick(&self) {
        self.ticked_ms.store(boottime_ms(), Ordering::Relaxed);
    }

    /// The writer computes.
    pub fn working(&self) {
        self.working_since_ms.store(boottime_ms().max(1), Ordering::Relaxed);
    }

    /// The writer waits for the store.
    pub fn waiting(&self) {
        self.working_since_ms.store(0, Ordering::Relaxed);
    }

    /// The writer waits for work.
    pub fn idle(&self) {
        self.waiting();
    }

    /// What has not moved for longer than `limit`, if anything.
    #[must_use]
    pub fn stuck(&self, limit: Duration) -> Option<&'static str> {
        let now_ms = boottime_ms();
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let over = |since_ms: u64| now_ms.saturating_sub(since_ms) > limit_ms;
        let working_since_ms = self.working_since_ms.load(Ordering::Relaxed);
        if over(self.ticked_ms.load(Ordering::Relaxed)) {
            Some("the control runtime")
        } else if working_since_ms != 0 && over(working_since_ms) {
            Some("the writer")
        } else {
            None
        }
    }
}
