//! What people are told of steps that fail: in the history, by `explain`, in the worker's log, on a terminal.

use std::time::Duration;

use anyhow::{Context as _, Result};
use pawl_api::types::{EventKind, RunList, RunStatus};
use pawl_rehearsal::private::free_port;
use pawl_tests::{Cluster, Embedded, binary, bounds};
use serde_json::json;

const PIPELINE: &str =
    "name = \"flaky\"\n[[step]]\nname = \"read\"\nplugin = \"flaky\"\nretry = { max_attempts = 2, delay = \"1ms\" }\n";

#[test]
fn a_run_that_fails_says_why_everywhere_and_how_it_is_opened_again() -> Result<()> {
    let mut cluster = Cluster::start("failures")?;
    cluster.push("flaky")?;
    cluster.apply(PIPELINE)?;
    cluster.worker("a").start()?;
    let run = cluster.submit("flaky", &json!({"failures": 2, "how": "panic"}))?;
    assert_eq!(cluster.ends(run, bounds::RUN)?, RunStatus::Failed);
    let id = run.to_string();

    let events = cluster.client.events(run)?;
    let note = |kind: EventKind| {
        let event = events.iter().find(|event| event.is(kind)).with_context(|| format!("{kind} is missing"))?;
        event.note.clone().with_context(|| format!("{kind} has no reason"))
    };
    let retrying = note(EventKind::StepRetrying)?;
    assert!(retrying.starts_with("in ") && retrying.contains(" ms: the step panicked in "), "{retrying}");
    assert!(retrying.ends_with(": attempt 1 of 2 that fail"), "{retrying}");
    assert!(note(EventKind::StepFailed)?.ends_with(": attempt 2 of 2 that fail"));

    let explained = cluster.pawl(&["run", "explain", &id])?;
    for said in
        ["the run has failed by its step `read`", "attempt 2 of 2 that fail, after 2 attempts", "pawl run retry"]
    {
        assert!(explained.contains(said), "{said:?} is missing: {explained}");
    }
    let error = cluster.client.run(run)?.steps[0].error.clone().unwrap_or_default();
    assert!(error["details"]["backtrace"].is_array(), "a list in the run, and no text in a text: {error}");
    let step = cluster.pawl(&["run", "get", &id, "read"])?;
    assert!(step.contains("\nbacktrace") && step.contains("\n    run\n") && step.contains("2 (2 failed)"), "{step}");
    let listed = cluster.pawl(&["run", "list"])?;
    assert!(listed.contains("-/1"), "no step of it is done: {listed}");
    let begins: String = id.chars().take(13).collect();
    assert!(cluster.pawl(&["run", "get", &begins])?.contains(&id), "the first digits are enough");
    let unknown = cluster.try_pawl(&["run", "get", "ffffffff"])?;
    assert_eq!(unknown.status.code(), Some(4), "{unknown:?}");

    cluster.the("a")?.terminate(bounds::PROCESS)?;
    let log = std::fs::read_to_string(cluster.log("a"))?;
    for said in ["an attempt has failed, another one follows", "the step has failed", "attempt 2 of 2", "goodbye"] {
        assert!(log.contains(said), "{said:?} is missing in the worker's log: {log}");
    }
    cluster.finish()
}

#[test]
fn what_a_guest_writes_is_no_command_for_a_terminal() -> Result<()> {
    let pipeline = "name = \"echo\"\n[[step]]\nname = \"echo\"\nplugin = \"echo\"\n";
    let pawl = Embedded::start("terminal", &["echo"], pipeline)?;
    let input = "\"\u{9b}31m\u{7f}\u{202e}\"";
    let told = pawl.try_pawl(&["run", "submit", "echo", "--input", input, "--wait"])?;
    let shown = String::from_utf8(told.stdout)?;
    assert!(told.status.success() && shown.contains("\\u{9b}31m\\u{7f}\\u{202e}"), "{shown}");
    let run = pawl.client.get("/v1/runs")?.read::<RunList>()?.runs[0].id;
    let exact = pawl.try_pawl(&["run", "output", &run.to_string()])?;
    assert_eq!(String::from_utf8(exact.stdout)?.trim_end(), input, "what is piped on is what the step wrote");
    pawl.finish_with(&[])
}

