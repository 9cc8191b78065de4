//! Dead letters: found by their cause, and looked after, one by one and many at once; and steps that a person has done again.

use anyhow::{Context as _, Result};
use pawl_api::types::{
    DeadLetterGroupList, DeadLetterList, DeadLetterState, DeadLettersDone, EventKind, RunList, RunStatus, StepStatus,
};
use pawl_domain::id::RunId;
use pawl_tests::worker::Description;
use pawl_tests::{Cluster, Embedded, bounds, wait};
use serde_json::{Value, json};

use crate::pipelines;
use crate::waits::is_waiting;

/// An echo, a step of the plugin `mine`, and an echo of what that one gives.
const LATE: &str = "name = 'late'
    step = [{name = 'first', plugin = 'echo'}, {name = 'read', plugin = 'mine', needs = ['first']},
            {name = 'last', plugin = 'echo', needs = ['read']}]";

/// More than one piece of what is done about many.
const RUNS: usize = 120;

fn json_of<T: serde::de::DeserializeOwned>(cluster: &Cluster, words: &[&str]) -> Result<T> {
    let words: Vec<&str> = words.iter().copied().chain(["-o", "json"]).collect();
    Ok(serde_json::from_str(&cluster.pawl(&words)?)?)
}

/// Runs whose step `read` has failed for good: its plugin takes other inputs.
fn failed_runs(cluster: &Cluster, count: usize) -> Result<Vec<RunId>> {
    cluster.push("echo")?;
    cluster.push_as("echo", "mine", "good")?;
    cluster.push_as("clock", "mine", "bad")?;
    cluster.apply(LATE)?;
    let inputs: Vec<Value> = (0..count).map(|number| json!({"entries": [number]})).collect();
    let runs = cluster.client.submit_all("late", &inputs)?;
    for run in &runs {
        assert_eq!(cluster.ends(*run, bounds::RECOVERY)?, RunStatus::Failed);
    }
    Ok(runs)
}

#[test]
fn what_a_bad_version_left_is_one_group_and_is_retried_piece_by_piece_on_the_mended_one() -> Result<()> {
    let mut cluster = Cluster::start("dead_letters")?;
    cluster.worker("a").start()?;
    let runs = failed_runs(&cluster, RUNS)?;
    let groups: DeadLetterGroupList = json_of(&cluster, &["dead-letter", "list"])?;
    let [group] = &groups.groups[..] else { panic!("one group: {groups:?}") };
    assert_eq!((group.pipeline.as_str(), group.step.as_str()), ("late", "read"));
    assert_eq!((group.failed, group.parked), (RUNS as u32, 0));
    assert!(group.cause.contains("$.entries") && group.oldest_at_ms <= group.newest_at_ms, "{group:?}");
    let each: DeadLetterList = json_of(&cluster, &["dlq", "list", "--group", &group.group, "--limit", "3"])?;
    assert_eq!(each.dead_letters.len(), 3);
    assert!(
        each.dead_letters.iter().all(|letter| letter.state == DeadLetterState::Failed && letter.group == group.group)
    );
    let shown = cluster.pawl(&["dead-letter", "show", &runs[0].to_string(), "read"])?;
    assert!(shown.contains("$.entries") && shown.contains("pawl run skip"), "{shown}");

    // Other systems were told of each.
    let stream = |cluster: &Cluster| cluster.redis.command::<Vec<String>>(&["KEYS", "*:dead-letters"]);
    wait::until_true(bounds::RUN, "all letters to be told", || {
        let [key] = &stream(&cluster)?[..] else { return Ok(false) };
        Ok(cluster.redis.messages(key)?.len() == RUNS)
    })?;
    let message = cluster.redis.messages(&stream(&cluster)?[0])?.remove(0);
    let told: Value = serde_json::from_str(message.fields.get("letter").context("a letter")?)?;
    assert_eq!((told["step"].as_str(), told["group"].as_str()), (Some("read"), Some(group.group.as_str())));

    // It says how many, and does nothing unasked.
    cluster.pawl(&["plugin", "rollback", "mine"])?;
    let dry = ["dead-letter", "retry", "--group", &group.group, "--latest", "--dry-run"];
    assert_eq!(json_of::<DeadLettersDone>(&cluster, &dry)?.met, RUNS as u32);
    let unasked = cluster.try_pawl(&["dead-letter", "retry", "--group", &group.group])?;
    assert_eq!(unasked.status.code(), Some(2), "{unasked:?}");
    assert!(String::from_utf8(unasked.stderr)?.contains(&format!("{RUNS} dead letters of {RUNS} runs")));
    assert_eq!(cluster.try_pawl(&["dead-letter", "purge"])?.status.code(), Some(2), "all must be said");

    // The first piece is done, then whoever asked is gone; asked again, it goes on with the others.
    let asked = json!({"verb": "retry", "group": group.group, "latest": true}).to_string();
    let piece: DeadLettersDone = cluster.client.post("/v1/dead-letters", "application/json", asked)?.read()?;
    assert_eq!((piece.done, piece.runs, piece.next.is_some()), (100, 100, true), "{piece:?}");
    let rest: DeadLettersDone =
        json_of(&cluster, &["dead-letter", "retry", "--group", &group.group, "--latest", "--yes"])?;
    assert_eq!((rest.done, rest.refused.len()), (RUNS as u32 - 100, 0), "{rest:?}");
    cluster.all_succeed(&runs, bounds::RECOVERY)?;
    let opened =
        "select count(*) from event e cross join lateral unnest(e.kinds) as k (kind) where kind = 'run.reopened'";
    assert_eq!(cluster.database.value::<i64>(opened)?, RUNS as i64, "each was opened once");
    assert!(cluster.pawl(&["dead-letter", "list"])?.contains("there are no dead letters"));
    cluster.finish()
}

