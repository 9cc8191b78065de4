//! How many runs go into one commit. What a run costs is its pipeline's to say, from one step to 10,000, so it is measured:
//! while commits are quick, more go together; when one is slow, fewer.

use std::time::Duration;

/// What a first commit may hold, and any.
const FIRST: usize = 16;
const MOST: usize = 512;

/// A commit that takes less than this may have been larger.
const QUICK: Duration = Duration::from_millis(200);

/// One that takes more than this should have been smaller: the store gives up on statements not long after.
const SLOW: Duration = Duration::from_secs(1);

/// The measure.
#[derive(Debug)]
pub(super) struct Pace(usize);

impl Default for Pace {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Pace {
    /// Runs that go into the next commit at most.
    pub(super) fn together(&self) -> usize {
        self.0
    }

    /// A commit of so many runs took so long.
    pub(super) fn took(&mut self, runs: usize, time: Duration) {
        if time > SLOW {
            self.too_much(runs);
        } else if time < QUICK && runs >= self.0 {
            self.0 = (self.0 * 2).min(MOST);
        }
    }

    /// So many runs were too much.
    pub(super) fn too_much(&mut self, runs: usize) {
        self.0 = (runs / 2).clamp(1, self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_runs_go_together_and_large_ones_apart() {
        let mut pace = Pace::default();
        for _ in 0..10 {
            pace.took(pace.together(), Duration::from_millis(10));
        }
        assert_eq!(pace.together(), MOST);
        pace.too_much(300);
        assert_eq!(pace.together(), 150);
        pace.took(150, Duration::from_secs(2));
        assert_eq!(pace.together(), 75);
        pace.took(3, Duration::from_millis(1));
        assert_eq!(pace.together(), 75, "a commit that was not full says nothing");
        (0..20).for_each(|_| pace.too_much(pace.together()));
        assert_eq!(pace.together(), 1);
    }
}
