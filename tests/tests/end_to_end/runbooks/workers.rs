//! Workers that die, hang, are cut off or have too much to do, and a step that kills them.

use anyhow::Result;
use pawl_domain::id::RunId;
use pawl_tests::proxy::Mode;
use pawl_tests::{Cluster, Proxy, bounds, wait};
use serde_json::json;

use super::{Runbook, logged, shell};
use crate::pipelines;

/// Runs that worker `a` has begun, the only one so far.
fn begun(cluster: &mut Cluster, database: &str) -> Result<Vec<RunId>> {
    pipelines::batch(cluster)?;
    cluster.worker("a").set("PAWL_DATABASE_URL", database).start()?;
    let runs = cluster.client.submit_all("batch", &vec![pipelines::batch_of(40, 10); 3])?;
    wait::until_true(bounds::RUN, "a checkpoint", || {
        cluster.database.value("select exists (select from step where status = 'running' and checkpoint_ordinal > 1)")
    })?;
    Ok(runs)
}

/// Another worker comes, and sees that the lease of the first has ended.
fn until_one_is_lost(cluster: &mut Cluster) -> Result<()> {
    cluster.worker("b").start()?;
    shell::until_ready(cluster, "b")?;
    wait::until_true(bounds::RECOVERY, "a worker to be gone", || {
        cluster.database.value("select exists (select from gone_worker where not said_goodbye)")
    })
}

#[test]
fn a_worker_that_was_killed() -> Result<()> {
    let mut cluster = Cluster::start("runbook_crash")?;
    let database = cluster.postgres.url();
    let runs = begun(&mut cluster, &database)?;
    cluster.the("a")?.kill9();
    until_one_is_lost(&mut cluster)?;
    logged(&cluster, "b", "leases have ended: their steps are ready again")?;
    Runbook::open("crash", &cluster, &[])?.finish(&mut cluster)?;
    cluster.all_succeed(&runs, bounds::RECOVERY)?;
    cluster.finish()
}

#[test]
fn a_worker_that_hangs() -> Result<()> {
    let mut cluster = Cluster::start("runbook_hangs")?;
    let database = cluster.postgres.url();
    let runs = begun(&mut cluster, &database)?;
    cluster.the("a")?.sigstop()?;
    until_one_is_lost(&mut cluster)?;
    let pid = cluster.the("a")?.pid().to_string();
    Runbook::open("hanging-worker", &cluster, &[("PID", pid)])?.finish(&mut cluster)?;
    cluster.all_succeed(&runs, bounds::RECOVERY)?;
    cluster.finish()
}

#[test]
fn a_worker_that_is_cut_off_from_postgres() -> Result<()> {
    let mut cluster = Cluster::start("runbook_cut_off")?;
    let postgres = Proxy::start(format!("127.0.0.1:{}", cluster.postgres.port()))?;
    let database = postgres.url(&cluster.postgres.url());
    let runs = begun(&mut cluster, &database)?;
    postgres.set(Mode::Stall);
    until_one_is_lost(&mut cluster)?;
    let pid = cluster.the("a")?.pid().to_string();
    Runbook::open("hanging-worker", &cluster, &[("PID", pid)])?.finish(&mut cluster)?;
    // What it had sent arrives now, and changes nothing.
    postgres.heal();
    cluster.all_succeed(&runs, bounds::RECOVERY)?;
    cluster.finish()
}

#[test]
fn a_step_that_never_ends() -> Result<()> {
    const ENDLESS: &str = "name = \"endless\"\n[[step]]\nname = \"only\"\nplugin = \"runaway\"\n";
    let mut cluster = Cluster::start("runbook_endless")?;
    cluster.push("runaway")?;
    cluster.apply(ENDLESS)?;
    pipelines::chain(&cluster, 1)?;
    cluster.worker("a").slots(2).start()?;
    let endless = cluster.client.submit_all("endless", &vec![json!({"mode": "loop"}); 2])?;
    wait::until_true(bounds::RUN, "both to run", || {
        cluster.database.value("select count(*) = 2 from step where status = 'running'")
    })?;
    let others = cluster.client.submit_all("chain-1", &vec![json!(1); 3])?;
    let fills = [("RUN", endless[0].to_string()), ("PIPELINE", "endless".to_owned())];
    let bounded = format!("{ENDLESS}timeout = \"5s\"\n");
    let book = Runbook::open("hanging-step", &cluster, &fills)?.with_file("endless.toml", &bounded)?;
    book.finish(&mut cluster)?;
    for run in others {
        cluster.succeeds(run, bounds::RUN)?;
    }
    // The bound that was given to it holds.
    cluster.apply(&format!("{bounded}retry = {{ max_attempts = 1 }}\n"))?;
    let again = cluster.submit("endless", &json!({"mode": "loop"}))?;
    assert_eq!(cluster.ends(again, bounds::RUN)?.as_str(), "failed");
    cluster.finish()
}

#[test]
fn more_work_than_workers() -> Result<()> {
    let mut cluster = Cluster::start("runbook_backlog")?;
    pipelines::batch(&cluster)?;
    cluster.worker("a").slots(1).start()?;
    let runs = cluster.client.submit_all("batch", &vec![pipelines::batch_of(40, 10); 16])?;
    wait::until_true(bounds::RUN, "one to run, and others to wait", || {
        cluster.database.value("select count(*) filter (where status = 'running') = 1 from step")
    })?;
    Runbook::open("backlog", &cluster, &[])?.finish(&mut cluster)?;
    cluster.all_succeed(&runs, bounds::RECOVERY)?;
    cluster.finish()
}

/// All three take the first worker down together, then each one of its own.
#[test]
fn a_step_that_keeps_killing_its_workers() -> Result<()> {
    let mut cluster = Cluster::start("runbook_poison")?;
    pipelines::batch(&cluster)?;
    let poison = json!({"items": 50, "pause_ms": 20, "checkpoint_every": 0});
    let runs = cluster.client.submit_all("batch", &vec![poison; 3])?;
    let is_parked = "select count(*) = 3 from step where status = 'parked'";
    for number in 0.. {
        let name = format!("victim-{number}");
        let worker = cluster.worker(&name).set("PAWL_SUSPECT_FROM", "1").set("PAWL_CRASH_LIMIT", "2");
        worker.start()?;
        let pid = cluster.the(&name)?.pid();
        let wanted = if number == 0 { "count(*) = 3" } else { "count(*) filter (where s.alone) = 1" };
        let executed = format!(
            "select {wanted} from step s join worker w on w.id = s.worker_id and w.pid = {pid} where s.status = 'running'"
        );
        wait::until_true(bounds::RECOVERY, "a step to run, or all to be parked", || {
            Ok(cluster.database.value(&executed)? || cluster.database.value(is_parked)?)
        })?;
        if cluster.database.value(is_parked)? {
            break;
        }
        cluster.the(&name)?.kill9();
    }
    let [run, second, third] = [0, 1, 2].map(|number: usize| runs[number].to_string());
    let fills = [("RUN", run), ("SECOND", second), ("THIRD", third), ("STEP", "batch".to_owned())];
    Runbook::open("poison", &cluster, &fills)?.finish(&mut cluster)?;
    cluster.succeeds(runs[0], bounds::RUN)?;
    assert_eq!(cluster.client.output(runs[1], "batch")?, json!({"items": 0}));
    assert_eq!(cluster.ends(runs[2], bounds::RUN)?.as_str(), "failed");
    cluster.finish()
}
