//! Steps that fail by a service outside or by a bad version, that are parked by their replay, or that nobody executes.

use anyhow::Result;
use pawl_domain::id::RunId;
use pawl_rehearsal::private::{Process, free_port};
use pawl_tests::target::Manner;
use pawl_tests::{Cluster, Target, binary, bounds, wait};
use serde_json::json;

use super::{Runbook, logged, until_interrupted};
use crate::waits::is_waiting;

/// An API that wants a token, beside the one that the tests use.
fn api_with_a_token(cluster: &Cluster, token: &str) -> Result<(Process, String)> {
    let address = format!("127.0.0.1:{}", free_port()?);
    let mut command = binary::pawl()?;
    command.arg("api").envs(cluster.environment()).env("PAWL_LISTEN", &address).env("PAWL_API_TOKEN", token);
    let mut api = Process::spawn("the API with a token", command, &cluster.log("api-with-a-token"))?;
    wait::until_true(bounds::PROCESS, "the API to listen", || {
        api.ensure_running()?;
        Ok(std::net::TcpStream::connect(&address).is_ok())
    })?;
    Ok((api, format!("http://{address}")))
}

fn all_fail(cluster: &Cluster, runs: &[RunId]) -> Result<()> {
    for run in runs {
        assert_eq!(cluster.ends(*run, bounds::RECOVERY)?.as_str(), "failed");
    }
    Ok(())
}

#[test]
fn an_outside_service_fails() -> Result<()> {
    let target = Target::start()?;
    target.always("/", Manner::Fail(500));
    let mut cluster = Cluster::start("runbook_outside")?;
    cluster.push("fetch")?;
    cluster.apply(
        "name = \"orders\"\n[[step]]\nname = \"charge\"\nplugin = \"fetch\"\n\
         retry = { max_attempts = 2, backoff = \"fixed\", delay = \"50ms\" }\n",
    )?;
    // Nobody probes before the page says that it is back.
    cluster.worker("a").set("PAWL_CIRCUIT_FIRST", "10m").set("PAWL_CIRCUIT_LONGEST", "10m").start()?;
    let post = |number: usize| json!({"requests": [{"method": "POST", "url": target.url(&format!("/order/{number}")), "body": 1}]});
    let runs = cluster.client.submit_all("orders", &(0..5).map(post).collect::<Vec<_>>())?;
    all_fail(&cluster, &runs)?;
    logged(&cluster, "a", "an attempt has failed, another one follows")?;
    logged(&cluster, "a", "the step has failed")?;
    target.always("/", Manner::Fail(503));
    let waiting = cluster.client.submit_all("orders", &(5..10).map(post).collect::<Vec<_>>())?;
    wait::until_true(bounds::RUN, "all of them to wait for the service", || {
        cluster.database.value("select count(*) = 5 from step where status = 'waiting' and deferred_by is not null")
    })?;
    logged(&cluster, "a", "an outside host is down: attempts that would call it are deferred")?;
    let (mut api, url) = api_with_a_token(&cluster, "a-token")?;
    let fills = [
        ("RUN", runs[0].to_string()),
        ("WAITS", waiting[0].to_string()),
        ("STEP", "charge".to_owned()),
        ("SERVICE", target.url("/status")),
        ("PAWL_API_URL", url),
        ("PAWL_API_TOKEN", "a-token".to_owned()),
    ];
    let mut book = Runbook::open("outside", &cluster, &fills)?;
    book.until(&mut cluster, "\"$SERVICE\"")?;
    target.always("/", Manner::Answer);
    book.finish(&mut cluster)?;
    cluster.all_succeed(&runs, bounds::RECOVERY)?;
    cluster.all_succeed(&waiting, bounds::RECOVERY)?;
    assert!(target.performed("/order").values().all(|times| *times == 1), "each was charged once");
    assert!(api.terminate(bounds::PROCESS)?.success());
    cluster.finish_with(&[&target])
}

