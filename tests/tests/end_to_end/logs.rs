//! Logs of steps as people read them: through a kill, a flood, a store that takes nothing, and while a step runs.

use anyhow::{Context as _, Result, ensure};
use pawl_api::types::{LogLevel, LogLine, LogList, PushedPlugin};
use pawl_domain::id::RunId;
use pawl_rehearsal::private::Process;
use pawl_tests::target::Manner;
use pawl_tests::wait::{self, Look};
use pawl_tests::{Client, Cluster, Embedded, Scrape, Target, binary, bounds};
use serde_json::{Value, json};

use crate::pipelines;

const CHATTY: &str = "name = \"chatty\"\n[[step]]\nname = \"talk\"\nplugin = \"chatty\"\n";

fn chatty(cluster: &Cluster) -> Result<()> {
    cluster.push("chatty")?;
    cluster.apply(CHATTY)
}

/// All lines of a run that are there now, page by page.
fn lines(client: &Client, run: RunId) -> Result<Vec<LogLine>> {
    let mut lines = Vec::new();
    let mut after = 0;
    loop {
        let page: LogList = client.get(&format!("/v1/runs/{run}/logs?after={after}&limit=700"))?.read()?;
        lines.extend(page.lines);
        match page.next {
            Some(next) => after = next,
            None => return Ok(lines),
        }
    }
}

/// Waits until the log of a run has a line of that text, and returns all of it.
fn until_said(client: &Client, run: RunId, text: &str) -> Result<Vec<LogLine>> {
    wait::until(bounds::RUN, &format!("the line {text:?}"), || {
        let lines = lines(client, run)?;
        let is_said = lines.iter().any(|line| line.message == text);
        Ok(if is_said { Look::Done(lines) } else { Look::NotYet(format!("{} lines", lines.len())) })
    })
}

fn fields(line: &LogLine) -> Value {
    line.fields.as_ref().map_or(Value::Null, |fields| serde_json::from_str(fields.get()).unwrap_or_default())
}

#[test]
fn a_log_goes_on_after_a_kill_and_says_nothing_twice_that_was_replayed() -> Result<()> {
    let target = Target::start()?;
    target.always("/hang", Manner::Hang);
    let mut cluster = Cluster::start("logs_kill")?;
    chatty(&cluster)?;
    cluster.worker("first").start()?;
    let run = cluster.submit("chatty", &json!({"lines": 5, "url": target.url("/hang")}))?;
    wait::until_true(bounds::RUN, "the call that hangs", || Ok(target.count("/hang") == 1))?;
    wait::until_true(bounds::RUN, "five entries to be durable", || {
        cluster.database.value(&format!("select journal_length = 5 from step where run_id = '{run}'"))
    })?;
    let before = until_said(&cluster.client, run, "asks")?;
    cluster.the("first")?.kill9();
    target.always("/hang", Manner::Answer);
    cluster.worker("second").start()?;
    cluster.succeeds(run, bounds::RECOVERY)?;
    let all = until_said(&cluster.client, run, "is answered")?;

    let told = |lines: &[LogLine]| lines.iter().map(|line| line.message.clone()).collect::<Vec<_>>();
    let first = [&["a line"; 5][..], &["asks"]].concat();
    assert_eq!(told(&before), first);
    assert_eq!(
        told(&all),
        [&first[..], &["asks", "is answered"]].concat(),
        "what stood before an entry is not repeated"
    );
    let (old, new) = all.split_at(before.len());
    assert!(old.iter().all(|line| (line.attempt, line.fence) == (1, 1)), "{old:?}");
    assert!(new.iter().all(|line| (line.attempt, line.fence) == (1, 3)), "a crash uses up no attempt: {new:?}");
    assert!(old.iter().all(|line| line.worker == old[0].worker && line.worker != new[0].worker));
    assert!(all.is_sorted_by_key(|line| line.at_ms) && all.is_sorted_by_key(|line| line.number));
    assert!((all[0].at_ms - wait::now_ms()).abs() < 600_000, "by the clock of the database: {}", all[0].at_ms);
    assert_eq!((fields(&all[3]), all[3].level), (json!({"line": "3", "of": "5"}), LogLevel::Info));
    assert_eq!(all[0].step, "talk");

    // Chosen lines; each format.
    let logs = |words: &[&str]| cluster.pawl(&[&["run", "logs", &run.to_string()], words].concat());
    let debug = logs(&["talk", "--level", "info", "--attempt", "1", "--since", "1h", "--tail", "1", "-o", "json"])?;
    let last: LogLine = serde_json::from_str(debug.trim())?;
    assert_eq!(last.message, "is answered");
    assert_eq!(logs(&["--attempt", "2"])?, "");
    assert_eq!(logs(&["-o", "ids"])?.lines().count(), all.len());
    let table = logs(&[])?;
    let line = table.lines().nth(3).context("the fourth line")?;
    ensure!(line.contains("INFO   talk             1/1    a line  {\"line\":\"3\",\"of\":\"5\"}"), "{table}");
    let unknown = cluster.client.get(&format!("/v1/runs/{run}/steps/walk/logs"))?.problem(404)?;
    ensure!(unknown.detail.contains("did you mean `talk`?"), "{unknown:?}");
    assert!(cluster.client.get(&format!("/v1/runs/{run}/logs"))?.read::<LogList>()?.ended);
    cluster.finish_with(&[&target])
}

