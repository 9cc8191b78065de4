//! The store's clock, as a worker knows it: what its guests are told when they ask for the time, so that an attempt that
//! goes on elsewhere finds no other time there, however far apart the machines' own clocks are.
//!
//! Each heartbeat brings a reading. It was made between the sending and the answer, so half of that time is what it may be
//! off by; between heartbeats the time since boot goes on. (Cristian, "Probabilistic clock synchronization", Distributed
//! Computing 3, 1989: of several readings, the one with the shortest way is the best.)

use std::sync::Mutex;
use std::time::Duration;

use pawl_base::lock;
use pawl_engine::{boot_time, local_unix_ns};

/// What the clock of a machine may gain or lose, parts per million.
const DRIFT_PPM: u64 = 200;

/// The clock. Until the first reading it is this machine's.
#[derive(Debug, Default)]
pub struct StoreClock(Mutex<Option<Reading>>);

/// A reading: the store's clock showed `unix_ns` at `at` since boot, give or take `error_ns`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reading {
    unix_ns: u64,
    at: Duration,
    error_ns: u64,
}

impl StoreClock {
    /// The store's clock showed `unix_ns` at some time since `sent` (boot time).
    pub fn told(&self, unix_ns: u64, sent: Duration) {
        let new = Reading::between(sent, boot_time(), unix_ns);
        let mut kept = lock(&self.0);
        *kept = Some(kept.map_or(new, |kept| better(kept, new)));
    }

    /// Its time now, ns since 1970.
    pub fn unix_ns(&self) -> u64 {
        lock(&self.0).map_or_else(local_unix_ns, |kept| kept.shows_at(boot_time()))
    }

    /// The same in ms.
    pub fn unix_ms(&self) -> i64 {
        i64::try_from(self.unix_ns() / 1_000_000).unwrap_or(i64::MAX)
    }
}

impl Reading {
    fn between(sent: Duration, answered: Duration, unix_ns: u64) -> Self {
        let half = answered.saturating_sub(sent) / 2;
        Self { unix_ns, at: sent + half, error_ns: nanos(half) }
    }

    fn shows_at(self, now: Duration) -> u64 {
        self.unix_ns.saturating_add(nanos(now.saturating_sub(self.at)))
    }

    /// What it may be off by, later.
    fn error_at(self, now: Duration) -> u64 {
        self.error_ns.saturating_add(nanos(now.saturating_sub(self.at)) / 1_000_000 * DRIFT_PPM)
    }
}

/// The more precise of two readings; the newer one if they can't both be right: the clock was set.
fn better(kept: Reading, new: Reading) -> Reading {
    let kept_error = kept.error_at(new.at);
    let agree = kept.shows_at(new.at).abs_diff(new.unix_ns) <= kept_error.saturating_add(new.error_ns);
    if agree && kept_error < new.error_ns { kept } else { new }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn reading(sent_ms: u64, answered_ms: u64, unix_ms: u64) -> Reading {
        Reading::between(Duration::from_millis(sent_ms), Duration::from_millis(answered_ms), unix_ms * MS)
    }

    #[test]
    fn a_reading_is_taken_for_the_middle_of_its_way() {
        let read = reading(1_000, 1_010, 50_000);
        assert_eq!(read.error_ns, 5 * MS);
        assert_eq!(read.shows_at(Duration::from_millis(1_105)), 50_100 * MS);
    }

    #[test]
    fn a_slow_answer_does_not_replace_a_quick_one_until_that_has_drifted_as_far() {
        let quick = reading(1_000, 1_001, 50_000);
        let slow = reading(2_000, 2_040, 51_035);
        assert_eq!(better(quick, slow), quick);
        // 20 ms are 200 millionths of 100 s.
        let slow_and_late = reading(102_000, 102_040, 151_035);
        assert_eq!(better(quick, slow_and_late), slow_and_late);
    }

    #[test]
    fn a_clock_that_was_set_is_believed_at_once() {
        let before = reading(1_000, 1_001, 50_000);
        for set_to in [45_000, 55_000] {
            let after = reading(2_000, 2_040, set_to);
            assert_eq!(better(before, after), after);
        }
    }

    #[test]
    fn without_a_reading_it_is_the_machines_own_clock() {
        let clock = StoreClock::default();
        assert!(clock.unix_ns().abs_diff(local_unix_ns()) < 60_000 * MS);
        clock.told(5 * MS, boot_time());
        assert!(clock.unix_ns() < 60_000 * MS);
    }
}
