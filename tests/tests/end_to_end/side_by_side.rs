//! The build before this one beside this one, as while an installation is upgraded, or goes back: on one schema, on the same
//! queues, with each other's journals and checkpoints. `make side-by-side` makes it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use pawl_domain::id::RunId;
use pawl_tests::wait::Look;
use pawl_tests::{Cluster, Load, Target, binary, bounds, wait};
use serde_json::json;

use crate::pipelines;

/// Steps that each worker of a stage has ended before the next begins.
const STEPS: i64 = 40;

/// A run is submitted so often.
const PERIOD: Duration = Duration::from_millis(25);

/// Waits until each of these workers has ended some steps from now on.
fn all_work(cluster: &mut Cluster, workers: &[&str]) -> Result<()> {
    let since: String = cluster.database.value("select clock_timestamp()::text")?;
    for name in workers {
        let pid = cluster.the(name)?.pid();
        let ended = format!(
            "select count(*) from step s join worker w on w.id = s.worker_id
             where w.pid = {pid} and s.status = 'succeeded' and s.ended_at > '{since}'"
        );
        wait::until(bounds::RECOVERY, &format!("worker {name} to end steps"), || {
            let ended: i64 = cluster.database.value(&ended)?;
            Ok(if ended >= STEPS { Look::Done(()) } else { Look::NotYet(format!("{ended} of {STEPS}")) })
        })?;
    }
    Ok(())
}

#[test]
#[ignore = "needs the build before this one: make side-by-side"]
fn an_upgrade_and_the_way_back_lose_nothing_under_load() -> Result<()> {
    let previous = binary::previous()?;
    let mut cluster = Cluster::start_by(previous.clone(), "upgrade")?;
    let target = Arc::new(Target::start()?);
    pipelines::everything_at_work(&cluster, 1)?;
    cluster.worker("old-a").slots(8).start()?;
    cluster.worker("old-b").slots(8).start()?;
    let of_load = Arc::clone(&target);
    let input = move |number| pipelines::everything_input(&of_load, number);
    let load = Load::start(&cluster.client, "everything", PERIOD, input);
    all_work(&mut cluster, &["old-a", "old-b"])?;

    // As docs/operations.md has it: the schema first, then one process after the other.
    cluster.use_build(None);
    cluster.pawl(&["migrate"])?;
    all_work(&mut cluster, &["old-a", "old-b"])?;
    cluster.worker("new-a").slots(8).start()?;
    all_work(&mut cluster, &["old-a", "old-b", "new-a"])?;
    cluster.the("old-a")?.kill9();
    all_work(&mut cluster, &["old-b", "new-a"])?;
    let status = cluster.the("old-b")?.terminate(bounds::PROCESS)?;
    anyhow::ensure!(status.success(), "the drain ended with {status}");
    cluster.worker("new-b").slots(8).start()?;
    cluster.api()?.terminate(bounds::PROCESS)?;
    cluster.start_api(&[])?;
    all_work(&mut cluster, &["new-a", "new-b"])?;

    // And back, on the schema as it is now.
    cluster.use_build(Some(previous));
    cluster.worker("old-c").slots(8).start()?;
    cluster.the("new-a")?.kill9();
    all_work(&mut cluster, &["old-c", "new-b"])?;
    cluster.the("new-b")?.kill9();
    cluster.api()?.terminate(bounds::PROCESS)?;
    cluster.start_api(&[])?;
    all_work(&mut cluster, &["old-c"])?;

    let runs = load.stop()?;
    cluster.all_succeed(&runs, bounds::RECOVERY)?;
    for (number, run) in runs.iter().enumerate() {
        pipelines::check_everything(number, &cluster.client.output(*run, "join")?)?;
    }
    let expected: BTreeMap<_, _> = (0..runs.len()).map(|number| (format!("/effect/{number}"), 1)).collect();
    assert_eq!(target.performed("/effect/"), expected);
    let failures: i64 = cluster.database.value("select count(*) from step where failures > 0")?;
    assert_eq!(failures, 0, "a change of builds used up a retry");
    eprintln!("{} runs through both builds", runs.len());
    cluster.use_build(None);
    cluster.pawl(&["doctor"])?;
    cluster.finish_with(&[&target])
}

#[test]
#[ignore = "needs the build before this one: make side-by-side"]
fn a_step_goes_on_in_the_other_build_from_its_checkpoint() -> Result<()> {
    let previous = binary::previous()?;
    let mut cluster = Cluster::start_by(previous.clone(), "handed_on")?;
    cluster.push("batch")?;
    cluster.apply(
        "name = \"long\"\n[[step]]\nname = \"only\"\nplugin = \"batch\"\n\
         config = { items = 200, checkpoint_every = 10, readings = 1, pause_ms = 25 }\n",
    )?;
    cluster.use_build(None);
    cluster.pawl(&["migrate"])?;
    let position = |run: RunId| format!("select coalesce(checkpoint_position, 0) from step where run_id = '{run}'");
    for (first, second) in [(Some(previous.clone()), None), (None, Some(previous))] {
        cluster.use_build(first);
        cluster.worker("first").start()?;
        let run = cluster.submit("long", &json!(null))?;
        wait::until_true(bounds::RUN, "checkpoints", || Ok(cluster.database.value::<i32>(&position(run))? >= 50))?;
        cluster.the("first")?.kill9();
        cluster.use_build(second);
        cluster.worker("second").start()?;
        cluster.succeeds(run, bounds::RECOVERY)?;
        let output = cluster.client.output(run, "only")?;
        assert_eq!(output["digest"], pipelines::digest_of(200), "the same values");
        let resumed = format!(
            "select count(*) from event e cross join lateral unnest(e.kinds, e.notes) as n (kind, note)
             where e.run_id = '{run}' and n.kind = 'step.resumed' and n.note not like 'checkpoint=none%'"
        );
        assert_eq!(cluster.database.value::<i64>(&resumed)?, 1, "{}", cluster.story(run));
        let status = cluster.the("second")?.terminate(bounds::PROCESS)?;
        anyhow::ensure!(status.success(), "the worker ended with {status}");
    }
    cluster.use_build(None);
    cluster.finish()
}

#[test]
#[ignore = "needs the build before this one: make side-by-side"]
fn a_worker_of_this_build_waits_for_its_schema() -> Result<()> {
    let mut cluster = Cluster::start_by(binary::previous()?, "schema_first")?;
    pipelines::chain(&cluster, 2)?;
    let version = "select max(version)::bigint from _sqlx_migrations";
    let before: i64 = cluster.database.value(version)?;
    cluster.use_build(None);
    cluster.worker("early").start()?;
    let run = cluster.submit("chain-2", &json!(1))?;
    if before < newest_migration()? {
        let log = cluster.log("early");
        wait::until_true(bounds::PROCESS, "the worker to say what it waits for", || {
            Ok(std::fs::read_to_string(&log)?.contains("pawl migrate"))
        })?;
        assert_eq!(cluster.database.value::<i64>("select count(*) from step where attempts > 0")?, 0);
    }
    cluster.pawl(&["migrate"])?;
    cluster.succeeds(run, bounds::RECOVERY)?;
    cluster.finish()
}

fn newest_migration() -> Result<i64> {
    let files = std::fs::read_dir(binary::repository().join("migrations"))?;
    let names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
    let numbers = names.filter_map(|name| name.split_once('_')?.0.parse().ok());
    numbers.max().context("there are migrations")
}