#[test]
fn a_step_that_is_skipped_lets_those_go_on_that_need_it() -> Result<()> {
    let mut cluster = Cluster::start("skip")?;
    cluster.worker("a").start()?;
    let runs = failed_runs(&cluster, 4)?;
    let [one, misfit, many, purged] = [0, 1, 2, 3].map(|number: usize| runs[number].to_string());

    let skipped = cluster.pawl(&["run", "skip", &one, "read", "--with", r#"{"entries": 0, "elapsed_ns": 5}"#])?;
    assert!(skipped.contains("last"), "what needs it is ready: {skipped}");
    cluster.succeeds(runs[0], bounds::RUN)?;
    assert_eq!(cluster.client.output(runs[0], "last")?, json!({"entries": 0, "elapsed_ns": 5}));
    let run = cluster.client.run(runs[0])?;
    assert_eq!(run.steps[1].status, StepStatus::Skipped);
    let events = cluster.client.events(runs[0])?;
    let told = events.iter().find(|event| event.is(EventKind::StepSkipped)).context("the history tells it")?;
    assert!(told.note.as_ref().is_some_and(|note| note.starts_with("a person gave its output")), "{told:?}");

    let path = format!("/v1/runs/{misfit}/steps/read/skip");
    let skip = |path: &str, output: &str| cluster.client.post(path, "application/json", output.to_owned());
    let problem = skip(&path, r#"{"output": {"entries": "x", "elapsed_ns": 5}}"#)?.problem(422)?;
    assert!(problem.detail.contains("$.entries"), "{problem:?}");
    let path = format!("/v1/runs/{one}/steps/read/skip");
    assert!(skip(&path, r#"{"output": 1}"#)?.problem(422)?.detail.contains("does not fit"));
    let path = format!("/v1/runs/{one}/steps/first/skip");
    assert!(skip(&path, r#"{"output": 1}"#)?.problem(409)?.detail.contains("the step is succeeded"));

    // Of several, and of a run whose letter nobody wants to see any more.
    cluster.pawl(&["dead-letter", "purge", &purged])?;
    assert_eq!(cluster.client.run(runs[3])?.summary.status, RunStatus::Failed, "it stays as it is");
    let with = ["--with", r#"{"entries": 1, "elapsed_ns": 1}"#, "--yes"];
    let words = [&["dead-letter", "skip", "--cause", "$.entries"], &with[..]].concat();
    let done: DeadLettersDone = json_of(&cluster, &words)?;
    assert_eq!((done.met, done.done), (2, 2), "{done:?}");
    cluster.succeeds(runs[1], bounds::RUN)?;
    cluster.succeeds(many.parse()?, bounds::RUN)?;
    cluster.finish()
}

#[test]
fn what_is_parked_is_listed_and_its_runs_are_failed_together() -> Result<()> {
    let mut cluster = Cluster::start("parked_letters")?;
    cluster.push("echo")?;
    cluster.push_as("waits", "mine", "1")?;
    cluster.apply("name = 'sleeps'\n[[step]]\nname = 'sleep'\nplugin = 'mine'\n")?;
    cluster.worker("a").start()?;
    let orders = json!([{"do": "now"}, {"do": "sleep", "ms": 600_000}]);
    let runs = cluster.client.submit_all("sleeps", &[orders.clone(), orders])?;
    cluster.push_as("echo", "mine", "2")?;
    for run in &runs {
        is_waiting(&cluster, *run, "sleep")?;
        // Another component makes none of the calls that are recorded.
        cluster.pawl(&["run", "resume", &run.to_string(), "sleep", "--latest"])?;
    }
    wait::until_true(bounds::RUN, "both to be parked", || {
        Ok(json_of::<RunList>(&cluster, &["run", "list", "--status", "parked"])?.runs.len() == 2)
    })?;
    let page: RunList = json_of(&cluster, &["run", "list", "--status", "parked", "--limit", "1"])?;
    let before = page.next.context("there is another page")?.to_string();
    let page: RunList = json_of(&cluster, &["run", "list", "--status", "parked", "--before", &before])?;
    assert_eq!(page.runs.iter().map(|run| run.id).collect::<Vec<_>>(), [runs[0]], "the older one");
    assert_eq!(json_of::<RunList>(&cluster, &["run", "list", "--status", "stuck"])?.runs.len(), 0);
    let groups: DeadLetterGroupList = json_of(&cluster, &["dead-letter", "list"])?;
    assert_eq!((groups.groups.len(), groups.groups[0].parked), (1, 2), "{groups:?}");

    let refused = cluster.try_pawl(&["dead-letter", "purge", "--state", "parked", "--yes"])?;
    assert!(!refused.status.success(), "somebody must look after what keeps a run open");
    let words = ["dead-letter", "fail", "--pipeline", "sleeps", "--message", "not worth it", "--yes"];
    assert_eq!(json_of::<DeadLettersDone>(&cluster, &words)?.done, 2);
    for run in &runs {
        assert_eq!(cluster.ends(*run, bounds::RUN)?, RunStatus::Failed);
    }
    assert_eq!(json_of::<RunList>(&cluster, &["run", "list", "--status", "parked"])?.runs.len(), 0);
    cluster.finish()
}

/// A diamond whose branches keep a journal and checkpoints.
const DIAMOND: &str = "name = 'diamond'
    step = [{name = 'start', plugin = 'echo'},
            {name = 'left', plugin = 'batch', needs = ['start'], config = {items = 3, pause_ms = 1, readings = 1}},
            {name = 'right', plugin = 'batch', needs = ['start'], config = {items = 3, pause_ms = 1, readings = 1}},
            {name = 'join', plugin = 'echo', needs = ['left', 'right']},
            {name = 'end', plugin = 'echo', needs = ['join']}]";

#[test]
fn a_run_is_done_again_from_a_step_on_and_nothing_else_is() -> Result<()> {
    let mut cluster = Cluster::start("retry_from")?;
    cluster.push("echo")?;
    cluster.push("batch")?;
    cluster.apply(DIAMOND)?;
    cluster.worker("a").start()?;
    let run = cluster.submit("diamond", &json!(1))?;
    cluster.succeeds(run, bounds::RUN)?;
    let id = run.to_string();
    let attempts =
        || -> Result<Vec<u32>> { Ok(cluster.client.run(run)?.steps.iter().map(|step| step.attempts).collect()) };
    assert_eq!(attempts()?, [1, 1, 1, 1, 1]);
    cluster.pawl(&["run", "retry", &id, "--from", "left"])?;
    cluster.succeeds(run, bounds::RUN)?;
    assert_eq!(attempts()?, [1, 2, 1, 2, 2], "the step and what follows it, and nothing else");
    let events = cluster.client.events(run)?;
    let count = |kind: EventKind, step: &str| {
        events.iter().filter(|event| event.is(kind) && event.step.as_deref() == Some(step)).count()
    };
    for (step, times) in [("start", 0), ("left", 1), ("right", 0), ("join", 1), ("end", 1)] {
        assert_eq!(count(EventKind::StepReopened, step), times, "{step}");
        assert_eq!(count(EventKind::StepSucceeded, step), times + 1, "{step}");
    }
    // Once more, over the death of a worker.
    cluster.pawl(&["run", "retry", &id, "--from", "start"])?;
    cluster.the("a")?.kill9();
    cluster.worker("b").start()?;
    cluster.succeeds(run, bounds::RECOVERY)?;
    let missing = cluster.try_pawl(&["run", "retry", &id, "--from", "nowhere"])?;
    assert_eq!(missing.status.code(), Some(4), "{missing:?}");
    cluster.finish()
}

#[test]
fn dead_letters_are_looked_after_in_one_process_too() -> Result<()> {
    let pipeline = "name = 'flaky'\n[[step]]\nname = 'read'\nplugin = 'flaky'\n\
                    [[step]]\nname = 'last'\nplugin = 'echo'\nneeds = ['read']\n";
    let pawl = Embedded::start("dead_letters_dev", &["flaky", "echo"], pipeline)?;
    let runs: Vec<RunId> =
        (0..3).map(|_| pawl.submit("flaky", &json!({"failures": 1, "how": "fatal"}))).collect::<Result<_>>()?;
    let list = |path: &str| pawl.client.get(path);
    wait::until_true(bounds::RUN, "all to fail", || {
        Ok(list("/v1/dead-letters")?.read::<DeadLetterList>()?.dead_letters.len() == runs.len())
    })?;
    let groups: DeadLetterGroupList = list("/v1/dead-letters/groups")?.read()?;
    assert_eq!((groups.groups.len(), groups.groups[0].failed), (1, 3), "{groups:?}");
    assert_eq!(groups.groups[0].cause, "attempt # of # that fail");
    let act = |body: Value| pawl.client.post("/v1/dead-letters", "application/json", body.to_string());
    let skipped = act(json!({"verb": "skip", "run": runs[0], "output": {"attempt": 9}}))?.read::<DeadLettersDone>()?;
    assert_eq!((skipped.done, skipped.refused.len()), (1, 0), "{skipped:?}");
    pawl.succeeds(runs[0], bounds::RUN)?;
    let again = pawl.client.post(&format!("/v1/runs/{}/retry?from=last", runs[0]), "application/json", "")?;
    assert_eq!(again.status, 200);
    pawl.succeeds(runs[0], bounds::RUN)?;
    for (body, why) in [
        (json!({"verb": "skip"}), "wants an `output`"),
        (json!({"verb": "fail"}), "wants a `message`"),
        (json!({"verb": "retry", "output": 1}), "goes with `skip`"),
        (json!({"verb": "resume", "state": "failed"}), "leave it out"),
        (json!({"verb": "retry", "after": "x"}), "RUN/STEP/TIME"),
    ] {
        let problem = act(body.clone())?.problem(400)?;
        assert!(problem.detail.contains(why), "{body}: {problem:?}");
    }
    let purged = act(json!({"verb": "purge"}))?.read::<DeadLettersDone>()?;
    assert_eq!((purged.met, purged.done), (2, 2), "{purged:?}");
    assert_eq!(list("/v1/dead-letters")?.read::<DeadLetterList>()?.dead_letters.len(), 0);
    pawl.finish_with(&[])
}

#[test]
fn a_step_that_keeps_killing_its_workers_is_a_dead_letter_and_goes_on_at_a_persons_word() -> Result<()> {
    let mut cluster = Cluster::start("poison_letter")?;
    pipelines::batch(&cluster)?;
    let run = cluster.submit("batch", &json!({"items": 40, "pause_ms": 50, "checkpoint_every": 0}))?;
    // After the first death it is a suspect, and its next worker says so on record before it begins.
    let limits = |worker: Description<'_>| worker.set("PAWL_SUSPECT_FROM", "1").set("PAWL_CRASH_LIMIT", "2").start();
    for (name, executed) in [("a", "status = 'running'"), ("b", "status = 'running' and alone")] {
        limits(cluster.worker(name))?;
        let runs = format!("select count(*) = 1 from step where {executed}");
        wait::until_true(bounds::RECOVERY, "the step to run", || cluster.database.value(&runs))?;
        cluster.the(name)?.kill9();
    }
    limits(cluster.worker("c"))?;
    wait::until_true(bounds::RECOVERY, "the step to be parked", || {
        let groups: DeadLetterGroupList = json_of(&cluster, &["dead-letter", "list"])?;
        Ok(groups.groups.iter().any(|group| group.parked == 1 && group.cause.contains("worker process died # times")))
    })?;
    wait::until_true(bounds::RUN, "others to be told of it", || {
        let keys: Vec<String> = cluster.redis.command(&["KEYS", "*:dead-letters"])?;
        Ok(!keys.is_empty())
    })?;
    let resumed = ["dead-letter", "resume", &run.to_string(), "batch"];
    assert_eq!(json_of::<DeadLettersDone>(&cluster, &resumed)?.done, 1);
    cluster.succeeds(run, bounds::RECOVERY)?;
    assert!(cluster.pawl(&["dead-letter", "list"])?.contains("there are no dead letters"));
    cluster.finish()
}
