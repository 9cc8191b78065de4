//! Replays over HTTP: what a step saw and said, up to an entry that somebody picks, executed in a process that is bounded, and
//! nothing of the step moves.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use pawl_api::types::{LogList, ReplayHow, Run, RunStatus, StepReplay, StepStatus, SubmittedRun};
use pawl_domain::id::RunId;
use pawl_tests::runtime::block_on;
use pawl_tests::{binary, bounds, wait};
use serde_json::{Value, json};

use crate::served::Api;

const TALK: &str = "name = \"talk\"\n[[step]]\nname = \"say\"\nplugin = \"chatty\"\n";

const WALK: &str = "name = \"walk\"\n[[step]]\nname = \"go\"\nplugin = \"batch\"\n";

fn push(api: &Api, component: &str, name: &str, version: &str) -> Result<()> {
    let path = format!("/v1/plugins/{name}/versions/{version}");
    let pushed = api.client.post(&path, "application/wasm", binary::component(component)?)?;
    ensure!(pushed.status == 201, "{component}: {}", pushed.status);
    Ok(())
}

fn submit(api: &Api, pipeline: &str, input: &Value) -> Result<RunId> {
    Ok(block_on(api.client.try_submit(pipeline, input, None))?.read::<SubmittedRun>()?.id)
}

fn run(api: &Api, run: RunId) -> Result<Run> {
    api.client.get(&format!("/v1/runs/{run}"))?.read()
}

fn succeeds(api: &Api, id: RunId) -> Result<()> {
    wait::until_true(bounds::RUN, "the run to succeed", || Ok(run(api, id)?.summary.status == RunStatus::Succeeded))
}

fn replayed(api: &Api, run: RunId, step: &str, query: &str) -> Result<StepReplay> {
    api.client.get(&format!("/v1/runs/{run}/steps/{step}/replay{query}"))?.read()
}

#[test]
fn a_replay_shows_what_a_step_saw_and_said_up_to_an_entry() -> Result<()> {
    let mut api = Api::start("replays")?;
    push(&api, "chatty", "chatty", "1")?;
    api.apply(TALK)?;
    let _worker = api.worker()?;
    let id = submit(&api, "talk", &json!({"lines": 4}))?;
    succeeds(&api, id)?;
    let before = run(&api, id)?;
    let logged =
        || -> Result<usize> { Ok(api.client.get(&format!("/v1/runs/{id}/logs"))?.read::<LogList>()?.lines.len()) };
    wait::until_true(bounds::RUN, "its lines to be kept", || Ok(logged()? == 4))?;

    let whole = replayed(&api, id, "say", "")?;
    assert_eq!((whole.end.how, whole.fits()), (ReplayHow::Returned, true), "{whole:?}");
    assert_eq!(whole.end.output.as_ref().map(|output| output.get()), Some("4"));
    assert_eq!(whole.component, whole.recorded_by);
    let clock = |replay: &StepReplay| -> Vec<Option<u32>> {
        replay.calls.iter().filter(|call| call.call == "durable.now()").map(|call| call.position).collect()
    };
    let readings = clock(&whole);
    assert_eq!(readings.len(), 4, "{whole:?}");
    assert_eq!(whole.lines.len(), 4, "what it said is said again to whoever looks: {whole:?}");
    assert_eq!(whole.lines[2].message, "a line");
    let fields = whole.lines[2].fields.as_ref().context("it has fields")?;
    assert_eq!(serde_json::from_str::<Value>(fields.get())?["line"], "2");

    // The third reading is not answered any more.
    let to = readings[2].context("it is an entry")?;
    let stopped = replayed(&api, id, "say", &format!("?to={to}"))?;
    assert_eq!((stopped.end.how, stopped.end.position), (ReplayHow::Stopped, Some(to)), "{stopped:?}");
    assert_eq!(stopped.end.call.as_deref(), Some("durable.now()"));
    assert_eq!((clock(&stopped), stopped.lines.len()), (readings[..2].to_vec(), 3), "{stopped:?}");
    assert_eq!(stopped.lines[2].position, to, "said right before it");
    assert_eq!(replayed(&api, id, "say", "?to=0")?.end.how, ReplayHow::Stopped);
    assert_eq!(replayed(&api, id, "say", "?to=4294967295")?.end.how, ReplayHow::Returned);

    assert_eq!(serde_json::to_value(run(&api, id)?)?, serde_json::to_value(before)?, "a replay has changed the run");
    assert_eq!(logged()?, 4, "what a replay says is kept by nobody");
    api.client.get(&format!("/v1/runs/{id}/steps/nobody/replay"))?.problem(404)?;
    api.client.get(&format!("/v1/runs/{id}/steps/say/replay?on=abcdef12"))?.problem(404)?;
    api.client.get(&format!("/v1/runs/{id}/steps/say/replay?to=-1"))?.problem(400)?;
    api.stop()
}

