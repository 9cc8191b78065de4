//! Steps that wait: they hold nothing meanwhile, outlive their workers, and see what woke them, once and the
//! same on every replay.

use anyhow::{Context as _, Result};
use pawl_api::types::{Because, Explanation, RunStatus, SentSignal, StepStatus};
use pawl_domain::id::RunId;
use pawl_tests::{Cluster, binary, bounds, runtime, wait};
use serde_json::{Value, json};

use crate::pipelines;

/// `waits`: one step that does what its input says.
pub(crate) fn pipeline(cluster: &Cluster) -> Result<()> {
    cluster.push("waits")?;
    cluster.apply("name = \"waits\"\n[[step]]\nname = \"wait\"\nplugin = \"waits\"\n")
}

pub(crate) fn awaits(name: &str, timeout_ms: Option<u64>) -> Value {
    json!({"do": "await", "name": name, "timeout_ms": timeout_ms})
}

pub(crate) fn is_waiting(cluster: &Cluster, run: RunId, step: &str) -> Result<()> {
    wait::until_true(bounds::RUN, "the step to wait", || {
        Ok(cluster.client.run(run)?.steps.iter().any(|it| it.name == step && it.status == StepStatus::Waiting))
    })
}

pub(crate) fn signal(cluster: &Cluster, run: RunId, name: &str, payload: &Value) -> Result<SentSignal> {
    let path = format!("/v1/runs/{run}/signals/{name}");
    cluster.client.post(&path, "application/json", serde_json::to_vec(payload)?)?.read()
}

fn notes(cluster: &Cluster, run: RunId) -> Result<Vec<String>> {
    let events = cluster.client.events(run)?;
    Ok(events.iter().map(|event| format!("{} {}", event.kind, event.note.as_deref().unwrap_or(""))).collect())
}

#[test]
fn a_sleeping_step_holds_no_slot_and_outlives_its_workers() -> Result<()> {
    const SLEEP_MS: u64 = 4_000;
    let mut cluster = Cluster::start("sleep")?;
    pipeline(&cluster)?;
    pipelines::chain(&cluster, 3)?;
    cluster.worker("first").slots(1).start()?;
    let orders = json!([{"do": "now"}, {"do": "sleep", "ms": SLEEP_MS}, {"do": "now"}]);
    let run = cluster.submit("waits", &orders)?;
    is_waiting(&cluster, run, "wait")?;

    // The only slot is free, and the run says what it waits for.
    let other = cluster.submit("chain-3", &json!("others go on"))?;
    cluster.succeeds(other, bounds::RUN)?;
    let explained: Explanation = cluster.client.get(&format!("/v1/runs/{run}/explain"))?.read()?;
    let reason = explained.reasons.first().context("it still sleeps")?;
    assert!(reason.because == Because::Due && reason.message.starts_with("it wakes in"), "{reason:?}");

    // Its worker dies while it sleeps, the next one right after it woke.
    cluster.the("first")?.kill9();
    cluster.worker("second").fault("claim.before_guest=kill").start()?;
    cluster.dies("second", bounds::RECOVERY)?;
    cluster.worker("third").start()?;
    cluster.succeeds(run, bounds::RECOVERY)?;

    let output = cluster.client.output(run, "wait")?;
    let saw: Vec<u64> = serde_json::from_value(output["saw"].clone())?;
    assert!(saw[1] - saw[0] >= SLEEP_MS, "it slept {} ms", saw[1] - saw[0]);
    let failures: i64 = cluster.database.value("select count(*) from step where failures > 0")?;
    assert_eq!(failures, 0, "a wait used up a retry");
    let notes = notes(&cluster, run)?;
    assert!(notes.contains(&format!("step.waiting sleep {SLEEP_MS} ms")), "{notes:?}");
    assert!(notes.contains(&"step.ready due".to_owned()), "{notes:?}");
    cluster.finish()
}

