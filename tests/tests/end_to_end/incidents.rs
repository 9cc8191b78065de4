//! Incidents: what happens to the whole installation is one line each, with its begin and its end, while two APIs and two workers
//! see it.

use anyhow::{Result, ensure};
use pawl_rehearsal::private::{Process, free_port};
use pawl_tests::target::Manner;
use pawl_tests::{Cluster, Target, bounds, wait};
use serde_json::{Value, json};

use crate::pipelines;

/// What the database's clock and this machine's may differ by, and what a look takes: the same clock, read twice.
const SLACK_MS: i64 = 500;

/// Another API of the same installation. It ends with the test.
fn another_api(cluster: &Cluster) -> Result<Process> {
    let mut command = cluster.command()?;
    command.arg("api").env("PAWL_LISTEN", format!("127.0.0.1:{}", free_port()?));
    let log = cluster.log("api-2");
    let api = Process::spawn("api-2", command, &log)?;
    wait::until_true(
        bounds::PROCESS,
        "the second API",
        || Ok(std::fs::read_to_string(&log)?.contains("listening on")),
    )?;
    Ok(api)
}

/// An incident.
#[derive(Debug)]
struct Told {
    subject: String,
    detail: String,
    steps: Option<i64>,
    began_ms: i64,
    ended_ms: Option<i64>,
}

/// Those of a kind, as the command line tells them.
fn told(cluster: &Cluster, kind: &str) -> Result<Vec<Told>> {
    let page: Value =
        serde_json::from_str(&cluster.pawl(&["incidents", "--kind", kind, "--since", "1d", "-o", "json"])?)?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let told = page["incidents"].as_array().into_iter().flatten().map(|it| Told {
        subject: text(&it["subject"]),
        detail: text(&it["detail"]),
        steps: it["steps"].as_i64(),
        began_ms: it["began_at_ms"].as_i64().unwrap_or_default(),
        ended_ms: it["ended_at_ms"].as_i64(),
    });
    Ok(told.collect())
}

/// The one of its kind.
fn the(cluster: &Cluster, kind: &str) -> Result<Told> {
    let mut all = told(cluster, kind)?;
    ensure!(all.len() == 1, "one {kind}, not {all:?}");
    Ok(all.remove(0))
}

/// Waits until there is one that lasts, or one that is over.
fn until(cluster: &Cluster, kind: &str, lasts: bool) -> Result<()> {
    wait::until_true(bounds::RECOVERY, &format!("{kind}, lasting: {lasts}"), || {
        cluster.database.value::<bool>(&format!(
            "select exists (select from incident where kind = '{kind}' and (ended_at is null) = {lasts})
                    and not exists (select from incident where kind = '{kind}' and (ended_at is null) <> {lasts})"
        ))
    })
}

/// It began within these times, and ended within those, ms.
fn was(told: &Told, began: std::ops::Range<i64>, ended: std::ops::Range<i64>) -> Result<()> {
    let within =
        |range: &std::ops::Range<i64>, at_ms: i64| (range.start - SLACK_MS..=range.end + SLACK_MS).contains(&at_ms);
    ensure!(within(&began, told.began_ms), "it began at {}, and not within {began:?}: {told:?}", told.began_ms);
    ensure!(told.ended_ms.is_some_and(|at_ms| within(&ended, at_ms)), "it ended not within {ended:?}: {told:?}");
    Ok(())
}

