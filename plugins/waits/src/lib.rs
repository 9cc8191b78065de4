//! Does what it is told to, one thing after the other: reads the clock, sleeps, waits for signals, saves,
//! fails. Answers with what it saw, and with what it had seen at its `remember`: both must agree, whatever
//! happened to the worker in between.

use std::time::Duration;

use pawl_sdk::raw::pawl::step::{context, durable};
use pawl_sdk::{Context, Failure, step};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
enum Order {
    /// Reads the clock: ms since 1970.
    Now,
    Sleep {
        ms: u64,
    },
    /// What the signal carries; null if none came in time.
    Await {
        name: String,
        timeout_ms: Option<u64>,
    },
    /// Who has approved, which the signal must say as text.
    Approval {
        name: String,
    },
    /// The secret's length, and its value into the log.
    Secret {
        name: String,
    },
    /// Saves a state of so many bytes.
    Checkpoint {
        bytes: usize,
    },
    /// Records what was seen so far.
    Remember,
    /// Fails until this attempt.
    FailBefore {
        attempt: u32,
    },
}

#[derive(Deserialize)]
struct Approval {
    by: String,
}

#[derive(Serialize)]
struct Output {
    saw: Vec<Value>,
    /// What was seen up to the last `remember`, when that was recorded.
    remembered: Option<Vec<Value>>,
    attempt: u32,
}

/// Does what it is told to.
#[step]
fn waits(ctx: &mut Context, orders: Vec<Order>) -> Result<Output, Failure> {
    let mut output = Output { saw: Vec::new(), remembered: None, attempt: 0 };
    for order in orders {
        match order {
            Order::Now => output.saw.push((ctx.now_ns() / 1_000_000).into()),
            Order::Sleep { ms } => durable::sleep(ms),
            Order::Await { name, timeout_ms } => output.saw.push(match durable::await_signal(&name, timeout_ms) {
                Some(payload) => serde_json::from_str(&payload)?,
                None => Value::Null,
            }),
            Order::Approval { name } => {
                let approval = ctx.await_signal::<Approval>(&name, None)?;
                output.saw.push(approval.map(|approval| approval.by).into());
            }
            Order::Secret { name } => {
                let secret = context::secret(&name);
                let value = secret.as_deref().unwrap_or("none");
                ctx.info(&format!("the secret is {value}"), &[("secret", &value)]);
                output.saw.push(secret.map(|secret| secret.len()).into());
            }
            Order::Checkpoint { bytes } => durable::checkpoint(&vec![0; bytes]),
            Order::Remember => {
                let saw = serde_json::to_vec(&output.saw)?;
                let remembered = durable::once_begin("remember").unwrap_or_else(|| {
                    durable::once_finish("remember", &saw);
                    saw
                });
                output.remembered = Some(serde_json::from_slice(&remembered)?);
            }
            Order::FailBefore { attempt } if ctx.attempt() < attempt => {
                return Err(Failure::retry("as it was told").after(Duration::from_millis(10)));
            }
            Order::FailBefore { .. } => {}
        }
    }
    output.attempt = ctx.attempt();
    Ok(output)
}
