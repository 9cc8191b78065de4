//! What operators are told when something is not as they think: a name that there is not, another Redis, a database that lets
//! nobody in or has no schema, a service that is down, a step that takes its time.

use std::process::Output;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use pawl_api::types::{DeadLetterGroupList, QueueDetail, RunStatus};
use pawl_rehearsal::private::{Process, free_port};
use pawl_tests::{Cluster, Embedded, binary, bounds, wait};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::pipelines;

const UNKNOWN: &str = "01890000-0000-7000-8000-000000000000";

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// The check of that name in what the doctor finds.
fn check(found: &str, name: &str) -> Result<Value> {
    let found: Value = serde_json::from_str(found).with_context(|| found.to_owned())?;
    let checks = found["checks"].as_array().context("a list")?;
    checks.iter().find(|it| it["check"] == name).cloned().with_context(|| format!("no {name} in {found:#}"))
}

#[test]
fn a_name_that_there_is_not_ends_with_four_whatever_the_verb() -> Result<()> {
    let toml = "name = \"echo\"\n[[step]]\nname = \"say\"\nplugin = \"echo\"\n";
    let pawl = Embedded::start("unknown_names", &["echo"], toml)?;
    let run = pawl.submit("echo", &json!(1))?;
    pawl.succeeds(run, bounds::RUN)?;
    let run = run.to_string();
    for words in [
        &["circuits", "close", "foo"][..],
        &["circuits", "close", "http://127.0.0.1:1"],
        &["dead-letter", "list", "--group", "000000000000"],
        &["dead-letter", "list", "--group", "000000000000", "-o", "ids"],
        &["dead-letter", "list", "--pipeline", "ecko"],
        &["dead-letter", "list", "--pipeline", "echo", "--step", "sai"],
        &["dead-letter", "retry", "--group", "000000000000", "--yes"],
        &["dead-letter", "retry", "--group", "000000000000", "--dry-run"],
        &["dead-letter", "purge", "--pipeline", "ecko", "--yes"],
        &["dead-letter", "retry", UNKNOWN],
        &["dead-letter", "retry", &run, "sai"],
        &["dead-letter", "show", &run, "sai"],
        &["worker", "drain", "ffffffffff"],
        &["queue", "show", "defualt"],
        &["queue", "pause", "defualt"],
        &["queue", "unpause", "defualt"],
        &["queue", "watch", "defualt"],
        &["pipeline", "show", "ecko"],
        &["pipeline", "pause", "ecko"],
        &["pipeline", "unpause", "ecko"],
        &["plugin", "activate", "ecko@1"],
        &["plugin", "rollback", "ecko"],
        &["recoveries", "--run", UNKNOWN],
        &["run", "submit", "ecko"],
        &["run", "list", "--pipeline", "ecko"],
        &["run", "get", UNKNOWN],
        &["run", "get", &run, "--step", "sai"],
        &["run", "output", UNKNOWN],
        &["run", "watch", UNKNOWN],
        &["run", "events", UNKNOWN],
        &["run", "logs", UNKNOWN],
        &["run", "logs", &run, "sai"],
        &["run", "explain", UNKNOWN],
        &["run", "report", UNKNOWN],
        &["run", "cancel", UNKNOWN],
        &["run", "fail", UNKNOWN, "--message", "no"],
        &["run", "pause", UNKNOWN],
        &["run", "unpause", UNKNOWN],
        &["run", "retry", UNKNOWN],
        &["run", "retry", &run, "--step", "sai"],
        &["run", "retry", &run, "--from", "sai"],
        &["run", "skip", &run, "sai", "--with", "1"],
        &["run", "keep", UNKNOWN],
        &["run", "resume", UNKNOWN],
        &["run", "resume", &run, "sai"],
        &["run", "replay", &run, "sai"],
        &["run", "signal", UNKNOWN, "go"],
        &["run", "inbox", "list", UNKNOWN],
        &["run", "inbox", "get", &run, "7"],
        &["run", "get", "0189000000007000"],
    ] {
        let (code, told, why) = said(&pawl.try_pawl(words)?);
        ensure!(code == Some(4) && told.is_empty() && why.starts_with("error: "), "{words:?}: {code:?} {told} {why}");
    }
    // What there is, and is not so, is no name that there is not.
    for words in [
        &["dead-letter", "list", "--pipeline", "echo", "--step", "say"][..],
        &["dead-letter", "retry", "--pipeline", "echo", "--yes"],
        &["dead-letter", "retry", &run],
        &["queue", "unpause", "default"],
        &["recoveries", "--run", &run],
    ] {
        let (code, _, why) = said(&pawl.try_pawl(words)?);
        ensure!(code == Some(0), "{words:?}: {code:?} {why}");
    }
    pawl.finish_with(&[])
}

