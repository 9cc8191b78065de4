//! `kill -9`, a stop or a lost answer at every named point of the protocol. Each test breaks one worker at
//! one point, at its first and at a later hit, and lets another one finish: every run gives its result,
//! every effect happens once, every promise holds.

use std::collections::BTreeMap;

use anyhow::Result;
use pawl_tests::{Cluster, Target, binary, bounds, wait};
use serde_json::json;

use crate::{pipelines, waits};

broken_at! {
    killed_before_the_claim: "redis.read.before_claim" "kill";
    killed_after_the_claims_commit: "claim.committed.reply_lost" "kill";
    lost_answer_to_a_claim: "claim.committed.reply_lost" "lose";
    killed_before_the_guest_starts: "claim.before_guest" "kill";
    killed_while_the_server_works_on_a_batch: "batch.sent" "kill";
    killed_before_a_durable_intent_leaves: "effect.intent_durable.before_send" "kill";
    killed_between_an_effects_answer_and_its_journal: "effect.answered.before_journal" "kill";
    killed_while_a_checkpoint_is_superseded: "checkpoint.in_flight.superseded" "kill";
    killed_before_a_once_is_finished: "once.finish.before_commit" "kill";
    killed_after_an_outcomes_commit: "outcome.committed.reply_lost" "kill";
    lost_answer_to_an_outcome: "outcome.committed.reply_lost" "lose";
    killed_before_successors_are_published: "outcome.committed.before_publish" "kill";
    killed_before_the_message_is_acknowledged: "outcome.committed.before_ack" "kill";
}

const RUNS: usize = 6;
const HITS: [usize; 2] = [1, 3];

fn breaks(name: &str, point: &str, action: &str) -> Result<()> {
    let mut cluster = Cluster::start(name)?;
    let target = Target::start()?;
    pipelines::everything(&cluster)?;
    let mut runs = Vec::new();
    for (round, hit) in HITS.into_iter().enumerate() {
        let inputs: Vec<_> =
            (0..RUNS).map(|number| pipelines::everything_input(&target, round * RUNS + number)).collect();
        let (broken, other) = (format!("broken-{round}"), format!("other-{round}"));
        // Alone at first, so that the point is its own.
        cluster.worker(&broken).fault(&format!("{point}={action}@{hit}")).start()?;
        runs.extend(cluster.client.submit_all("everything", &inputs)?);
        was_broken(&mut cluster, &broken, action)?;
        cluster.worker(&other).start()?;
        cluster.all_succeed(&runs, bounds::RECOVERY)?;
        cluster.the(&other)?.terminate(bounds::PROCESS)?;
        if action == "lose" {
            cluster.the(&broken)?.terminate(bounds::PROCESS)?;
        }
    }
    check_results(&cluster, &target, &runs)?;
    cluster.finish_with(&[&target])
}

/// Waits until the fault has happened: the worker died of it, or its log tells of it.
fn was_broken(cluster: &mut Cluster, worker: &str, action: &str) -> Result<()> {
    if action == "kill" {
        return cluster.dies(worker, bounds::RUN);
    }
    let log = cluster.log(worker);
    wait::until_true(bounds::RUN, "the fault to happen", || {
        Ok(std::fs::read_to_string(&log)?.contains("a fault point was hit"))
    })
}

fn check_results(cluster: &Cluster, target: &Target, runs: &[pawl_domain::id::RunId]) -> Result<()> {
    for (number, run) in runs.iter().enumerate() {
        pipelines::check_everything(number, &cluster.client.output(*run, "join")?)?;
    }
    for effect in ["/effect/", "/once/"] {
        let expected: BTreeMap<_, _> = (0..runs.len()).map(|number| (format!("{effect}{number}"), 1)).collect();
        assert_eq!(target.performed(effect), expected, "an effect happened more or less than once");
    }
    let failures: i64 = cluster.database.value("select count(*) from step where failures > 0")?;
    assert_eq!(failures, 0, "a crash used up a retry");
    Ok(())
}

#[test]
fn killed_after_a_takeovers_commit_and_before_its_message() -> Result<()> {
    let mut cluster = Cluster::start("killed_in_takeover")?;
    pipelines::batch(&cluster)?;
    cluster.worker("holder").start()?;
    let run = cluster.submit("batch", &pipelines::batch_of(100, 5))?;
    cluster.holder(run, "batch", bounds::RUN)?;
    cluster.the("holder")?.kill9();
    cluster.worker("sweeper").fault("takeover.committed.before_publish=kill").start()?;
    cluster.dies("sweeper", bounds::RECOVERY)?;
    cluster.worker("other").start()?;
    cluster.succeeds(run, bounds::RECOVERY)?;
    assert_eq!(cluster.client.output(run, "batch")?["digest"], pipelines::digest_of(100));
    cluster.finish()
}

/// The worker knows the pipeline, so that its next step is given a head start; the machine may be too busy for that, so
/// that it takes some more. Where run-ahead is switched off, the point is never reached.
#[test]
fn killed_before_the_commit_of_a_head_start() -> Result<()> {
    let mut cluster = Cluster::start("killed_in_head_start")?;
    pipelines::chain(&cluster, 3)?;
    let mut runs = Vec::new();
    let at_most = if binary::runs_ahead() { 100 } else { 10 };
    for hit in HITS {
        let broken = format!("broken-{hit}");
        cluster.worker(&broken).fault(&format!("head_start.before_commit=kill@{hit}")).start()?;
        for _ in 0..at_most {
            if !cluster.the(&broken)?.is_running() {
                break;
            }
            let run = cluster.submit("chain-3", &json!(runs.len()))?;
            runs.push(run);
            wait::until_true(bounds::RUN, "the run to end, or the worker", || {
                let ended =
                    cluster.database.value(&format!("select ended_at is not null from run where id = '{run}'"))?;
                Ok(ended || !cluster.the(&broken)?.is_running())
            })?;
        }
        let survived = cluster.the(&broken)?.is_running();
        assert_eq!(
            survived,
            !binary::runs_ahead(),
            "of up to {at_most} steps, one is given a head start if any may be"
        );
        if survived {
            cluster.the(&broken)?.terminate(bounds::PROCESS)?;
        }
    }
    cluster.worker("other").start()?;
    cluster.all_succeed(&runs, bounds::RECOVERY)?;
    for (number, run) in runs.iter().enumerate() {
        assert_eq!(cluster.client.output(*run, "s2")?, json!(number));
    }
    let repeated: i64 = cluster.database.value("select count(*) from step where attempts <> 1 or crashes > 0")?;
    assert_eq!(repeated, 0, "a head start that nobody has seen counted as an attempt");
    cluster.finish()
}

