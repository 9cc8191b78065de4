//! What the end of an attempt means for its step: a decision without I/O. Only the jitter of a retry's delay is chance.

use std::time::Duration;

use pawl_domain::attempt::{Cause, Claim, Cut, Deferral, Failure, Outcome};
use pawl_domain::retry::{Decision, RetryPolicy, after_failure as retry_after_failure};
use pawl_domain::succession::Succession;
use pawl_domain::wait::Wait;
use pawl_engine::Executed;
use pawl_store::write::Settlement;

/// What is to be done with an attempt that has ended.
#[derive(Debug, PartialEq)]
pub enum Settling {
    /// Write the outcome.
    Write(Settlement),
    /// Write that the step waits, and the entry of the wait.
    Suspend(Wait),
    /// Write that it waits for an outside host, after what it has saved.
    Defer(Settlement),
    /// Cut the journal and write the outcome, in one commit.
    CutAndWrite(Cut, Settlement),
    /// Nothing: the step is no longer this worker's.
    Lost,
}

/// Decides what the end of an attempt means; `then` is what follows if it has succeeded, `longest_retry_delay` the longest delay
/// that a guest may ask for.
#[must_use]
pub fn decide(
    executed: Executed,
    policy: &RetryPolicy,
    longest_retry_delay: Duration,
    claim: &Claim,
    then: Succession,
) -> Settling {
    match executed.outcome {
        Outcome::Succeeded(output) => Settling::Write(Settlement::Succeeded { output, then }),
        Outcome::Failed(failure) => {
            let rejects_signal = executed.cut.as_ref().is_some_and(|cut| cut.failed_by.is_some());
            let decision = retry_after_failure(policy, claim.failures, &failure, jitter(), ms(longest_retry_delay));
            let settlement = after_failure(&failure, decision, rejects_signal);
            // Also when the step has failed for good: a person's retry must not replay the failure.
            match executed.cut {
                Some(cut) => Settling::CutAndWrite(cut, settlement),
                None => Settling::Write(settlement),
            }
        }
        Outcome::Diverged(divergence) => {
            let mut report = serde_json::to_value(&divergence).unwrap_or_default();
            if let Some(report) = report.as_object_mut() {
                report.insert("cause".into(), "divergence".into());
                report.insert("message".into(), divergence.message().into());
            }
            Settling::Write(Settlement::Parked(json(&report)))
        }
        Outcome::Suspended(wait) => Settling::Suspend(wait),
        Outcome::HandedBack => Settling::Write(Settlement::Released),
        Outcome::Deferred(Deferral { origin, delay_ms }) => Settling::Defer(Settlement::Deferred { origin, delay_ms }),
        Outcome::LeaseLost => Settling::Lost,
    }
}

/// What came out of an attempt of a run whose payloads are sealed: without what the host itself would quote of them. What a guest
/// says of itself is its author's word.
#[must_use]
pub fn without_payloads(mut executed: Executed) -> Executed {
    match &mut executed.outcome {
        Outcome::Failed(failure) if matches!(failure.cause, Cause::InvalidInput | Cause::InvalidOutput) => {
            let what = failure.message.split(':').next().unwrap_or_default();
            failure.message = format!("{what}; the run's payloads are sealed: `pawl run replay` shows what it is");
            failure.details = None;
        }
        Outcome::Diverged(divergence) => {
            for call in std::iter::once(&mut divergence.actual).chain(&mut divergence.expected) {
                call.truncate(call.find('(').unwrap_or(call.len()));
            }
            divergence.difference = None;
        }
        _ => {}
    }
    executed
}

fn after_failure(failure: &Failure, decision: Decision, rejects_signal: bool) -> Settlement {
    match decision {
        Decision::RetryAfter(delay) => Settlement::Retry { error: json(failure), delay_ms: ms(delay) },
        Decision::GiveUp => Settlement::Failed { error: json(failure), rejects_signal },
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// From 0 to 1. A new id's last bytes are random, which is all the chance that a delay needs.
pub fn jitter() -> f64 {
    let random = uuid::Uuid::now_v7().as_u128() as u32;
    f64::from(random) / f64::from(u32::MAX)
}

fn json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("only string keys")
}
