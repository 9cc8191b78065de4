//! Recoveries as people see them: the record of a takeover with its stages, and runs that nobody moves, which one command finds
//! and lets go on.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use pawl_api::types::{
    Event, InterruptedList, Recovery, RecoveryList, RecoveryOutcome, RecoverySummary, RunList, RunStatus,
};
use pawl_domain::event::EventKind;
use pawl_domain::id::RunId;
use pawl_domain::recovery::Stage;
use pawl_tests::target::Manner;
use pawl_tests::{Cluster, Embedded, Scrape, Target, bounds, wait};
use serde_json::{Value, json};

use crate::pipelines;

#[test]
fn a_takeover_leaves_a_record_with_its_stages_in_order() -> Result<()> {
    let mut cluster = Cluster::start("recovery_record")?;
    pipelines::batch(&cluster)?;
    let untouched = cluster.submit("batch", &pipelines::batch_of(3, 1))?;
    cluster.worker("first").start()?;
    cluster.succeeds(untouched, bounds::RUN)?;
    let run = cluster.submit("batch", &pipelines::batch_of(400, 10))?;
    wait::until_true(bounds::RUN, "some checkpoints", || {
        cluster.database.value(&format!("select checkpoint_ordinal >= 20 from step where run_id = '{run}'"))
    })?;
    cluster.the("first")?.kill9();
    cluster.worker("second").start()?;
    cluster.succeeds(run, bounds::RECOVERY)?;

    let [recovery] = &records(&cluster, run)?[..] else { panic!("one takeover, one record") };
    assert_eq!((recovery.step.as_str(), recovery.pipeline.as_str()), ("batch", "batch"));
    assert_eq!(recovery.outcome, Some(RecoveryOutcome::Recovered));
    assert_ne!(Some(recovery.worker), recovery.replacement);
    ensure!(recovery.checkpoint_position.is_some_and(|position| position >= 20), "{recovery:?}");
    ensure!(recovery.replayed.is_some_and(|replayed| replayed <= recovery.to_replay), "{recovery:?}");
    let times = times(recovery)?;
    ensure!(times.is_sorted(), "each stage follows the one before it: {times:?}");
    assert_eq!(stages(&cluster.client.events(run)?), Stage::ALL, "the history tells them in their order");
    assert_eq!(records(&cluster, untouched)?.len(), 0, "nothing was taken over there");
    assert_eq!(stages(&cluster.client.events(untouched)?), []);
    let listed = cluster.pawl(&["recoveries"])?;
    ensure!(listed.contains(&run.to_string()[..13]) && listed.contains("recovered"), "{listed}");
    cluster.finish()
}

/// Its steps wait for the outside: a replacement is ready with its first call, long before the answer. What it has noted by
/// then is told with that answer.
#[test]
fn what_was_answered_is_replayed_and_the_first_new_call_ends_the_recovery() -> Result<()> {
    let target = Target::start()?;
    target.serve("/first", b"1".to_vec());
    target.always("/hang", Manner::Hang);
    let mut cluster = Cluster::start("recovery_replay")?;
    pipelines::fetch(&cluster)?;
    cluster.worker("first").start()?;
    let requests = ["/first", "/first", "/hang"].map(|path| json!({"url": target.url(path), "timeout_ms": 600_000}));
    let run = cluster.submit("fetch", &json!({"requests": requests}))?;
    wait::until_true(bounds::RUN, "the call that hangs", || Ok(target.count("/hang") == 1))?;
    wait::until_true(bounds::RUN, "the answers to be durable", || {
        cluster.database.value(&format!("select journal_length = 2 from step where run_id = '{run}'"))
    })?;
    cluster.the("first")?.kill9();
    cluster.worker("second").start()?;
    wait::until_true(bounds::RECOVERY, "the same call of the replacement", || Ok(target.count("/hang") == 2))?;
    let [open] = &records(&cluster, run)?[..] else { panic!("one takeover, one record") };
    ensure!(open.claimed_at_ms.is_some() && open.outcome.is_none(), "no commit of its own: {open:?}");

    // That one dies, too, before it has told anything.
    cluster.the("second")?.kill9();
    target.always("/hang", Manner::Answer);
    cluster.worker("third").start()?;
    cluster.succeeds(run, bounds::RECOVERY)?;
    let found = records(&cluster, run)?;
    let outcomes: Vec<_> = found.iter().map(|recovery| recovery.outcome).collect();
    let expected = [Some(RecoveryOutcome::Recovered), Some(RecoveryOutcome::Lost)];
    ensure!(outcomes == expected, "{found:?}\n{}", cluster.story(run));
    assert_eq!(found[0].replayed, Some(2), "two answers were there");
    ensure!(times(&found[0])?.is_sorted(), "{found:?}");
    assert_eq!(target.count("/first"), 2, "they were not asked for again");
    let expected = [&[Stage::LeaseExpired][..], &Stage::ALL].concat();
    assert_eq!(stages(&cluster.client.events(run)?), expected);
    cluster.finish_with(&[&target])
}

