//! `pawl plugin new`: what it writes builds, runs and survives crashes, far from this repository.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context as _, Result};
use pawl_tests::binary;
use serde_json::{Value, json};

fn pawl(dir: &Path, words: &[&str]) -> Result<Output> {
    Ok(binary::pawl()?.args(words).current_dir(dir).output()?)
}

fn git(dir: &Path, words: &[&str]) -> Result<()> {
    let ended = Command::new("git").args(words).current_dir(dir).output()?;
    anyhow::ensure!(ended.status.success(), "{words:?}: {}", String::from_utf8_lossy(&ended.stderr));
    Ok(())
}

/// What it said on standard output.
fn answer(dir: &Path, words: &[&str]) -> Result<String> {
    let told = pawl(dir, words)?;
    anyhow::ensure!(told.status.success(), "{words:?}: {}", String::from_utf8_lossy(&told.stderr));
    Ok(String::from_utf8(told.stdout)?.trim().to_owned())
}

#[test]
fn a_new_plugin_builds_and_runs_and_survives_crashes() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let told = pawl(dir.path(), &["plugin", "new", "hello"])?;
    assert_eq!(String::from_utf8_lossy(&told.stdout), "hello\n");
    let next = String::from_utf8_lossy(&told.stderr);
    assert!(next.contains("cd hello") && next.contains("pawl dev"), "{next}");
    let plugin = dir.path().join("hello");

    // A clone, which has what is not ignored, is a crate like any other: cargo alone reads and tests it.
    git(&plugin, &["init", "--quiet"])?;
    git(&plugin, &["add", "."])?;
    let author = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"];
    git(&plugin, &[&author[..], &["commit", "--quiet", "--message", "A step"]].concat())?;
    git(dir.path(), &["clone", "--quiet", "hello", "clone"])?;
    let plugin = dir.path().join("clone");
    let read =
        Command::new("cargo").args(["metadata", "--offline", "--format-version", "1"]).current_dir(&plugin).output()?;
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let component = answer(&plugin, &["plugin", "build"])?;
    let input = r#"{"name": "Ada", "times": 2}"#;
    let output = answer(&plugin, &["plugin", "test", &component, "--input", input, "--crash-everywhere"])?;
    let greetings = ["Hello, Ada, for time number 1!", "Hello, Ada, for time number 2!"];
    assert_eq!(serde_json::from_str::<Value>(&output)?, json!({ "greetings": greetings }));
    let wrong = pawl(&plugin, &["plugin", "test", &component, "--input", r#"{"name": "Ada"}"#])?;
    let error = String::from_utf8(wrong.stderr)?;
    assert!(
        !wrong.status.success() && error.contains("\"times\" is a required property"),
        "its types are its schemas: {error}"
    );
    assert!(answer(&plugin, &["pipeline", "check", "pipeline.toml"])?.contains("hello is good"));

    let again = pawl(dir.path(), &["plugin", "new", "hello", "--lang", "js"])?;
    let error = String::from_utf8(again.stderr).context("an error is text")?;
    assert!(again.status.code() == Some(2) && error.contains("is there already"), "{error}");
    Ok(())
}

#[test]
fn a_plugin_without_its_compiler_says_how_to_get_it() -> Result<()> {
    let dir = tempfile::tempdir()?;
    for (language, get) in [("python", "pip install componentize-py"), ("js", "npm install --save-dev")] {
        answer(dir.path(), &["plugin", "new", language, "--lang", language])?;
        let told =
            binary::pawl()?.args(["plugin", "build", language]).current_dir(dir.path()).env("PATH", "").output()?;
        let error = String::from_utf8_lossy(&told.stderr);
        assert!(told.status.code() == Some(1) && error.contains(get), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    Ok(())
}
