//! The namespaces that there are, for some seconds: each page has the choice of them in its head, for whoever's token counts
//! everywhere. All of these are told the same, so one answer is kept for all of them. A token of one namespace is told nothing of
//! what is kept here, and nothing that it is told is kept.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pawl_base::lock;
use pawl_domain::namespace::Namespace;

/// For how long an answer is good, and how many names one has at most that is kept.
const GOOD_FOR: Duration = Duration::from_secs(3);
const MOST: usize = 1_000;

/// The last answer; cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Places(Arc<Mutex<Option<Answer>>>);

struct Answer {
    names: Vec<Namespace>,
    asked_at: Instant,
}

impl Places {
    /// What was answered, if that is still good.
    pub(super) fn known(&self, now: Instant) -> Option<Vec<Namespace>> {
        let answer = lock(&self.0);
        let good = answer.as_ref().filter(|answer| now.saturating_duration_since(answer.asked_at) < GOOD_FOR)?;
        Some(good.names.clone())
    }

    /// Keeps what a token was answered that counts everywhere.
    pub(super) fn keep(&self, names: &[Namespace], asked_at: Instant) {
        let answer = (names.len() <= MOST).then(|| Answer { names: names.to_vec(), asked_at });
        *lock(&self.0) = answer;
    }

    /// There may be others now.
    pub(super) fn forget(&self) {
        *lock(&self.0) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_good_for_some_seconds_unless_it_is_long_or_something_has_changed() {
        let (places, now) = (Places::default(), Instant::now());
        let names = |count: usize| vec![Namespace::default(); count];
        assert_eq!(places.known(now), None);
        places.keep(&names(2), now);
        assert_eq!(places.clone().known(now + GOOD_FOR / 2), Some(names(2)));
        assert_eq!(places.known(now + GOOD_FOR), None);
        places.forget();
        assert_eq!(places.known(now), None);
        places.keep(&names(MOST), now);
        assert_eq!(places.known(now).map(|all| all.len()), Some(MOST));
        places.keep(&names(MOST + 1), now);
        assert_eq!(places.known(now), None, "nor is what was answered before");
    }
}