#[test]
fn a_bad_version_of_a_plugin() -> Result<()> {
    let mut cluster = Cluster::start("runbook_bad_version")?;
    cluster.push_as("echo", "prices", "1.4.0")?;
    // It takes a config that the first one does not know, and panics.
    cluster.push_as("flaky", "prices", "1.5.0")?;
    cluster.apply(
        "name = \"orders\"\n[[step]]\nname = \"price\"\nplugin = \"prices\"\nretry = { max_attempts = 1 }\n\
         config = { failures = 1000, how = \"panic\" }\n",
    )?;
    cluster.worker("a").start()?;
    let runs = cluster.client.submit_all("orders", &vec![json!({"items": [1, 2]}); 5])?;
    all_fail(&cluster, &runs)?;
    logged(&cluster, "a", "the step has failed")?;
    let mended = binary::component_file("echo")?.display().to_string();
    let fills = [("PLUGIN", "prices".to_owned()), ("MENDED", mended)];
    let book = Runbook::open("bad-version", &cluster, &fills)?.with_file("input.json", r#"{"items": [1, 2]}"#)?;
    book.finish(&mut cluster)?;
    cluster.all_succeed(&runs, bounds::RECOVERY)?;
    cluster.finish()
}

#[test]
fn a_step_whose_replay_does_not_match() -> Result<()> {
    let mut cluster = Cluster::start("runbook_diverged")?;
    cluster.push_as("waits", "reminders", "1")?;
    cluster.apply("name = \"remind\"\n[[step]]\nname = \"nap\"\nplugin = \"reminders\"\n")?;
    cluster.worker("a").start()?;
    let orders = json!([{"do": "now"}, {"do": "sleep", "ms": 3_600_000}, {"do": "now"}]);
    let runs = cluster.client.submit_all("remind", &vec![orders; 2])?;
    // It makes none of the calls that are recorded, and somebody puts steps on it that have begun.
    cluster.push_as("echo", "reminders", "2")?;
    for run in &runs {
        is_waiting(&cluster, *run, "nap")?;
        cluster.pawl(&["run", "resume", &run.to_string(), "nap", "--latest"])?;
    }
    wait::until_true(bounds::RUN, "both to be parked", || {
        cluster.database.value("select count(*) = 2 from step where status = 'parked'")
    })?;
    logged(&cluster, "a", "the step is parked until a person decides")?;
    let fills = [("RUN", runs[0].to_string()), ("SECOND", runs[1].to_string()), ("STEP", "nap".to_owned())];
    Runbook::open("diverged", &cluster, &fills)?.finish(&mut cluster)?;
    cluster.all_succeed(&runs, bounds::RUN)?;
    cluster.finish()
}

#[test]
fn a_run_that_nobody_moves() -> Result<()> {
    let mut cluster = Cluster::start("runbook_stuck")?;
    cluster.push("echo")?;
    for queue in ["gpu", "quantum"] {
        cluster.apply(&format!(
            "name = \"{queue}\"\n[[step]]\nname = \"load\"\nplugin = \"echo\"\n\
             [[step]]\nname = \"train\"\nplugin = \"echo\"\nneeds = [\"load\"]\nqueue = \"{queue}\"\n"
        ))?;
    }
    cluster.worker("a").start()?;
    let (run, second) = (cluster.submit("gpu", &json!(1))?, cluster.submit("quantum", &json!(1))?);
    until_interrupted(&cluster)?;
    let fills = [("RUN", run.to_string()), ("SECOND", second.to_string())];
    Runbook::open("stuck", &cluster, &fills)?.finish(&mut cluster)?;
    cluster.succeeds(run, bounds::RUN)?;
    assert_eq!(cluster.ends(second, bounds::RUN)?.as_str(), "failed");
    // What was delivered for it lies in a stream that nobody has ever read.
    cluster.worker("late").set("PAWL_QUEUES", "gpu,quantum").start()?;
    let stream = cluster.stream("quantum", "normal")?;
    wait::until_true(bounds::PROCESS, "somebody to read it", || Ok(cluster.redis.pending(&stream).is_ok()))?;
    cluster.finish()
}
