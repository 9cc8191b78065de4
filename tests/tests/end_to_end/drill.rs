//! The recovery drill, as operators run it.

use std::net::TcpListener;

use anyhow::{Context as _, Result, ensure};
use pawl_tests::{Cluster, binary, ending};
use serde_json::Value;

#[test]
fn the_recovery_drill_passes_and_leaves_its_summary_and_logs() -> Result<()> {
    ending::stop_children_when_interrupted();
    let artifacts = binary::programs()?.join("tests").join(format!("drill-{}", std::process::id()));
    let plugins = binary::component_file("batch")?;
    let plugins = plugins.parent().context("a component lies in a folder")?;
    let output = binary::pawl()?
        .args(["drill", "recovery", "--task-length", "5s"])
        .arg("--artifacts-dir")
        .arg(&artifacts)
        .arg("--plugins-dir")
        .arg(plugins)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the drill ended with {}: {said}", output.status);

    let summary: Value = serde_json::from_slice(&std::fs::read(artifacts.join("recovery_summary.json"))?)?;
    assert_eq!(summary["run_status"], "succeeded", "{summary}");
    assert!(summary["attempts"].as_u64() >= Some(2), "{summary}");
    assert_eq!((&summary["queue_depth"], &summary["pending"]), (&0.into(), &0.into()), "{summary}");
    assert!(summary["takeover_ms"].as_u64().is_some_and(|takeover_ms| takeover_ms > 0), "{summary}");
    for field in ["resumed_from_checkpoint", "steps_executed_again"] {
        assert!(!summary[field].is_null(), "the summary has no {field}: {summary}");
    }
    let logs = std::fs::read_dir(artifacts.join("logs"))?.count();
    assert!(logs >= 3, "{logs} logs: the API and two workers have one each");
    Ok(std::fs::remove_dir_all(artifacts)?)
}

#[test]
fn the_drill_works_on_servers_and_an_api_that_are_there_and_leaves_them_as_they_were() -> Result<()> {
    let cluster = Cluster::start("drill_existing")?;
    let artifacts = binary::programs()?.join("tests").join(format!("drill-existing-{}", std::process::id()));
    let folder = artifacts.to_string_lossy().into_owned();
    let plugins = binary::component_file("batch")?;
    let plugins = plugins.parent().context("a component lies in a folder")?.to_string_lossy().into_owned();
    let words = ["drill", "recovery", "--artifacts-dir", &folder, "--plugins-dir", &plugins, "--task-seconds", "3"];
    let existing = ["--use-existing", "--existing-coordinator", "--shared-queue", "-o", "json"];
    let summary: Value = serde_json::from_str(&cluster.pawl(&[&words[..], &existing].concat())?)?;
    ensure!(summary["ok"] == true, "{summary}");
    let checks: Vec<&str> =
        summary["checks"].as_array().context("checks")?.iter().filter_map(|check| check["name"].as_str()).collect();
    ensure!(!checks.iter().any(|check| check.contains("queue")), "the queue is shared, and told only: {checks:?}");
    let logs: Vec<String> = std::fs::read_dir(artifacts.join("logs"))?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    ensure!(logs.len() == 2 && logs.iter().all(|log| log.starts_with("worker-")), "it starts workers alone: {logs:?}");
    std::fs::remove_dir_all(artifacts)?;
    // The API answers still.
    cluster.finish()
}

#[test]
fn a_drill_takes_nobody_elses_api_for_the_one_that_it_starts() -> Result<()> {
    let taken = TcpListener::bind(("127.0.0.1", 0))?;
    let port = taken.local_addr()?.port().to_string();
    let artifacts = binary::programs()?.join("tests").join(format!("drill-port-{}", std::process::id()));
    let output = binary::pawl()?
        .args(["drill", "recovery", "--skip-services", "--port", &port, "--artifacts-dir"])
        .arg(&artifacts)
        .args(["--database-url", "postgres://pawl@127.0.0.1:1/pawl", "--redis-url", "redis://127.0.0.1:1/"])
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.code() == Some(1) && said.contains(&format!("can't listen on port {port}: give")), "{said}");
    let summary: Value = serde_json::from_slice(&std::fs::read(artifacts.join("recovery_summary.json"))?)?;
    ensure!(summary["ok"] == false && summary["run"].is_null(), "{summary}");
    Ok(std::fs::remove_dir_all(artifacts)?)
}
