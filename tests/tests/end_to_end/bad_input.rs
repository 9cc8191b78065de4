//! What users get wrong: each mistake gets a clear error that names the fix, and nothing is half-written.

use anyhow::{Context as _, Result};
use pawl_api::types::{RunStatus, SubmittedRun};
use pawl_tests::{Cluster, binary, bounds, runtime};
use serde_json::json;

use crate::pipelines;

/// Runs a command that must fail with this exit code and a message that holds these words.
fn refused(cluster: &Cluster, words: &[&str], code: i32, message: &[&str]) -> Result<()> {
    let output = cluster.try_pawl(words)?;
    let said = String::from_utf8_lossy(&output.stderr);
    let command = words.join(" ");
    anyhow::ensure!(output.status.code() == Some(code), "`{command}` ended with {}: {said}", output.status);
    anyhow::ensure!(output.stdout.is_empty(), "`{command}` wrote to stdout: {:?}", output.stdout);
    for part in message {
        anyhow::ensure!(said.contains(part), "`{command}` does not say {part:?}: {said}");
    }
    Ok(())
}

#[test]
fn a_file_that_is_no_component_or_of_another_world_is_refused() -> Result<()> {
    let cluster = Cluster::start("no_component")?;
    let file = |name: &str, bytes: &[u8]| -> Result<String> {
        let path = cluster.folder().join(name);
        std::fs::write(&path, bytes)?;
        Ok(path.to_string_lossy().into_owned())
    };
    // The smallest core module, and the smallest component: both valid, neither a step.
    let text = file("text.wasm", b"this is no component")?;
    let module = file("module.wasm", b"\0asm\x01\0\0\0")?;
    let other_world = file("other.wasm", b"\0asm\x0d\0\x01\0")?;
    let cut_off = file("cut.wasm", &binary::component("echo")?[..2_000])?;
    let push = |file: &str, message: &[&str]| {
        refused(&cluster, &["plugin", "push", file, "--name", "bad", "--version", "1"], 1, message)
    };
    push(&text, &["component"])?;
    push(&module, &["component"])?;
    push(&other_world, &["pawl:step"])?;
    push(&cut_off, &["component"])?;

    let large = file("large.wasm", &vec![0; (64 << 20) + 1])?;
    push(&large, &["64 MiB"])?;

    assert_eq!(cluster.database.value::<i64>("select count(*) from component")?, 0);
    assert_eq!(cluster.database.value::<i64>("select count(*) from plugin")?, 0);
    cluster.finish()
}

#[test]
fn another_component_under_the_same_version_is_refused() -> Result<()> {
    let cluster = Cluster::start("same_version")?;
    cluster.push_as("echo", "mine", "1")?;
    cluster.push_as("echo", "mine", "1")?;
    let file = binary::component_file("clock")?;
    let words = ["plugin", "push", &file.to_string_lossy(), "--name", "mine", "--version", "1"];
    refused(&cluster, &words, 1, &["mine", "version"])?;
    refused(&cluster, &["plugin", "activate", "mine@9"], 4, &["mine", "9"])?;
    cluster.finish()
}

#[test]
fn a_pipeline_with_problems_is_refused_with_all_of_them_and_their_lines() -> Result<()> {
    let cluster = Cluster::start("bad_pipelines")?;
    cluster.push("echo")?;
    let file = cluster.folder().join("bad.toml");
    std::fs::write(
        &file,
        r#"name = "bad"
[[step]]
name = "a"
plugin = "echo"
needs = ["c"]
[[step]]
name = "b"
plugin = "nobody-has-this"
needs = ["a", "nowhere"]
[[step]]
name = "c"
plugin = "echo@9"
needs = ["a"]
colour = "blue"
"#,
    )?;
    let file = file.to_string_lossy();
    let in_the_file = ["circle", "nowhere", "colour", ":5:", ":9:", ":14:"];
    let with_plugins = [&in_the_file[..], &["nobody-has-this", "9", ":8:", ":12:"]].concat();
    refused(&cluster, &["pipeline", "apply", &file], 1, &with_plugins)?;
    // Needs no server, so it knows no plugins.
    refused(&cluster, &["pipeline", "check", &file], 1, &in_the_file)?;
    assert_eq!(cluster.database.value::<i64>("select count(*) from pipeline")?, 0);
    refused(&cluster, &["pipeline", "show", "nothing"], 4, &["nothing"])?;

    let circle = cluster.folder().join("circle.toml");
    std::fs::write(
        &circle,
        "name = \"circle\"\n[[step]]\nname = \"a\"\nplugin = \"echo\"\nneeds = [\"b\"]\n\
         [[step]]\nname = \"b\"\nplugin = \"echo\"\nneeds = [\"a\"]\n",
    )?;
    refused(&cluster, &["pipeline", "apply", &circle.to_string_lossy()], 1, &["circle"])?;
    cluster.finish()
}