#[test]
fn servers_that_go_away_or_are_emptied_are_one_incident_each() -> Result<()> {
    let mut cluster = Cluster::start("incidents_servers")?;
    let _other = another_api(&cluster)?;
    pipelines::chain_of_naps(&cluster, 5)?;
    cluster.worker("a").start()?;
    cluster.worker("b").start()?;
    wait::until_true(bounds::PROCESS, "both workers", || cluster.database.value("select count(*) = 2 from worker"))?;
    let work = |cluster: &Cluster| -> Result<()> {
        let runs = cluster.client.submit_all("naps-5", &vec![json!(null); 20])?;
        cluster.all_succeed(&runs, bounds::RECOVERY)
    };
    work(&cluster)?;
    ensure!(cluster.pawl(&["incidents"])?.trim() == "nothing has happened to the installation");

    let emptied_ms = wait::now_ms();
    cluster.redis.flush_all()?;
    until(&cluster, "queue.lost", false)?;
    work(&cluster)?;
    let lost = the(&cluster, "queue.lost")?;
    was(&lost, emptied_ms..wait::now_ms(), emptied_ms..wait::now_ms())?;
    ensure!(lost.subject == "Redis" && lost.detail.starts_with("seen by a worker on "), "{lost:?}");

    let stopped_ms = wait::now_ms();
    cluster.redis_server.stop();
    until(&cluster, "queue.away", true)?;
    let seen_ms = wait::now_ms();
    ensure!(cluster.pawl(&["incidents", "--kind", "queue.away"])?.contains("lasts, for "));
    let launched_ms = wait::now_ms();
    cluster.redis_server.launch()?;
    until(&cluster, "queue.away", false)?;
    work(&cluster)?;
    until(&cluster, "queue.away", false)?;
    let away = the(&cluster, "queue.away")?;
    was(&away, stopped_ms..seen_ms, launched_ms..wait::now_ms())?;

    let stopped_ms = wait::now_ms();
    cluster.postgres.stop()?;
    for process in ["a", "b", "api", "api-2"] {
        let log = cluster.log(process);
        let words = if process.starts_with("api") { "Postgres is away" } else { "the lease was not renewed" };
        wait::until_true(bounds::PROCESS, &format!("{process} to see it"), || {
            Ok(std::fs::read_to_string(&log)?.contains(words))
        })?;
    }
    let launched_ms = wait::now_ms();
    cluster.postgres.launch()?;
    until(&cluster, "store.away", false)?;
    for process in ["api", "api-2"] {
        let log = cluster.log(process);
        wait::until_true(bounds::RECOVERY, &format!("{process} to see it back"), || {
            let said = std::fs::read_to_string(&log)?;
            ensure!(said.matches("Postgres is away").count() == 1, "it is said once: {said}");
            Ok(said.contains("Postgres is back"))
        })?;
    }
    work(&cluster)?;
    until(&cluster, "store.away", false)?;
    let away = the(&cluster, "store.away")?;
    was(&away, stopped_ms..launched_ms, launched_ms..wait::now_ms())?;
    wait::until_true(bounds::RECOVERY, "those that were cut off to say that they did not die", || {
        Ok(told(&cluster, "worker.died")?.is_empty())
    })?;
    ensure!(the(&cluster, "queue.away").is_ok(), "it is still one");
    cluster.finish()
}

#[test]
fn workers_that_are_not_there_or_die_are_one_incident_each() -> Result<()> {
    let mut cluster = Cluster::start("incidents_workers")?;
    let _other = another_api(&cluster)?;
    let target = Target::start()?;
    target.always("/hang", Manner::Hang);
    pipelines::fetch(&cluster)?;
    pipelines::chain(&cluster, 1)?;

    let submitted_ms = wait::now_ms();
    let run = cluster.submit("chain-1", &json!(1))?;
    until(&cluster, "workers.none", true)?;
    let seen_ms = wait::now_ms();
    let doctor = String::from_utf8(cluster.try_pawl(&["doctor", "--quick"])?.stdout)?;
    ensure!(doctor.contains("incidents") && doctor.contains("workers.none (default)"), "{doctor}");
    let started_ms = wait::now_ms();
    cluster.worker("a").start()?;
    cluster.succeeds(run, bounds::RUN)?;
    until(&cluster, "workers.none", false)?;
    let none = the(&cluster, "workers.none")?;
    ensure!(none.subject == "default" && none.detail.starts_with("seen by an API on "), "{none:?}");
    was(&none, submitted_ms..seen_ms, started_ms..wait::now_ms())?;

    // The victim alone, so that it has them all; then those who take them over.
    let mut runs = Vec::new();
    for number in [0, 1] {
        let run = cluster.submit("fetch", &pipelines::get(&target.url(&format!("/hang/{number}"))))?;
        cluster.holder(run, "fetch", bounds::RUN)?;
        runs.push(run);
    }
    let victim: String = cluster.database.value("select id::text from worker")?;
    cluster.worker("b").start()?;
    cluster.worker("c").start()?;
    wait::until_true(bounds::PROCESS, "all workers", || cluster.database.value("select count(*) = 3 from worker"))?;
    let killed_ms = wait::now_ms();
    cluster.the("a")?.kill9();
    until(&cluster, "worker.died", false)?;
    for run in runs {
        cluster.client.cancel(run)?;
    }
    let died = the(&cluster, "worker.died")?;
    was(&died, killed_ms..wait::now_ms(), killed_ms..wait::now_ms())?;
    ensure!((died.subject.as_str(), died.steps) == (victim.as_str(), Some(2)), "{died:?}");
    ensure!(died.detail.starts_with("pid "), "{died:?}");
    ensure!(the(&cluster, "workers.none").is_ok(), "there was always one since");
    let seen =
        "select string_agg(concat_ws(' ', kind, steps, lasted >= '0'), ', ' order by id) from pawl_view_incidents";
    ensure!(cluster.database.value::<String>(seen)? == "workers.none t, worker.died 2 t");
    cluster.finish()
}
