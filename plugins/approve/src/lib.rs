//! Waits for a signal, at most for as long as it is told to, then lets time pass, and tells what happened. It
//! holds no worker meanwhile. With `secret`, it says how long that secret is, which proves that the step was
//! given it and gives nothing away.

use std::time::{Duration, SystemTime};

use pawl_sdk::{Context, Failure, step};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Deserialize, JsonSchema)]
struct Input {
    /// The signal's name.
    signal: String,
    /// How long to wait for it; for ever without it.
    timeout_ms: Option<u64>,
    /// How long to sleep after it.
    #[serde(default)]
    sleep_ms: u64,
    /// A secret's name.
    secret: Option<String>,
}

#[derive(Debug, PartialEq, Serialize, JsonSchema)]
struct Output {
    /// Whether the signal came in time.
    approved: bool,
    /// What it carried.
    payload: Option<Value>,
    /// From the begin to the signal, or to the end of the wait.
    waited_ms: u64,
    /// From there to the end.
    slept_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_length: Option<usize>,
}

/// Waits for a person's approval, then for a while.
#[step]
fn approve(ctx: &mut Context, input: Input) -> Result<Output, Failure> {
    let begin = ctx.now();
    let payload: Option<Value> = ctx.await_signal(&input.signal, input.timeout_ms.map(Duration::from_millis))?;
    let signalled = ctx.now();
    ctx.info("waited", &[("signal", &input.signal), ("approved", &payload.is_some())]);
    if input.sleep_ms > 0 {
        ctx.sleep(Duration::from_millis(input.sleep_ms));
    }
    let secret = input.secret.map(|name| ctx.secret(&name)).transpose()?;
    Ok(Output {
        approved: payload.is_some(),
        payload,
        waited_ms: millis(begin, signalled)?,
        slept_ms: millis(signalled, ctx.now())?,
        secret_length: secret.map(|secret| secret.len()),
    })
}

fn millis(from: SystemTime, to: SystemTime) -> Result<u64, Failure> {
    Ok(u64::try_from(to.duration_since(from)?.as_millis())?)
}

#[cfg(test)]
mod tests {
    use pawl_sdk::testing::{Host, json};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn an_approval_ends_the_wait_wherever_it_crashes() {
        let host = Host::new().signal_after(HOUR, "approved", json!({ "by": "Ann" })).secret("token", "12345");
        let input = json!({ "signal": "approved", "sleep_ms": 5_000, "secret": "token" });
        let run = host.crash_everywhere(approve, input);
        let payload = Some(json!({ "by": "Ann" }));
        let output = Output { approved: true, payload, waited_ms: 3_600_000, slept_ms: 5_000, secret_length: Some(5) };
        assert_eq!(*run.output(), output);
    }

    #[test]
    fn nobody_approves_in_time() {
        let host = Host::new().signal_after(HOUR, "approved", "too late");
        let run = host.crash_everywhere(approve, json!({ "signal": "approved", "timeout_ms": 1_000 }));
        let output = Output { approved: false, payload: None, waited_ms: 1_000, slept_ms: 0, secret_length: None };
        assert_eq!(*run.output(), output);
    }

    #[test]
    fn a_secret_that_is_not_granted_is_told() {
        let host = Host::new().signal("approved", ());
        let run = host.run(approve, json!({ "signal": "approved", "secret": "token" }));
        assert!(run.failure().to_string().contains("the secret `token` is not granted"), "{}", run.failure());
    }
}