#[test]
fn interrupted_runs_are_found_and_one_command_lets_them_go_on() -> Result<()> {
    let mut cluster = Cluster::start("recovery_command")?;
    pipelines::batch(&cluster)?;
    cluster.push("waits")?;
    cluster.apply("name = \"sleeps\"\n[[step]]\nname = \"only\"\nplugin = \"waits\"\n")?;
    cluster.push("flaky")?;
    cluster.apply("name = \"fails\"\n[[step]]\nname = \"only\"\nplugin = \"flaky\"\nretry = { max_attempts = 1 }\n")?;
    cluster.worker("first").start()?;
    let failed = cluster.submit("fails", &json!({"failures": 1_000, "how": "fatal"}))?;
    assert_eq!(cluster.ends(failed, bounds::RUN)?, RunStatus::Failed);
    let asleep = cluster.submit("sleeps", &json!([{"do": "sleep", "ms": 600_000}]))?;
    wait_for(&cluster, asleep, "waiting")?;
    let run = cluster.submit("batch", &pipelines::batch_of(200, 20))?;
    wait::until_true(bounds::RUN, "a checkpoint", || {
        cluster.database.value(&format!("select checkpoint_ordinal >= 2 from step where run_id = '{run}'"))
    })?;
    let check = |cluster: &Cluster, threshold: &str| -> Result<(i32, Vec<RunId>)> {
        let answer = cluster.try_pawl(&["check-interrupted", "--threshold", threshold, "-o", "json"])?;
        let found: InterruptedList = serde_json::from_slice(&answer.stdout)?;
        Ok((answer.status.code().context("a code")?, found.runs.iter().map(|run| run.id).collect()))
    };
    assert_eq!(check(&cluster, "0s")?, (0, vec![]), "one is at work, the other sleeps");

    cluster.the("first")?.kill9();
    wait::until_true(bounds::RECOVERY, "the end of its lease", || {
        cluster.database.value("select not exists (select from worker where expires_at > clock_timestamp())")
    })?;
    assert_eq!(check(&cluster, "0s")?, (1, vec![run]));
    assert_eq!(check(&cluster, "10m")?, (0, vec![]), "it is not so long ago");
    let row = cluster.client.get("/v1/interrupted?threshold_ms=0")?.read::<InterruptedList>()?.runs.remove(0);
    assert_eq!((row.step_count, row.completed_steps, row.failed_steps, row.next_step.as_str()), (1, 0, 0, "batch"));

    let fence = format!("select fence from step where run_id = '{run}'");
    let before: i64 = cluster.database.value(&fence)?;
    let dry = cluster.try_pawl(&["recover", "--threshold", "0s", "--auto-resume", "--dry-run"])?;
    ensure!(dry.status.code() == Some(1), "{dry:?}");
    assert_eq!(cluster.database.value::<i64>(&fence)?, before, "nothing was changed");

    // Nobody is there who could take it: it is taken over all the same, and known to wait for a worker.
    let left = recover(&cluster, &["--auto-resume", "--wait", "100ms"], 1)?;
    assert_eq!((left.detected.len(), &left.pending), (1, &vec![run]));
    let named = left.needs_person.iter().find(|it| it.id == failed).context("the failed run is named")?;
    ensure!(named.what.contains(&format!("pawl run retry {failed}")), "{named:?}");
    assert_eq!(cluster.database.value::<i64>(&fence)?, before + 1);
    let counted = Scrape::of(&cluster.client)?.sum("pawl_takeovers_total", &[]);
    ensure!(counted == 1.0, "the API has taken over one step, and counts {counted}");

    cluster.worker("second").start()?;
    cluster.succeeds(run, bounds::RECOVERY)?;
    assert_eq!(records(&cluster, run)?[0].outcome, Some(RecoveryOutcome::Recovered));
    let done = recover(&cluster, &["--auto-resume"], 0)?;
    assert_eq!((done.detected.len(), done.recovered.len()), (0, 0));
    ensure!(Scrape::of(&cluster.client)?.sum("pawl_takeovers_total", &[]) == 1.0, "what is done is counted once");
    let status = |run| cluster.database.value::<String>(&format!("select status from run where id = '{run}'"));
    assert_eq!((status(failed)?.as_str(), status(asleep)?.as_str()), ("failed", "running"), "both are as they were");

    // Whoever has looked after it says so, and is not told of it for ever.
    assert_eq!(done.needs_person.iter().map(|it| it.id).collect::<Vec<_>>(), [failed]);
    cluster.pawl(&["dead-letter", "purge", "--pipeline", "fails", "--yes"])?;
    let after = recover(&cluster, &["--auto-resume"], 0)?;
    ensure!(after.needs_person.is_empty() && status(failed)? == "failed", "{:?}", after.needs_person);
    cluster.client.cancel(asleep)?;
    cluster.finish()
}

