//! A worker's trust in its own lease: until when it may act, by its own clock.
//!
//! The database decides when a lease ends. A worker can't ask it before everything that it does, so it keeps an
//! estimate that is always on the safe side: the lease's length counts from *before* the renewal was sent,
//! less a margin, on CLOCK_BOOTTIME, which goes on while the machine sleeps. (Gray & Cheriton, "Leases",
//! SOSP 1989, section 5: a holder must end its lease before the granter does.)
//!
//! A lease may be ended before its time, a [`GRACE`] after the worker's last session. So before an effect leaves, some
//! session must have answered within less than that: else it is asked first.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use pawl_base::{lock, or_poisoned};
use tokio::sync::Notify;

use crate::clock::StoreClock;

/// How long a worker may be without a session before others may end its lease: a killed process stays away, one whose
/// connections were cut is back by then.
pub const GRACE: Duration = Duration::from_millis(200);

/// What of it is left, ms, when somebody decides to send something on the strength of an answer, and when it is sent.
const TO_DECIDE_MS: u64 = 100;
const TO_SEND_MS: u64 = 50;

/// ms since the machine booted, sleep included.
#[must_use]
pub fn boottime_ms() -> u64 {
    ms(pawl_engine::boot_time())
}

/// In ms.
pub fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Shared by the heartbeat, which extends it, and all who act for steps.
#[derive(Debug, Default)]
pub struct Trust {
    /// Until when the lease lasts at least.
    until_ms: AtomicU64,
    /// When the newest question was sent that a session has answered.
    asked_ms: Mutex<u64>,
    answered: Condvar,
    /// Somebody waits for an answer.
    wanted: Notify,
    /// What the heartbeats have told of the store's clock.
    pub clock: StoreClock,
}

impl Trust {
    /// A renewal that was sent at `sent_ms` (boot time) has been granted for `lease`.
    pub fn renewed(&self, sent_ms: u64, lease: Duration) {
        let lease_ms = ms(lease);
        let margin_ms = lease_ms / 5;
        self.until_ms.fetch_max(sent_ms.saturating_add(lease_ms - margin_ms), Ordering::Relaxed);
        self.confirmed(sent_ms);
    }

    /// A session has answered that the lease stands; it was asked at `sent_ms`.
    pub fn confirmed(&self, sent_ms: u64) {
        let mut asked_ms = lock(&self.asked_ms);
        *asked_ms = sent_ms.max(*asked_ms);
        self.answered.notify_all();
    }

    /// Whether the worker may act now within the store, where its fence is looked at once more.
    #[must_use]
    pub fn holds(&self) -> bool {
        boottime_ms() < self.until_ms.load(Ordering::Relaxed)
    }

    /// Whether it may let something leave in a moment.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        self.is_there_for(TO_DECIDE_MS)
    }

    /// Whether what was decided so may leave now.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.is_there_for(TO_SEND_MS)
    }

    fn is_there_for(&self, left_ms: u64) -> bool {
        self.holds() && boottime_ms() + left_ms < *lock(&self.asked_ms) + ms(GRACE)
    }

    /// Has a session asked, and waits for an answer, for so long at most.
    pub fn refresh(&self, at_most: Duration) {
        let asked_ms = lock(&self.asked_ms);
        self.wanted.notify_one();
        drop(or_poisoned(self.answered.wait_timeout(asked_ms, at_most)));
    }

    /// Waits until somebody wants an answer.
    pub async fn wanted(&self) {
        self.wanted.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn trust_counts_from_the_sending_and_ends_before_the_lease() {
        let trust = Trust::default();
        assert!(!trust.holds(), "no renewal, no trust");
        trust.renewed(boottime_ms(), Duration::from_secs(60));
        assert!(trust.holds());
        let late = Trust::default();
        late.renewed(boottime_ms().saturating_sub(4_100), Duration::from_secs(5));
        assert!(!late.holds(), "an answer that took longer than lease less margin grants nothing");
    }

    #[test]
    fn nothing_leaves_on_an_answer_that_is_as_old_as_the_grace() {
        let trust = Arc::new(Trust::default());
        let old_ms = boottime_ms().saturating_sub(ms(GRACE));
        trust.renewed(old_ms, Duration::from_secs(60));
        assert!(trust.holds() && !trust.is_clear() && !trust.is_fresh(), "somebody may have ended the lease by now");
        let asking = Arc::clone(&trust);
        let answer = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            runtime.block_on(asking.wanted());
            asking.confirmed(boottime_ms());
        });
        trust.refresh(Duration::from_secs(60));
        answer.join().expect("it answers");
        assert!(trust.is_clear() && trust.is_fresh());
    }
}
