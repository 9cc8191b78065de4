//! Versions of plugins change while runs go on: nothing is drained, nothing fails, and every step runs on the
//! component that its record names.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};
use pawl_api::types::{ActivatedPlugin, PushedPlugin};
use pawl_tests::{Cluster, binary, bounds, wait};
use serde_json::{Value, json};

use crate::waits;

/// Different components of one plugin.
const VARIANTS: usize = 10;

const ACTIVATIONS: usize = 50;

/// Between two looks whether the last one has been made.
const RUNS: usize = 500;

/// What a variant says, and by which its bytes differ.
fn name(number: usize) -> String {
    format!("variant-{number:08}-of-this-plugin!")
}

/// The component that says that it is this variant.
fn variant(number: usize) -> Result<Vec<u8>> {
    let mut bytes = binary::component("variant")?;
    let first = name(0);
    let places: Vec<usize> =
        (0..bytes.len() - first.len()).filter(|at| bytes[*at..].starts_with(first.as_bytes())).collect();
    let [place] = places[..] else { anyhow::bail!("the name stands {} times in the component", places.len()) };
    bytes[place..place + first.len()].copy_from_slice(name(number).as_bytes());
    Ok(bytes)
}

/// Pushes a variant as the version of its number.
fn push(cluster: &Cluster, number: usize, activate: bool) -> Result<PushedPlugin> {
    let path = format!("/v1/plugins/variant/versions/{number}?activate={activate}");
    cluster.client.post(&path, "application/wasm", variant(number)?)?.read()
}

fn activate(cluster: &Cluster, number: usize) -> Result<ActivatedPlugin> {
    let body = json!({"version": number.to_string()}).to_string();
    cluster.client.post("/v1/plugins/variant/activate", "application/json", body)?.read()
}

fn prepare(name: &str) -> Result<Cluster> {
    let cluster = Cluster::start(name)?;
    push(&cluster, 0, true)?;
    cluster.apply(
        "name = \"two\"\n[[step]]\nname = \"a\"\nplugin = \"variant\"\n\
         [[step]]\nname = \"b\"\nplugin = \"variant\"\nneeds = [\"a\"]\n",
    )?;
    Ok(cluster)
}

#[test]
fn fifty_activations_under_load_fail_no_step_and_each_runs_on_the_component_of_its_record() -> Result<()> {
    let mut cluster = prepare("reload_under_load")?;
    for worker in ["a", "b"] {
        cluster.worker(worker).default_slots().start()?;
    }
    let mut digests = BTreeMap::from([(push(&cluster, 0, true)?.digest, name(0))]);
    let (client, is_over) = (cluster.client.clone(), Arc::new(AtomicBool::new(false)));
    let ends = Arc::clone(&is_over);
    let load = std::thread::spawn(move || {
        while !ends.load(Ordering::Relaxed) {
            client.keep_in_flight("two", 32, RUNS)?;
        }
        anyhow::Ok(())
    });
    for round in 0..ACTIVATIONS {
        // New ones first, then back and forth between all of them.
        let number = 1 + round % VARIANTS;
        if round < VARIANTS {
            digests.insert(push(&cluster, number, true)?.digest, name(number));
        } else if round % 7 == 0 {
            cluster.pawl(&["plugin", "rollback", "variant"])?;
        } else {
            assert_eq!(activate(&cluster, number)?.version, number.to_string());
        }
    }
    is_over.store(true, Ordering::Relaxed);
    load.join().expect("the load does not panic")?;

    let failed: i64 =
        cluster.database.value("select count(*) from step where status <> 'succeeded' or failures > 0")?;
    assert_eq!(failed, 0, "steps that failed");
    let ran = cluster.database.lines(
        "select distinct encode(component, 'hex') || ' ' || convert_from(output, 'UTF8') from step order by 1",
    )?;
    for line in &ran {
        let (digest, output) = line.split_once(' ').context("a digest and an output")?;
        let said: Value = serde_json::from_str(output)?;
        assert_eq!(Some(said.as_str().unwrap_or_default()), digests.get(&digest.parse()?).map(String::as_str));
    }
    assert!(ran.len() > VARIANTS / 2, "only {} components ran in all", ran.len());
    let mixed: i64 = cluster.database.value(
        "select count(*) from (select run_id from step group by run_id having count(distinct component) > 1) as mixed",
    )?;
    assert_eq!(mixed, 0, "runs whose steps, submitted together, ran on different versions");
    cluster.finish()
}