#[test]
fn a_run_is_resumed_by_its_id_and_at_a_start_and_is_told_why_if_not() -> Result<()> {
    let mut cluster = Cluster::start("recovery_resume")?;
    pipelines::batch(&cluster)?;
    cluster.worker("first").start()?;
    let run = cluster.submit("batch", &pipelines::batch_of(200, 20))?;
    wait_for(&cluster, run, "running")?;
    let refused = cluster.try_pawl(&["run", "resume", &run.to_string()])?;
    let says = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(refused.status.code() == Some(1) && says.contains("a live worker executes a step of it"), "{says}");

    cluster.the("first")?.kill9();
    wait::until_true(bounds::RECOVERY, "it to stand for some seconds", || {
        cluster
            .database
            .value("select not exists (select from worker where expires_at > clock_timestamp() - interval '6 s')")
    })?;
    // The API resumes it at its start, …
    cluster.start_api(&[("PAWL_AUTO_RECOVER", "true")])?;
    wait::until_true(bounds::RECOVERY, "the start to take it over", || {
        cluster.database.value(&format!("select status = 'ready' from step where run_id = '{run}'"))
    })?;
    // … a person once more: it is delivered again, and no second takeover.
    let resumed: Value = serde_json::from_str(&cluster.pawl(&["run", "resume", &run.to_string(), "-o", "json"])?)?;
    assert_eq!(resumed["steps"], json!(["batch"]));
    assert_eq!(records(&cluster, run)?.len(), 1);
    cluster.worker("second").start()?;
    cluster.succeeds(run, bounds::RECOVERY)?;
    let ended = cluster.client.post(&format!("/v1/runs/{run}/resume"), "application/json", "{}")?.problem(409)?;
    ensure!(ended.detail.contains("has ended"), "{ended:?}");
    cluster.finish()
}

fn recover(cluster: &Cluster, flags: &[&str], code: i32) -> Result<RecoverySummary> {
    let words = [&["recover", "--threshold", "0s", "-o", "json"], flags].concat();
    let answer = cluster.try_pawl(&words)?;
    ensure!(answer.status.code() == Some(code), "{}", String::from_utf8_lossy(&answer.stderr));
    Ok(serde_json::from_slice(&answer.stdout)?)
}

fn wait_for(cluster: &Cluster, run: RunId, status: &str) -> Result<()> {
    wait::until_true(bounds::RUN, &format!("a step that is {status}"), || {
        cluster
            .database
            .value(&format!("select exists (select from step where run_id = '{run}' and status = '{status}')"))
    })
}

fn records(cluster: &Cluster, run: RunId) -> Result<Vec<Recovery>> {
    Ok(cluster.client.get(&format!("/v1/recoveries?run={run}"))?.read::<RecoveryList>()?.recoveries)
}

/// The times of a record that has all of them.
fn times(recovery: &Recovery) -> Result<Vec<i64>> {
    let Recovery { lease_ended_at_ms, taken_over_at_ms, claimed_at_ms, .. } = recovery;
    let times = [
        *lease_ended_at_ms,
        Some(*taken_over_at_ms),
        *claimed_at_ms,
        recovery.reloaded_at_ms,
        recovery.replayed_at_ms,
        recovery.ready_at_ms,
    ];
    times.into_iter().collect::<Option<Vec<_>>>().with_context(|| format!("{recovery:?}"))
}

