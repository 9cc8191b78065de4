//! Retention as people see it: runs that have ended go by themselves, in pieces that survive a crash, and what is kept, parked or
//! still to come stays.

use anyhow::{Context as _, Result, ensure};
use pawl_api::types::{KeptRun, RetentionRun, RetentionStatus};
use pawl_domain::id::RunId;
use pawl_tests::runtime::block_on;
use pawl_tests::{Cluster, bounds, wait};
use serde_json::json;

/// Settings of a worker that deletes soon.
const SOON: [(&str, &str); 3] =
    [("PAWL_RETENTION_SUCCEEDED", "1s"), ("PAWL_RETENTION_FAILED", "keep"), ("PAWL_RETENTION_CANCELLED", "1s")];

const PIPELINES: &str = "
    name = \"echoes\"
    [[step]]
    name = \"only\"
    plugin = \"echo\"
    ";

fn cluster(name: &str) -> Result<Cluster> {
    let mut cluster = Cluster::start(name)?;
    cluster.push("echo")?;
    cluster.apply(PIPELINES)?;
    cluster.apply(&PIPELINES.replace("\"echoes\"", "\"kept\"\nretention = \"keep\""))?;
    let mut worker = cluster.worker("first");
    for (name, value) in SOON {
        worker = worker.set(name, value);
    }
    worker.start()?;
    Ok(cluster)
}

fn is_there(cluster: &Cluster, run: RunId) -> Result<bool> {
    cluster.database.value(&format!("select exists (select from run where id = '{run}')"))
}

fn goes(cluster: &Cluster, run: RunId) -> Result<()> {
    wait::until_true(bounds::RUN, "the run to go", || Ok(!is_there(cluster, run)?))
}

#[test]
fn what_has_ended_goes_by_itself_and_what_is_kept_or_parked_stays() -> Result<()> {
    let cluster = cluster("retention")?;
    cluster.push("waits")?;
    cluster.apply("name = \"sleeps\"\n[[step]]\nname = \"only\"\nplugin = \"waits\"\n")?;
    let by_pipeline = cluster.submit("kept", &json!(1))?;
    cluster.succeeds(by_pipeline, bounds::RUN)?;
    let asleep = cluster.submit("sleeps", &json!([{"do": "sleep", "ms": 600_000}]))?;
    let failed = cluster.submit("sleeps", &json!([{"do": "sleep", "ms": 600_000}]))?;
    cluster.client.fail(failed, "as it goes")?;
    // A person keeps one before it ends, and another goes.
    let by_person = cluster.submit("sleeps", &json!([{"do": "sleep", "ms": 600_000}]))?;
    let kept: KeptRun = serde_json::from_str(&cluster.pawl(&["run", "keep", &by_person.to_string(), "-o", "json"])?)?;
    ensure!(kept.kept);
    cluster.client.cancel(by_person)?;
    let gone = cluster.submit("echoes", &json!(2))?;
    goes(&cluster, gone)?;
    for what in ["", "/events", "/explain", "/output"] {
        cluster.client.get(&format!("/v1/runs/{gone}{what}"))?.problem(404)?;
    }
    let retried = cluster.client.post(&format!("/v1/runs/{gone}/retry"), "application/json", "")?.problem(404)?;
    ensure!(retried.detail.contains("there is no run"), "{retried:?}");
    // Whatever else had its time has had it by now.
    let second = cluster.submit("echoes", &json!(3))?;
    goes(&cluster, second)?;
    for run in [by_pipeline, asleep, failed, by_person] {
        ensure!(is_there(&cluster, run)?, "{}", cluster.story(run));
    }
    let status: RetentionStatus = serde_json::from_str(&cluster.pawl(&["retention", "status", "-o", "json"])?)?;
    let settings = status.settings.context("a worker looks after it")?;
    assert_eq!((settings.succeeded.as_str(), settings.failed.as_str(), status.active), ("1s", "keep", true));
    let said = status.pipelines.iter().find(|said| said.pipeline == "kept").context("it says something")?;
    assert_eq!(said.retention.succeeded.as_deref(), Some("keep"));

    cluster.pawl(&["run", "keep", &by_person.to_string(), "--undo"])?;
    goes(&cluster, by_person)?;
    cluster.client.cancel(asleep)?;
    goes(&cluster, asleep)?;
    cluster.client.forget(&[gone, second, by_person, asleep]);
    cluster.finish()
}

