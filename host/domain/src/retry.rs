//! What happens after a failed attempt: a pure decision.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::attempt::Failure;
use super::wait::LONGEST_MS;

/// A step's retry policy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RetryPolicy {
    /// Attempts that may fail before the step does; at least 1. Crashes of workers don't count.
    pub max_attempts: u32,
    /// How the delay grows.
    pub backoff: Backoff,
    /// The first delay.
    pub delay_ms: u64,
    /// The longest delay of an exponential backoff.
    pub max_delay_ms: u64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { max_attempts: 3, backoff: Backoff::Exponential, delay_ms: 1_000, max_delay_ms: 60_000 }
    }
}

/// How the delay between attempts grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backoff {
    /// Doubles with every failure; a random share of up to half of it is taken off, so that steps which
    /// failed together do not return together ("equal jitter",
    /// <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>).
    Exponential,
    /// Always the same.
    Fixed,
}

/// What follows from a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Another attempt after this time.
    RetryAfter(Duration),
    /// The step has failed.
    GiveUp,
}

/// Decides what follows from `failure`, when `failures` attempts had failed before it. `jitter` is a random
/// number from 0 to 1.
#[must_use]
pub fn after_failure(policy: &RetryPolicy, failures: u32, failure: &Failure, jitter: f64) -> Decision {
    if !failure.cause.is_retryable() || failures + 1 >= policy.max_attempts {
        return Decision::GiveUp;
    }
    let delay_ms = failure.delay_ms.unwrap_or_else(|| delay_ms(policy, failures, jitter));
    Decision::RetryAfter(Duration::from_millis(delay_ms.min(LONGEST_MS)))
}

fn delay_ms(policy: &RetryPolicy, failures: u32, jitter: f64) -> u64 {
    match policy.backoff {
        Backoff::Fixed => policy.delay_ms,
        Backoff::Exponential => {
            let full = policy.delay_ms.saturating_mul(1 << failures.min(32)).min(policy.max_delay_ms);
            full - (full as f64 / 2.0 * jitter.clamp(0.0, 1.0)) as u64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::attempt::Cause;
    use super::*;

    #[test]
    fn a_delay_is_one_that_a_database_can_tell() {
        for asked in [u64::MAX, 100_000_000_000_000_000, LONGEST_MS + 1] {
            let wish = Failure { delay_ms: Some(asked), ..failure(Cause::Retry) };
            let longest = Decision::RetryAfter(Duration::from_millis(LONGEST_MS));
            assert_eq!(after_failure(&RetryPolicy::default(), 0, &wish, 0.0), longest, "{asked}");
        }
    }

    fn failure(cause: Cause) -> Failure {
        Failure { cause, message: String::new(), details: None, delay_ms: None, from_checkpoint: false }
    }

    #[test]
    fn delays_double_up_to_the_longest_and_jitter_takes_off_at_most_half() {
        let policy = RetryPolicy { max_attempts: 100, delay_ms: 100, max_delay_ms: 1_000, ..RetryPolicy::default() };
        for (failures, jitter, expected_ms) in
            [(0, 0.0, 100), (1, 0.0, 200), (2, 1.0, 200), (4, 0.0, 1_000), (90, 1.0, 500)]
        {
            assert_eq!(
                after_failure(&policy, failures, &failure(Cause::Retry), jitter),
                Decision::RetryAfter(Duration::from_millis(expected_ms)),
                "after {failures} failures"
            );
        }
    }

    #[test]
    fn the_last_attempt_and_fatal_causes_give_up() {
        let policy = RetryPolicy { max_attempts: 2, ..RetryPolicy::default() };
        assert_eq!(after_failure(&policy, 1, &failure(Cause::Retry), 0.0), Decision::GiveUp);
        for cause in [Cause::Fatal, Cause::Limit, Cause::InvalidOutput, Cause::Component] {
            assert_eq!(after_failure(&policy, 0, &failure(cause), 0.0), Decision::GiveUp, "{cause:?}");
        }
    }

    #[test]
    fn the_guests_own_delay_wins() {
        let wish = Failure { delay_ms: Some(7), ..failure(Cause::Retry) };
        assert_eq!(
            after_failure(&RetryPolicy::default(), 0, &wish, 0.5),
            Decision::RetryAfter(Duration::from_millis(7))
        );
    }
}