#[test]
fn another_component_is_tried_against_the_journal_and_the_two_calls_stand_side_by_side() -> Result<()> {
    let mut api = Api::start("replays_other")?;
    push(&api, "batch", "batch", "1")?;
    api.apply(WALK)?;
    let _worker = api.worker()?;
    let id = submit(&api, "walk", &json!({"items": 3, "readings": 1, "checkpoint_every": 0}))?;
    succeeds(&api, id)?;
    push(&api, "batch-v2", "batch", "2")?;
    let own = replayed(&api, id, "go", "?on=pinned")?;
    assert_eq!(own.end.how, ReplayHow::Returned, "{own:?}");
    let other = replayed(&api, id, "go", "?on=latest")?;
    assert_eq!((other.end.how, other.fits()), (ReplayHow::Diverged, false), "{other:?}");
    assert_ne!(other.component, other.recorded_by);
    let divergence = other.end.divergence.context("it says where")?;
    assert!(divergence.expected.is_some_and(|call| call.contains("now")), "what was recorded");
    assert!(divergence.actual.contains("once"), "what was called: {}", divergence.actual);
    api.stop()
}

#[test]
fn a_replay_ends_with_its_time_and_with_whoever_has_asked_for_it() -> Result<()> {
    let mut api = Api::start("replays_bounds")?;
    push(&api, "batch", "batch", "1")?;
    api.apply(WALK)?;
    let _worker = api.worker()?;
    let quick = submit(&api, "walk", &json!({"items": 2, "readings": 1, "checkpoint_every": 0}))?;
    succeeds(&api, quick)?;
    // It reads the clock, and computes for minutes.
    let long = submit(&api, "walk", &json!({"items": 1, "readings": 1, "pause_ms": 600_000, "checkpoint_every": 0}))?;
    wait::until_true(bounds::RUN, "its reading to be durable", || {
        let step = &run(&api, long)?.steps[0];
        Ok(step.status == StepStatus::Running && step.journal_length > 0)
    })?;
    let path = format!("/v1/runs/{long}/steps/go/replay");
    let gone = block_on(async {
        let impatient = reqwest::Client::builder().timeout(Duration::from_secs(3)).build()?;
        impatient.get(api.client.url(&path)).send().await
    });
    ensure!(gone.is_err_and(|error| error.is_timeout()), "it takes longer than that");
    // Its place is free, or this one would be told that others are before it.
    let begun = Instant::now();
    assert_eq!(replayed(&api, quick, "go", "")?.end.how, ReplayHow::Returned);
    ensure!(begun.elapsed() < bounds::RUN, "{:?}", begun.elapsed());
    api.client.cancel(long)?;
    api.stop()?;

    api.config.apart.time = Duration::from_secs(3);
    api.serve()?;
    let refused = api.client.get(&path)?.problem(422)?;
    ensure!(refused.kind == "/problems/not-replayed" && refused.detail.contains("within 3s"), "{refused:?}");
    api.stop()
}

#[test]
fn a_sealed_run_is_replayed_by_whoever_has_the_key() -> Result<()> {
    let mut api = Api::start("replays_sealed")?;
    push(&api, "chatty", "chatty", "1")?;
    api.apply(TALK)?;
    let sealing = json!({"sealing": "on"}).to_string();
    let sent = api.client.send(
        "PUT",
        "/v1/namespaces/default/sealing",
        &[("content-type", "application/json")],
        sealing.into(),
    );
    ensure!(block_on(sent)?.status < 300, "sealed from now on");
    let worker = api.worker()?;
    let id = submit(&api, "talk", &json!({"lines": 2}))?;
    succeeds(&api, id)?;
    assert_eq!(replayed(&api, id, "say", "")?.end.how, ReplayHow::Returned);
    drop(worker);
    api.stop()?;
    api.config.secrets = pawl_base::envelope::Keys::default();
    api.serve()?;
    let refused = api.client.get(&format!("/v1/runs/{id}/steps/say/replay"))?.problem(503)?;
    ensure!(refused.kind == "/problems/sealed", "{refused:?}");
    api.stop()
}
