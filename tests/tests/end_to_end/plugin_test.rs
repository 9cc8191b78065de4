//! `pawl plugin test`: a component is tried without any server.

use std::process::Output;

use anyhow::{Context as _, Result};
use pawl_tests::binary;
use serde_json::Value;

use crate::pipelines;

fn test(component: &str, words: &[&str]) -> Result<Output> {
    let file = binary::component_file(component)?;
    Ok(binary::pawl()?.args(["plugin", "test"]).arg(file).args(words).output()?)
}

#[test]
fn a_component_is_executed_and_goes_on_after_a_crash() -> Result<()> {
    let input = r#"{"items": 5, "readings": 1}"#;
    let told = test("batch", &["--input", input, "--crash-at", "8"])?;
    let output: Value = serde_json::from_slice(&told.stdout)?;
    assert_eq!((&output["digest"], output["done_here"].as_u64()), (&pipelines::digest_of(5).into(), Some(2)));
    let story = String::from_utf8_lossy(&told.stderr);
    assert!(story.contains("crashed at write 8") && story.contains("checkpoint at 3"), "{story}");

    let told = test("batch", &["--input", input, "--crash-everywhere"])?;
    assert!(told.status.success(), "{told:?}");
    let story = String::from_utf8_lossy(&told.stderr);
    assert!(story.contains("10 crashes"), "{story}");
    // It tells how far the attempt before had come.
    let other = story.lines().find(|line| line.starts_with("after the crash at write ")).context("the other output")?;
    assert!(other.contains("\"resumed_at\":") && !other.contains("\"resumed_at\":0"), "{story}");
    assert!(story.contains("\nwithout a crash: {") && story.contains("tells of the attempt"), "{story}");
    Ok(())
}

