//! Nothing wedges: what is large, slow or held by somebody costs its own run, and nothing else waits for it.

use anyhow::Result;
use pawl_api::types::RunStatus;
use pawl_domain::id::RunId;
use pawl_tests::process::resident_bytes;
use pawl_tests::{Cluster, bounds, wait};
use serde_json::json;

use crate::pipelines;

/// These runs succeed, whatever else there is.
fn these_succeed(cluster: &Cluster, runs: &[RunId]) -> Result<()> {
    runs.iter().try_for_each(|run| cluster.succeeds(*run, bounds::RUN))
}

/// How often Postgres has given up a statement since it was started, for this reason.
fn given_up(cluster: &Cluster, reason: &str) -> Result<usize> {
    let log = std::fs::read_to_string(cluster.postgres.log())?;
    Ok(log.matches(&format!("canceling statement due to {reason}")).count())
}

#[test]
fn somebody_who_holds_a_run_holds_up_no_other() -> Result<()> {
    let mut cluster = Cluster::start("held_run")?;
    pipelines::chain_of_naps(&cluster, 3)?;
    cluster.worker("a").slots(32).start()?;
    let held = cluster.submit("naps-3", &json!(null))?;
    let is_claimed = format!("select started_at is not null from run where id = '{held}'");
    wait::until_true(bounds::RUN, "the run to begin", || cluster.database.value(&is_claimed))?;
    let lock = cluster.database.hold(&format!("select 1 from run where id = '{held}' for update"))?;

    // One after the other, so that each meets whatever the writer is stuck in.
    for _ in 0..5 {
        let runs = cluster.client.submit_all("naps-3", &vec![json!(null); 4])?;
        these_succeed(&cluster, &runs)?;
    }
    assert_eq!(cluster.client.run(held)?.summary.status, RunStatus::Running, "what somebody holds waits");
    assert_eq!(given_up(&cluster, "lock timeout")?, 0, "nobody waited for the lock");
    wait::until_true(bounds::RUN, "the worker to say so", || {
        let log = std::fs::read_to_string(cluster.log("a"))?;
        Ok(log.contains("somebody else's transaction holds the run") && log.contains(&held.to_string()))
    })?;
    lock.release()?;
    cluster.succeeds(held, bounds::RUN)?;
    cluster.finish()
}

#[test]
fn somebody_who_holds_a_step_holds_up_no_other() -> Result<()> {
    let mut cluster = Cluster::start("held_step")?;
    pipelines::batch(&cluster)?;
    pipelines::chain_of_naps(&cluster, 3)?;
    cluster.worker("a").slots(32).start()?;
    // It journals all the time, which locks no run.
    let held = cluster.submit("batch", &pipelines::batch_of(100, 20))?;
    let has_journal = format!("select count(*) > 0 from journal where run_id = '{held}'");
    wait::until_true(bounds::RUN, "the step to record", || cluster.database.value(&has_journal))?;
    let lock = cluster.database.hold(&format!("select 1 from step where run_id = '{held}' for update"))?;
    let runs = cluster.client.submit_all("naps-3", &vec![json!(null); 20])?;
    these_succeed(&cluster, &runs)?;
    lock.release()?;
    cluster.succeeds(held, bounds::RUN)?;
    cluster.finish()
}

/// `wide-N`: N steps that put out a mebibyte each, and one that joins them.
fn wide(cluster: &Cluster, width: usize) -> Result<()> {
    cluster.push("runaway")?;
    cluster.push("batch")?;
    let parts: Vec<String> = (0..width).map(|number| format!("s{number}")).collect();
    let mut toml = format!("name = \"wide-{width}\"\n");
    for part in &parts {
        toml += &format!("[[step]]\nname = \"{part}\"\nplugin = \"runaway\"\n");
    }
    toml += &format!("[[step]]\nname = \"join\"\nplugin = \"batch\"\nneeds = {parts:?}\nconfig = {{ items = 1 }}\n");
    cluster.apply(&toml)
}

#[test]
fn a_join_reads_what_it_may_and_is_refused_what_it_may_not() -> Result<()> {
    joins("wide_join", 120)
}

