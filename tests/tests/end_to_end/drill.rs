//! The recovery drill, as operators run it.

use anyhow::{Context as _, Result};
use pawl_tests::{binary, ending};
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
