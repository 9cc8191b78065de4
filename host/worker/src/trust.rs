//! A worker's trust in its own lease: until when it may act, by its own clock.
//!
//! The database decides when a lease ends. A worker can't ask it before every effect, so it keeps an
//! estimate that is always on the safe side: the lease's length counts from *before* the renewal was sent,
//! less a margin, on CLOCK_BOOTTIME, which goes on while the machine sleeps. (Gray & Cheriton, "Leases",
//! SOSP 1989, section 5: a holder must end its lease before the granter does.)

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// ms since the machine booted, sleep included.
#[must_use]
pub fn boottime_ms() -> u64 {
    u64::try_from(pawl_engine::boot_time().as_millis()).unwrap_or(u64::MAX)
}

/// Shared by the heartbeat, which extends it, and all who act for steps.
#[derive(Debug, Default)]
pub struct Trust {
    until_ms: AtomicU64,
}

impl Trust {
    /// A renewal that was sent at `sent_ms` (boot time) has been granted for `lease`.
    pub fn renewed(&self, sent_ms: u64, lease: Duration) {
        let lease_ms = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
        let margin_ms = lease_ms / 5;
        self.until_ms.fetch_max(sent_ms.saturating_add(lease_ms - margin_ms), Ordering::Relaxed);
    }

    /// Whether the worker may act now.
    #[must_use]
    pub fn holds(&self) -> bool {
        boottime_ms() < self.until_ms.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
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
}
