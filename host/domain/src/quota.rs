//! Quotas: how much of what all share one namespace may take. What is over one is refused, and told when to ask again.

use std::time::Instant;

/// What a namespace may take; `None`: as much as there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quota {
    /// Runs that have not ended.
    pub runs: Option<u32>,
    /// Submissions in a second, to each process that takes some.
    pub submissions: Option<u32>,
    /// Components, of all versions of all plugins.
    pub components: Option<u32>,
    /// Bytes that its runs and components hold.
    pub stored_bytes: Option<u64>,
}

/// What a namespace has, as far as somebody has counted: runs up to their quota, bytes some seconds ago.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// Runs that have not ended.
    pub runs: u32,
    /// Bytes of its runs and components.
    pub stored_bytes: u64,
}

impl Quota {
    /// Whether more may be stored, beside so many bytes.
    ///
    /// # Errors
    /// [`Over::Stored`].
    pub fn has_room_beside(&self, stored_bytes: u64) -> Result<(), Over> {
        match self.stored_bytes {
            Some(most) if stored_bytes >= most => Err(Over::Stored { stored_bytes, most }),
            _ => Ok(()),
        }
    }
}

/// Which quota is used up, and how large it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Over {
    /// [`Quota::runs`].
    #[error("it has {0} runs that have not ended, as many as it may: submit again when some have")]
    Runs(u32),
    /// [`Quota::submissions`].
    #[error("it has submitted {0} runs within a second, as many as it may: submit again in a moment")]
    Submissions(u32),
    /// [`Quota::components`].
    #[error(
        "it has {0} components, as many as it may: versions that nothing names are deleted after a while, see `pawl retention`"
    )]
    Components(u32),
    /// [`Quota::stored_bytes`].
    #[error(
        "its runs and components hold {stored_bytes} bytes, and may hold {most}: runs that have ended go with their retention \
         (`pawl retention`; `retention` in a pipeline makes it shorter), and versions that nothing names after a while"
    )]
    Stored {
        /// What it holds, as was last measured.
        stored_bytes: u64,
        /// What it may.
        most: u64,
    },
}

/// A namespace's submissions, as one process knows them. What was counted may be a moment old; what was let in since is added.
#[derive(Debug, Clone, Copy)]
pub struct Tally {
    quota: Quota,
    held: Held,
    /// Submissions that may come at once: a bucket that is filled anew at the quota's rate and has a second's worth at most.
    left: f64,
    filled_at: Instant,
}

impl Tally {
    /// Of a namespace of which nothing is known: it has no quota.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { quota: Quota::default(), held: Held::default(), left: 0.0, filled_at: now }
    }

    /// Takes in what the store says: the quota, and what there is.
    pub fn learn(&mut self, quota: Quota, held: Held, now: Instant) {
        if quota.submissions != self.quota.submissions {
            (self.left, self.filled_at) = (f64::from(quota.submissions.unwrap_or(0)), now);
        }
        (self.quota, self.held) = (quota, held);
    }

    /// Lets one more submission in.
    ///
    /// # Errors
    /// [`Over`].
    pub fn take(&mut self, now: Instant) -> Result<(), Over> {
        if let Some(most) = self.quota.runs.filter(|most| self.held.runs >= *most) {
            return Err(Over::Runs(most));
        }
        self.quota.has_room_beside(self.held.stored_bytes)?;
        if let Some(rate) = self.quota.submissions {
            let gained = now.saturating_duration_since(self.filled_at).as_secs_f64() * f64::from(rate);
            (self.left, self.filled_at) = ((self.left + gained).min(f64::from(rate)), now);
            if self.left < 1.0 {
                return Err(Over::Submissions(rate));
            }
            self.left -= 1.0;
        }
        self.held.runs = self.held.runs.saturating_add(1);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn runs(runs: u32) -> Held {
        Held { runs, ..Held::default() }
    }

    fn tally(quota: Quota, in_flight: u32) -> (Tally, Instant) {
        let now = Instant::now();
        let mut tally = Tally::new(now);
        tally.learn(quota, runs(in_flight), now);
        (tally, now)
    }

    #[test]
    fn without_a_quota_all_is_let_in() {
        let (mut tally, now) = tally(Quota::default(), u32::MAX);
        assert!((0..10_000).all(|_| tally.take(now).is_ok()));
    }

    #[test]
    fn runs_are_let_in_up_to_their_number_and_again_when_some_have_ended() {
        let quota = Quota { runs: Some(5), ..Quota::default() };
        let (mut tally, now) = tally(quota, 3);
        assert_eq!([(); 3].map(|()| tally.take(now)), [Ok(()), Ok(()), Err(Over::Runs(5))]);
        tally.learn(quota, runs(4), now);
        assert_eq!([(); 2].map(|()| tally.take(now)), [Ok(()), Err(Over::Runs(5))]);
        let (mut none, now) = self::tally(Quota { runs: Some(0), ..Quota::default() }, 0);
        assert_eq!(none.take(now), Err(Over::Runs(0)));
    }

    #[test]
    fn nothing_comes_in_while_what_is_there_holds_as_much_as_may_be() {
        let quota = Quota { stored_bytes: Some(1_000), ..Quota::default() };
        let (mut tally, now) = tally(quota, 0);
        for (stored_bytes, taken) in [(999, Ok(())), (1_000, Err(1_000)), (4_000, Err(4_000)), (0, Ok(()))] {
            tally.learn(quota, Held { runs: 0, stored_bytes }, now);
            assert_eq!(tally.take(now), taken.map_err(|stored_bytes| Over::Stored { stored_bytes, most: 1_000 }));
        }
    }

    #[test]
    fn submissions_come_at_their_rate_and_a_seconds_worth_at_once() {
        let quota = Quota { submissions: Some(10), ..Quota::default() };
        let (mut tally, now) = tally(quota, 0);
        let taken = |tally: &mut Tally, now| (0..100).filter(|_| tally.take(now).is_ok()).count();
        assert_eq!(taken(&mut tally, now), 10);
        assert_eq!(tally.take(now), Err(Over::Submissions(10)));
        assert_eq!(taken(&mut tally, now + Duration::from_millis(250)), 2);
        // What is learned again gives none for nothing.
        tally.learn(quota, runs(0), now + Duration::from_millis(260));
        assert_eq!(taken(&mut tally, now + Duration::from_millis(260)), 0);
        assert_eq!(taken(&mut tally, now + Duration::from_secs(60)), 10, "a long silence saves up a second's worth");
    }
}