/// The stages that a history tells of.
fn stages(events: &[Event]) -> Vec<Stage> {
    let stage = |kind: &str| {
        let kind: EventKind = kind.parse().ok()?;
        Stage::ALL.into_iter().find(|stage| stage.event() == kind)
    };
    events.iter().filter_map(|event| stage(&event.kind)).collect()
}

#[test]
fn what_stands_is_listed_page_by_page() -> Result<()> {
    let mut cluster = Cluster::start("stuck_pages")?;
    cluster.push("echo")?;
    cluster.apply(
        "name = 'two'
         step = [{name = 'one', plugin = 'echo'}, {name = 'two', plugin = 'echo', queue = 'gpu', needs = ['one']}]",
    )?;
    cluster.worker("a").start()?;
    let runs = cluster.client.submit_all("two", &vec![json!(1); 5])?;
    wait::until_true(bounds::RUN, "each to wait for somebody who serves its queue", || {
        Ok(cluster.database.value::<i64>("select count(*) from step where status = 'ready' and queue = 'gpu'")? == 5)
    })?;
    // An hour passes, and nobody comes.
    cluster.database.execute("update event set at = at - interval '1 hour'")?;
    cluster.database.execute("update step set ready_at = ready_at - interval '1 hour' where ready_at is not null")?;
    let (mut found, mut before) = (Vec::new(), None::<String>);
    loop {
        let mut words = vec!["run", "list", "--status", "stuck", "--pipeline", "two", "--limit", "2", "-o", "json"];
        words.extend(before.as_deref().map(|before| ["--before", before]).iter().flatten());
        let page: RunList = serde_json::from_str(&cluster.pawl(&words)?)?;
        ensure!(page.runs.len() <= 2 && found.len() < 5, "{found:?}, {page:?}");
        found.extend(page.runs.iter().map(|run| run.id));
        match page.next {
            Some(next) => before = Some(next),
            None => break,
        }
    }
    let expected: BTreeSet<RunId> = runs.iter().copied().collect();
    assert_eq!((found.len(), found.into_iter().collect::<BTreeSet<_>>()), (5, expected), "each once");
    for wrong in ["x", "/1", &format!("{}/x", runs[0])] {
        let wrong = cluster.client.get(&format!("/v1/runs?status=stuck&before={wrong}"))?.problem(400)?;
        ensure!(wrong.detail.contains("`next` of the page before"), "{wrong:?}");
    }
    cluster.worker("b").set("PAWL_QUEUES", "gpu").start()?;
    cluster.all_succeed(&runs, bounds::RUN)?;
    cluster.finish()
}

#[test]
fn a_persons_retry_is_counted_as_no_recovery_and_a_takeover_as_one() -> Result<()> {
    let pipeline = "name = 'fails'\n[[step]]\nname = 'only'\nplugin = 'fetch'\nretry = { max_attempts = 1 }\n";
    let (target, mut pawl) = (Target::start()?, Embedded::start("retry_no_recovery", &["fetch", "batch"], pipeline)?);
    let batch = "name = 'batch'\n[[step]]\nname = 'batch'\nplugin = 'batch'\n";
    std::fs::write(pawl.folder().join("pipelines/batch.toml"), batch)?;
    pawl.said("pipeline batch")?;
    let counted = |pawl: &Embedded| Ok::<_, anyhow::Error>(Scrape::of(&pawl.client)?.sum("pawl_recoveries_total", &[]));
    target.next("/page", [Manner::Fail(503)]);
    let run = pawl.submit("fails", &pipelines::get(&target.url("/page")))?;
    wait::until_true(bounds::RUN, "it to fail", || Ok(pawl.client.run(run)?.summary.status == RunStatus::Failed))?;
    pawl.client.retry(run)?;
    pawl.succeeds(run, bounds::RUN)?;
    ensure!(counted(&pawl)? == 0.0, "a retry is counted");

    let run = pawl.submit("batch", &pipelines::batch_of(100, 20))?;
    wait::until_true(bounds::RUN, "a checkpoint", || {
        Ok(pawl.client.run(run)?.steps[0].checkpoint_position.is_some_and(|position| position > 2))
    })?;
    pawl.process()?.kill9();
    pawl.start_process(&[])?;
    pawl.succeeds(run, bounds::RECOVERY)?;
    wait::until_true(bounds::RUN, "a takeover to be counted", || Ok(counted(&pawl)? == 1.0))?;
    pawl.finish_with(&[])
}
