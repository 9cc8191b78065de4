//! Makes the HTTP requests of its input, in their order. Answers are recorded, so that a resumed step does
//! not ask again, and requests that change something carry an idempotency key.

use std::time::Duration;

use pawl_sdk::{Context, Failure, http, step};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Deserialize)]
struct Input {
    requests: Vec<Request>,
}

#[derive(Deserialize)]
struct Request {
    #[serde(default = "get")]
    method: String,
    url: String,
    /// Sent as JSON.
    body: Option<Value>,
    /// Names the effect; without it, its ordinal makes the key.
    effect: Option<String>,
    /// Makes the request inside a `once` of that key.
    once: Option<String>,
    timeout_ms: Option<u64>,
    /// Takes an answer of 400 or more as it is.
    #[serde(default)]
    any_status: bool,
}

fn get() -> String {
    "GET".to_owned()
}

#[derive(Serialize, Deserialize)]
struct Answer {
    status: u16,
    /// The body, as text.
    body: String,
}

/// Makes HTTP requests and returns the answers.
#[step(needs = ["http"])]
fn fetch(ctx: &mut Context, input: Input) -> Result<Vec<Answer>, Failure> {
    let mut answers = Vec::with_capacity(input.requests.len());
    for request in &input.requests {
        let answer = match &request.once {
            Some(key) => ctx.once(key, || send(ctx, request))?,
            None => send(ctx, request)?,
        };
        answers.push(answer);
    }
    Ok(answers)
}

fn send(ctx: &Context, request: &Request) -> Result<Answer, http::Error> {
    let mut outgoing = ctx.http().request(&request.method, &request.url);
    if let Some(body) = &request.body {
        outgoing = outgoing.json(body);
    }
    if let Some(effect) = &request.effect {
        outgoing = outgoing.effect(effect);
    }
    if let Some(timeout_ms) = request.timeout_ms {
        outgoing = outgoing.timeout(Duration::from_millis(timeout_ms));
    }
    let answer = outgoing.send()?;
    let answer = if request.any_status { answer } else { answer.ok()? };
    Ok(Answer { status: answer.status(), body: answer.text()?.to_owned() })
}