#[test]
#[ignore = "more than a gibibyte of outputs takes minutes"]
fn pressure_a_join_of_eleven_hundred_mebibytes_is_refused_and_holds_up_nobody() -> Result<()> {
    joins("wider_join", 1_100)
}

fn joins(name: &str, width: usize) -> Result<()> {
    let mut cluster = Cluster::start(name)?;
    wide(&cluster, 12)?;
    wide(&cluster, width)?;
    pipelines::chain(&cluster, 3)?;
    cluster.worker("a").slots(8).start()?;
    let mebibyte = json!({"mode": {"output": 1 << 20}});
    let may_not = cluster.submit(&format!("wide-{width}"), &mebibyte)?;
    let may = cluster.submit("wide-12", &mebibyte)?;
    let others = cluster.client.submit_all("chain-3", &vec![json!(1); 20])?;
    these_succeed(&cluster, &others)?;
    let bound = bounds::RECOVERY * u32::try_from(1 + width / 120)?;
    cluster.succeeds(may, bound)?;
    assert_eq!(cluster.ends(may_not, bound)?, RunStatus::Failed);
    let error: String = cluster.database.value(&format!(
        "select convert_from(error, 'UTF8') from step where run_id = '{may_not}' and status = 'failed'"
    ))?;
    let bytes = width << 20;
    assert!(error.contains(&format!("joins are {bytes} bytes")) && error.contains("limit_joined"), "{error}");
    assert_eq!(given_up(&cluster, "statement timeout")?, 0);
    cluster.finish()
}

/// `broad-N`: a step with N successors.
fn broad(cluster: &Cluster, width: usize) -> Result<()> {
    cluster.push("echo")?;
    let mut toml = format!("name = \"broad-{width}\"\n[[step]]\nname = \"first\"\nplugin = \"echo\"\n");
    for number in 0..width {
        toml += &format!("[[step]]\nname = \"s{number}\"\nplugin = \"echo\"\nneeds = [\"first\"]\n");
    }
    cluster.apply(&toml)
}

#[test]
fn a_hundred_runs_that_get_a_thousand_successors_each_at_once_get_them() -> Result<()> {
    let mut cluster = Cluster::start("broad")?;
    broad(&cluster, 1_000)?;
    pipelines::chain(&cluster, 1)?;
    let runs = cluster.client.submit_all("broad-1000", &vec![json!(1); 100])?;
    cluster.worker("a").slots(256).default_lease().start()?;
    let first = "select count(*) from step where step_no = 0 and status = 'succeeded'";
    wait::until_true(bounds::RECOVERY, "the first steps to end", || Ok(cluster.database.value::<i64>(first)? >= 100))?;
    assert_eq!(given_up(&cluster, "statement timeout")?, 0, "a batch was too large");
    let lost: i64 = cluster.database.value("select count(*) from step where crashes > 0 or attempts > 1")?;
    assert_eq!(lost, 0, "a lease was lost");
    // Some may have ended by now.
    runs.iter().for_each(|run| drop(cluster.client.cancel(*run)));
    let other = cluster.submit("chain-1", &json!(1))?;
    cluster.succeeds(other, bounds::RECOVERY)?;
    cluster.finish()
}

#[test]
fn submissions_of_large_runs_that_come_together_are_all_taken() -> Result<()> {
    let mut cluster = Cluster::start("large_submissions")?;
    broad(&cluster, 2_000)?;
    pipelines::chain(&cluster, 1)?;
    let runs = cluster.client.submit_all("broad-2000", &vec![json!(1); 100])?;
    assert_eq!(cluster.database.count_runs(&runs)?, 100);
    runs.iter().try_for_each(|run| cluster.client.cancel(*run).map(drop))?;
    let other = cluster.submit("chain-1", &json!(1))?;
    cluster.worker("a").start()?;
    cluster.succeeds(other, bounds::RECOVERY)?;
    cluster.finish()
}

/// Runs of a step that leaves no trace for some seconds: whatever interrupts it begins it anew.
fn without_progress(cluster: &Cluster, runs: usize) -> Result<Vec<RunId>> {
    pipelines::batch(cluster)?;
    cluster.client.submit_all("batch", &vec![json!({"items": 20, "pause_ms": 50, "checkpoint_every": 0}); runs])
}

