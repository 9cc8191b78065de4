//! `pawl backup` and `pawl restore`: what is in the file goes on elsewhere, as after a crash; what is killed in the middle
//! leaves nothing; and what is no backup, or would be written over, is refused.

use std::os::unix::process::ExitStatusExt as _;

use anyhow::{Result, ensure};
use pawl_rehearsal::private::Process;
use pawl_tests::process::peak_bytes;
use pawl_tests::{Cluster, binary, bounds, wait};
use serde_json::{Value, json};

use scene::{Scene, backed_up, data, prepared, restored};

mod refused;
mod scene;

/// All tables that a restore fills, and how many rows they have together.
const ROWS: &str = "select (select count(*) from run) + (select count(*) from step) + (select count(*) from event)
                           + (select count(*) from component) + (select count(*) from plugin) + (select count(*) from pause)";

/// The point that each table passes, the last of them before the commit.
const POINT: &str = "restore.taken_in.before_commit";
const TABLES: usize = 19;

#[test]
fn what_dev_had_at_work_goes_on_in_postgres_and_nothing_leaves_twice() -> Result<()> {
    let scene = Scene::at_work("backup_postgres")?;
    let mut cluster = Cluster::start("backup_postgres")?;
    let told: Value = serde_json::from_str(&cluster.pawl(&["restore", &scene.file, "-o", "json"])?)?;
    ensure!(told["handed_back"].as_u64() >= Some(2), "{told}");
    ensure!(told["into"].as_str().is_some_and(|into| into.starts_with("postgres://")), "{told}");
    cluster.worker("a").start()?;
    scene.goes_on(&cluster.client)?;
    wait::until_true(bounds::RECOVERY, "all other runs to end", || {
        Ok(cluster.database.value::<i64>("select count(*) from run where ended_at is null")? == 0)
    })?;
    cluster.finish_with(&[&scene.target])
}

#[test]
fn what_dev_had_at_work_goes_on_in_another_folder_and_nothing_leaves_twice() -> Result<()> {
    let scene = Scene::at_work("backup_folder")?;
    let mut pawl = prepared("backup_folder-new")?;
    let told: Value = serde_json::from_str(&binary::succeeded(&["restore"], restored(&scene.file, &data(&pawl))?)?)?;
    ensure!(told["handed_back"].as_u64() >= Some(2), "{told}");
    pawl.start_process(&[])?;
    scene.goes_on(&pawl.client)?;
    pawl.finish_with(&[&scene.target])
}

#[test]
fn a_restore_that_is_killed_leaves_nothing_and_is_done_again() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("backup").display().to_string();
    let mut pawl = prepared("backup_killed-old")?;
    pawl.start_process(&[])?;
    let run = pawl.submit("waits", &json!([{"do": "await", "name": "go"}]))?;
    wait::until_true(bounds::RUN, "it to wait", || Ok(pawl.client.run(run)?.steps[0].status.as_str() == "waiting"))?;
    binary::succeeded(&["backup"], backed_up(&pawl, &file, &[])?)?;
    pawl.finish_with(&[])?;

    let mut cluster = Cluster::start("backup_killed")?;
    // In the middle, and right before the commit.
    for hit in [7, TABLES] {
        let mut command = binary::pawl()?;
        command.args(["restore", &file]).envs(cluster.environment()).env("PAWL_FAULT", format!("{POINT}=kill@{hit}"));
        let killed = command.output()?;
        ensure!(killed.status.signal() == Some(9), "hit {hit}: {killed:?}");
        wait::until_true(bounds::PROCESS, "its session to end", || {
            let open =
                "select count(*) from pg_locks where relation = 'plugin'::regclass and mode = 'ShareRowExclusiveLock'";
            Ok(cluster.database.value::<i64>(open)? == 0)
        })?;
        ensure!(cluster.database.value::<i64>(ROWS)? == 0, "hit {hit}: something is left");
    }
    cluster.pawl(&["restore", &file])?;
    ensure!(!folder.path().join("backup.restoring").exists(), "the copy is left");
    cluster.worker("a").start()?;
    cluster.client.post(&format!("/v1/runs/{run}/signals/go"), "application/json", "1")?.read::<Value>()?;
    cluster.succeeds(run, bounds::RECOVERY)?;
    cluster.finish()?;

    let data = folder.path().join("data");
    let mut command = binary::pawl()?;
    command.args(["restore", &file, "--data"]).arg(&data).env("PAWL_FAULT", format!("{POINT}=kill"));
    let killed = command.output()?;
    ensure!(killed.status.signal() == Some(9), "{killed:?}");
    ensure!(!data.join("pawl.sqlite").exists(), "half a database");
    binary::succeeded(&["restore"], restored(&file, &data)?)?;
    ensure!(data.join("pawl.sqlite").exists() && !data.join("pawl.sqlite.restoring").exists());
    Ok(())
}

/// Checkpoints of 240 MiB, of which never more than a few are in memory at once.
#[test]
fn a_restore_into_postgres_holds_no_more_than_some_rows_in_memory() -> Result<()> {
    const MIB: usize = 1 << 20;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("backup").display().to_string();
    let mut pawl = prepared("backup_large-old")?;
    pawl.start_process(&[])?;
    let input = json!([{"do": "checkpoint", "bytes": 10 * MIB}, {"do": "await", "name": "go"}]);
    let runs = pawl.client.submit_all("waits", &vec![input; 24])?;
    for run in &runs {
        wait::until_true(bounds::RECOVERY, "it to wait", || {
            Ok(pawl.client.run(*run)?.steps[0].status.as_str() == "waiting")
        })?;
    }
    binary::succeeded(&["backup"], backed_up(&pawl, &file, &[])?)?;
    ensure!(std::fs::metadata(&file)?.len() > (240 * MIB) as u64);
    pawl.finish_with(&[])?;

    let cluster = Cluster::start("backup_large")?;
    let mut command = binary::pawl()?;
    command.args(["restore", &file]).envs(cluster.environment()).env("PAWL_FAULT", format!("{POINT}=stop@{TABLES}"));
    let mut process = Process::spawn("restore", command, &cluster.log("restore"))?;
    wait::until_true(bounds::RECOVERY, "all tables to be taken in", || {
        process.ensure_running()?;
        Ok(std::fs::read_to_string(cluster.log("restore"))?.contains("a fault point was hit"))
    })?;
    let peak = peak_bytes(process.pid())?;
    eprintln!("the peak of a restore: {} MiB", peak / MIB);
    ensure!(peak < 200 * MIB, "{} MiB", peak / MIB);
    process.sigcont()?;
    let status = process.wait(bounds::PROCESS)?;
    ensure!(status.is_some_and(|status| status.success()), "{status:?}");
    ensure!(cluster.database.value::<i64>("select count(*) from checkpoint")? == 24);
    cluster.finish()
}
