//! What happens after a failed attempt: a pure decision.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::attempt::Failure;
use super::wait::LONGEST_MS;

/// A step's retry policy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

/// The longest delay that a guest may ask for, unless a setting says otherwise: a week. Whoever asks for more has most likely
/// read it from somebody who did not mean it.
pub const LONGEST_WISH_MS: u64 = 7 * 86_400_000;

/// Decides what follows from `failure`, when `failures` attempts had failed before it. `jitter` is a random
/// number from 0 to 1.
///
/// The guest's own wish lengthens the policy's delay, up to `longest_wish_ms`, and never shortens it: a busy server that says
/// `Retry-After: 0` must not use up all attempts at once.
#[must_use]
pub fn after_failure(
    policy: &RetryPolicy,
    failures: u32,
    failure: &Failure,
    jitter: f64,
    longest_wish_ms: u64,
) -> Decision {
    if !failure.cause.is_retryable() || failures + 1 >= policy.max_attempts {
        return Decision::GiveUp;
    }
    let wish_ms = failure.delay_ms.unwrap_or(0).min(longest_wish_ms);
    let delay_ms = delay_ms(policy, failures, jitter).max(wish_ms);
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

    fn decide(policy: &RetryPolicy, failures: u32, failure: &Failure, jitter: f64) -> Decision {
        after_failure(policy, failures, failure, jitter, LONGEST_WISH_MS)
    }

    fn after_ms(ms: u64) -> Decision {
        Decision::RetryAfter(Duration::from_millis(ms))
    }

    fn wish(delay_ms: u64) -> Failure {
        Failure { delay_ms: Some(delay_ms), ..failure(Cause::Retry) }
    }

    #[test]
    fn a_guest_waits_no_longer_than_it_may_ask_for() {
        let policy = RetryPolicy::default();
        for asked in [u64::MAX, 9_000_000_000_000_000_000, 99_999_999_999_000, LONGEST_WISH_MS + 1, LONGEST_WISH_MS] {
            assert_eq!(decide(&policy, 0, &wish(asked), 0.0), after_ms(LONGEST_WISH_MS), "{asked}");
        }
        let unbounded = after_failure(&policy, 0, &wish(u64::MAX), 0.0, u64::MAX);
        assert_eq!(unbounded, after_ms(LONGEST_MS), "a database can tell it");
        let patient = RetryPolicy { backoff: Backoff::Fixed, delay_ms: 2 * LONGEST_WISH_MS, ..policy };
        assert_eq!(decide(&patient, 0, &wish(u64::MAX), 0.0), after_ms(2 * LONGEST_WISH_MS), "the policy's word stays");
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
                decide(&policy, failures, &failure(Cause::Retry), jitter),
                Decision::RetryAfter(Duration::from_millis(expected_ms)),
                "after {failures} failures"
            );
        }
    }

    #[test]
    fn the_last_attempt_and_fatal_causes_give_up() {
        let policy = RetryPolicy { max_attempts: 2, ..RetryPolicy::default() };
        assert_eq!(decide(&policy, 1, &failure(Cause::Retry), 0.0), Decision::GiveUp);
        for cause in [Cause::Fatal, Cause::Limit, Cause::InvalidOutput, Cause::Component] {
            assert_eq!(decide(&policy, 0, &failure(cause), 0.0), Decision::GiveUp, "{cause:?}");
        }
    }

    #[test]
    fn the_guests_own_wish_lengthens_the_delay_and_never_shortens_it() {
        let policy = RetryPolicy::default();
        assert_eq!(decide(&policy, 0, &wish(7_000), 0.5), after_ms(7_000));
        for short in [0, 7] {
            assert_eq!(decide(&policy, 0, &wish(short), 0.0), after_ms(1_000), "{short}");
            assert_eq!(decide(&policy, 1, &wish(short), 1.0), after_ms(1_000), "{short}");
        }
    }
}