/// A signal comes while the step is neither running nor waiting, or none does until the time is over.
#[test]
fn killed_before_a_suspensions_commit_racing_a_signal_and_a_timeout() -> Result<()> {
    let mut cluster = Cluster::start("killed_in_suspension")?;
    waits::pipeline(&cluster)?;
    cluster.worker("broken").fault("suspend.before_commit=kill").start()?;
    let orders = json!([
        waits::awaits("approved", Some(700)), {"do": "remember"}, waits::awaits("approved", Some(300))
    ]);
    let runs = cluster.client.submit_all("waits", &vec![orders; RUNS])?;
    cluster.dies("broken", bounds::RUN)?;
    let (told, untold) = runs.split_at(RUNS / 2);
    for run in told {
        waits::signal(&cluster, *run, "approved", &json!("in time"))?;
    }
    // Killed once more, before the second wait: the first one is replayed as it came out.
    cluster.worker("broken again").fault("suspend.before_commit=kill@2").start()?;
    cluster.dies("broken again", bounds::RECOVERY)?;
    cluster.worker("other").start()?;
    cluster.all_succeed(&runs, bounds::RECOVERY)?;
    for (runs, expected) in [(told, json!("in time")), (untold, json!(null))] {
        for run in runs {
            let output = cluster.client.output(*run, "wait")?;
            let saw = json!([expected, null]);
            assert_eq!((&output["saw"], &output["remembered"][0]), (&saw, &expected), "{}", cluster.story(*run));
        }
    }
    let failures: i64 = cluster.database.value("select count(*) from step where failures > 0")?;
    assert_eq!(failures, 0, "a crash used up a retry");
    cluster.finish()
}

#[test]
fn an_emptied_redis_between_reading_a_message_and_claiming_its_step() -> Result<()> {
    let mut cluster = Cluster::start("flush_before_claim")?;
    let target = Target::start()?;
    pipelines::everything(&cluster)?;
    cluster.worker("slow").fault("redis.read.before_claim=pause:700").start()?;
    let inputs: Vec<_> = (0..RUNS).map(|number| pipelines::everything_input(&target, number)).collect();
    let runs = cluster.client.submit_all("everything", &inputs)?;
    was_broken(&mut cluster, "slow", "pause")?;
    cluster.redis.flush_all()?;
    cluster.all_succeed(&runs, bounds::RECOVERY)?;
    check_results(&cluster, &target, &runs)?;
    cluster.finish_with(&[&target])
}

#[test]
fn a_submission_whose_answer_is_lost_is_found_again_under_its_key() -> Result<()> {
    for action in ["kill", "lose"] {
        let mut cluster = Cluster::start(&format!("lost_submission_{action}"))?;
        pipelines::chain(&cluster, 2)?;
        cluster.start_api(&[("PAWL_FAULT", &format!("submit.committed.reply_lost={action}"))])?;
        let submit = |cluster: &Cluster| {
            pawl_tests::runtime::block_on(cluster.client.try_submit("chain-2", &serde_json::json!(1), Some("the-key")))
        };
        // An API that only loses the answer of Postgres asks again, and may have one for its client.
        let first = submit(&cluster);
        if action == "kill" {
            anyhow::ensure!(first.is_err(), "there was an answer: {first:?}");
        }
        cluster.start_api(&[])?;
        let again: pawl_api::types::SubmittedRun = submit(&cluster)?.read()?;
        assert_eq!(cluster.database.value::<i64>("select count(*) from run")?, 1, "submitted twice");
        cluster.worker("a").start()?;
        cluster.succeeds(again.id, bounds::RECOVERY)?;
        cluster.finish()?;
    }
    Ok(())
}

#[test]
fn every_fault_point_of_the_code_is_broken_by_a_test() -> Result<()> {
    // Those of retention, pauses, circuits and backups are broken where these are tested.
    let tests = [
        include_str!("fault_points.rs"),
        include_str!("retention.rs"),
        include_str!("pauses.rs"),
        include_str!("backup/mod.rs"),
        include_str!("circuits.rs"),
    ]
    .concat();
    let mut points = Vec::new();
    named_points(&pawl_tests::binary::repository().join("host"), &mut points)?;
    assert!(points.len() >= 12, "only {points:?} were found");
    let untested: Vec<_> = points.iter().filter(|point| !tests.contains(point.as_str())).collect();
    assert!(untested.is_empty(), "no test breaks {untested:?}");
    Ok(())
}

/// The names of all fault points in the sources below a folder.
fn named_points(folder: &std::path::Path, points: &mut Vec<String>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            named_points(&path, points)?;
        } else if path.file_name().is_some_and(|name| name != "fault.rs") {
            let source = std::fs::read_to_string(&path)?;
            for call in ["fault::point(\"", "fault::lost(\""] {
                points.extend(source.split(call).skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
            }
        }
    }
    Ok(())
}