#[test]
fn one_outage_is_one_group_of_dead_letters_whatever_was_asked() -> Result<()> {
    let mut cluster = Cluster::start("outage_group")?;
    pipelines::fetch(&cluster)?;
    cluster.worker("a").set("PAWL_CIRCUITS", "false").start()?;
    let down = format!("http://127.0.0.1:{}", free_port()?);
    for path in ["/orders/anna-x", "/orders/berta/lines?dry=yes", "/"] {
        let run = cluster.submit("fetch", &pipelines::get(&format!("{down}{path}")))?;
        ensure!(cluster.ends(run, bounds::RECOVERY)? == RunStatus::Failed, "{}", cluster.story(run));
    }
    let groups: DeadLetterGroupList = serde_json::from_str(&cluster.pawl(&["dead-letter", "list", "-o", "json"])?)?;
    let [group] = &groups.groups[..] else { anyhow::bail!("one group: {groups:?}") };
    ensure!(
        group.failed == 3 && group.cause.contains("http://#.#.#.#:#/#") && !group.cause.contains("orders"),
        "{group:?}"
    );
    let runs = cluster.pawl(&["dead-letter", "list", "--group", &group.group, "-o", "ids"])?;
    ensure!(runs.lines().count() == 3, "{runs}");
    ensure!(cluster.pawl(&["dead-letter", "list", "-o", "ids"])?.trim() == group.group, "without a filter, groups");
    let (code, _, why) = said(&cluster.try_pawl(&["dead-letter", "list", "--each", "--limit", "1"])?);
    ensure!(code == Some(0) && why.contains("there are more: add --before ") && why.contains("raise --limit"), "{why}");
    let forgotten = cluster.pawl(&["dead-letter", "purge", "--group", &group.group, "--yes", "-o", "ids"])?;
    ensure!(forgotten.trim() == "3", "{forgotten}");
    cluster.finish()
}

#[test]
fn a_worker_that_was_given_another_redis_is_told_of() -> Result<()> {
    let mut cluster = Cluster::start("another_redis")?;
    cluster.worker("here").start()?;
    let other = format!("{}1", cluster.redis_server.url());
    cluster.worker("elsewhere").set("PAWL_REDIS_URL", &other).start()?;
    let elsewhere = i64::from(cluster.the("elsewhere")?.pid());
    wait::until_true(bounds::PROCESS, "both to have settled", || {
        let workers = cluster.client.workers()?.workers;
        Ok(workers.len() == 2 && workers.iter().all(|worker| worker.renewed_at_ms - worker.started_at_ms > 12_000))
    })?;
    let (code, found, _) = said(&cluster.try_pawl(&["doctor", "--quick", "-o", "json"])?);
    let readers = check(&found, "redis_readers")?;
    ensure!(code == Some(0) && readers["status"] == "warn" && readers["figures"]["elsewhere"] == 1, "{readers}");
    ensure!(readers["found"].as_str().is_some_and(|told| told.contains(&format!("pid {elsewhere} on"))), "{readers}");
    let listed = cluster.pawl(&["queue", "list", "--over", "0s"])?;
    ensure!(
        listed.contains(&format!("(pid {elsewhere} on")) && listed.contains("reads none of these queues"),
        "{listed}"
    );
    // Whoever looks with another one than all workers have is told the same.
    let (code, found, _) =
        said(&cluster.try_pawl(&["doctor", "--quick", "-o", "json", "--redis-url", &format!("{other}2")])?);
    let readers = check(&found, "redis_readers")?;
    ensure!(code == Some(1) && readers["status"] == "fail" && readers["figures"]["elsewhere"] == 2, "{readers}");

    cluster.the("elsewhere")?.kill9();
    wait::until_true(bounds::RECOVERY, "it to be gone", || Ok(cluster.client.workers()?.workers.len() == 1))?;
    let (_, found, _) = said(&cluster.try_pawl(&["doctor", "--quick", "-o", "json"])?);
    ensure!(check(&found, "redis_readers")?["status"] == "ok", "{found}");
    ensure!(!cluster.pawl(&["queue", "list", "--over", "0s"])?.contains("note:"), "nobody is elsewhere");
    cluster.finish()
}

