//! Fails a given number of times, in the way it is asked to, then succeeds. Shows what a retry policy does.
//! Takes its orders from the step's config, or from the input where there is none.

use std::time::{Duration, SystemTime};

use pawl_sdk::{Context, Failure, step};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Deserialize)]
struct Orders {
    /// How many attempts fail.
    failures: u32,
    #[serde(default)]
    how: How,
    /// The delay to ask for with `how = "retry"`.
    delay_ms: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum How {
    /// Asks for another attempt.
    #[default]
    Retry,
    /// Says that another attempt is pointless.
    Fatal,
    /// Panics: a line in the log, then a trap.
    Panic,
    /// Executes an instruction that can't be.
    Trap,
    /// Asks the system for the time, which a component can't.
    Clock,
}

#[derive(Serialize)]
struct Output {
    attempt: u32,
}

/// Fails as often and in the way it is asked to.
#[step]
fn flaky(ctx: &mut Context, input: Value) -> Result<Output, Failure> {
    let orders: Orders = match ctx.config()? {
        Some(orders) => orders,
        None => serde_json::from_value(input)?,
    };
    let attempt = ctx.attempt();
    if attempt > orders.failures {
        return Ok(Output { attempt });
    }
    let message = format!("attempt {attempt} of {} that fail", orders.failures);
    Err(match orders.how {
        How::Retry => {
            let failure = Failure::retry(message).with_details(&Output { attempt });
            orders.delay_ms.map(Duration::from_millis).into_iter().fold(failure, Failure::after)
        }
        How::Fatal => Failure::fatal(message),
        How::Panic => panic!("{message}"),
        How::Trap => std::process::abort(),
        How::Clock => Failure::fatal(format!("{:?}", SystemTime::now())),
    })
}

#[cfg(test)]
mod tests {
    use pawl_sdk::testing::{Host, json};

    use super::*;

    #[test]
    fn it_fails_as_often_as_it_is_asked_to_wherever_it_crashes() {
        let run = Host::new().attempts(5).crash_everywhere(flaky, json!({ "failures": 2, "delay_ms": 1_000 }));
        assert_eq!((run.output().attempt, run.elapsed()), (3, Duration::from_secs(2)));
        let run = Host::new().attempts(5).config(json!({ "failures": 1, "how": "panic" })).run(flaky, json!(null));
        assert_eq!(run.output().attempt, 2);
    }

    #[test]
    fn a_fatal_failure_has_no_second_attempt() {
        let run = Host::new().attempts(5).run(flaky, json!({ "failures": 2, "how": "fatal" }));
        assert_eq!((run.failure().to_string().as_str(), run.attempts()), ("attempt 1 of 2 that fail", 1));
    }
}