#[test]
fn a_database_that_is_away_is_named_while_it_is_waited_for() -> Result<()> {
    let mut command = binary::pawl()?;
    command.args(["doctor"]).env("PAWL_DATABASE_URL", format!("postgres://127.0.0.1:{}/none", free_port()?));
    let begun = std::time::Instant::now();
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("waiting up to 5.0 s for Postgres: ") && said.contains("refused"), "{said}");
    assert!(!output.status.success() && begun.elapsed() < Duration::from_secs(30), "it hung: {said}");
    Ok(())
}

#[test]
fn doctor_looks_at_what_dev_has_while_it_runs() -> Result<()> {
    let pipeline = "name = \"echo\"\n[[step]]\nname = \"echo\"\nplugin = \"echo\"\n";
    let pawl = Embedded::start("doctor_dev", &["echo"], pipeline)?;
    let run = pawl.submit("echo", &json!(1))?;
    pawl.succeeds(run, bounds::RUN)?;
    let folder = pawl.folder().join("data").display().to_string();
    let output = pawl.try_pawl(&["doctor", "--data", &folder])?;
    let told = String::from_utf8(output.stdout)?;
    let lines = ["all invariants hold", "no step waits in any", "are free", "in the memory of `pawl dev`"];
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(
        lines.iter().all(|line| told.contains(line)) && !told.lines().any(|line| line.starts_with("fail ")),
        "{told}"
    );
    let nothing = pawl.try_pawl(&["doctor", "--data", "/nonexistent"])?;
    assert!(String::from_utf8(nothing.stderr)?.contains("`pawl dev` has left nothing"), "it says what is missing");
    pawl.finish_with(&[])
}

#[test]
fn a_pipeline_is_told_all_that_is_wrong_with_it_plugins_included() -> Result<()> {
    let pawl =
        Embedded::start("check_all", &["echo"], "name = \"echo\"\n[[step]]\nname = \"echo\"\nplugin = \"echo\"\n")?;
    let file = pawl.folder().join("wrong.toml");
    let wrong = "name = \"wrong\"\n[[step]]\nname = \"a\"\nplugin = \"ecko\"\nneeds = [\"nobody\"]\n";
    std::fs::write(&file, wrong)?;
    let told = pawl.try_pawl(&["pipeline", "check", &file.display().to_string()])?;
    let said = String::from_utf8(told.stderr)?;
    assert!(said.contains("ecko") && said.contains("nobody") && said.contains("2 problems"), "{said}");
    pawl.finish_with(&[])
}

#[test]
fn a_retry_says_that_the_run_keeps_its_pipeline_when_a_newer_one_is_current() -> Result<()> {
    let mut cluster = Cluster::start("retry_of_an_older_pipeline")?;
    cluster.push("flaky")?;
    let pipeline = |failures: u32| {
        format!(
            "name = \"mended\"\n[[step]]\nname = \"f\"\nplugin = \"flaky\"\n\
             config = {{ failures = {failures}, how = \"fatal\" }}\n"
        )
    };
    cluster.apply(&pipeline(1_000))?;
    cluster.worker("a").start()?;
    let run = cluster.submit("mended", &json!(null))?;
    cluster.ends(run, bounds::RUN)?;
    let id = run.to_string();
    let explained = cluster.pawl(&["run", "explain", &id])?;
    assert!(!explained.contains("note:"), "the version of the run is the current one: {explained}");

    cluster.apply(&pipeline(0))?;
    let says = "is the current one: for that, submit anew with `pawl run submit mended`";
    let explained = cluster.pawl(&["run", "explain", &id])?;
    assert!(explained.contains("note: the run keeps version ") && explained.contains(says), "{explained}");
    for words in [&["run", "retry", &id][..], &["run", "retry", &id, "f", "--latest"]] {
        let told = cluster.pawl(words)?;
        assert!(told.contains("ready again: f") && told.contains(says), "{told}");
        cluster.ends(run, bounds::RUN)?;
    }
    let anew = cluster.submit("mended", &json!(null))?;
    cluster.succeeds(anew, bounds::RUN)?;
    cluster.finish()
}