#[test]
fn a_wrong_url_is_told_at_once_with_what_is_wrong_and_without_the_password() -> Result<()> {
    let cluster = Cluster::start("wrong_urls")?;
    let (port, redis) = (cluster.postgres.port(), cluster.redis_server.port());
    let nobody = free_port()?;
    cluster.redis.command::<String>(&["ACL", "SETUSER", "known", "on", ">right", "~*", "&*", "+@all"])?;
    for (words, code, says) in [
        (
            vec!["migrate", "--database-url", &format!("postgres://stranger:hunter2@127.0.0.1:{port}/postgres")],
            2,
            "\"stranger\"",
        ),
        (vec!["migrate", "--database-url", &format!("postgres://pawl:hunter2@127.0.0.1:{port}/pawn")], 2, "\"pawn\""),
        (
            vec![
                "migrate",
                "--wait",
                "5m",
                "--database-url",
                &format!("postgres://pawl:hunter2@127.0.0.1:{port}/pawn"),
            ],
            2,
            "\"pawn\"",
        ),
        (vec!["migrate", "--database-url", "mysql://pawl:hunter2@127.0.0.1/pawl"], 2, "database_url is not valid"),
        (
            vec!["doctor", "--redis-url", "http://:hunter2@127.0.0.1"],
            2,
            "redis_url is not valid: it begins with `http://`",
        ),
        (
            vec!["doctor", "--redis-url", "redis://:hunter2@127.0.0.1:637900"],
            2,
            "redis://[[USER]:PASSWORD@]HOST[:PORT]",
        ),
    ] {
        let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let begun = Instant::now();
        let (ended, told, why) = said(&cluster.try_pawl(&words)?);
        ensure!(ended == Some(code) && why.contains(says), "{words:?}: {ended:?} {told} {why}");
        ensure!(begun.elapsed() < Duration::from_secs(15), "{words:?}: it has waited {:?}", begun.elapsed());
        ensure!(!why.contains("hunter2") && !told.contains("hunter2"), "{why}");
    }
    for (flag, url, name, says) in [
        ("--database-url", format!("postgres://pawl:hunter2@127.0.0.1:{port}/pawn"), "database", "\"pawn\""),
        (
            "--database-url",
            format!("postgres://pawl:hunter2@127.0.0.1:{nobody}/pawl"),
            "database",
            &format!("127.0.0.1:{nobody}"),
        ),
        ("--redis-url", format!("redis://:hunter2@127.0.0.1:{nobody}/"), "redis", &format!("127.0.0.1:{nobody}")),
        ("--redis-url", format!("redis://known:hunter2@127.0.0.1:{redis}/"), "redis", "WRONGPASS"),
    ] {
        let (code, found, why) = said(&cluster.try_pawl(&["doctor", "--quick", "-o", "json", flag, &url])?);
        let check = check(&found, name)?;
        ensure!(code == Some(1) && check["status"] == "fail", "{check} {why}");
        ensure!(check["found"].as_str().is_some_and(|told| told.contains(says)), "{says}: {check}");
        ensure!(!found.contains("hunter2") && !why.contains("hunter2"), "{found}");
    }
    cluster.finish()
}

#[test]
fn the_doctor_says_that_a_database_has_no_schema_and_does_not_blame_redis() -> Result<()> {
    let cluster = Cluster::start("no_schema")?;
    cluster.database.execute("create database empty owner pawl")?;
    let url = cluster.postgres.database_url("empty");
    let (code, found, why) = said(&cluster.try_pawl(&["doctor", "-o", "json", "--database-url", &url])?);
    let schema = check(&found, "schema")?;
    ensure!(code == Some(1) && schema["status"] == "fail", "{found} {why}");
    ensure!(schema["found"] == "the database has no schema yet: run `pawl migrate`", "{schema}");
    ensure!(check(&found, "redis")?["status"] == "ok" && check(&found, "workers").is_err(), "{found}");
    cluster.finish()
}

