//! What those do who keep Pawl running: they go through the checklist, read a run's report, watch queues drain, and drain a
//! worker from afar.

use std::net::TcpListener;
use std::process::Output;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use pawl_api::types::{QueueDetail, WorkerList};
use pawl_rehearsal::private::Process;
use pawl_tests::wait::{self, Look};
use pawl_tests::{Cluster, Embedded, Target, bounds};
use serde_json::{Value, json};

use crate::{pipelines, views};

const GPU: &str = "name = \"gpu\"\n[[step]]\nname = \"only\"\nplugin = \"echo\"\nqueue = \"gpu\"\n";

/// What `pawl doctor` finds, and its exit code. It must not hang, whatever is away.
fn doctor(cluster: &Cluster, more: &[&str]) -> Result<(Option<i32>, Value)> {
    let begun = Instant::now();
    let output = cluster.try_pawl(&[&["doctor", "-o", "json"], more].concat())?;
    anyhow::ensure!(begun.elapsed() < bounds::PROCESS, "it hung for {:?}", begun.elapsed());
    let Output { status, stdout, stderr } = output;
    let found = serde_json::from_slice(&stdout).with_context(|| String::from_utf8_lossy(&stderr).into_owned())?;
    Ok((status.code(), found))
}

/// The check of that name; there is one.
fn the<'a>(found: &'a Value, check: &str) -> Result<&'a Value> {
    let all: Vec<&Value> = found["checks"].as_array().into_iter().flatten().filter(|it| it["check"] == check).collect();
    anyhow::ensure!(all.len() == 1, "{} of {check} in {found:#}", all.len());
    Ok(all[0])
}

#[test]
fn the_doctor_tells_of_a_killed_worker_and_of_a_queue_that_nobody_serves() -> Result<()> {
    let mut cluster = Cluster::start("doctor")?;
    cluster.push("echo")?;
    cluster.apply(GPU)?;
    cluster.worker("a").start()?;
    cluster.worker("b").start()?;
    let alive = |count| {
        move |cluster: &Cluster| cluster.database.value::<bool>(&format!("select count(*) = {count} from worker"))
    };
    wait::until_true(bounds::PROCESS, "both workers", || alive(2)(&cluster))?;
    let (code, found) = doctor(&cluster, &[])?;
    assert_eq!((code, &found["status"]), (Some(0), &json!("ok")), "{found:#}");
    assert_eq!(the(&found, "workers")?["figures"]["alive"], 2, "{found:#}");
    for check in [
        "schema",
        "database",
        "connections",
        "invariants",
        "worker_versions",
        "worker_clocks",
        "queues",
        "incidents",
        "stuck",
        "parked",
        "failed",
        "retention",
        "redis",
        "redis_readers",
        "redis_memory",
        "redis_eviction",
        "redis_persistence",
        "certificates",
    ] {
        assert_eq!(the(&found, check)?["status"], "ok", "{check}: {found:#}");
    }

    cluster.the("a")?.kill9();
    wait::until_true(bounds::RECOVERY, "the worker to be gone", || {
        cluster.database.value("select exists (select from gone_worker where not said_goodbye)")
    })?;
    let (code, found) = doctor(&cluster, &["--quick"])?;
    assert_eq!((code, &found["status"]), (Some(0), &json!("warn")), "one is left: {found:#}");
    let lost = the(&found, "workers_lost")?;
    assert!(lost["status"] == "warn" && lost["figures"]["lost"] == 1, "{found:#}");
    assert_eq!(the(&found, "invariants")?["status"], "unknown", "{found:#}");
    let (code, found) = doctor(&cluster, &["--wait", "1s"])?;
    assert_eq!((code, &found["status"]), (Some(1), &json!("warn")), "who waits for all to be well is told: {found:#}");
    assert_eq!(the(&found, "invariants")?["status"], "ok", "they are looked at in the end: {found:#}");
    let (_, found) = doctor(&cluster, &["--since", "0s"])?;
    assert_eq!(the(&found, "workers_lost")?["status"], "ok", "it was not lost just now: {found:#}");

    let run = cluster.submit("gpu", &json!(1))?;
    let (code, found) = doctor(&cluster, &[])?;
    let queue = the(&found, "queue")?;
    assert_eq!((code, &queue["status"], &queue["subject"]), (Some(1), &json!("fail"), &json!("gpu")), "{found:#}");
    assert_eq!(queue["fix"], "start one with `pawl worker --queues gpu`");
    assert_eq!(found["unserved_queues"], json!(["gpu"]));
    let names = String::from_utf8(cluster.try_pawl(&["doctor", "-o", "ids"])?.stdout)?;
    // That nobody serves it is an incident, once it has lasted.
    let names: Vec<&str> = names.lines().filter(|name| *name != "incidents").collect();
    assert_eq!(names, ["workers_lost", "queue gpu"]);

    cluster.worker("c").set("PAWL_QUEUES", "gpu").start()?;
    cluster.succeeds(run, bounds::RUN)?;
    assert_eq!(doctor(&cluster, &[])?.0, Some(0));
    cluster.finish()
}

