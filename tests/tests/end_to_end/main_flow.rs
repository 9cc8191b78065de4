//! The main job: a pipeline is submitted, executed, and survives the death of the worker that holds it.

use anyhow::Result;
use pawl_api::types::{EventKind, RunStatus, SubmittedRun};
use pawl_tests::{Cluster, Target, bounds, wait};
use serde_json::{Value, json};

use crate::pipelines;

#[test]
fn a_pipeline_with_a_fan_out_a_join_and_effects_gives_its_result() -> Result<()> {
    let mut cluster = Cluster::start("main_flow")?;
    let target = Target::start()?;
    pipelines::everything(&cluster)?;
    cluster.worker("a").start()?;
    let run = cluster.submit("everything", &pipelines::everything_input(&target, 7))?;
    cluster.succeeds(run, bounds::RUN)?;
    pipelines::check_everything(7, &cluster.client.output(run, "join")?)?;

    let events = cluster.client.events(run)?;
    let numbers: Vec<u32> = events.iter().map(|event| event.number).collect();
    assert_eq!(numbers, (1..=events.len() as u32).collect::<Vec<_>>());
    assert_eq!(events.first().map(|event| event.is(EventKind::RunSubmitted)), Some(true));
    assert_eq!(events.last().map(|event| event.is(EventKind::RunSucceeded)), Some(true));
    cluster.finish_with(&[&target])
}

#[test]
fn a_replacement_goes_on_from_the_checkpoint_of_a_killed_worker() -> Result<()> {
    let mut cluster = Cluster::start("resume")?;
    pipelines::batch(&cluster)?;
    cluster.worker("first").start()?;
    let run = cluster.submit("batch", &pipelines::batch_of(200, 10))?;
    let saved = wait::until(bounds::RUN, "a checkpoint in the middle", || {
        let saved: i32 = cluster.database.value("select coalesce(max(checkpoint_ordinal), 0) from step")?;
        Ok(if saved >= 40 { wait::Look::Done(saved) } else { wait::Look::NotYet(saved.to_string()) })
    })?;
    cluster.the("first")?.kill9();
    cluster.worker("second").start()?;
    cluster.succeeds(run, bounds::RECOVERY)?;

    let output = cluster.client.output(run, "batch")?;
    assert_eq!(output["digest"], pipelines::digest_of(200));
    let resumed_at = output["resumed_at"].as_i64().unwrap_or(0);
    assert!(resumed_at >= i64::from(saved), "went on from item {resumed_at}, {saved} were saved");
    assert_eq!(output["done_here"], json!(200 - resumed_at), "items before the checkpoint were done again");
    let failures: i32 = cluster.database.value("select failures from step")?;
    assert_eq!(failures, 0, "a crash used up a retry");

    // The four stages of a recovery, in order, in the run's history.
    use EventKind::{StepLeaseExpired, StepReady, StepResumed, StepStarted, StepSucceeded};
    let events = cluster.client.events(run)?;
    let mut rest = events.iter();
    for stage in [StepStarted, StepLeaseExpired, StepReady, StepResumed, StepSucceeded] {
        assert!(rest.any(|event| event.is(stage)), "no {stage} in its place: {events:?}");
    }
    cluster.finish()
}

#[test]
fn a_worker_that_is_asked_to_end_hands_its_steps_back_at_once() -> Result<()> {
    let mut cluster = Cluster::start("drain")?;
    pipelines::batch(&cluster)?;
    // It may end what it has begun; this step takes longer than that.
    cluster.worker("first").default_lease().set("PAWL_DRAIN_MS", "100").start()?;
    let run = cluster.submit("batch", &pipelines::batch_of(300, 10))?;
    wait::until_true(bounds::RUN, "a checkpoint", || {
        cluster.database.value::<bool>("select coalesce(max(checkpoint_ordinal), 0) > 10 from step")
    })?;
    cluster.worker("second").default_lease().start()?;
    let status = cluster.the("first")?.terminate(bounds::PROCESS)?;
    assert!(status.success(), "the drained worker ended with {status}");
    let log = std::fs::read_to_string(cluster.log("first"))?;
    assert!(log.contains("the step is handed back") && log.contains("said goodbye"), "{log}");
    cluster.succeeds(run, bounds::RECOVERY)?;
    let events = cluster.client.events(run)?;
    let told = |kind| events.iter().any(|event| event.is(kind));
    assert!(told(EventKind::StepHandedBack), "{events:?}");
    assert!(!told(EventKind::StepLeaseExpired), "a drain is no crash: {events:?}");
    let counted: i32 = cluster.database.value("select failures + crashes from step")?;
    assert_eq!(counted, 0, "a drain was counted as a failure or a crash");
    cluster.finish()
}

