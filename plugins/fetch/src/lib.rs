//! Makes the HTTP requests of its input, in their order. Answers are recorded, so that a resumed step does
//! not ask again, and requests that change something carry an idempotency key.

use std::collections::BTreeMap;
use std::time::Duration;

use pawl_sdk::{Context, Failure, http, step};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Deserialize, JsonSchema)]
struct Input {
    requests: Vec<Request>,
}

#[derive(Deserialize, JsonSchema)]
struct Request {
    #[serde(default = "get")]
    method: String,
    url: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
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

#[derive(Serialize, Deserialize, JsonSchema)]
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
    for (name, value) in &request.headers {
        outgoing = outgoing.header(name, value);
    }
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

#[cfg(test)]
mod tests {
    use pawl_sdk::testing::{Answer, Host, json};

    use super::*;

    #[test]
    fn a_crash_anywhere_sends_nothing_under_a_second_key() {
        let url = "http://shop.example/orders";
        let requests = json!({ "requests": [
            { "url": url },
            { "method": "POST", "url": url, "body": 1 },
            { "method": "POST", "url": url, "body": 2, "effect": "second" },
            { "method": "PUT", "url": url, "body": 3, "once": "third" },
            { "method": "DELETE", "url": url, "any_status": true },
        ] });
        let host = Host::new()
            .answer("GET", url, Answer::text("none"))
            .answer("POST", url, Answer::status(201))
            .answer("PUT", url, Answer::status(200))
            .answer("DELETE", url, Answer::status(404));
        let run = host.crash_everywhere(fetch, requests);
        let statuses: Vec<u16> = run.output().iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [200, 201, 201, 200, 404]);
        let keys: Vec<&str> = run.effects().filter_map(|effect| effect.key.as_deref()).collect();
        assert_eq!(keys, ["effect 0", "effect \"second\"", "once \"third\", effect 0", "effect 3"]);
    }

    #[test]
    fn a_server_that_is_busy_is_asked_again_under_the_same_key() {
        let url = "http://shop.example/orders";
        let host =
            Host::new().attempts(2).answer("POST", url, Answer::status(503)).answer("POST", url, Answer::status(201));
        let run = host.run(fetch, json!({ "requests": [{ "method": "POST", "url": url }] }));
        assert_eq!((run.output()[0].status, run.attempts()), (201, 2));
        let keys: Vec<_> = run.effects().map(|effect| effect.key.as_deref()).collect();
        assert_eq!(keys, [Some("effect 0"); 2]);
    }
}
