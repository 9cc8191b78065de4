//! A person fails a run, says why, and opens it again.

use anyhow::{Context as _, Result};
use pawl_api::types::{EventKind, RunStatus, SubmittedRun};
use pawl_tests::{Cluster, bounds, invariants, runtime, wait};
use serde_json::json;

use crate::pipelines;
use crate::waits::{awaits, is_waiting, pipeline, signal};

#[test]
fn a_run_that_a_person_failed_says_why_and_goes_on_when_it_is_retried() -> Result<()> {
    let mut cluster = Cluster::start("fail")?;
    pipeline(&cluster)?;
    cluster.worker("a").start()?;
    let run = cluster.submit("waits", &json!([awaits("go", None)]))?;
    is_waiting(&cluster, run, "wait")?;

    let id = run.to_string();
    let said = cluster.pawl(&["run", "fail", &id, "--message", "the data of June is wrong"])?;
    assert!(said.contains("is failed"), "{said}");
    assert_eq!(cluster.ends(run, bounds::RUN)?, RunStatus::Failed);
    let end = cluster.client.events(run)?.pop().context("a history")?;
    assert!(end.is(EventKind::RunFailed) && end.note.as_deref() == Some("the data of June is wrong"), "{end:?}");
    let explained = cluster.pawl(&["run", "explain", &id])?;
    assert!(explained.contains("a person has failed the run: the data of June is wrong"), "{explained}");
    let again = cluster.client.post(&format!("/v1/runs/{run}/fail"), "application/json", r#"{"message": "again"}"#)?;
    assert!(again.problem(409)?.detail.contains("has ended already"));
    let one = cluster.client.post(&format!("/v1/runs/{run}/steps/wait/retry"), "application/json", "{}")?;
    assert!(one.problem(409)?.detail.contains("that step has not failed, and is not parked"));

    // Opened again, it waits as before, and ends as any other.
    cluster.client.retry(run)?;
    is_waiting(&cluster, run, "wait")?;
    signal(&cluster, run, "go", &json!(1))?;
    cluster.succeeds(run, bounds::RUN)?;
    assert_eq!(cluster.client.output(run, "wait")?["saw"], json!([1]));
    cluster.finish()
}

#[test]
fn a_cancelled_run_is_opened_again_under_its_key() -> Result<()> {
    let mut cluster = Cluster::start("cancel_reopened")?;
    pipeline(&cluster)?;
    cluster.worker("a").start()?;
    let input = json!([{"do": "now"}, awaits("go", None)]);
    let submit = || -> Result<SubmittedRun> {
        runtime::block_on(cluster.client.try_submit("waits", &input, Some("order-17")))?.read()
    };
    let run = submit()?.id;
    is_waiting(&cluster, run, "wait")?;
    cluster.client.cancel(run)?;
    let again = submit()?;
    assert_eq!((again.id, again.status, again.created), (run, RunStatus::Cancelled, false));
    let words = ["run", "submit", "waits", "--input", &input.to_string(), "--idempotency-key", "order-17"];
    let told = cluster.pawl(&words)?;
    assert!(told.contains(&format!("open it again with: pawl run retry {run}")), "{told}");

    cluster.client.retry(run)?;
    is_waiting(&cluster, run, "wait")?;
    assert_eq!(submit()?.status, RunStatus::Running);
    signal(&cluster, run, "go", &json!(1))?;
    cluster.succeeds(run, bounds::RUN)?;
    assert_eq!(cluster.client.output(run, "wait")?["saw"][1], json!(1));
    let told = cluster.try_pawl(&[&words[..], &["--wait"]].concat())?;
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(told.contains("was submitted before, with this key; waiting"), "{told}");
    let kinds: Vec<_> = cluster.client.events(run)?.into_iter().map(|event| event.kind).collect();
    let told: Vec<&str> = kinds.iter().map(String::as_str).filter(|kind| kind.starts_with("run.")).collect();
    assert_eq!(told, ["run.submitted", "run.started", "run.cancelled", "run.reopened", "run.succeeded"]);
    cluster.finish()
}

#[test]
fn a_running_step_of_a_run_that_a_person_fails_writes_no_more() -> Result<()> {
    let mut cluster = Cluster::start("fail_running")?;
    pipelines::batch(&cluster)?;
    cluster.worker("a").start()?;
    let run = cluster.submit("batch", &pipelines::batch_of(10_000, 10))?;
    wait::until_true(bounds::RUN, "a checkpoint", || {
        cluster.database.value::<bool>("select coalesce(max(checkpoint_ordinal), 0) > 3 from step")
    })?;
    for message in ["", "a\u{0}b", &"x".repeat(4_097)] {
        let body = serde_json::to_vec(&json!({"message": message}))?;
        cluster.client.post(&format!("/v1/runs/{run}/fail"), "application/json", body)?.problem(400)?;
    }
    cluster.client.fail(run, "enough")?;
    assert_eq!(cluster.ends(run, bounds::RUN)?, RunStatus::Failed);
    let saved = || cluster.database.value::<i32>("select checkpoint_ordinal from step");
    let at_the_end = saved()?;
    // The worker learns of it and has room again: quiet means that it says so.
    invariants::wait_until_quiet(&cluster, bounds::QUIET)?;
    assert_eq!(saved()?, at_the_end, "a stopped step went on writing");
    cluster.finish()
}

#[test]
fn a_run_that_a_bad_version_failed_is_opened_on_the_good_one() -> Result<()> {
    let mut cluster = Cluster::start("retry_latest")?;
    cluster.push("echo")?;
    cluster.push_as("echo", "mine", "good")?;
    // It takes a list, and is going to get a number.
    cluster.push_as("waits", "mine", "bad")?;
    cluster.apply(
        "name = 'three'
         step = [{name = 'one', plugin = 'echo'}, {name = 'two', plugin = 'mine', needs = ['one']},
                 {name = 'three', plugin = 'mine', needs = ['two']}]",
    )?;
    cluster.worker("a").start()?;
    let run = cluster.submit("three", &json!(17))?;
    assert_eq!(cluster.ends(run, bounds::RUN)?, RunStatus::Failed);
    let id = run.to_string();
    let explained = cluster.pawl(&["run", "explain", &id])?;
    assert!(explained.contains(&format!("pawl run retry {id} --latest")), "{explained}");

    cluster.pawl(&["plugin", "rollback", "mine"])?;
    cluster.client.retry(run)?;
    assert_eq!(cluster.ends(run, bounds::RUN)?, RunStatus::Failed, "it keeps the version that it was submitted with");
    cluster.pawl(&["run", "retry", &id, "--latest"])?;
    cluster.succeeds(run, bounds::RUN)?;
    assert_eq!(cluster.client.output(run, "three")?, json!(17), "also what had not begun is on the good one");
    cluster.finish()
}
