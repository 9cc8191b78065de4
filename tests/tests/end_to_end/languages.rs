//! Steps in Python and JavaScript on real workers. They need the components that `make test-languages`
//! builds, which also runs them.

use std::collections::BTreeMap;
use std::process::Output;

use anyhow::Result;
use pawl_domain::event::EventKind;
use pawl_tests::{Cluster, Target, binary, bounds, wait};
use serde_json::{Value, json};

const METERS: usize = 40;

#[test]
#[ignore = "make test-languages builds the components and runs it"]
fn a_python_step_survives_the_death_of_its_worker() -> Result<()> {
    survives("hello-python")
}

#[test]
#[ignore = "make test-languages builds the components and runs it"]
fn a_javascript_step_survives_the_death_of_its_worker() -> Result<()> {
    survives("hello-js")
}

/// Its worker is killed in the middle; another one goes on from the last checkpoint, reports nothing twice,
/// and the result is that of a run that nothing disturbed.
fn survives(plugin: &str) -> Result<()> {
    let mut cluster = Cluster::start(plugin)?;
    let target = Target::start()?;
    cluster.push(plugin)?;
    cluster.apply(&format!("name = \"meters\"\n[[step]]\nname = \"read\"\nplugin = \"{plugin}\"\n"))?;
    cluster.worker("first").start()?;
    let input = json!({ "meters": METERS, "pause_ms": 50, "report_to": target.url("/meter") });
    let run = cluster.submit("meters", &input)?;
    let saved: usize = wait::until(bounds::RUN, "checkpoints", || {
        let saved: i32 = cluster.database.value("select coalesce(max(checkpoint_ordinal), 0) from step")?;
        Ok(if saved >= 10 { wait::Look::Done(saved as usize) } else { wait::Look::NotYet(saved.to_string()) })
    })?;
    cluster.the("first")?.kill9();
    let reported = target.log().len();
    cluster.worker("second").start()?;
    cluster.succeeds(run, bounds::RECOVERY)?;

    let output = cluster.client.output(run, "read")?;
    let readings = output["readings"].as_array().cloned().unwrap_or_default();
    assert_eq!(readings.len(), METERS, "{output}");
    let again = target.log().split_off(reported);
    assert!(again.len() <= METERS - saved, "{} were reported after the crash, {saved} were saved before", again.len());
    for (meter, reading) in readings.iter().enumerate() {
        let digest = blake3::hash(format!("{{\"reading\":{reading}}}").as_bytes()).to_hex().to_string();
        let of_meter = target.log().into_iter().filter(|received| received.path == format!("/meter/{meter}"));
        assert!(of_meter.into_iter().all(|received| received.body_digest == digest), "meter {meter}: {reading}");
    }
    let performed: BTreeMap<String, usize> = (0..METERS).map(|meter| (format!("/meter/{meter}"), 1)).collect();
    assert_eq!(target.performed("/meter"), performed, "every reading was reported once");

    let events = cluster.client.events(run)?;
    assert!(events.iter().any(|event| event.is(EventKind::StepResumed)), "{events:?}");
    let counted: i32 = cluster.database.value("select failures from step")?;
    assert_eq!(counted, 0, "a crash used up a retry");
    cluster.finish_with(&[&target])
}

/// `pawl plugin test` with a component that the other tests have compiled.
fn plugin_test(plugin: &str, words: &[&str]) -> Result<Output> {
    let cache = binary::programs()?.join("tests/component-cache");
    let mut command = binary::pawl()?;
    command.args(["plugin", "test"]).arg(binary::component_file(plugin)?).args(words);
    Ok(command.arg("--cache-dir").arg(cache).output()?)
}

#[test]
#[ignore = "make test-languages builds the components and runs it"]
fn a_step_in_any_language_gives_the_same_output_whatever_crashes() -> Result<()> {
    // Python draws secure bytes when it starts: a seed, at first and behind each of three checkpoints.
    for (plugin, writes) in [("hello-python", 14 + 4), ("hello-js", 14)] {
        let told = plugin_test(plugin, &["--input", r#"{"meters": 3, "pause_ms": 1}"#, "--crash-everywhere"])?;
        let story = String::from_utf8_lossy(&told.stderr);
        let went_on = format!("{writes} crashes: it went on after each; 0 outputs were other ones");
        assert!(story.contains(&went_on), "{plugin}: {story}");
        let output: Value = serde_json::from_slice(&told.stdout)?;
        assert_eq!(output["readings"].as_array().map(Vec::len), Some(3), "{output}");
    }
    Ok(())
}

#[test]
#[ignore = "make test-languages builds the components and runs it"]
fn a_failure_says_what_and_where() -> Result<()> {
    for (plugin, file) in [("hello-python", "step.py"), ("hello-js", "step.js")] {
        let fails = |input: &str| -> Result<String> {
            let told = plugin_test(plugin, &["--input", input])?;
            assert_eq!(told.status.code(), Some(1), "{told:?}");
            Ok(String::from_utf8(told.stderr)?)
        };
        let chosen = fails(r#"{"meters": 0}"#)?;
        assert!(chosen.contains("failed for good: there must be a meter to read\n{\"meters\":0}"), "{chosen}");
        let mistaken = fails("null")?;
        assert!(mistaken.contains("failed for good: TypeError: ") && mistaken.contains(file), "{mistaken}");
    }
    Ok(())
}