#[test]
fn a_signal_is_taken_before_during_and_not_after_the_wait() -> Result<()> {
    let mut cluster = Cluster::start("signals")?;
    pipeline(&cluster)?;
    let orders = json!([awaits("approved", None), {"do": "now"}, awaits("approved", None), awaits("late", Some(50))]);
    let run = cluster.submit("waits", &orders)?;
    let sent = signal(&cluster, run, "approved", &json!({"by": "ana"}))?;
    assert!(sent.created && sent.steps.is_empty(), "nobody waits for it yet: {sent:?}");
    signal(&cluster, run, "another", &json!(1))?;

    cluster.worker("a").start()?;
    is_waiting(&cluster, run, "wait")?;
    let explained = cluster.pawl(&["run", "explain", &run.to_string()])?;
    assert!(explained.contains("waits for the signal \"approved\""), "{explained}");
    let shown = cluster.pawl(&["run", "get", &run.to_string()])?;
    assert!(shown.contains("waits for the signal \"approved\""), "{shown}");
    let refused = cluster.try_pawl(&["run", "resume", &run.to_string(), "wait"])?;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("pawl run signal"), "{refused:?}");
    let said = cluster.pawl(&["run", "signal", &run.to_string(), "approved", "--payload", "[2]"])?;
    assert!(said.contains("taken by wait"), "{said}");
    cluster.succeeds(run, bounds::RUN)?;

    let output = cluster.client.output(run, "wait")?;
    assert_eq!(
        [&output["saw"][0], &output["saw"][2], &output["saw"][3]],
        [&json!({"by": "ana"}), &json!([2]), &Value::Null]
    );
    let notes = notes(&cluster, run)?;
    for note in [
        "step.waiting signal approved",
        "step.ready signal approved",
        "step.waiting signal late, at most 50 ms",
        "step.ready no signal late in time",
    ] {
        assert!(notes.iter().any(|line| line == note), "{note} is missing in {notes:?}");
    }

    let post = |path: &str, body: &str| cluster.client.post(path, "application/json", body);
    let after = post(&format!("/v1/runs/{run}/signals/approved"), "1")?.problem(409)?;
    assert!(after.detail.contains("has ended"), "{after:?}");
    post(&format!("/v1/runs/{}/signals/approved", RunId::new()), "1")?.problem(404)?;
    post(&format!("/v1/runs/{run}/signals/approved"), "{")?.problem(400)?;
    post(&format!("/v1/runs/{run}/signals/{}", "x".repeat(1_025)), "1")?.problem(400)?;
    post(&format!("/v1/runs/{run}/signals/large"), &format!("\"{}\"", "x".repeat(1 << 20)))?.problem(413)?;
    cluster.finish()
}

#[test]
fn a_signal_that_is_sent_twice_under_one_key_is_one() -> Result<()> {
    let mut cluster = Cluster::start("signal_key")?;
    pipeline(&cluster)?;
    let run = cluster.submit("waits", &json!([awaits("paid", None), awaits("paid", Some(300))]))?;
    let client = cluster.client.clone();
    let send = |body: &str| {
        let headers = [("content-type", "application/json"), ("idempotency-key", "payment-1")];
        let path = format!("/v1/runs/{run}/signals/paid");
        runtime::block_on(client.send("POST", &path, &headers, body.into()))
    };
    let first: SentSignal = send("7")?.read()?;
    let second: SentSignal = send("7")?.read()?;
    assert_eq!((first.created, second.created), (true, false));
    assert!(send("8")?.problem(409)?.detail.contains("payment-1"));
    cluster.worker("a").start()?;
    cluster.succeeds(run, bounds::RUN)?;
    assert_eq!(cluster.client.output(run, "wait")?["saw"], json!([7, null]));
    let again: SentSignal = send("7")?.read()?;
    assert!(!again.created, "also after the end of the run");
    cluster.finish()
}

