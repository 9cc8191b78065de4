//! Signals that a step can't read: one is met once, a person sees what lies in the inbox and decides, and what no step
//! could read does not come in.

use anyhow::Result;
use pawl_api::types::{Changed, Explanation, Inbox, RunStatus, SentSignal, SignalDetail};
use pawl_domain::id::RunId;
use pawl_tests::{Cluster, bounds, runtime};
use serde_json::{Value, json};

use crate::waits::{awaits, is_waiting, pipeline, signal};

fn approval(name: &str) -> Value {
    json!({"do": "approval", "name": name})
}

fn inbox(cluster: &Cluster, run: RunId) -> Result<Inbox> {
    cluster.client.get(&format!("/v1/runs/{run}/inbox"))?.read()
}

/// Number and name of each, and whether it was rejected.
fn lies_there(cluster: &Cluster, run: RunId) -> Result<Vec<(u32, String, bool)>> {
    let signals = inbox(cluster, run)?.signals;
    Ok(signals.into_iter().map(|signal| (signal.number, signal.name, signal.rejected.is_some())).collect())
}

#[test]
fn a_signal_that_a_step_fails_by_is_not_met_again_by_a_retry() -> Result<()> {
    let mut cluster = Cluster::start("signal_rejected")?;
    pipeline(&cluster)?;
    cluster.worker("a").start()?;
    let run = cluster.submit("waits", &json!([awaits("first", None), approval("go")]))?;
    signal(&cluster, run, "first", &json!(1))?;
    signal(&cluster, run, "go", &json!({"by": 7}))?;
    assert_eq!(cluster.ends(run, bounds::RUN)?, RunStatus::Failed);

    // What it had read before returns; what it failed by is there to be seen, and is not taken again.
    assert_eq!(lies_there(&cluster, run)?, [(1, "first".to_owned(), false), (2, "go".to_owned(), true)]);
    let listed = cluster.pawl(&["run", "inbox", "list", &run.to_string()])?;
    assert!(listed.contains("rejected: wait failed by it: the signal `go` does not fit at `by`"), "{listed}");
    let shown = cluster.pawl(&["run", "inbox", "get", &run.to_string(), "2"])?;
    assert!(shown.contains(r#"{"by":7}"#), "{shown}");
    let explained = cluster.pawl(&["run", "explain", &run.to_string()])?;
    assert!(explained.contains(&format!("pawl run inbox replace {run} 2 --payload JSON")), "{explained}");
    let reason = explained.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(reason.contains("it failed by signal 2, \"go\", which is rejected"), "{explained}");
    cluster.client.retry(run)?;
    is_waiting(&cluster, run, "wait")?;
    assert_eq!(lies_there(&cluster, run)?, [(2, "go".to_owned(), true)]);
    let explained: Explanation = cluster.client.get(&format!("/v1/runs/{run}/explain"))?.read()?;
    let way = explained.reasons.first().and_then(|reason| reason.ways_out.first());
    assert_eq!(way.map(|way| way.command.as_str()), Some(&*format!("pawl run inbox return {run} 2")));
    let message = explained.reasons.first().map(|reason| reason.message.as_str()).unwrap_or_default();
    let says =
        "signal 2 of that name was rejected, since a step has failed by it: the signal `go` does not fit at `by`";
    assert!(message.contains(says), "{message}");

    // Put back, it fails the step again, and is rejected again.
    let returned = cluster.pawl(&["run", "inbox", "return", &run.to_string(), "2"])?;
    assert!(returned.contains("ready again: wait"), "{returned}");
    assert_eq!(cluster.ends(run, bounds::RUN)?, RunStatus::Failed);
    assert_eq!(lies_there(&cluster, run)?, [(1, "first".to_owned(), false), (2, "go".to_owned(), true)]);
    cluster.client.retry(run)?;
    is_waiting(&cluster, run, "wait")?;
    signal(&cluster, run, "go", &json!({"by": "Ann"}))?;
    cluster.succeeds(run, bounds::RUN)?;
    assert_eq!(cluster.client.output(run, "wait")?["saw"], json!([1, "Ann"]));
    cluster.finish()
}

#[test]
fn a_person_replaces_and_removes_what_lies_in_an_inbox() -> Result<()> {
    let mut cluster = Cluster::start("inbox")?;
    pipeline(&cluster)?;
    let run = cluster.submit("waits", &json!([approval("go"), approval("go"), awaits("go", Some(300))]))?;
    let client = cluster.client.clone();
    let send = |body: &str, key: &str| -> Result<SentSignal> {
        let headers = [("content-type", "application/json"), ("idempotency-key", key)];
        runtime::block_on(client.send("POST", &format!("/v1/runs/{run}/signals/go"), &headers, body.into()))?.read()
    };
    for (body, key) in [("1", "a"), ("2", "b"), (r#"{"by": "Bob"}"#, "c")] {
        send(body, key)?;
    }
    let number = |number: u32| format!("/v1/runs/{run}/inbox/{number}");
    let to = |method: &str, path: &str, body: &str| {
        let headers = [("content-type", "application/json")];
        runtime::block_on(client.send(method, path, &headers, body.into()))
    };
    to("DELETE", &number(2), "")?.read::<Changed>()?;
    to("DELETE", &number(2), "")?.problem(404)?;
    let id = run.to_string();
    cluster.pawl(&["run", "inbox", "replace", &id, "1", "--payload", r#"{"by": "Ann"}"#])?;
    let shown: SignalDetail = to("GET", &number(1), "")?.read()?;
    assert_eq!((shown.payload.get(), shown.signal.idempotency_key.as_deref()), (r#"{"by": "Ann"}"#, Some("a")));
    assert_eq!(cluster.pawl(&["run", "inbox", "list", &id, "-o", "ids"])?, "1\n3\n");
    // Their senders have been answered: what they send again is the same, also if it was changed or taken away.
    assert_eq!([send("1", "a")?.created, send("2", "b")?.created], [false, false]);
    let paged: Inbox = to("GET", &format!("/v1/runs/{run}/inbox?limit=1"), "")?.read()?;
    assert_eq!((paged.signals.len(), paged.next), (1, Some(1)));

    cluster.worker("a").start()?;
    cluster.succeeds(run, bounds::RUN)?;
    assert_eq!(cluster.client.output(run, "wait")?["saw"], json!(["Ann", "Bob", null]), "in their turn");
    let taken = to("PUT", &number(1), "1")?.problem(409)?;
    assert!(taken.detail.contains("was taken by a step"), "{taken:?}");
    for (method, path, body, status) in [
        ("GET", number(9), "", 404),
        ("DELETE", format!("/v1/runs/{run}/inbox/go"), "", 404),
        ("PUT", number(1), "{", 400),
        ("GET", format!("/v1/runs/{}/inbox", RunId::new()), "", 404),
    ] {
        to(method, &path, body)?.problem(status)?;
    }
    cluster.finish()
}

#[test]
fn what_no_step_could_read_is_refused_at_the_door() -> Result<()> {
    let mut cluster = Cluster::start("signal_door")?;
    pipeline(&cluster)?;
    cluster.worker("a").start()?;
    let run = cluster.submit("waits", &json!([approval("go")]))?;
    is_waiting(&cluster, run, "wait")?;
    for (body, says) in [
        (r#"{"by": "\ud800"}"#, "half of a surrogate pair, which is no text, at line 1 column 1"),
        ("{\"by\": \"a\",\n \"by\": \"b\"}", "the name \"by\" is given twice in an object at line 2"),
        (r#"{"by": "a", "at": 1e999}"#, "number out of range at line 1"),
    ] {
        let path = format!("/v1/runs/{run}/signals/go");
        let refused = cluster.client.post(&path, "application/json", body)?.problem(400)?;
        assert!(refused.detail.contains(says), "{body}: {refused:?}");
    }
    assert!(lies_there(&cluster, run)?.is_empty());
    signal(&cluster, run, "go", &json!({"by": "Ann"}))?;
    cluster.succeeds(run, bounds::RUN)?;
    cluster.finish()
}

#[test]
fn a_signal_with_a_name_that_nobody_awaits_is_taken_and_the_answer_says_what_is_awaited() -> Result<()> {
    let mut cluster = Cluster::start("signal_misspelt")?;
    pipeline(&cluster)?;
    cluster.worker("a").start()?;
    let run = cluster.submit("waits", &json!([awaits("approved", None), awaits("aproved", None)]))?;
    is_waiting(&cluster, run, "wait")?;
    let id = run.to_string();
    // Nor is the wait over for those who look at it.
    let report = cluster.pawl(&["run", "report", &id])?;
    assert!(report.contains("durable.await-signal(\"approved\") -> no answer yet"), "{report}");
    let replayed = cluster.pawl(&["run", "replay", &id, "wait"])?;
    assert!(replayed.contains("durable.await-signal(\"approved\") would be new"), "{replayed}");
    let told = cluster.pawl(&["run", "signal", &id, "aproved"])?;
    assert!(told.contains("note: no step waits for \"aproved\" now; steps of the run wait for \"approved\""), "{told}");
    assert!(told.contains("did you mean \"approved\"?"), "{told}");
    // Who has not seen that, or has lost it, finds it in the explanation.
    let explained = cluster.pawl(&["run", "explain", &id])?;
    let says = "note: a signal lies in the inbox for which no step waits now, \"aproved\" (the newest is number 1)";
    assert!(explained.contains(says) && explained.contains("did you mean \"approved\"?"), "{explained}");
    // The one that is awaited comes, and then the other one is, too.
    let told = cluster.pawl(&["run", "signal", &id, "approved"])?;
    assert!(told.contains("was taken by wait") && !told.contains("note:"), "{told}");
    cluster.succeeds(run, bounds::RUN)?;
    cluster.finish()
}