/// It was built when the interface had no sleep, no signals and no secrets, with the SDK of that time (its source is
/// `plugins/batch` in commit d48fd1f). What was built once keeps running.
#[test]
fn a_component_of_an_earlier_sdk_still_runs_and_resumes() -> Result<()> {
    let file = binary::repository().join("tests/fixtures/batch-of-the-first-sdk.wasm");
    let words = ["--input", r#"{"items": 5, "readings": 1}"#, "--crash-everywhere"];
    let told = binary::pawl()?.args(["plugin", "test"]).arg(file).args(words).output()?;
    assert!(told.status.success(), "{told:?}");
    let output: Value = serde_json::from_slice(&told.stdout)?;
    assert_eq!(output["digest"], pipelines::digest_of(5));
    Ok(())
}

#[test]
fn what_goes_wrong_is_said_and_counts() -> Result<()> {
    for (component, words, code, says) in [
        ("batch", vec!["--input", "{"], 2, "no JSON"),
        ("batch", vec!["--input", r#"{"items": 1}"#, "--crash-at", "9"], 1, "smaller --crash-at"),
        ("runaway", vec!["--input", r#"{"mode": "loop"}"#, "--timeout", "1"], 1, "failed, and may be tried again: "),
        ("fetch", vec!["--input", "{}"], 1, "failed for good: the input does not fit"),
        ("no-such", vec![], 2, "can't read the component"),
    ] {
        let told = test(component, &words)?;
        let error = String::from_utf8_lossy(&told.stderr);
        assert_eq!(told.status.code(), Some(code), "{component} {words:?}: {error}");
        assert!(error.contains(says) && told.stdout.is_empty(), "{component} {words:?}: {error}");
    }
    Ok(())
}

#[test]
fn a_plugin_s_source_is_no_component_and_that_is_said_with_the_command_that_makes_one() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let pawl = |words: &[&str]| -> Result<Output> { Ok(binary::pawl()?.args(words).current_dir(dir.path()).output()?) };
    pawl(&["plugin", "new", "hello"])?;
    for words in [["plugin", "test", "hello"], ["plugin", "push", "hello"]] {
        let told = pawl(&words)?;
        let why = String::from_utf8_lossy(&told.stderr);
        assert_eq!(told.status.code(), Some(2), "{why}");
        assert!(
            why.contains("`pawl plugin build hello` makes its component, hello/target/plugins/hello.wasm"),
            "{why}"
        );
    }
    // The pipeline beside the source is meant, and not the manifests of its tools.
    let told = pawl(&["pipeline", "check", "hello", "--api-url", "http://127.0.0.1:1"])?;
    let said = String::from_utf8_lossy(&told.stdout);
    assert!(told.status.success() && said.starts_with("hello is good: 1 step,"), "{said}{:?}", told.stderr);
    Ok(())
}

#[test]
fn an_attempt_that_may_be_tried_again_is_followed_by_the_next_one_as_a_worker_has_it() -> Result<()> {
    let input = r#"{"failures": 2, "delay_ms": 7000}"#;
    let told = test("flaky", &["--input", input, "--attempts", "3"])?;
    let story = String::from_utf8_lossy(&told.stderr);
    assert_eq!(serde_json::from_slice::<Value>(&told.stdout)?, serde_json::json!({"attempt": 3}), "{story}");
    for says in [
        "attempt 1 of 3 failed, and is tried again: attempt 1 of 2 that fail (it asks for 7.0 s before the next one",
        "attempt 2 of 3 failed, and is tried again: attempt 2 of 2 that fail",
        "attempt 3 began at the start",
    ] {
        assert!(story.contains(says), "{says}: {story}");
    }
    // A worker that dies before a failure is written has not failed: the attempt is the same one again.
    let told = test("flaky", &["--input", input, "--attempts", "3", "--crash-everywhere"])?;
    let story = String::from_utf8_lossy(&told.stderr);
    assert!(told.status.success() && story.contains("2 crashes: it went on after each; 0 outputs"), "{story}");

    let told = test("flaky", &["--input", input])?;
    let why = String::from_utf8_lossy(&told.stderr);
    assert!(told.status.code() == Some(1) && why.contains("--attempts 2 shows what the next attempt does"), "{why}");
    let told = test("flaky", &["--input", input, "--attempts", "2"])?;
    let why = String::from_utf8_lossy(&told.stderr);
    assert!(told.status.code() == Some(1) && why.contains("that was attempt 2 of 2"), "{why}");
    let told = test("flaky", &["--input", r#"{"failures": 2, "how": "fatal"}"#, "--attempts", "3"])?;
    let why = String::from_utf8_lossy(&told.stderr);
    assert!(told.status.code() == Some(1) && why.contains("failed for good") && !why.contains("attempt 2"), "{why}");

    // It goes on from its checkpoint, and a signal that it had taken since returns to it.
    let input = r#"[{"do": "await", "name": "a"}, {"do": "checkpoint", "bytes": 3}, {"do": "await", "name": "b"},
        {"do": "fail_before", "attempt": 2}]"#;
    let told = test("waits", &["--input", input, "--attempts", "2", "--signal", "a=1", "--signal", "b=2"])?;
    let story = String::from_utf8_lossy(&told.stderr);
    assert!(told.status.success() && story.contains("attempt 2 "), "{story}");
    assert_eq!(serde_json::from_slice::<Value>(&told.stdout)?["saw"], serde_json::json!([1, 2]), "{story}");
    assert!(!story.contains("not taken"), "{story}");
    Ok(())
}

#[test]
fn a_signal_that_nothing_takes_is_told_with_what_the_step_has_waited_for() -> Result<()> {
    let wait = |timeout: &str| format!(r#"[{{"do": "await", "name": "approved"{timeout}}}]"#);
    // In vain, for ever.
    let told = test("waits", &["--input", &wait(""), "--signal", "aproved=1"])?;
    let why = String::from_utf8_lossy(&told.stderr);
    let says = "the step waits for the signal \"approved\": give it with --signal approved=JSON; what --signal gives it is not \
                that, and is not taken: \"aproved\"";
    assert!(told.status.code() == Some(1) && why.contains(says), "{why}");
    // Until its time is over, and not at all.
    for (input, says) in [
        (wait(r#", "timeout_ms": 5"#), "\"aproved\": the step has waited for \"approved\"; did you mean \"approved\"?"),
        ("[]".to_owned(), "\"aproved\": the step has waited for none"),
    ] {
        let told = test("waits", &["--input", &input, "--signal", "aproved=1"])?;
        let story = String::from_utf8_lossy(&told.stderr);
        let says = format!("note: a signal was given with --signal and not taken, {says}");
        assert!(told.status.success() && story.contains(&says), "{input}: {story}");
    }
    let told = test("waits", &["--input", &wait(""), "--signal", "approved=1"])?;
    let story = String::from_utf8_lossy(&told.stderr);
    assert!(told.status.success() && !story.contains("note:"), "{story}");
    Ok(())
}

#[test]
fn a_message_names_the_flag_where_a_pipeline_would_have_a_key() -> Result<()> {
    let secret = r#"{"signal": "go", "timeout_ms": 1, "secret": "bank_token"}"#;
    for (component, words, says) in [
        ("runaway", &["--input", r#"{"mode": "loop"}"#, "--timeout", "1s"][..], "give it longer with --timeout"),
        ("fetch", &[], "no --input was given, and so it is null: the input does not fit"),
        (
            "approve",
            &["--input", secret],
            "here, --secret bank_token grants it, with its value in PAWL_SECRET_BANK_TOKEN",
        ),
        ("approve", &["--input", secret, "--secret", "bank_token"], "PAWL_SECRET_BANK_TOKEN is not set"),
        ("approve", &["--input", secret, "--secret", "bank-token"], "the name of a secret may have letters"),
        ("flaky", &["--step-config", "{}"], "the config is that of --step-config"),
    ] {
        let told = test(component, words)?;
        let why = String::from_utf8_lossy(&told.stderr);
        assert!(!told.status.success() && why.contains(says), "{component} {words:?}: {why}");
    }
    Ok(())
}
