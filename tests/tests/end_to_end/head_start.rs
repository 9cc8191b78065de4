//! Head starts: a short step is claimed and ended by one commit, and nobody outside can tell. Where run-ahead is
//! switched off, there are none, and all else is the same.

use std::time::Duration;

use anyhow::Result;
use pawl_domain::event::EventKind;
use pawl_domain::id::RunId;
use pawl_tests::proxy::{Mode, Proxy};
use pawl_tests::{Cluster, Target, binary, bounds, wait};
use serde_json::json;

use crate::pipelines;

/// Runs after which it is certain that none is given a head start, however busy the machine.
const MANY: usize = 100;

/// As many are tried where none may be.
const SOME: usize = 10;

/// Whether the run's first step was claimed and ended by one commit.
fn had_a_head_start(cluster: &Cluster, run: RunId) -> Result<bool> {
    cluster.database.value(&format!("select claimed_at = ended_at from step where run_id = '{run}' and step_no = 0"))
}

/// Submits runs until one has a head start, and returns it; or the last of some, of which none may have one.
fn until_a_head_start(cluster: &Cluster, submit: impl Fn(usize) -> Result<RunId>) -> Result<RunId> {
    for number in 0..MANY {
        let run = submit(number)?;
        let had_one = had_a_head_start(cluster, run)?;
        assert!(binary::runs_ahead() || !had_one, "a head start, though nothing may be run ahead");
        if had_one || (!binary::runs_ahead() && number >= SOME) {
            return Ok(run);
        }
    }
    anyhow::bail!("none of {MANY} steps was given a head start")
}

#[test]
fn a_short_step_is_claimed_and_ended_by_one_commit() -> Result<()> {
    let mut cluster = Cluster::start("head_start_commits")?;
    pipelines::chain(&cluster, 3)?;
    cluster.worker("a").start()?;
    let run = until_a_head_start(&cluster, |number| {
        let run = cluster.submit("chain-3", &json!(number))?;
        cluster.succeeds(run, bounds::RUN)?;
        assert_eq!(cluster.client.output(run, "s2")?, json!(number));
        Ok(run)
    })?;
    let events = cluster.client.events(run)?;
    use EventKind::{RunStarted, RunSubmitted, StepStarted, StepSucceeded};
    let told = [RunSubmitted, RunStarted, StepStarted, StepSucceeded];
    assert!(events.iter().zip(told).all(|(event, kind)| event.is(kind)), "told as ever: {events:?}");
    assert!(events.len() > told.len(), "{events:?}");
    cluster.finish()
}

#[test]
fn nothing_leaves_in_a_head_start_before_the_claim_is_committed() -> Result<()> {
    let mut cluster = Cluster::start("head_start_requests")?;
    let target = Target::start()?;
    pipelines::fetch(&cluster)?;
    let proxy = Proxy::start(format!("127.0.0.1:{}", cluster.postgres.port()))?;
    let url = proxy.url(&cluster.postgres.url());
    cluster.worker("a").default_lease().set("PAWL_DATABASE_URL", &url).start()?;
    let warm = cluster.submit("fetch", &pipelines::get(&target.url("/warm")))?;
    cluster.succeeds(warm, bounds::RUN)?;

    // Now a claim takes half a second and more, and the guest would have asked at once.
    proxy.set(Mode::Delay(Duration::from_millis(500)));
    let run = cluster.submit("fetch", &pipelines::get(&target.url("/asked")))?;
    wait::until_true(bounds::RUN, "the request", || Ok(target.count("/asked") == 1))?;
    let state = cluster.database.lines(&format!("select status from step where run_id = '{run}'"))?;
    assert_ne!(state, ["ready"], "a request left before its step was claimed");
    proxy.heal();
    cluster.succeeds(run, bounds::RUN)?;
    cluster.finish_with(&[&target])
}

/// Messages are guesses. These are of steps on a queue that nobody serves, and reach the worker by another one.
#[test]
fn a_message_that_tells_an_untruth_changes_nothing() -> Result<()> {
    let mut cluster = Cluster::start("head_start_untruth")?;
    cluster.push("echo")?;
    cluster.push_as("batch", "other", "1")?;
    cluster.apply("name = \"aside\"\n[[step]]\nname = \"echo\"\nplugin = \"echo\"\nqueue = \"aside\"\n")?;
    cluster.worker("a").start()?;
    let (aside, served) = (cluster.stream("aside", "normal")?, cluster.stream("default", "normal")?);
    let submit = |untruth: &[(&str, &str)]| -> Result<RunId> {
        let run = cluster.submit("aside", &json!({"true": 1}))?;
        let name = run.to_string();
        let message = wait::until(bounds::RUN, "the message", || {
            let found = cluster.redis.messages(&aside)?.into_iter().find(|message| message.fields["run"] == name);
            Ok(found.map_or_else(|| wait::Look::NotYet("none".into()), wait::Look::Done))
        })?;
        let mut fields = message.fields;
        fields.extend(untruth.iter().map(|(field, value)| ((*field).to_owned(), (*value).to_owned())));
        let words: Vec<&str> = fields.iter().flat_map(|(field, value)| [field.as_str(), value.as_str()]).collect();
        cluster.redis.command::<String>(&[&["XADD", served.as_str(), "*"], words.as_slice()].concat())?;
        let _: i64 = cluster.redis.command(&["XDEL", &aside, &message.id])?;
        cluster.succeeds(run, bounds::RUN)?;
        Ok(run)
    };
    until_a_head_start(&cluster, |_| submit(&[]))?;
    let component = cluster.database.lines("select encode(digest, 'hex') from plugin_version where name = 'other'")?;
    for untruth in
        [("input", "{\"true\":0}"), ("input", "no JSON"), ("component", &component[0]), ("pipeline", &component[0])]
    {
        let run = submit(&[untruth])?;
        assert!(!had_a_head_start(&cluster, run)?, "{untruth:?} was believed");
        assert_eq!(cluster.client.output(run, "echo")?, json!({"true": 1}), "{untruth:?} had an effect");
        let steps = cluster.client.run(run)?.steps;
        assert_eq!((steps[0].attempts, steps[0].fence), (1, 1), "{untruth:?} was claimed");
    }
    // A stream without a reader has no group that could be looked into.
    cluster.worker("aside").set("PAWL_QUEUES", "aside").start()?;
    wait::until_true(bounds::PROCESS, "its reader", || Ok(cluster.redis.pending(&aside).is_ok()))?;
    cluster.finish()
}