#[test]
fn a_step_that_fails_is_tried_again_and_a_person_can_reopen_what_gave_up() -> Result<()> {
    let mut cluster = Cluster::start("retries")?;
    cluster.push("flaky")?;
    cluster.apply(
        "name = \"flaky\"\n[[step]]\nname = \"only\"\nplugin = \"flaky\"\n\
         retry = { max_attempts = 3, backoff = \"fixed\", delay = \"20ms\" }\n",
    )?;
    cluster.worker("a").start()?;
    for how in ["retry", "panic", "trap"] {
        let run = cluster.submit("flaky", &json!({"failures": 2, "how": how}))?;
        cluster.succeeds(run, bounds::RUN)?;
        assert_eq!(cluster.client.output(run, "only")?, json!({"attempt": 3}), "{how}");
    }
    let gives_up = cluster.submit("flaky", &json!({"failures": 5}))?;
    assert_eq!(cluster.ends(gives_up, bounds::RUN)?.as_str(), "failed");
    let fatal = cluster.submit("flaky", &json!({"failures": 1, "how": "fatal"}))?;
    assert_eq!(cluster.ends(fatal, bounds::RUN)?.as_str(), "failed");
    assert_eq!(attempts(&cluster, fatal)?, 1, "a fatal failure was tried again");

    // Reopened, the attempts count from one again: the same failure, until the fault is gone.
    cluster.client.retry(gives_up)?;
    assert_eq!(cluster.ends(gives_up, bounds::RUN)?.as_str(), "failed");
    assert_eq!(attempts(&cluster, gives_up)?, 6);
    cluster.finish()
}

fn attempts(cluster: &Cluster, run: pawl_domain::id::RunId) -> Result<i32> {
    cluster.database.value(&format!("select sum(attempts)::int from step where run_id = '{run}'"))
}

#[test]
fn a_cancelled_run_stops_at_once_and_stays_so_until_a_person_opens_it() -> Result<()> {
    let mut cluster = Cluster::start("cancel")?;
    pipelines::batch(&cluster)?;
    cluster.worker("a").start()?;
    let run = cluster.submit("batch", &pipelines::batch_of(10_000, 10))?;
    wait::until_true(bounds::RUN, "a checkpoint", || {
        cluster.database.value::<bool>("select coalesce(max(checkpoint_ordinal), 0) > 3 from step")
    })?;
    cluster.client.cancel(run)?;
    assert_eq!(cluster.ends(run, bounds::RUN)?.as_str(), "cancelled");
    let saved: i32 = cluster.database.value("select checkpoint_ordinal from step")?;
    // The worker learns of it and has room again: quiet means that it says so.
    pawl_tests::invariants::wait_until_quiet(&cluster, bounds::QUIET)?;
    let later: i32 = cluster.database.value("select checkpoint_ordinal from step")?;
    assert_eq!(later, saved, "a cancelled step went on writing");
    // A person may open it again, and stop it once more.
    let opened = cluster.client.post(&format!("/v1/runs/{run}/retry"), "application/json", "{}")?;
    assert!(opened.status < 300, "{}", String::from_utf8_lossy(&opened.body));
    cluster.client.cancel(run)?;
    assert_eq!(cluster.ends(run, bounds::RUN)?.as_str(), "cancelled");
    cluster.finish()
}

#[test]
fn a_submission_may_wait_for_its_end() -> Result<()> {
    let mut cluster = Cluster::start("waiting_submission")?;
    pipelines::chain(&cluster, 2)?;
    let submit = |cluster: &Cluster, wait_ms: u32| -> Result<SubmittedRun> {
        let body = r#"{"pipeline": "chain-2", "input": 1}"#;
        let answer = cluster.client.post(&format!("/v1/runs?wait_ms={wait_ms}"), "application/json", body)?;
        assert_eq!(answer.status, 202);
        answer.read()
    };
    assert_eq!(submit(&cluster, 50)?.status, RunStatus::Pending, "there is no worker");
    cluster.worker("a").start()?;
    let run = submit(&cluster, 60_000)?;
    assert_eq!((run.status, run.created), (RunStatus::Succeeded, true));
    assert_eq!(cluster.client.output(run.id, "s1")?, json!(1));
    cluster.finish()
}

#[test]
fn events_can_be_followed_and_resumed_by_number() -> Result<()> {
    let mut cluster = Cluster::start("server_sent_events")?;
    pipelines::chain(&cluster, 3)?;
    let run = cluster.submit("chain-3", &json!(1))?;
    cluster.worker("a").start()?;
    cluster.succeeds(run, bounds::RUN)?;
    let all = cluster.client.events(run)?;
    let path = format!("/v1/runs/{run}/events");
    let stream = |headers: &[(&str, &str)]| -> Result<Vec<(u32, Value)>> {
        let headers = [&[("accept", "text/event-stream")], headers].concat();
        let answer = pawl_tests::runtime::block_on(cluster.client.send("GET", &path, &headers, Vec::new()))?;
        anyhow::ensure!(answer.content_type.starts_with("text/event-stream"), "{}", answer.content_type);
        parse_events(&String::from_utf8(answer.body)?)
    };
    let numbers = |events: &[(u32, Value)]| events.iter().map(|(number, _)| *number).collect::<Vec<_>>();
    let from_start = stream(&[])?;
    assert_eq!(numbers(&from_start), (1..=all.len() as u32).collect::<Vec<_>>());
    assert_eq!(from_start.last().map(|(_, data)| data["kind"].clone()), Some(json!(EventKind::RunSucceeded.as_str())));
    let resumed = stream(&[("last-event-id", "4")])?;
    assert_eq!(numbers(&resumed), (5..=all.len() as u32).collect::<Vec<_>>());
    cluster.finish()
}

/// The numbered events of a stream: <https://html.spec.whatwg.org/multipage/server-sent-events.html>.
fn parse_events(stream: &str) -> Result<Vec<(u32, Value)>> {
    let mut events = Vec::new();
    for block in stream.split("\n\n") {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        if let (Some(id), Some(data)) = (field("id:"), field("data:")) {
            events.push((id.parse()?, serde_json::from_str(data)?));
        }
    }
    Ok(events)
}