#[test]
fn a_step_that_takes_its_time_says_how_far_it_is() -> Result<()> {
    let mut cluster = Cluster::start("takes_its_time")?;
    pipelines::batch(&cluster)?;
    cluster.worker("a").start()?;
    let input = pipelines::batch_of(900, 10).to_string();
    let mut command = cluster.command()?;
    command.args(["run", "submit", "batch", "--input", &input, "--wait"]);
    let log = cluster.log("submit");
    let mut waiting = Process::spawn("a submission", command, &log)?;
    wait::until_true(bounds::RUN, "a checkpoint", || {
        cluster.database.value("select coalesce(max(checkpoint_ordinal), 0) > 2 from step")
    })?;
    let run: String = cluster.database.value("select id::text from run")?;
    let explained = cluster.pawl(&["run", "explain", &run])?;
    for part in ["executes it, for ", " in attempt 1", "its last checkpoint is at entry "] {
        ensure!(explained.contains(part), "{part} is not in\n{explained}");
    }
    let queue: QueueDetail = cluster.client.get("/v1/queues/default")?.read()?;
    let pending: Vec<_> = queue.streams.iter().flat_map(|stream| &stream.oldest_pending).collect();
    let [message] = &pending[..] else { anyhow::bail!("one message: {queue:?}") };
    ensure!(
        message.run.is_some_and(|id| id.to_string() == run) && message.step.as_deref() == Some("batch"),
        "{message:?}"
    );
    let shown = cluster.pawl(&["queue", "show", "default", "--over", "0s"])?;
    ensure!(shown.contains(&run[..13]) && shown.contains("batch"), "{shown}");
    ensure!(waiting.wait(bounds::RECOVERY)?.context("it ends")?.success(), "{}", std::fs::read_to_string(&log)?);
    let told = std::fs::read_to_string(&log)?;
    ensure!(told.contains("0 of 1 steps have ended; batch runs, "), "{told}");
    cluster.finish()
}

#[test]
fn who_watches_a_queue_is_told_of_an_outage_and_goes_on() -> Result<()> {
    let mut cluster = Cluster::start("queue_watched")?;
    cluster.worker("a").start()?;
    let mut command = cluster.command()?;
    command.args(["queue", "watch", "--every", "200ms"]);
    let log = cluster.log("watch");
    let mut watching = Process::spawn("a watch", command, &log)?;
    let lines = || Ok::<_, anyhow::Error>(std::fs::read_to_string(&log)?.lines().count());
    let run = {
        pipelines::chain(&cluster, 1)?;
        cluster.submit("chain-1", &json!(null))?
    };
    cluster.succeeds(run, bounds::RUN)?;
    wait::until_true(bounds::PROCESS, "a line of it", || Ok(lines()? > 2))?;
    cluster.redis_server.stop();
    wait::until_true(bounds::PROCESS, "it to be told", || {
        Ok(std::fs::read_to_string(&log)?.contains("there is no answer now"))
    })?;
    let before = lines()?;
    cluster.redis_server.launch()?;
    let again = cluster.submit("chain-1", &json!(null))?;
    cluster.succeeds(again, bounds::RECOVERY)?;
    wait::until_true(bounds::PROCESS, "it to go on", || Ok(lines()? > before + 1))?;
    ensure!(watching.is_running(), "{}", std::fs::read_to_string(&log)?);
    watching.signal(Signal::INT)?;
    ensure!(watching.wait(bounds::PROCESS)?.context("it ends")?.code() == Some(130));
    cluster.finish()
}

#[test]
fn help_names_times_with_their_units_and_no_format_where_a_word_is_meant() -> Result<()> {
    let help = |words: &[&str]| -> Result<String> {
        Ok(String::from_utf8(binary::pawl()?.args(words).arg("--help").output()?.stdout)?)
    };
    let doctor = help(&["doctor"])?;
    ensure!(doctor.contains("--grace <TIME>") && !doctor.contains("<MS>"), "{doctor}");
    ensure!(help(&["plugin", "test"])?.contains("--timeout <TIME>"));
    ensure!(help(&["worker"])?.contains("--traces-sampler <WORD>"));
    ensure!(help(&["dead-letter", "list"])?.contains("-o ids gives the ids of groups"));
    Ok(())
}
