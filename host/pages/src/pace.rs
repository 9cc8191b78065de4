//! How often open pages are made anew: as often as each would like to be, until so many are open, or so large ones, that
//! together they would take more of the process than is given to them. Then each waits longer, and what somebody opens or
//! does comes first.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pawl_base::lock;

/// What all that are open may take together, of one processor. What a page waits for the store counts, too: where that is
/// slow, pages ask less of it.
const SHARE: f64 = 0.05;

/// The time that is looked back at, and the longest that a page waits.
const BACK: Duration = Duration::from_secs(20);
const LONGEST: Duration = Duration::from_secs(60);

/// What open pages took lately; cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Pace(Arc<Mutex<Option<Taken>>>);

/// For each page that was given out, how long it took to make, times how long it was told to wait, s², of which what is
/// long ago counts little.
#[derive(Debug, Clone, Copy)]
struct Taken {
    sum: f64,
    at: Instant,
}

impl Pace {
    /// For how long the page that is given out now waits before it asks again, ms; it would like to wait `wished_ms`,
    /// and took so long to make.
    pub(super) fn of(&self, wished_ms: u32, took: Duration) -> u32 {
        let wished = Duration::from_millis(wished_ms.into());
        let mut taken = lock(&self.0);
        let (pause, now) = next(*taken, wished, took, Instant::now());
        *taken = Some(now);
        // It is at most a minute, or what was wished.
        pause.as_millis() as u32
    }
}

/// A page that waits for a time is made once in that time. So the products of what was made in a second add up to what it
/// takes to make each open page once; and if each waits for that by the share that is theirs, all take no more than it.
fn next(taken: Option<Taken>, wished: Duration, took: Duration, at: Instant) -> (Duration, Taken) {
    let before = taken.map_or(0.0, |taken| {
        let ago = at.saturating_duration_since(taken.at).as_secs_f64();
        taken.sum * (-ago / BACK.as_secs_f64()).exp()
    });
    let all_once = before / BACK.as_secs_f64();
    let pause = wished.max(Duration::from_secs_f64(all_once / SHARE).min(LONGEST));
    (pause, Taken { sum: before + took.as_secs_f64() * pause.as_secs_f64(), at })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Opens so many pages, each of which takes so many ms, and looks at them for four minutes; tells the pause of each in
    /// the end, ms, and what they took in the last minute, of one processor.
    fn opened(pages: usize, takes_ms: u64) -> (u128, f64) {
        let begun = Instant::now();
        let mut taken = None;
        let mut due: Vec<u64> = (0..pages as u64).collect();
        let (mut last, mut made) = (0, 0);
        for ms in 0..240_000_u64 {
            for page in due.iter_mut().filter(|page| **page == ms) {
                let (wished, took) = (Duration::from_secs(1), Duration::from_millis(takes_ms));
                let (pause, now) = next(taken, wished, took, begun + Duration::from_millis(ms));
                (taken, last) = (Some(now), pause.as_millis());
                *page = ms + pause.as_millis() as u64;
                made += u64::from(ms >= 180_000);
            }
        }
        (last, (made * takes_ms) as f64 / 60_000.0)
    }

    #[test]
    fn a_few_pages_look_as_often_as_they_like() {
        assert_eq!(opened(1, 10).0, 1_000);
        assert_eq!(opened(4, 5).0, 1_000);
    }

    #[test]
    fn of_many_or_large_ones_each_waits_longer_and_together_they_take_no_more() {
        for (pages, takes_ms) in [(100, 5), (500, 5), (10, 100), (3, 400)] {
            let (pause, share) = opened(pages, takes_ms);
            assert!(pause > 1_000, "{pause} of {pages}");
            assert!((SHARE * 0.7..SHARE * 1.4).contains(&share), "{share} of {pages} of {takes_ms} ms");
        }
    }
}
