//! Where a look begins: a queue's index keeps what has left it for as long as anybody holds an older snapshot, and whoever
//! begins at its first entry walks over all of that, each time. Pure.
//!
//! ```text
//!    gone  gone  gone  gone │ gone   due            due           due
//!   ────────────────────────┼──────────────────┬─────────────────────────▶ time
//!                          edge               now      │ horizon
//!     the last look found   └── this one looks here ───┘
//!     nothing here
//! ```
//!
//! An edge is a hint that saves work. A transaction that takes longer than a lease may commit something behind it, since
//! what it writes is dated by its begin: so now and then a look goes without.

use std::time::Duration;

use pawl_store::leases::Pulse;

/// What an index may take to be looked through from its begin, of all time.
const SHARE: u32 = 100;

/// How often everything is looked through, if that takes no time.
const EVERYTHING_EVERY: Duration = Duration::from_secs(60);

/// So many times longer than usual a pause may become, and no more: one answer that came late says little of the next, on a
/// machine that was busy or behind somebody's lock, and whoever waits for the question should not wait for minutes.
const LONGEST: u32 = 8;

/// The edges of one worker's looks, ms since 1970 by the store's clock; `None`: everything is looked through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edges {
    /// No waiting step is due before.
    pub due_ms: Option<i64>,
    /// In each stream, no step is ready since before. As many as the last look's streams.
    pub ready_ms: Vec<Option<i64>>,
}

impl Edges {
    /// After a look that began at or before these edges, and looked for steps that are ready for longer than a lease.
    #[must_use]
    pub fn after(pulse: &Pulse, lease_ms: i64) -> Self {
        // What is being written now has a date of up to a lease ago.
        let safe_ms = pulse.now_ms - lease_ms;
        Self {
            due_ms: Some(pulse.next_due_ms.map_or(safe_ms, |due_ms| due_ms.min(safe_ms))),
            ready_ms: pulse.oldest_ready_ms.iter().map(|oldest_ms| Some(oldest_ms.unwrap_or(safe_ms))).collect(),
        }
    }
}

/// When everything is looked through again, after a look that did and took so long: rarely enough to cost little.
#[must_use]
pub fn pause_after(took: Duration) -> Duration {
    paced(EVERYTHING_EVERY, took)
}

/// When something is asked again that is asked every `interval` and took so long.
#[must_use]
pub fn paced(interval: Duration, took: Duration) -> Duration {
    took.saturating_mul(SHARE).clamp(interval, interval * LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_begins_where_the_last_one_found_nothing_older() {
        let pulse = |next_due_ms, oldest_ready_ms: &[Option<i64>]| Pulse {
            now_ms: 100_000,
            next_due_ms,
            oldest_ready_ms: oldest_ready_ms.to_vec(),
            ..Pulse::default()
        };
        for (found, due_ms, ready_ms) in [
            (pulse(None, &[]), 95_000, vec![]),
            // To come: something that is due before it may be written meanwhile.
            (pulse(Some(101_000), &[None]), 95_000, vec![Some(95_000)]),
            (pulse(Some(99_000), &[]), 95_000, vec![]),
            // Left over: it is still there.
            (pulse(Some(7), &[Some(8), None]), 7, vec![Some(8), Some(95_000)]),
        ] {
            assert_eq!(Edges::after(&found, 5_000), Edges { due_ms: Some(due_ms), ready_ms });
        }
    }

    #[test]
    fn what_takes_long_is_done_rarely() {
        let ms = Duration::from_millis;
        assert_eq!(pause_after(ms(1)), EVERYTHING_EVERY);
        assert_eq!(pause_after(ms(2_000)), ms(200_000));
        assert_eq!((paced(ms(5_000), ms(1)), paced(ms(5_000), ms(100))), (ms(5_000), ms(10_000)));
        assert_eq!(paced(ms(5_000), ms(10_000)), ms(40_000), "and never not at all");
    }
}