#[test]
fn a_pipeline_says_whether_the_submission_or_a_steps_start_decides_on_its_version() -> Result<()> {
    let mut cluster = Cluster::start("versions_at_start")?;
    push(&cluster, 0, true)?;
    waits::pipeline(&cluster)?;
    for (name, versions) in [("pinned", "submission"), ("current", "start")] {
        cluster.apply(&format!(
            "name = \"{name}\"\nversions = \"{versions}\"\n[[step]]\nname = \"wait\"\nplugin = \"waits\"\n\
             [[step]]\nname = \"says\"\nplugin = \"variant\"\nneeds = [\"wait\"]\n\
             [[step]]\nname = \"named\"\nplugin = \"variant@0\"\nneeds = [\"wait\"]\n"
        ))?;
    }
    cluster.worker("a").start()?;
    let mut runs = Vec::new();
    for pipeline in ["pinned", "current"] {
        let run = cluster.submit(pipeline, &json!([waits::awaits("go", None)]))?;
        waits::is_waiting(&cluster, run, "wait")?;
        runs.push(run);
    }
    let component = |cluster: &Cluster, run, step: &str| {
        let run = cluster.client.run(run)?;
        let row = run.steps.into_iter().find(|row| row.name == step).context("the step")?;
        anyhow::Ok(row.component)
    };
    assert_eq!(component(&cluster, runs[1], "says")?, None, "nothing is decided before it starts");
    assert!(component(&cluster, runs[1], "named")?.is_some(), "a named version is what it is");
    assert!(component(&cluster, runs[0], "says")?.is_some());

    let new = push(&cluster, 1, true)?.digest;
    for run in &runs {
        waits::signal(&cluster, *run, "go", &json!(null))?;
        cluster.succeeds(*run, bounds::RUN)?;
        assert_eq!(cluster.client.output(*run, "named")?, json!(name(0)));
    }
    assert_eq!(cluster.client.output(runs[0], "says")?, json!(name(0)));
    assert_eq!(cluster.client.output(runs[1], "says")?, json!(name(1)));
    assert_eq!(component(&cluster, runs[1], "says")?, Some(new), "the record names what ran");
    cluster.finish()
}

#[test]
fn a_version_is_active_within_two_seconds_though_redis_is_away() -> Result<()> {
    let mut cluster = prepare("reload_without_redis")?;
    cluster.worker("a").default_lease().start()?;
    let run = cluster.submit("two", &json!(1))?;
    cluster.succeeds(run, bounds::RUN)?;
    cluster.redis_server.stop();
    push(&cluster, 1, true)?;
    let run = cluster.submit("two", &json!(2))?;
    cluster.redis_server.launch()?;
    cluster.succeeds(run, bounds::RECOVERY)?;
    assert_eq!(cluster.client.output(run, "b")?, json!(name(1)));
    cluster.finish()
}

#[test]
fn a_worker_that_has_stopped_holds_an_activation_up_only_until_its_lease_ends() -> Result<()> {
    let mut cluster = prepare("reload_and_a_stopped_worker")?;
    for worker in ["runs", "stops"] {
        cluster.worker(worker).start()?;
    }
    wait::until_true(bounds::RUN, "both workers", || Ok(cluster.client.workers()?.workers.len() == 2))?;
    cluster.the("stops")?.sigstop()?;
    assert!(push(&cluster, 1, true)?.active);
    let alive = cluster.client.workers()?.workers.iter().filter(|worker| worker.alive).count();
    assert_eq!(alive, 1, "it did not wait for the one that stopped");
    cluster.the("stops")?.sigcont()?;
    cluster.finish()
}

#[test]
fn a_second_rollback_goes_further_back_and_each_says_to_what() -> Result<()> {
    let mut cluster = prepare("rollback_twice")?;
    cluster.worker("a").start()?;
    for number in [1, 2] {
        push(&cluster, number, true)?;
    }
    let runs_on = |cluster: &Cluster| -> Result<Value> {
        let run = cluster.submit("two", &json!(null))?;
        cluster.succeeds(run, bounds::RUN)?;
        cluster.client.output(run, "b")
    };
    assert_eq!(runs_on(&cluster)?, name(2));
    for (now, before) in [(1, 2), (0, 1)] {
        let told = cluster.pawl(&["plugin", "rollback", "variant"])?;
        assert_eq!(told.trim(), format!("variant@{now} is active again; it went back from {before}"));
        assert_eq!(runs_on(&cluster)?, name(now));
    }
    let refused = cluster.try_pawl(&["plugin", "rollback", "variant"])?;
    let why = String::from_utf8(refused.stderr)?;
    assert!(refused.status.code() == Some(1) && why.contains("use `activate`"), "{why}");
    assert_eq!(runs_on(&cluster)?, name(0), "nothing was changed");
    cluster.finish()
}