#[test]
fn the_doctor_says_that_redis_is_away_and_what_is_at_risk_there() -> Result<()> {
    let mut cluster = Cluster::start("doctor_redis")?;
    cluster.worker("a").start()?;
    cluster.redis.command::<String>(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"])?;
    let (code, found) = doctor(&cluster, &[])?;
    let eviction = the(&found, "redis_eviction")?;
    assert_eq!((code, &eviction["status"]), (Some(0), &json!("warn")), "{found:#}");
    assert_eq!(eviction["fix"], "set maxmemory-policy noeviction");
    cluster.redis.command::<String>(&["CONFIG", "SET", "maxmemory-policy", "noeviction"])?;

    // The rights that docs/redis.md gives.
    cluster.redis.command::<String>(&[
        "ACL",
        "SETUSER",
        "few",
        "on",
        ">secret",
        "resetkeys",
        "~pawl*",
        "resetchannels",
        "&pawl*",
        "+@stream",
        "+@scripting",
        "+@pubsub",
        "+@connection",
        "+scan",
        "+cluster|slots",
    ])?;
    let url = format!("redis://few:secret@127.0.0.1:{}/", cluster.redis_server.port());
    let (code, found) = doctor(&cluster, &["--redis-url", &url])?;
    assert_eq!(code, Some(0), "{found:#}");
    assert_eq!(the(&found, "redis")?["status"], "ok");
    for check in ["redis_memory", "redis_eviction", "redis_persistence"] {
        assert_eq!(the(&found, check)?["status"], "unknown", "{found:#}");
    }

    cluster.redis_server.stop();
    let (code, found) = doctor(&cluster, &[])?;
    let redis = the(&found, "redis")?;
    assert_eq!((code, &redis["status"]), (Some(1), &json!("fail")), "{found:#}");
    assert!(redis["found"].as_str().is_some_and(|found| found.contains("Redis is not available")), "{redis}");
    assert_eq!(the(&found, "invariants")?["status"], "ok", "the rest is looked at all the same");
    cluster.redis_server.launch()?;
    cluster.finish()
}

#[test]
fn a_failed_and_a_parked_run_are_reported_on_a_page() -> Result<()> {
    let mut cluster = Cluster::start("report")?;
    let runs = views::filled(&mut cluster)?;
    let parked = cluster.pawl(&["run", "report", &runs.parked.to_string()])?;
    for part in [
        &format!("# Run {}", runs.parked),
        "- state: running, parked",
        "## Why",
        "## Step `batch`",
        "- plugin: `batch`, component ",
        "The end of its journal:",
        "durable.now()",
        "## Takeovers",
        "step.parked",
        "--from-checkpoint`",
        &format!("pawl run replay {} batch", runs.parked),
    ] {
        assert!(parked.contains(part), "{part} is not in\n{parked}");
    }
    let failed = cluster.pawl(&["run", "report", &runs.failed.to_string()])?;
    for part in [
        "- state: failed",
        "## Step `read`",
        "- attempts: 2 (2 failed)",
        "- claims: 2",
        "Error:",
        "run.failed",
        &format!("`pawl run retry {} --latest`", runs.failed),
    ] {
        assert!(failed.contains(part), "{part} is not in\n{failed}");
    }
    let json: Value =
        serde_json::from_str(&cluster.pawl(&["run", "report", &runs.parked.to_string(), "-o", "json"])?)?;
    assert_eq!(json["steps"][0]["step"]["status"], "parked");
    assert_eq!(
        (&json["steps"][0]["component_version"], &json["steps"][0]["active_version"]),
        (&json!("2"), &json!("2"))
    );
    let journal = json["steps"][0]["journal"].as_array().context("entries")?;
    let positions: Vec<u64> = journal.iter().filter_map(|line| line["position"].as_u64()).collect();
    assert!(positions.len() == 10 && positions.windows(2).all(|two| two[0] + 1 == two[1]), "{json:#}");
    assert_eq!(json["steps"][0]["step"]["journal_length"], positions[9] + 1, "it is the end of it");
    let unknown = cluster.try_pawl(&["run", "report", "01890000-0000-7000-8000-000000000000"])?;
    assert_eq!(unknown.status.code(), Some(4));
    let (code, found) = doctor(&cluster, &[])?;
    let (parked, failed) = (the(&found, "parked")?, the(&found, "failed")?);
    assert_eq!(
        (&parked["figures"], &failed["figures"]),
        (&json!({"parked": 1, "new": 1}), &json!({"new": 1})),
        "{found:#}"
    );
    assert_eq!(code, Some(1), "nobody serves a queue: {found:#}");
    for run in [runs.parked, runs.sleeps, runs.awaits] {
        cluster.client.cancel(run)?;
    }
    cluster.worker("late").set("PAWL_QUEUES", "default,nobodys").start()?;
    cluster.succeeds(runs.queued, bounds::RUN)?;
    cluster.finish()
}

#[test]
fn what_a_guest_writes_stays_text_in_a_report() -> Result<()> {
    let mut cluster = Cluster::start("report_text")?;
    cluster.push("chatty")?;
    cluster
        .apply("name = \"chatty\"\n[[step]]\nname = \"say\"\nplugin = \"chatty\"\nretry = { max_attempts = 1 }\n")?;
    cluster.worker("a").start()?;
    let text = "```\n# no head\n`````` \u{1b}[2J <b> | \u{202e}";
    let run = cluster.submit("chatty", &json!({"lines": 2, "text": text, "failures": 1}))?;
    cluster.ends(run, bounds::RUN)?;
    let page = wait::until(bounds::RUN, "its lines to be kept", || {
        let page = cluster.pawl(&["run", "report", &run.to_string()])?;
        Ok(if page.contains("fails") && page.contains("no head") { Look::Done(page) } else { Look::NotYet(page) })
    })?;
    // A fence is closed by one that is as long, and alone on its line: none of the guest's is.
    let mut open: Option<&str> = None;
    for line in page.lines() {
        let is_fence = line.starts_with("```");
        match open {
            None if is_fence => open = line.strip_suffix("text"),
            Some(fence) if line == fence => open = None,
            _ => assert!(open.is_some() || !line.contains("no head"), "outside of a block: {line}\n{page}"),
        }
    }
    assert!(open.is_none() && !page.contains(['\u{1b}', '\u{202e}']), "{page}");
    assert!(!page.lines().any(|line| line.starts_with("# no head")), "{page}");
    cluster.finish()
}

#[test]
fn a_worker_is_drained_from_afar_while_its_steps_run_and_nothing_is_done_twice() -> Result<()> {
    let mut cluster = Cluster::start("drain_afar")?;
    let target = Target::start()?;
    pipelines::batch(&cluster)?;
    pipelines::fetch(&cluster)?;
    cluster.worker("a").set("PAWL_DRAIN", "300ms").start()?;
    let long = cluster.submit("batch", &pipelines::batch_of(600, 10))?;
    wait::until_true(bounds::RUN, "a checkpoint", || {
        cluster.database.value::<bool>("select coalesce(max(checkpoint_ordinal), 0) > 2 from step")
    })?;
    let post = |number: usize| {
        let request =
            |part: usize| json!({"method": "POST", "url": target.url(&format!("/{number}/{part:02}")), "body": 1});
        json!({"requests": (0..20).map(request).collect::<Vec<_>>()})
    };
    let mut runs = vec![long];
    for number in 0..8 {
        runs.push(cluster.submit("fetch", &post(number))?);
    }
    let workers: WorkerList = cluster.client.get("/v1/workers")?.read()?;
    let id = workers.workers[0].id.to_string();
    assert!(workers.workers[0].version.is_some() && workers.workers[0].clock_ahead_ms.is_some(), "{workers:?}");
    cluster.worker("b").start()?;
    let last_digits = &id[id.len() - 8..];
    let said = cluster.pawl(&["worker", "drain", last_digits, "--wait", "60s"])?;
    assert!(said.contains("drains with its next heartbeat"), "{said}");
    let status = cluster.the("a")?.wait(bounds::PROCESS)?.context("its process ends")?;
    assert_eq!(status.code(), Some(0));
    cluster.all_succeed(&runs, bounds::RECOVERY)?;
    for number in 0..8 {
        for part in 0..20 {
            let path = format!("/{number}/{part:02}");
            assert_eq!(target.performed(&path).values().sum::<usize>(), 1, "{path}");
        }
    }
    let counted =
        "select concat_ws(' ', (select count(*) from recovery), (select sum(crashes) + sum(failures) from step))";
    assert_eq!(cluster.database.value::<String>(counted)?, "0 0", "handed back, not taken over; nobody is to blame");
    let gone = "select said_goodbye from gone_worker order by gone_at limit 1";
    assert!(cluster.database.value::<bool>(gone)?, "it ended in peace");

    let again = cluster.try_pawl(&["worker", "drain", &id])?;
    assert!(String::from_utf8(again.stderr)?.contains("is gone"), "who asks for one that is gone is told");
    let unknown = cluster.try_pawl(&["worker", "drain", "01890000-0000-7000-8000-000000000000"])?;
    assert_eq!(unknown.status.code(), Some(4));
    let b = cluster.client.get("/v1/workers")?.read::<WorkerList>()?.workers[0].id.to_string();
    cluster.pawl(&["worker", "drain", &b])?;
    cluster.pawl(&["worker", "drain", &b]).map(drop).or_else(|error| match error.to_string().contains("is gone") {
        true => Ok(()),
        false => Err(error),
    })?;
    assert_eq!(cluster.the("b")?.wait(bounds::PROCESS)?.context("it ends")?.code(), Some(0));
    cluster.finish_with(&[&target])
}

#[test]
fn a_queue_shows_who_reads_it_and_is_watched_until_it_is_empty() -> Result<()> {
    let mut cluster = Cluster::start("queue_shown")?;
    cluster.push("echo")?;
    cluster.apply(GPU)?;
    let runs: Vec<_> = (0..30).map(|_| cluster.submit("gpu", &json!(1))).collect::<Result<_>>()?;
    let told = cluster.pawl(&["queue", "show", "gpu", "--over", "0s"])?;
    assert!(told.contains("no live worker serves it: start one with `pawl worker --queues gpu`"), "{told}");
    let listed: Value = serde_json::from_str(&cluster.pawl(&["queue", "list", "--over", "200ms", "-o", "json"])?)?;
    let normal = listed["queues"].as_array().into_iter().flatten().find(|it| it["queue"] == "gpu").context("gpu")?;
    assert_eq!(
        (&normal["unread"], &normal["in_per_s"], &normal["added"]),
        (&json!(30), &json!(0.0), &json!(30)),
        "{listed}"
    );

    cluster.worker("a").set("PAWL_QUEUES", "gpu").start()?;
    let watched = cluster.pawl(&["queue", "watch", "gpu", "--until-empty", "--every", "200ms"])?;
    assert!(watched.contains("EMPTY IN") && watched.contains("gpu"), "{watched}");
    cluster.all_succeed(&runs, bounds::RUN)?;

    // What Redis has lost waits all the same: there is no message of it, and the queue is not empty.
    cluster.the("a")?.kill9();
    let lost = cluster.submit("gpu", &json!(1))?;
    wait::until_true(bounds::PROCESS, "its message", || {
        Ok(cluster.redis.command::<i64>(&["XLEN", &cluster.stream("gpu", "normal")?])? > 0)
    })?;
    cluster.redis.flush_all()?;
    let mut command = cluster.command()?;
    command.args(["queue", "watch", "gpu", "--until-empty", "--every", "200ms"]);
    let mut watching = Process::spawn("a watch", command, &cluster.log("watch"))?;
    let waits = "select exists (select from step where status = 'ready')";
    // What it goes by may be some seconds old.
    let (begun, long) = (Instant::now(), Duration::from_secs(13));
    wait::until_true(bounds::PROCESS, "its patience", || Ok(begun.elapsed() > long || !watching.is_running()))?;
    assert!(watching.is_running() && cluster.database.value::<bool>(waits)?, "it takes the queue for empty");
    cluster.worker("b").set("PAWL_QUEUES", "gpu").start()?;
    let ended = watching.wait(bounds::RECOVERY)?.context("it ends")?;
    assert!(ended.success() && !cluster.database.value::<bool>(waits)?);
    cluster.succeeds(lost, bounds::RUN)?;
    let detail: QueueDetail = cluster.client.get("/v1/queues/gpu")?.read()?;
    assert_eq!((detail.workers.len(), detail.streams.len()), (1, 3), "{detail:?}");
    assert!(detail.streams.iter().all(|stream| stream.readers.iter().all(|reader| reader.alive)), "{detail:?}");
    let unknown = cluster.client.get("/v1/queues/gpuu")?.problem(404)?;
    assert!(unknown.detail.contains("did you mean `gpu`?"), "{unknown:?}");
    let misspelt = cluster.try_pawl(&["queue", "watch", "gpuu", "--until-empty"])?;
    let why = String::from_utf8(misspelt.stderr)?;
    assert!(misspelt.status.code() == Some(4) && why.contains("did you mean `gpu`?"), "it is not empty: {why}");
    cluster.finish()
}

#[test]
fn dev_shows_its_queue_and_worker_and_is_drained_by_its_own_end() -> Result<()> {
    let pawl =
        Embedded::start("operators_dev", &["echo"], "name = \"echo\"\n[[step]]\nname = \"echo\"\nplugin = \"echo\"\n")?;
    let run = pawl.submit("echo", &json!(1))?;
    pawl.succeeds(run, bounds::RUN)?;
    let words = |words: &[&str]| -> Result<String> {
        let output = pawl.try_pawl(words)?;
        anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    };
    assert!(words(&["queue", "show", "default", "--over", "0s"])?.contains("one live worker serves it"));
    assert!(words(&["queue", "list", "--over", "0s"])?.contains("default"));
    assert!(words(&["run", "report", &run.to_string()])?.contains("- state: succeeded"));
    let id = words(&["worker", "list", "-o", "ids"])?;
    let refused = pawl.try_pawl(&["worker", "drain", id.trim()])?;
    let said = String::from_utf8(refused.stderr)?;
    assert!(!refused.status.success() && said.contains("the process itself") && said.contains("Ctrl-C"), "{said}");
    pawl.finish_with(&[])
}

#[test]
fn the_doctor_does_not_wait_for_who_never_answers() -> Result<()> {
    let cluster = Cluster::start("doctor_silent")?;
    // It takes connections, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("redis://{}/", silent.local_addr()?);
    let begun = Instant::now();
    let (code, found) = doctor(&cluster, &["--timeout", "1s", "--redis-url", &url])?;
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    let redis = the(&found, "redis")?;
    assert_eq!((code, &redis["found"]), (Some(1), &json!("no answer within 1.0 s")), "{found:#}");

    let url = format!("postgres://pawl@{}/pawl", silent.local_addr()?);
    let (code, found) = doctor(&cluster, &["--timeout", "1s", "--database-url", &url])?;
    assert_eq!((code, &the(&found, "database")?["status"]), (Some(1), &json!("fail")), "{found:#}");
    assert_eq!(the(&found, "redis")?["status"], "ok", "the rest is looked at all the same");
    cluster.finish()
}