#[test]
fn a_failed_attempt_keeps_its_lines_and_the_next_one_has_its_own() -> Result<()> {
    let mut cluster = Cluster::start("logs_retry")?;
    cluster.push("chatty")?;
    cluster.apply(&format!("{CHATTY}retry = {{ max_attempts = 3, delay = \"1ms\" }}\n"))?;
    cluster.worker("a").start()?;
    let run = cluster.submit("chatty", &json!({"text": "odd", "failures": 2}))?;
    cluster.succeeds(run, bounds::RUN)?;
    let all = wait::until(bounds::RUN, "all lines", || {
        let lines = lines(&cluster.client, run)?;
        Ok(if lines.len() >= 5 { Look::Done(lines) } else { Look::NotYet(format!("{lines:?}")) })
    })?;
    let told: Vec<_> = all.iter().map(|line| (line.attempt, line.message.as_str())).collect();
    assert_eq!(told, [(1, "odd"), (1, "fails"), (2, "odd"), (2, "fails"), (3, "odd")]);
    cluster.finish()
}

#[test]
fn a_flood_is_bounded_and_its_neighbours_go_on() -> Result<()> {
    const FLOOD: u64 = 1_000_000;
    let mut cluster = Cluster::start("logs_flood")?;
    // Its indexes were made by scans, too.
    let scans = "select coalesce(sum(seq_scan), 0)::bigint from pg_stat_user_tables where relname = 'step_log'";
    let before: i64 = cluster.database.value(scans)?;
    chatty(&cluster)?;
    pipelines::chain(&cluster, 3)?;
    cluster.set("PAWL_METRICS_LISTEN", "127.0.0.1:0");
    cluster.worker("a").start()?;
    let run = cluster.submit("chatty", &json!({"flood": FLOOD}))?;
    wait::until_true(bounds::RUN, "the flood to be at it", || Ok(!lines(&cluster.client, run)?.is_empty()))?;
    cluster.client.keep_in_flight("chain-3", 4, 40)?;
    cluster.succeeds(run, bounds::RECOVERY)?;
    let all = wait::until(bounds::RUN, "the last line", || {
        let lines = lines(&cluster.client, run)?;
        let last = lines.last().map(|line| line.message.clone()).unwrap_or_default();
        Ok(if last.ends_with(" lines dropped") { Look::Done(lines) } else { Look::NotYet(last) })
    })?;
    let last = &all[all.len() - 1].message;
    let dropped: u64 = last.split(' ').next().unwrap_or_default().parse()?;
    let kept = all.iter().filter(|line| line.message == "flood").count();
    assert_eq!((kept, all.len(), kept as u64 + dropped), (10_000, kept + 2, FLOOD), "{last}");
    let log = std::fs::read_to_string(cluster.log("a"))?;
    let address = log.lines().find_map(|line| line.strip_prefix("metrics at ")?.strip_suffix("/metrics"));
    let scrape = Scrape::of(&Client::new(address.context("a worker says where its figures are")?)?)?;
    assert_eq!(scrape.sum("pawl_log_lines_total", &[]), all.len() as f64);
    assert_eq!(scrape.sum("pawl_log_lines_dropped_total", &[("reason", "limit")]), dropped as f64);
    // A session hands in its counts when it ends.
    cluster.the("a")?.terminate(bounds::PROCESS)?;
    cluster.api()?.terminate(bounds::PROCESS)?;
    assert_eq!(cluster.database.value::<i64>(scans)? - before, 0, "the whole table was read");
    cluster.start_api(&[])?;
    cluster.finish()
}

