//! Signs of life of guest threads: who is silent while an epoch should have passed is stuck.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::pool::{Away, Pool};
use crate::clock::boot_time;

thread_local! {
    static OWN: RefCell<Option<Arc<LifeSign>>> = const { RefCell::new(None) };
}

/// A sign of life of one guest thread.
#[derive(Default)]
pub(crate) struct LifeSign {
    /// When it was last felt, in ms of CLOCK_BOOTTIME; 0 while no guest is executed.
    beat_ms: AtomicU64,
    /// The host works for the guest: no epochs are expected.
    waiting: AtomicBool,
    /// Where another guest may run while this one waits.
    pool: Weak<Pool>,
}

impl LifeSign {
    /// The sign of a thread of this pool.
    pub(super) fn of(pool: &Arc<Pool>) -> Arc<Self> {
        Arc::new(Self { pool: Arc::downgrade(pool), ..Self::default() })
    }

    /// Makes it the sign of this thread.
    pub(super) fn begin(self: &Arc<Self>) {
        OWN.set(Some(Arc::clone(self)));
    }

    /// The sign of this thread; a new one that nobody watches if this is no guest thread.
    pub(crate) fn of_this_thread() -> Arc<Self> {
        OWN.with_borrow(|own| own.as_ref().map(Arc::clone)).unwrap_or_default()
    }

    pub(crate) fn beat(&self) {
        self.beat_ms.store(now_ms(), Ordering::Relaxed);
    }

    pub(crate) fn rest(&self) {
        self.beat_ms.store(0, Ordering::Relaxed);
        self.waiting.store(false, Ordering::Release);
    }

    /// Runs something of the host's that waits for somebody outside: another guest may run meanwhile.
    pub(crate) fn away<T>(&self, wait: impl FnOnce() -> T) -> T {
        let _away = self.pool.upgrade().map(Away::begin);
        self.waiting(wait)
    }

    /// Runs something of the host's, during which no epoch passes.
    pub(crate) fn waiting<T>(&self, wait: impl FnOnce() -> T) -> T {
        self.waiting.store(true, Ordering::Relaxed);
        let result = wait();
        self.beat();
        self.waiting.store(false, Ordering::Release);
        result
    }

    pub(super) fn silent(&self) -> Option<Duration> {
        let beat_ms = self.beat_ms.load(Ordering::Relaxed);
        if beat_ms == 0 || self.waiting.load(Ordering::Acquire) {
            return None;
        }
        Some(Duration::from_millis(now_ms().saturating_sub(beat_ms)))
    }
}

fn now_ms() -> u64 {
    u64::try_from(boot_time().as_millis()).unwrap_or(u64::MAX)
}
