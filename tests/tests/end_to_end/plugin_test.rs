//! `pawl plugin test`: a component is tried without any server.

use std::process::Output;

use anyhow::Result;
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
    assert!(String::from_utf8_lossy(&told.stderr).contains("10 crashes"), "{told:?}");
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
        ("runaway", vec!["--input", r#"{"mode": "loop"}"#, "--timeout", "1"], 1, "failed"),
        ("no-such", vec![], 2, "can't read the component"),
    ] {
        let told = test(component, &words)?;
        let error = String::from_utf8_lossy(&told.stderr);
        assert_eq!(told.status.code(), Some(code), "{component} {words:?}: {error}");
        assert!(error.contains(says) && told.stdout.is_empty(), "{component} {words:?}: {error}");
    }
    Ok(())
}