#[test]
fn another_worker_goes_on_with_what_a_dead_one_has_left_half_deleted() -> Result<()> {
    let mut cluster = cluster("retention_crash")?;
    cluster.the("first")?.kill9();
    let step = |number: u32| {
        let needs = if number == 0 { "" } else { "\"s0\"" };
        format!("[[step]]\nname = \"s{number}\"\nplugin = \"echo\"\nneeds = [{needs}]\n")
    };
    let steps: String = (0..6_000).map(step).collect();
    cluster.apply(&format!("name = \"wide\"\nretention = \"1s\"\n{steps}"))?;
    // Its key is used again.
    let submit = |cluster: &Cluster| {
        let headers = [("content-type", "application/json"), ("idempotency-key", "again")];
        let body = serde_json::to_vec(&json!({"pipeline": "wide", "input": 1}))?;
        block_on(cluster.client.send("POST", "/v1/runs", &headers, body))
    };
    let run: RunId = submit(&cluster)?.read::<serde_json::Value>()?["id"].as_str().context("an id")?.parse()?;
    cluster.client.cancel(run)?;
    let left = format!("select count(*) from step where run_id = '{run}'");

    // It dies after each piece, and the next one goes on.
    let mut deaths = 0;
    while cluster.database.value::<i64>(&left)? > 0 {
        ensure!(deaths < 20, "it goes on where the last one has died");
        // The turn of the one before would run out by itself.
        cluster.database.execute("update retention set until = now()")?;
        let name = format!("mortal{deaths}");
        let mut worker = cluster.worker(&name).fault("retention.committed.before_next=kill");
        for (name, value) in SOON {
            worker = worker.set(name, value);
        }
        worker.start()?;
        cluster.dies(&name, bounds::RECOVERY)?;
        deaths += 1;
        cluster.client.get(&format!("/v1/runs/{run}"))?.problem(404)?;
        if cluster.database.value::<i64>(&left)? > 0 {
            ensure!(submit(&cluster)?.status == 503, "its parts are still there");
        }
    }
    ensure!(deaths >= 3, "{deaths} pieces");
    let again = submit(&cluster)?;
    ensure!(again.status == 202, "{}", String::from_utf8_lossy(&again.body));
    cluster.client.cancel(run)?;
    cluster.finish()
}

#[test]
fn a_person_sees_what_is_due_and_deletes_it_now() -> Result<()> {
    let mut cluster = Cluster::start("retention_now")?;
    let says = cluster.pawl(&["retention", "status"])?;
    ensure!(says.contains("nothing is deleted"), "{says}");
    let refused = cluster.client.post("/v1/retention/run", "application/json", "")?.problem(409)?;
    ensure!(refused.detail.contains("start one"), "{refused:?}");
    cluster.push("echo")?;
    cluster.apply(PIPELINES)?;
    // As a worker of these settings leaves it that is not there any more.
    cluster.database.execute(
        "insert into retention values (true, gen_random_uuid(), now() + interval '1 day', 0, null, null, 3600000)",
    )?;
    cluster.worker("first").start()?;
    let runs: Vec<RunId> = cluster.client.submit_all("echoes", &vec![json!(1); 700])?;
    cluster.all_succeed(&runs, bounds::RUN)?;
    let dry: RetentionStatus =
        serde_json::from_str(&cluster.pawl(&["retention", "run", "--dry-run", "-o", "json"])?)?;
    assert_eq!((dry.due_runs, dry.more), (700, false));
    let unsaid = cluster.try_pawl(&["retention", "run"])?;
    ensure!(unsaid.status.code() == Some(1) && String::from_utf8_lossy(&unsaid.stderr).contains("--yes"), "{unsaid:?}");
    assert_eq!(cluster.database.count_runs(&runs)?, 700, "nothing was deleted");
    let done: RetentionRun = serde_json::from_str(&cluster.pawl(&["retention", "run", "--yes", "-o", "json"])?)?;
    assert_eq!((done.runs, done.more), (700, false));
    assert_eq!(cluster.database.count_runs(&runs)?, 0);
    cluster.client.get(&format!("/v1/runs/{}", runs[0]))?.problem(404)?;
    cluster.client.forget(&runs);
    cluster.finish()
}