/// Signals are aimed at the very moment at which the time is over; workers are killed while the steps go on.
#[test]
fn of_a_signal_and_a_timeout_one_wins_and_the_guest_sees_the_same_for_ever() -> Result<()> {
    const RUNS: u64 = 24;
    const TIMEOUT_MS: u64 = 500;
    let mut cluster = Cluster::start("signal_or_timeout")?;
    pipeline(&cluster)?;
    cluster.worker("first").slots(32).start()?;
    let orders = json!([
        awaits("approved", Some(TIMEOUT_MS)), {"do": "remember"}, {"do": "sleep", "ms": 1_500}, {"do": "now"}
    ]);
    let runs = cluster.client.submit_all("waits", &vec![orders; RUNS as usize])?;
    runs.iter().try_for_each(|run| is_waiting(&cluster, *run, "wait"))?;
    let due_ms: i64 =
        cluster.database.value("select (extract(epoch from max(awaits_until)) * 1000)::bigint from step")?;
    let clock = "select (extract(epoch from clock_timestamp()) * 1000)::bigint";
    wait::until_true(bounds::RUN, "the time to be nearly over", || {
        Ok(cluster.database.value::<i64>(clock)? >= due_ms - 120)
    })?;
    for run in &runs {
        signal(&cluster, *run, "approved", &json!(run.to_string()))?;
    }
    cluster.the("first")?.kill9();
    cluster.worker("second").slots(32).start()?;
    cluster.all_succeed(&runs, bounds::RECOVERY)?;

    let mut taken = 0;
    for run in &runs {
        let output = cluster.client.output(*run, "wait")?;
        let given: i64 = cluster
            .database
            .value(&format!("select count(*) from signal where run_id = '{run}' and step_no is not null"))?;
        let expected = if given == 1 { json!(run.to_string()) } else { Value::Null };
        assert_eq!(output["saw"][0], expected, "{}", cluster.story(*run));
        assert_eq!(output["remembered"][0], expected, "it saw something else before");
        taken += given;
    }
    eprintln!("of {RUNS} waits {taken} ended with the signal");
    cluster.finish()
}

#[test]
fn a_retry_gives_signals_back_and_a_checkpoint_keeps_them() -> Result<()> {
    let mut cluster = Cluster::start("signals_returned")?;
    pipeline(&cluster)?;
    cluster.worker("a").start()?;
    // The checkpoint is so large that it goes on a connection of its own.
    let orders = json!([
        awaits("first", None), {"do": "checkpoint", "bytes": 400_000}, awaits("second", None), {"do": "now"},
        {"do": "fail_before", "attempt": 2}
    ]);
    let run = cluster.submit("waits", &orders)?;
    signal(&cluster, run, "first", &json!(1))?;
    signal(&cluster, run, "second", &json!(2))?;
    cluster.succeeds(run, bounds::RUN)?;
    let output = cluster.client.output(run, "wait")?;
    assert_eq!((&output["saw"][0], &output["saw"][1], &output["attempt"]), (&json!(1), &json!(2), &json!(2)));
    let notes = notes(&cluster, run)?;
    let taken = |name: &str| notes.iter().filter(|note| **note == format!("step.ready signal {name}")).count();
    assert_eq!((taken("first"), taken("second")), (1, 2), "{notes:?}");
    let checkpoints: i32 = cluster.database.value("select checkpoint_ordinal from step")?;
    assert_eq!(checkpoints, 2, "one of each attempt that came to it live, written before the wait that followed");
    cluster.finish()
}

