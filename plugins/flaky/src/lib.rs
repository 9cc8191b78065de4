//! Fails a given number of times, in the way it is asked to, then succeeds. Shows what a retry policy does.
//! Takes its orders from the step's config, or from the input where there is none.

use std::time::Duration;

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
    })
}