#[test]
fn whoever_follows_sees_a_line_while_its_step_runs_and_is_told_of_the_end() -> Result<()> {
    let target = Target::start()?;
    target.always("/hang", Manner::Hang);
    let mut cluster = Cluster::start("logs_follow")?;
    chatty(&cluster)?;
    cluster.worker("a").start()?;
    let run = cluster.submit("chatty", &json!({"lines": 2, "url": target.url("/hang")}))?;
    let follow = |name: &str, words: &[&str]| -> Result<Process> {
        let mut command = binary::pawl()?;
        command.args(["run", "logs", &run.to_string(), "-f"]).args(words).envs(cluster.environment());
        Process::spawn(name, command, &cluster.log(name))
    };
    let mut all = follow("all", &["-o", "json"])?;
    let mut of_step = follow("of_step", &["talk", "--tail", "1"])?;
    let told = |follower: &Process| Ok::<_, anyhow::Error>(std::fs::read_to_string(follower.log())?);
    wait::until_true(bounds::RUN, "the last line, live", || {
        Ok(told(&all)?.contains("\"asks\"") && told(&of_step)?.contains("asks"))
    })?;
    let status: String = cluster.database.value(&format!("select status from step where run_id = '{run}'"))?;
    assert_eq!(status, "running");
    all.ensure_running()?;
    // Its API is started again in between.
    cluster.start_api(&[])?;
    cluster.client.cancel(run)?;
    for follower in [&mut all, &mut of_step] {
        let ended = follower.wait(bounds::PROCESS)?.context("it ends with the run")?;
        assert!(ended.success(), "{ended}");
    }
    let read: Vec<LogLine> = told(&all)?.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let messages: Vec<_> = read.iter().map(|line| line.message.as_str()).collect();
    assert_eq!(messages, ["a line", "a line", "asks"], "each once");
    // Who asks again for what has ended, as a browser does, is told so.
    let path = format!("/v1/runs/{run}/logs");
    let last = read[2].number.to_string();
    let headers = [("accept", "text/event-stream"), ("last-event-id", last.as_str())];
    let again = pawl_tests::runtime::block_on(cluster.client.send("GET", &path, &headers, Vec::new()))?;
    assert_eq!(again.status, 204);
    cluster.finish_with(&[&target])
}

#[test]
fn what_a_step_says_is_text_and_no_terminal_obeys_it() -> Result<()> {
    let mut cluster = Cluster::start("logs_hostile")?;
    chatty(&cluster)?;
    cluster.worker("a").start()?;
    let hostile = "\u{1b}[2J\u{1b}]0;owned\u{7}\r\n2026-01-01 00:00:00.000  INFO   talk  forged\u{202e}\0'; drop table step_log; --";
    let run = cluster.submit("chatty", &json!({"text": hostile}))?;
    cluster.succeeds(run, bounds::RUN)?;
    let line = until_said(&cluster.client, run, hostile)?.remove(0);
    assert_eq!(fields(&line), json!({"text": hostile}), "it is kept as it is");
    let shown = cluster.pawl(&["run", "logs", &run.to_string()])?;
    assert_eq!(shown.lines().count(), 1, "{shown}");
    ensure!(shown.contains("\\u{1b}[2J") && shown.contains("\\u{202e}") && shown.contains("\\n2026"), "{shown}");
    ensure!(!shown.contains(['\u{1b}', '\u{7}', '\r', '\u{202e}', '\0']), "{shown:?}");
    cluster.finish()
}

#[test]
fn a_store_that_takes_no_lines_holds_up_no_step_and_gets_them_later() -> Result<()> {
    let mut cluster = Cluster::start("logs_store_away")?;
    chatty(&cluster)?;
    pipelines::chain(&cluster, 3)?;
    cluster.worker("a").start()?;
    let lock = cluster.database.hold("lock table step_log in access exclusive mode")?;
    let runs: Vec<_> =
        (0..3).map(|_| cluster.submit("chatty", &json!({"lines": 3, "text": "odd"}))).collect::<Result<_>>()?;
    for run in &runs {
        cluster.succeeds(*run, bounds::RUN)?;
    }
    cluster.client.keep_in_flight("chain-3", 4, 20)?;
    wait::until_true(bounds::RUN, "a statement to be given up", || {
        Ok(std::fs::read_to_string(cluster.log("a"))?.contains("lines of steps' logs wait"))
    })?;
    lock.release()?;
    for run in &runs {
        let lines = until_said(&cluster.client, *run, "odd")?;
        assert_eq!(lines.len(), 4, "each once: {lines:?}");
    }
    cluster.finish()
}