#[test]
fn a_step_that_was_stopped_while_it_waited_goes_on_waiting_when_its_run_is_reopened() -> Result<()> {
    let mut cluster = Cluster::start("wait_reopened")?;
    cluster.push("waits")?;
    cluster.apply(
        "name = \"two\"\n[[step]]\nname = \"wait\"\nplugin = \"waits\"\n[[step]]\nname = \"needy\"\nplugin = \"waits\"\n\
         secrets = [\"token\"]\nretry = { max_attempts = 2, delay = \"1s\" }\n",
    )?;
    // One step gets no secret and waits; the other is granted one that this worker does not have, and nothing waits for.
    cluster.worker("poor").set("PAWL_CIRCUITS", "false").start()?;
    let run = cluster.submit("two", &json!([{"do": "secret", "name": "token"}, awaits("go", None)]))?;
    is_waiting(&cluster, run, "wait")?;
    assert_eq!(cluster.ends(run, bounds::RUN)?, RunStatus::Failed);
    let error: Value = cluster.client.get(&format!("/v1/runs/{run}/steps/needy"))?.read()?;
    assert!(error["error"]["message"].as_str().is_some_and(|message| message.contains("PAWL_SECRET_TOKEN")), "{error}");

    cluster.the("poor")?.terminate(bounds::PROCESS)?;
    cluster.client.retry(run)?;
    let waits = "select status || ' ' || awaits from step where step_no = 0";
    assert_eq!(cluster.database.value::<String>(waits)?, "waiting go", "{}", cluster.story(run));
    signal(&cluster, run, "go", &json!(1))?;
    signal(&cluster, run, "go", &json!(2))?;
    cluster.worker("rich").set("PAWL_SECRET_TOKEN", "12345").start()?;
    cluster.succeeds(run, bounds::RUN)?;
    assert_eq!(cluster.client.output(run, "wait")?["saw"], json!([null, 1]), "no wait was seen as over");
    assert_eq!(cluster.client.output(run, "needy")?["saw"], json!([5, 2]));
    cluster.finish()
}

#[test]
fn a_secret_is_given_only_where_it_is_granted_and_leaves_no_trace() -> Result<()> {
    const VALUE: &str = "correct-horse-battery-staple";
    let mut cluster = Cluster::start("secrets")?;
    cluster.push("waits")?;
    cluster.apply("name = \"secrets\"\n[[step]]\nname = \"wait\"\nplugin = \"waits\"\nsecrets = [\"api_token\"]\n")?;
    cluster.worker("a").set("PAWL_SECRET_API_TOKEN", VALUE).set("PAWL_SECRET_OTHER", VALUE).start()?;
    let orders = json!([{"do": "now"}, {"do": "secret", "name": "api_token"}, {"do": "secret", "name": "other"}]);
    let run = cluster.submit("secrets", &orders)?;
    cluster.succeeds(run, bounds::RUN)?;
    let output = cluster.client.output(run, "wait")?;
    assert_eq!((&output["saw"][1], &output["saw"][2]), (&json!(VALUE.len()), &Value::Null));
    let journaled: i64 = cluster
        .database
        .value(&format!("select count(*) from journal where position(convert_to('{VALUE}', 'UTF8') in bytes) > 0"))?;
    let log = std::fs::read_to_string(cluster.log("a"))?;
    assert_eq!((journaled, log.contains(VALUE)), (0, false), "the secret was written down: {log}");
    assert!(log.contains("[secret api_token]"), "{log}");
    cluster.finish()
}

#[test]
fn a_component_that_waits_is_tried_without_a_server() -> Result<()> {
    let file = binary::component_file("waits")?;
    let test = |words: &[&str]| -> Result<(Option<i32>, String, String)> {
        let told = binary::pawl()?.args(["plugin", "test"]).arg(&file).args(words).output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((told.status.code(), text(&told.stdout), text(&told.stderr)))
    };
    let orders = json!([
        {"do": "sleep", "ms": 3_600_000}, awaits("approved", None), awaits("late", Some(5)), {"do": "remember"}
    ])
    .to_string();
    let (code, output, said) = test(&["--input", &orders, "--signal", "approved={\"by\": 1}", "--crash-everywhere"])?;
    assert_eq!(code, Some(0), "{said}");
    let output: Value = serde_json::from_str(&output)?;
    assert_eq!((&output["saw"], &output["remembered"]), (&json!([{"by": 1}, null]), &json!([{"by": 1}, null])));
    assert!(said.contains("0 outputs were other ones"), "{said}");

    let (code, _, said) = test(&["--input", &orders])?;
    assert!(code == Some(1) && said.contains("--signal approved=JSON"), "{said}");
    let secret = json!([{"do": "secret", "name": "api_token"}]).to_string();
    let (code, _, said) = test(&["--input", &secret, "--secret", "api_token"])?;
    assert!(code == Some(2) && said.contains("PAWL_SECRET_API_TOKEN"), "{said}");
    Ok(())
}