#[test]
fn what_ran_beside_the_culprit_of_two_deaths_waits_for_nobody() -> Result<()> {
    let mut cluster = Cluster::start("suspects")?;
    let runs = without_progress(&cluster, 4)?;
    for name in ["a", "b"] {
        cluster.worker(name).start()?;
        let all_run = "select count(*) = 4 from step where status = 'running'";
        wait::until_true(bounds::RECOVERY, "all to run", || cluster.database.value(all_run))?;
        let held = format!(
            "select count(*) = 4 from step join worker on worker.id = worker_id where pid = {}",
            cluster.the(name)?.pid()
        );
        wait::until_true(bounds::RECOVERY, "this worker to run them", || cluster.database.value(&held))?;
        cluster.the(name)?.kill9();
    }
    cluster.worker("c").start()?;
    // On record, and so in execution.
    let several = "select count(*) >= 2 from step where status = 'running' and alone";
    wait::until_true(bounds::RECOVERY, "several suspects to run at once", || cluster.database.value(several))?;
    these_succeed(&cluster, &runs)?;
    cluster.finish()
}

#[test]
fn what_a_dead_worker_had_read_is_shared_by_those_who_have_place() -> Result<()> {
    let mut cluster = Cluster::start("adoption")?;
    let runs = without_progress(&cluster, 12)?;
    cluster.worker("a").slots(64).fault("redis.read.before_claim=kill").start()?;
    cluster.dies("a", bounds::PROCESS)?;
    cluster.worker("b").slots(2).start()?;
    cluster.worker("c").slots(2).start()?;
    let left = format!(
        "select count(*) from run where ended_at is null and id in ({})",
        runs.iter().map(|run| format!("'{run}'")).collect::<Vec<_>>().join(",")
    );
    let most = "select coalesce(max(n), 0) from (select count(*) as n from step where status = 'running' group by worker_id) as held";
    wait::until_true(bounds::RECOVERY, "all to end", || {
        let most: i64 = cluster.database.value(most)?;
        anyhow::ensure!(most <= 2, "a worker with two slots has {most} steps");
        Ok(cluster.database.value::<i64>(&left)? == 0)
    })?;
    let workers: i64 = cluster.database.value("select count(distinct worker_id) from step")?;
    assert_eq!(workers, 2, "both have had some");
    cluster.finish()
}

#[test]
fn a_guest_that_records_as_fast_as_it_can_costs_no_memory_and_holds_up_no_other() -> Result<()> {
    let mut cluster = Cluster::start("fast_recorder")?;
    cluster.push("runaway")?;
    cluster.apply("name = \"fast\"\n[[step]]\nname = \"only\"\nplugin = \"runaway\"\n")?;
    pipelines::chain(&cluster, 3)?;
    cluster.worker("a").slots(8).set("PAWL_LIMIT_ENTRIES", "10000000").start()?;
    let pid = cluster.the("a")?.pid();
    let fast = cluster.client.submit_all("fast", &vec![json!({"mode": {"journal": 2_000_000}}); 4])?;
    wait::until_true(bounds::RUN, "some journal", || {
        Ok(cluster.database.value::<i64>("select coalesce(sum(length), 0)::bigint from journal")? > 100_000)
    })?;
    let before = resident_bytes(pid)?;
    for _ in 0..10 {
        let others = cluster.client.submit_all("chain-3", &vec![json!(1); 5])?;
        these_succeed(&cluster, &others)?;
    }
    wait::until_true(bounds::RECOVERY, "more journal", || {
        Ok(cluster.database.value::<i64>("select coalesce(sum(length), 0)::bigint from journal")? > 1_000_000)
    })?;
    let grown = resident_bytes(pid)?.saturating_sub(before);
    assert!(grown < 64 << 20, "the worker's memory has grown by {} MiB", grown >> 20);
    // Some may have come to their limit by now.
    fast.iter().for_each(|run| drop(cluster.client.cancel(*run)));
    cluster.finish()
}
