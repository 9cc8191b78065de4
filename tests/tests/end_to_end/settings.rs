//! Settings reach the processes that they are for: limits are enforced where they are set, and what is wrong with a
//! setting is said before anything starts.

use anyhow::Result;
use pawl_tests::{Cluster, Embedded, binary, bounds, runtime, wait};
use serde_json::{Value, json};

const RUNAWAY: &str =
    "name = \"runaway\"\n[[step]]\nname = \"only\"\nplugin = \"runaway\"\nretry = { max_attempts = 1 }\n";

fn error_of(cluster: &Cluster, mode: &Value) -> Result<Value> {
    let run = cluster.submit("runaway", &json!({"mode": mode}))?;
    assert_eq!(cluster.ends(run, bounds::RECOVERY)?.as_str(), "failed", "{mode}");
    Ok(cluster.client.run(run)?.steps[0].error.clone().unwrap_or_default())
}

#[test]
fn limits_of_the_environment_hold_in_the_api_and_in_the_worker() -> Result<()> {
    let mut cluster = Cluster::start("set_limits")?;
    let api = [("PAWL_LIMIT_INPUT", "2KiB"), ("PAWL_LIMIT_STEPS", "1"), ("PAWL_LIMIT_ATTEMPT_TIME", "1s")];
    cluster.start_api(&api)?;
    cluster.push("runaway")?;
    cluster.apply(RUNAWAY)?;
    let two_steps = format!("{RUNAWAY}[[step]]\nname = \"another\"\nplugin = \"runaway\"\n");
    let error = cluster.apply(&two_steps).expect_err("it has a step too many").to_string();
    assert!(error.contains("2 steps, 1 are allowed"), "{error}");

    let long = json!({"mode": "trap", "more": "x".repeat(2_048)});
    let problem = runtime::block_on(cluster.client.try_submit("runaway", &long, None))?.problem(413)?;
    assert!(problem.detail.contains("2048 bytes"), "{problem:?}");

    cluster.worker("a").set("PAWL_LIMIT_OUTPUT", "4KiB").set("PAWL_LIMIT_ENTRIES", "10").start()?;
    let output = error_of(&cluster, &json!({"output": 4_097}))?;
    assert!(output["cause"] == "limit" && output.to_string().contains("4096"), "{output}");
    assert_eq!(error_of(&cluster, &json!({"journal": 11}))?["cause"], "limit");
    assert_eq!(error_of(&cluster, &json!("loop"))?["cause"], "timeout", "the API's time for an attempt");
    cluster.finish()
}

#[test]
fn pawl_dev_keeps_the_limits_of_its_settings() -> Result<()> {
    let folder = binary::programs()?.join("tests").join(format!("dev_limits-{}", std::process::id()));
    let mut pawl = Embedded::prepare(folder, &["runaway"], RUNAWAY)?;
    pawl.start_process(&[("PAWL_LIMIT_INPUT", "2KiB"), ("PAWL_LIMIT_OUTPUT", "4KiB")])?;
    let long = json!({"mode": "trap", "more": "x".repeat(2_048)});
    runtime::block_on(pawl.client.try_submit("runaway", &long, None))?.problem(413)?;
    let run = pawl.submit("runaway", &json!({"mode": {"output": 4_097}}))?;
    assert!(pawl.succeeds(run, bounds::RUN).is_err());
    let error = pawl.client.run(run)?.steps[0].error.clone().unwrap_or_default();
    assert!(error["cause"] == "limit" && error.to_string().contains("4096"), "{error}");
    pawl.finish_with(&[])
}

/// What a role says that refuses its settings; it must end at once, as wrong usage.
fn refusal(words: &[&str], variables: &[(&str, &str)]) -> Result<String> {
    let output = binary::pawl()?.args(words).envs(variables.iter().copied()).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    Ok(said)
}