#[test]
fn what_is_unknown_is_named() -> Result<()> {
    let cluster = Cluster::start("unknown_things")?;
    let run = "01890000-0000-7000-8000-000000000000";
    refused(&cluster, &["run", "submit", "nothing", "--input", "1"], 4, &["nothing"])?;
    refused(&cluster, &["run", "get", run], 4, &[run])?;
    refused(&cluster, &["run", "cancel", run], 4, &[run])?;
    refused(&cluster, &["run", "get", "not-an-id"], 2, &["not-an-id"])?;
    for path in [format!("/v1/runs/{run}"), format!("/v1/runs/{run}/events"), "/v1/pipelines/nothing".to_owned()] {
        let problem = cluster.client.get(&path)?.problem(404)?;
        assert!(!problem.detail.is_empty(), "{path}");
    }
    cluster.client.get("/v1/no/such/route")?.problem(404)?;
    cluster.finish()
}

#[test]
fn a_body_that_is_no_json_or_too_large_is_refused() -> Result<()> {
    let cluster = Cluster::start("bad_bodies")?;
    pipelines::chain(&cluster, 1)?;
    let post = |body: Vec<u8>| cluster.client.post("/v1/runs", "application/json", body);
    post(b"this is no JSON".to_vec())?.problem(400)?;
    post(b"{\"pipeline\": \"chain-1\", \"input\": {\"half\"".to_vec())?.problem(400)?;
    post(b"\xff\xfe".to_vec())?.problem(400)?;
    let misspelt = post(b"{\"pipelin\": \"chain-1\"}".to_vec())?;
    anyhow::ensure!([400, 422].contains(&misspelt.status), "status {}", misspelt.status);
    let problem = misspelt.problem(misspelt.status)?;
    assert!(problem.detail.contains("pipelin"), "{}", problem.detail);

    let large = json!({"pipeline": "chain-1", "input": "x".repeat(1 << 20)});
    let problem = post(serde_json::to_vec(&large)?)?.problem(413)?;
    assert!(problem.detail.contains("1 MiB"), "{}", problem.detail);
    assert_eq!(cluster.database.value::<i64>("select count(*) from run")?, 0);
    cluster.finish()
}

#[test]
fn an_idempotency_key_finds_its_run_again_and_refuses_another_body() -> Result<()> {
    let mut cluster = Cluster::start("idempotency_keys")?;
    pipelines::chain(&cluster, 1)?;
    let submit =
        |input: i32, key: &str| runtime::block_on(cluster.client.try_submit("chain-1", &json!(input), Some(key)));
    let first: SubmittedRun = submit(1, "k")?.read()?;
    let again: SubmittedRun = submit(1, "k")?.read()?;
    assert_eq!(again.id, first.id);
    assert!(first.created && !again.created);
    let problem = submit(2, "k")?.problem(409)?;
    assert!(problem.detail.contains("key"), "{}", problem.detail);
    assert_ne!(submit(2, "another")?.read::<SubmittedRun>()?.id, first.id);

    // The same from many clients at once: one run.
    let at_once = (0..16).map(|_| {
        let client = cluster.client.clone();
        async move { client.try_submit("chain-1", &json!(3), Some("race")).await?.read::<SubmittedRun>() }
    });
    let answers: Vec<SubmittedRun> = runtime::block_on(futures_util::future::try_join_all(at_once))?;
    assert!(answers.iter().all(|answer| answer.id == answers[0].id), "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| answer.created).count(), 1);

    cluster.worker("a").start()?;
    assert_eq!(cluster.ends(first.id, bounds::RUN)?, RunStatus::Succeeded);
    let ended: SubmittedRun = submit_again(&cluster)?;
    assert_eq!(ended.id, first.id, "a key is good after the run's end too");
    cluster.finish()
}

fn submit_again(cluster: &Cluster) -> Result<SubmittedRun> {
    runtime::block_on(cluster.client.try_submit("chain-1", &json!(1), Some("k")))?.read().context("the same submission")
}

#[test]
fn wrong_flags_and_missing_settings_end_with_their_own_code() -> Result<()> {
    let cluster = Cluster::start("wrong_flags")?;
    refused(&cluster, &["run", "submit"], 2, &["Usage"])?;
    refused(&cluster, &["fly"], 2, &["fly"])?;
    refused(&cluster, &["run", "list", "--api-url", "http://127.0.0.1:1"], 1, &["127.0.0.1:1"])?;
    let output = binary::pawl()?.arg("migrate").output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("PAWL_DATABASE_URL"), "{said}");
    cluster.finish()
}
