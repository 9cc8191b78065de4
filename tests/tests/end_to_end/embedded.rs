//! `pawl dev`: the promises on SQLite and the queue in memory, with the whole process killed at every named point
//! of the protocol and started again; and what a developer sees when files change.

use std::collections::BTreeMap;

use anyhow::Result;
use pawl_api::types::SubmittedRun;
use pawl_domain::id::RunId;
use pawl_tests::runtime::block_on;
use pawl_tests::{Embedded, Target, bounds, wait};
use serde_json::json;

use crate::pipelines::{self, EVERYTHING_PLUGINS, everything_toml};

broken_at! {
    dev_killed_before_the_claim: "redis.read.before_claim" "kill";
    dev_killed_after_a_submissions_commit: "submit.committed.reply_lost" "kill";
    dev_killed_after_the_claims_commit: "claim.committed.reply_lost" "kill";
    dev_loses_the_answer_to_a_claim: "claim.committed.reply_lost" "lose";
    dev_killed_before_the_guest_starts: "claim.before_guest" "kill";
    dev_killed_while_a_batch_is_written: "batch.sent" "kill";
    dev_killed_before_a_durable_intent_leaves: "effect.intent_durable.before_send" "kill";
    dev_killed_between_an_effects_answer_and_its_journal: "effect.answered.before_journal" "kill";
    dev_killed_while_a_checkpoint_is_superseded: "checkpoint.in_flight.superseded" "kill";
    dev_killed_before_a_once_is_finished: "once.finish.before_commit" "kill";
    dev_killed_after_an_outcomes_commit: "outcome.committed.reply_lost" "kill";
    dev_loses_the_answer_to_an_outcome: "outcome.committed.reply_lost" "lose";
    dev_killed_before_successors_are_published: "outcome.committed.before_publish" "kill";
    dev_killed_before_the_message_is_acknowledged: "outcome.committed.before_ack" "kill";
}

const RUNS: usize = 6;
const HITS: [usize; 2] = [1, 3];

fn breaks(name: &str, point: &str, action: &str) -> Result<()> {
    let mut pawl = Embedded::start(name, &EVERYTHING_PLUGINS, &everything_toml(0))?;
    pawl.process()?.terminate(bounds::PROCESS)?;
    let target = Target::start()?;
    let mut runs = Vec::new();
    for (round, hit) in HITS.into_iter().enumerate() {
        let numbers = round * RUNS..(round + 1) * RUNS;
        pawl.start_process(&[("PAWL_FAULT", &format!("{point}={action}@{hit}"))])?;
        for number in numbers.clone() {
            // The process may die of it: the key makes it safe to ask again.
            let _ = submit(&pawl, &target, number);
        }
        if action == "kill" {
            let status = pawl.process()?.wait(bounds::RUN)?;
            anyhow::ensure!(status.is_some(), "pawl dev did not die");
            pawl.start_process(&[])?;
        } else {
            wait::until_true(bounds::RUN, "the fault to happen", || {
                Ok(pawl.text()?.contains("a fault point was hit"))
            })?;
        }
        for number in numbers {
            runs.push(submit(&pawl, &target, number)?);
        }
        for run in &runs {
            pawl.succeeds(*run, bounds::RECOVERY)?;
        }
        if round + 1 < HITS.len() {
            pawl.process()?.terminate(bounds::PROCESS)?;
        }
    }
    for (number, run) in runs.iter().enumerate() {
        pipelines::check_everything(number, &pawl.client.output(*run, "join")?)?;
        let steps = pawl.client.run(*run)?.steps;
        assert!(steps.iter().all(|step| step.failures == 0), "a crash used up a retry");
    }
    for effect in ["/effect/", "/once/"] {
        let expected: BTreeMap<_, _> = (0..runs.len()).map(|number| (format!("{effect}{number}"), 1)).collect();
        assert_eq!(target.performed(effect), expected, "an effect happened more or less than once");
    }
    pawl.finish_with(&[&target])
}

fn submit(pawl: &Embedded, target: &Target, number: usize) -> Result<RunId> {
    let input = pipelines::everything_input(target, number);
    let key = format!("number-{number}");
    Ok(block_on(pawl.client.try_submit("everything", &input, Some(&key)))?.read::<SubmittedRun>()?.id)
}

const BATCH: &str = "name = \"batch\"\n[[step]]\nname = \"batch\"\nplugin = \"batch\"\n";

#[test]
fn a_changed_component_is_active_for_the_next_run_and_a_broken_one_is_not() -> Result<()> {
    let mut pawl = Embedded::start("dev_reload", &["batch"], BATCH)?;
    let digest_of_a_run = |pawl: &Embedded| {
        let run = pawl.submit("batch", &json!({"items": 3}))?;
        pawl.succeeds(run, bounds::RUN)?;
        anyhow::Ok(pawl.client.run(run)?.steps[0].component)
    };
    let first = digest_of_a_run(&pawl)?;
    let held = pawl.submit("batch", &pipelines::batch_of(60, 20))?;

    pawl.put_component("batch-v2", "batch")?;
    wait::until_true(bounds::RUN, "the new version", || Ok(digest_of_a_run(&pawl)? != first))?;
    let second = digest_of_a_run(&pawl)?;

    std::fs::write(pawl.folder().join("plugins/batch.wasm"), "no component")?;
    pawl.said("the version before stays active")?;
    assert_eq!(digest_of_a_run(&pawl)?, second, "what is broken became active");

    pawl.succeeds(held, bounds::RUN)?;
    assert_eq!(pawl.client.run(held)?.steps[0].component, first, "a step in flight changed its component");
    pawl.finish_with(&[])
}

#[test]
fn a_changed_pipeline_is_current_and_a_wrong_one_is_shown_with_its_line() -> Result<()> {
    let mut pawl = Embedded::start("dev_pipelines", &["batch"], BATCH)?;
    pawl.put_pipeline(&BATCH.replace("plugin = \"batch\"", "plugin = \"bacth\""))?;
    pawl.said("did you mean `batch`?")?;
    pawl.said("the version before stays the current one")?;
    pawl.put_pipeline(&BATCH.replace("name = \"batch\"\n[[", "name = \"renamed\"\n[["))?;
    pawl.said("pipeline renamed (1 step)")?;
    for pipeline in ["batch", "renamed"] {
        let run = pawl.submit(pipeline, &json!({"items": 1}))?;
        pawl.succeeds(run, bounds::RUN)?;
    }
    pawl.finish_with(&[])
}

#[test]
fn a_folder_belongs_to_one_process() -> Result<()> {
    let pawl = Embedded::start("dev_twice", &["echo"], "name = \"e\"\n[[step]]\nname = \"e\"\nplugin = \"echo\"\n")?;
    let mut second = pawl_tests::binary::pawl()?;
    let data = pawl.folder().join("data");
    let output = second.args(["dev", "--listen", "127.0.0.1:0", "--data"]).arg(data).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("another pawl uses") && said.contains("--data"), "{said}");
    assert_eq!(output.status.code(), Some(2), "it is wrong usage");
    pawl.finish_with(&[])
}

#[test]
fn only_this_machine_is_served() -> Result<()> {
    let output = pawl_tests::binary::pawl()?.args(["dev", "--listen", "0.0.0.0:7340"]).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("serves this machine only") && said.contains("pawl api"), "{said}");
    Ok(())
}