#[test]
fn pawl_dev_keeps_logs_over_a_kill_and_keeps_none_if_told_so() -> Result<()> {
    let target = Target::start()?;
    target.always("/hang", Manner::Hang);
    let mut pawl = Embedded::start("logs_dev", &["chatty"], CHATTY)?;
    let run = pawl.submit("chatty", &json!({"lines": 2, "url": target.url("/hang")}))?;
    until_said(&pawl.client, run, "asks")?;
    wait::until_true(bounds::RUN, "two entries to be durable", || {
        Ok(pawl.client.run(run)?.steps.iter().all(|step| step.journal_length == 2))
    })?;
    pawl.process()?.kill9();
    target.always("/hang", Manner::Answer);
    pawl.start_process(&[])?;
    pawl.succeeds(run, bounds::RECOVERY)?;
    let all = until_said(&pawl.client, run, "is answered")?;
    let told: Vec<_> = all.iter().map(|line| (line.message.as_str(), line.fence)).collect();
    assert_eq!(told, [("a line", 1), ("a line", 1), ("asks", 1), ("asks", 3), ("is answered", 3)]);
    pawl.process()?.terminate(bounds::PROCESS)?;
    pawl.start_process(&[("PAWL_STEP_LOGS", "false")])?;
    let silent = pawl.submit("chatty", &json!({"text": "odd"}))?;
    pawl.succeeds(silent, bounds::RUN)?;
    pawl.process()?.terminate(bounds::PROCESS)?;
    ensure!(pawl.text()?.contains("odd"), "on standard error it stands all the same");
    // All that was said is brought before a process ends.
    pawl.start_process(&[])?;
    assert_eq!(lines(&pawl.client, silent)?.len(), 0);
    assert_eq!(lines(&pawl.client, run)?.len(), all.len());
    let last = pawl.submit("chatty", &json!({"text": "the last"}))?;
    pawl.succeeds(last, bounds::RUN)?;
    pawl.process()?.terminate(bounds::PROCESS)?;
    pawl.start_process(&[])?;
    assert_eq!(lines(&pawl.client, last)?.len(), 1);
    pawl.finish_with(&[&target])
}

/// The first step is answered by a guess of what comes next, which runs ahead on the version that was active before.
#[test]
fn what_a_guess_executed_on_an_old_version_says_is_printed_by_nobody() -> Result<()> {
    const LINES: usize = 3;
    let pipeline = "name = \"greet\"\n[[step]]\nname = \"first\"\nplugin = \"echo\"\n\
                    [[step]]\nname = \"talk\"\nplugin = \"chatty\"\nneeds = [\"first\"]\n";
    let pawl = Embedded::start("logs_of_a_guess", &["echo", "chatty"], pipeline)?;
    let component = binary::component("chatty")?;
    let mut runs = Vec::new();
    for version in 1..=3 {
        // Another component that does the same: it has a section more, which says which version it is.
        let bytes = [&component[..], &[0, 3, 1, b'v', version]].concat();
        let path = format!("/v1/plugins/chatty/versions/{version}?activate=true");
        pawl.client.post(&path, "application/wasm", bytes)?.read::<PushedPlugin>()?;
        let run = pawl.submit("greet", &json!({"lines": LINES}))?;
        pawl.succeeds(run, bounds::RUN)?;
        runs.push(run);
    }
    let printed = |pawl: &Embedded, run: RunId| -> Result<usize> {
        let is_of_run = |line: &&str| line.contains(&run.to_string()) && line.contains("a line");
        Ok(pawl.text()?.lines().filter(is_of_run).count())
    };
    for run in &runs {
        let what = format!("{LINES} lines of run {run}");
        wait::until_true(bounds::RUN, &what, || Ok(printed(&pawl, *run)? >= LINES))?;
    }
    let printed = runs.iter().map(|run| printed(&pawl, *run)).collect::<Result<Vec<_>>>()?;
    assert_eq!(printed, vec![LINES; runs.len()], "each line is said once, by the version that the run is on");
    for run in runs {
        let kept = wait::until(bounds::RUN, "the lines that are kept", || {
            let kept = lines(&pawl.client, run)?;
            Ok(if kept.len() < LINES { Look::NotYet(format!("{}", kept.len())) } else { Look::Done(kept) })
        })?;
        assert_eq!(kept.len(), LINES);
    }
    pawl.finish_with(&[])
}