#[test]
fn a_wrong_setting_ends_the_command_before_it_begins() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("installation.toml");
    std::fs::write(&file, "slots = 4\n\n[worker]\nleese = \"5s\"\n")?;
    let said = refusal(&["worker", "--config", &file.to_string_lossy()], &[])?;
    assert!(said.contains("installation.toml:4: there is no setting `leese`; did you mean `lease`?"), "{said}");
    let said = refusal(&["worker"], &[("PAWL_QUEUES", "default,, gpu")])?;
    assert!(said.contains("PAWL_QUEUES") && said.contains("the name of a queue is empty"), "{said}");
    let said = refusal(&["api"], &[("PAWL_LIMIT_INPUT", "1TiB")])?;
    assert!(said.contains("limit_input") && said.contains("GiB"), "{said}");
    Ok(())
}

#[test]
fn pawl_config_tells_each_value_and_its_source() -> Result<()> {
    let words = ["config", "worker", "--slots", "7", "-o", "json"];
    let secret = ("PAWL_DATABASE_URL", "postgres://pawl:hunter2@db/pawl");
    let output = binary::pawl()?.args(words).envs([secret, ("PAWL_LEASE_MS", "1500")]).output()?;
    let text = binary::succeeded(&words, output)?;
    assert!(!text.contains("hunter2"), "{text}");
    let shown: Value = serde_json::from_str(&text)?;
    let told = |name: &str| {
        let settings = shown["settings"].as_array().into_iter().flatten();
        settings.filter(|line| line["name"] == name).cloned().collect::<Vec<_>>()
    };
    for line in [
        json!({"name": "slots", "value": "7", "source": "flag", "place": "--slots"}),
        json!({"name": "lease", "value": "1500ms", "source": "environment", "place": "PAWL_LEASE_MS"}),
        json!({"name": "drain", "value": "10s", "source": "default"}),
        json!({"name": "database_url", "value": "postgres://pawl:***@db/pawl", "source": "environment",
               "place": "PAWL_DATABASE_URL"}),
    ] {
        assert_eq!(told(line["name"].as_str().unwrap_or_default()), [line]);
    }
    Ok(())
}

#[test]
fn a_queue_that_nobody_serves_or_names_is_told_where_operators_look() -> Result<()> {
    let mut cluster = Cluster::start("set_queues")?;
    cluster.push("echo")?;
    cluster.apply("name = \"there\"\n[[step]]\nname = \"only\"\nplugin = \"echo\"\nqueue = \"gpu\"\n")?;
    let said = refusal(&["worker"], &[("PAWL_QUEUES", "")])?;
    assert!(said.contains("PAWL_QUEUES") && said.contains("the name of a queue is empty"), "{said}");

    // Blanks are nobody's intention, but a wrong letter may be.
    cluster.worker("wrong").set("PAWL_QUEUES", "default , gpuu").start()?;
    let run = cluster.submit("there", &json!(1))?;
    let log = cluster.log("wrong");
    wait::until_true(bounds::PROCESS, "the worker to tell of the queue", || {
        let said = std::fs::read_to_string(&log)?;
        Ok(said.contains("no pipeline names these queues") && said.contains("gpuu"))
    })?;
    let explained = cluster.pawl(&["run", "explain", &run.to_string()])?;
    let fix = "start one with `pawl worker --queues gpu`";
    assert!(explained.contains("no live worker serves the queue `gpu`") && explained.contains(fix), "{explained}");
    let doctor = cluster.try_pawl(&["doctor"])?;
    let told = String::from_utf8(doctor.stdout)?;
    assert!(told.contains("all invariants hold") && told.contains(fix), "{told}");
    assert_eq!(doctor.status.code(), Some(1), "its steps stand still: {told}");

    cluster.worker("right").set("PAWL_QUEUES", " gpu ,default").start()?;
    cluster.succeeds(run, bounds::RUN)?;
    assert!(!cluster.pawl(&["doctor"])?.contains("no live worker"));
    cluster.finish()
}
