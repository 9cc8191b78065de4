//! Secrets that are granted for requests alone: the host puts them in where a request leaves, and neither the guest nor its journal
//! ever has one.

use std::sync::Arc;

use pawl_domain::attempt::Cause;
use pawl_domain::id::Digest;
use pawl_domain::journal::{Entry, History, HttpAnswer};
use pawl_engine::in_memory::InMemory;
use pawl_engine::recorder::Recorder;
use pawl_engine::{Attempt, Executed, Secret, Secrets};
use serde_json::{Value, json};

use crate::setup::{attempt, execute_with, failure, output};
use crate::target::Target;

const VALUE: &str = "correct-\"horse\"/+=&%41\\battery";
const PLACEHOLDER: &str = "{{secret:token}}";

/// The secret, for requests to this host alone.
fn only_for(host: &str) -> Secrets {
    let hosts = vec![host.parse().expect("a grant")];
    Secrets::of([("token".to_owned(), Secret::InRequests { value: VALUE.to_owned(), hosts })])
}

fn fetch(secrets: Secrets, requests: &Value, memory: &Arc<InMemory>) -> Executed {
    let input = json!({ "requests": requests }).to_string();
    let attempt = Attempt { secrets, ..attempt(&input, memory.history()) };
    execute_with("fetch", attempt, Arc::clone(memory) as Arc<dyn Recorder>)
}

fn get(url: &str) -> Value {
    json!({ "url": url, "headers": { "authorization": format!("Bearer {PLACEHOLDER}") } })
}

/// Whatever the journal holds, and the outcome, as text.
fn told(memory: &InMemory, executed: &Executed) -> String {
    let bodies: Vec<String> = memory
        .entries()
        .iter()
        .filter_map(|entry| match entry {
            Entry::Fetched { answer: HttpAnswer::Response { body, .. }, .. }
            | Entry::Answered { answer: HttpAnswer::Response { body, .. }, .. } => {
                Some(String::from_utf8_lossy(body).into_owned())
            }
            _ => None,
        })
        .collect();
    let outcome = match &executed.outcome {
        pawl_domain::attempt::Outcome::Succeeded(output) => String::from_utf8_lossy(output).into_owned(),
        other => format!("{other:?}"),
    };
    format!("{outcome} {bodies:?} {:?}", memory.entries())
}

#[test]
fn a_secret_leaves_in_the_header_and_nothing_that_is_kept_or_answered_has_it() {
    let target = Target::start();
    let memory = Arc::new(InMemory::default());
    let url = format!("{}/echo", target.url);
    let executed = fetch(only_for("http://localhost:*"), &json!([get(&url)]), &memory);
    let body = output(&executed)[0]["body"].as_str().expect("text").to_owned();
    assert_eq!(target.received()[0].authorization.as_deref(), Some(&*format!("Bearer {VALUE}")));
    assert!(body.contains(&format!("Bearer {PLACEHOLDER}")), "{body}");
    let told = told(&memory, &executed);
    let hex: String = VALUE.bytes().map(|byte| format!("{byte:02x}")).collect();
    for part in ["horse", "battery", &hex[..12]] {
        assert!(!told.contains(part), "{told} has {part}");
    }
    // A replay asks nobody, and sees the same.
    let again = fetch(only_for("http://localhost:*"), &json!([get(&url)]), &memory);
    assert_eq!((output(&again), target.received().len()), (output(&executed), 1));
}

#[test]
fn in_the_body_of_an_effect_it_stands_as_json_and_its_intent_has_the_placeholder() {
    let target = Target::start();
    let memory = Arc::new(InMemory::default());
    let body = json!({ "key": PLACEHOLDER });
    let post = |headers: Value| json!([{ "method": "POST", "url": target.url, "headers": headers, "body": body }]);
    output(&fetch(only_for(&target.url), &post(json!({ "pawl-secrets": "body" })), &memory));
    let received = target.received();
    assert_eq!(serde_json::from_str::<Value>(&received[0].body).expect("JSON"), json!({ "key": VALUE }));
    let Some(Entry::Intent { request, .. }) = memory.entries().into_iter().next() else {
        panic!("{:?}", memory.entries())
    };
    assert_eq!(request.body, Digest::of(body.to_string().as_bytes()), "what is recorded is what the guest wrote");
    output(&fetch(only_for(&target.url), &post(json!({})), &Arc::new(InMemory::default())));
    assert_eq!(target.received()[1].body, body.to_string(), "unless it is asked for, a body is text");
}

#[test]
fn a_redirect_to_another_origin_takes_no_secret_along() {
    let (first, second) = (Target::start(), Target::start());
    let memory = Arc::new(InMemory::default());
    let url = format!("{}/to/{}/echo", first.url, second.url);
    let executed = fetch(only_for("http://localhost:*"), &json!([get(&url)]), &memory);
    output(&executed);
    assert_eq!(first.received()[0].authorization.as_deref(), Some(&*format!("Bearer {VALUE}")));
    assert_eq!(second.received()[0].authorization, None, "though it is granted for that one, too");
    let within = format!("{}/redirect", first.url);
    output(&fetch(only_for("http://localhost:*"), &json!([get(&within)]), &Arc::new(InMemory::default())));
    assert_eq!(
        first.received()[2].authorization.as_deref(),
        Some(&*format!("Bearer {VALUE}")),
        "the same host knows it"
    );
}

#[test]
fn to_another_host_nothing_leaves_and_nothing_is_recorded() {
    let target = Target::start();
    let asks = json!([{ "do": "secret", "name": "token" }]).to_string();
    for method in ["GET", "POST"] {
        let memory = Arc::new(InMemory::default());
        let mut request = get(&target.url);
        request["method"] = method.into();
        let executed = fetch(only_for("https://pay.example.org"), &json!([request]), &memory);
        let message = &failure(&executed, Cause::Refused).message;
        assert!(message.contains("not granted for requests to") && message.contains("--host"), "{message}");
        assert!(memory.entries().is_empty() && target.received().is_empty());
    }
    // Nor is the guest given it.
    let attempt = Attempt { secrets: only_for("http://localhost:*"), ..attempt(&asks, History::default()) };
    let executed = execute_with("waits", attempt, Arc::new(InMemory::default()) as Arc<dyn Recorder>);
    let message = &failure(&executed, Cause::Refused).message;
    assert!(message.contains("granted for requests alone") && message.contains(PLACEHOLDER), "{message}");
}

#[test]
fn what_is_withheld_or_not_named_is_refused_with_what_would_grant_it() {
    let target = Target::start();
    let withheld = Secrets::of([("token".to_owned(), Secret::Withheld("run `pawl secret grant`".to_owned()))]);
    for (secrets, says) in [(withheld, "run `pawl secret grant`"), (Secrets::default(), "add secrets = [\"token\"]")] {
        let executed = fetch(secrets, &json!([get(&target.url)]), &Arc::new(InMemory::default()));
        let message = &failure(&executed, Cause::Refused).message;
        assert!(message.contains(says), "{message}");
    }
    assert!(target.received().is_empty());
}
