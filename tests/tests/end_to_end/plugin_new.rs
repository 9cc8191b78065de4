//! `pawl plugin new`: what it writes builds, runs and survives crashes, far from this repository.

use std::os::unix::fs::PermissionsExt as _;
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
fn in_a_project_plugins_land_where_pawl_dev_looks_and_are_built_together_with_one_sdk() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    std::fs::create_dir(root.join("pipelines"))?;
    let none = pawl(root, &["plugin", "build"])?;
    let why = String::from_utf8_lossy(&none.stderr);
    assert!(
        none.status.code() == Some(2) && why.contains("no plugin yet, in plugins: `pawl plugin new NAME`"),
        "{why}"
    );

    let told = pawl(root, &["plugin", "new", "hello"])?;
    assert_eq!(String::from_utf8_lossy(&told.stdout), "plugins/hello\n");
    let next = String::from_utf8_lossy(&told.stderr);
    assert!(next.contains("in plugins/hello, its pipeline in pipelines/hello.toml; next:\n\n    pawl dev\n"), "{next}");
    let told = pawl(&root.join("plugins"), &["plugin", "new", "again"])?;
    let next = String::from_utf8_lossy(&told.stderr);
    assert!(next.contains("its pipeline in ../pipelines/again.toml; next:\n\n    cd ..\n    pawl dev"), "{next}");
    for there in ["plugins/hello/src/lib.rs", "plugins/again/src/lib.rs", "pawl-sdk/Cargo.toml", "pipelines/again.toml"]
    {
        assert!(root.join(there).is_file(), "{there}");
    }
    assert!(!root.join("plugins/hello/pipeline.toml").exists() && !root.join("plugins/hello/pawl-sdk").exists());
    assert!(answer(root, &["pipeline", "check", "pipelines"])?.contains("hello is good"));

    let built = pawl(root, &["plugin", "build"])?;
    let said = String::from_utf8_lossy(&built.stderr);
    let components = ["plugins/again/target/plugins/again.wasm", "plugins/hello/target/plugins/hello.wasm"];
    let made = String::from_utf8_lossy(&built.stdout);
    assert!(built.status.success() && components.iter().all(|component| made.contains(component)), "{made}{said}");
    assert_eq!(said.matches("Compiling pawl-sdk v").count(), 1, "what both have in common is compiled once: {said}");
    assert_eq!(root.join(".pawl").metadata()?.permissions().mode() & 0o777, 0o700);
    // The same from where it lies, and nothing is compiled again for it.
    let before = std::fs::read(root.join(components[1]))?;
    let built = pawl(&root.join("plugins/hello"), &["plugin", "build"])?;
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success() && !said.contains("Compiling"), "{said}");
    assert!(std::fs::read(root.join(components[1]))? == before, "it is the same component");
    let updated = answer(root, &["plugin", "update"])?;
    assert_eq!(updated.lines().count(), 2, "{updated}");
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
