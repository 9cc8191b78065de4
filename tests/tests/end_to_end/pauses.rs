//! Pauses: of a run, a pipeline, a queue. Nothing new starts, what runs goes on to its end, and nothing is lost meanwhile,
//! whatever dies.

use anyhow::{Context as _, Result, ensure};
use pawl_api::types::{Because, EventKind, Explanation, PipelineList, QueueList, RunList, RunStatus, StepStatus};
use pawl_domain::id::RunId;
use pawl_tests::{Cluster, Embedded, bounds, wait};
use serde_json::{Value, json};

use crate::pipelines;

/// Steps that are on the shelf: ready and paused.
const SHELVED: &str = "select count(*) from step where status = 'ready' and ready_at >= pawl_shelved_v1()";

fn are_shelved(cluster: &Cluster, count: i64) -> Result<()> {
    wait::until_true(bounds::RECOVERY, &format!("{count} steps to be on the shelf"), || {
        Ok(cluster.database.value::<i64>(SHELVED)? == count)
    })
}

/// Nothing lies in a stream, and nothing is put there.
fn nothing_is_delivered(cluster: &Cluster) -> Result<()> {
    wait::until_true(bounds::RUN, "streams to be empty", || {
        let mut left = 0;
        for stream in cluster.redis.streams()? {
            left += cluster.redis.messages(&stream)?.len() + cluster.redis.pending(&stream)?;
        }
        Ok(left == 0)
    })
}

fn status_of(cluster: &Cluster, run: RunId, step: &str) -> Result<StepStatus> {
    let run = cluster.client.run(run)?;
    Ok(run.steps.iter().find(|it| it.name == step).context("no such step")?.status)
}

/// `mixed`: a step with checkpoints, one that sleeps, one in a queue of its own, and two that follow.
fn mixed(cluster: &Cluster) -> Result<()> {
    for plugin in ["batch", "waits", "echo"] {
        cluster.push(plugin)?;
    }
    cluster.apply(
        "name = 'mixed'
         step = [{name = 'long', plugin = 'batch', config = {items = 100, pause_ms = 50}},
                 {name = 'sleeps', plugin = 'waits'},
                 {name = 'later', plugin = 'echo', queue = 'later'},
                 {name = 'after', plugin = 'echo', needs = ['long']},
                 {name = 'end', plugin = 'echo', needs = ['after', 'sleeps', 'later']}]",
    )
}

#[test]
fn a_paused_run_loses_nothing_by_a_killed_worker_and_an_emptied_redis() -> Result<()> {
    let mut cluster = Cluster::start("pause_run")?;
    mixed(&cluster)?;
    cluster.worker("a").start()?;
    let run = cluster.submit("mixed", &json!([{"do": "sleep", "ms": 12_000}]))?;
    let id = run.to_string();
    wait::until_true(bounds::RUN, "a checkpoint, and a step that sleeps", || {
        let saved: i64 = cluster.database.value("select count(*) from step where checkpoint_ordinal > 3")?;
        Ok(saved == 1 && status_of(&cluster, run, "sleeps")? == StepStatus::Waiting)
    })?;
    let said = cluster.pawl(&["run", "pause", &id, "--reason", "the bank is down"])?;
    ensure!(said.contains("nothing of it starts until"), "{said}");
    let again = cluster.pawl(&["run", "pause", &id, "--reason", "another"])?;
    ensure!(again.contains("it was paused before"), "{again}");

    // What ran is ready again by its worker's end, what slept by its time; the third has nobody before `b`.
    cluster.the("a")?.kill9();
    cluster.redis.command::<String>(&["FLUSHALL"])?;
    cluster.worker("b").set("PAWL_QUEUES", "default,later").start()?;
    are_shelved(&cluster, 3)?;
    nothing_is_delivered(&cluster)?;
    for step in ["long", "sleeps", "later"] {
        ensure!(status_of(&cluster, run, step)? == StepStatus::Ready, "{step}");
    }

    let explained: Explanation = cluster.client.get(&format!("/v1/runs/{run}/explain"))?.read()?;
    ensure!(explained.reasons.iter().all(|reason| reason.because == Because::Paused), "{explained:?}");
    let text = cluster.pawl(&["run", "explain", &id])?;
    ensure!(text.contains("(the bank is down); unpause it with `pawl run unpause"), "{text}");
    let listed: RunList = cluster.client.get("/v1/runs?status=paused")?.read()?;
    let pause = listed.runs.first().and_then(|run| run.paused.clone()).context("it is listed")?;
    ensure!(listed.runs.len() == 1 && pause.reason.as_deref() == Some("the bank is down"), "{listed:?}");
    ensure!(cluster.pawl(&["run", "list"])?.contains("paused"));
    ensure!(
        cluster.try_pawl(&["check-interrupted", "--threshold", "0s"])?.status.success(),
        "it is called interrupted"
    );
    let doctor = cluster.try_pawl(&["doctor", "--quick"])?;
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    ensure!(doctor.status.success() && said.contains("paused: 1 run; nothing of theirs starts"), "{said}");
    let refused = cluster.try_pawl(&["run", "resume", &id])?;
    ensure!(String::from_utf8_lossy(&refused.stderr).contains("it is paused"), "{refused:?}");
    let report = cluster.pawl(&["run", "report", &id])?;
    ensure!(report.contains("pawl run unpause"), "{report}");

    cluster.redis.command::<String>(&["FLUSHALL"])?;
    cluster.pawl(&["run", "unpause", &id])?;
    cluster.succeeds(run, bounds::RECOVERY)?;
    let events = cluster.client.events(run)?;
    let note = |kind: EventKind| events.iter().find(|event| event.is(kind)).map(|event| event.note.clone());
    ensure!(note(EventKind::RunPaused) == Some(Some("the bank is down".to_owned())), "{events:?}");
    ensure!(note(EventKind::RunUnpaused) == Some(None), "{events:?}");
    let resumed = events.iter().find(|event| event.is(EventKind::StepResumed)).context("the long step goes on")?;
    ensure!(!resumed.note.as_deref().unwrap_or("").contains("checkpoint=none"), "from its checkpoint: {resumed:?}");
    let failures: i64 = cluster.database.value("select count(*) from step where failures > 0")?;
    ensure!(failures == 0, "a pause used up a retry");
    cluster.finish()
}

#[test]
fn what_runs_when_its_run_is_paused_ends_and_nothing_follows_until_it_is_unpaused() -> Result<()> {
    let mut cluster = Cluster::start("pause_running")?;
    pipelines::batch(&cluster)?;
    pipelines::chain(&cluster, 3)?;
    cluster.apply(
        "name = 'two'
         step = [{name = 'long', plugin = 'batch', config = {items = 40, pause_ms = 50}},
                 {name = 'after', plugin = 'echo', needs = ['long']}]",
    )?;
    cluster.worker("a").start()?;
    let run = cluster.submit("two", &json!(1))?;
    wait::until_true(bounds::RUN, "the first to run", || Ok(status_of(&cluster, run, "long")? == StepStatus::Running))?;
    cluster.client.post(&format!("/v1/runs/{run}/pause"), "", "")?.read::<Value>()?;
    wait::until_true(bounds::RUN, "it to end", || Ok(status_of(&cluster, run, "long")? == StepStatus::Succeeded))?;
    // Its successor went to the shelf with the same commit.
    are_shelved(&cluster, 1)?;
    nothing_is_delivered(&cluster)?;

    // Others are not in its way, nor it in theirs; and a person may still do all the rest.
    let other = cluster.submit("chain-3", &json!(1))?;
    cluster.succeeds(other, bounds::RUN)?;
    let third = cluster.submit("two", &json!(1))?;
    cluster.client.post(&format!("/v1/runs/{third}/pause"), "application/json", "{}")?.read::<Value>()?;
    cluster.client.cancel(third)?;
    ensure!(cluster.ends(third, bounds::RUN)? == RunStatus::Cancelled);
    cluster.client.post(&format!("/v1/runs/{third}/unpause"), "", "")?.problem(409)?;
    for bad in ["{\"reason\": \"\"}", "{\"reason\": \"a\\nb\"}", "{\"why\": 1}", "[]"] {
        cluster.client.post(&format!("/v1/runs/{run}/pause"), "application/json", bad)?.problem(400)?;
    }
    ensure!(status_of(&cluster, run, "after")? == StepStatus::Ready);

    cluster.client.post(&format!("/v1/runs/{run}/unpause"), "", "")?.read::<Value>()?;
    cluster.succeeds(run, bounds::RUN)?;
    cluster.client.post(&format!("/v1/runs/{run}/pause"), "", "")?.problem(409)?;
    cluster.finish()
}

/// `sorted`: two steps in the queue `gpu`.
fn sorted(cluster: &Cluster) -> Result<()> {
    cluster.push("echo")?;
    cluster.apply(
        "name = 'sorted'
         step = [{name = 'one', plugin = 'echo', queue = 'gpu'}, {name = 'two', plugin = 'echo', queue = 'gpu', needs = ['one']}]",
    )
}

#[test]
fn a_paused_queue_takes_what_is_submitted_and_another_process_lets_it_go_on() -> Result<()> {
    const RUNS: usize = 40;
    let mut cluster = Cluster::start("pause_queue")?;
    sorted(&cluster)?;
    pipelines::chain(&cluster, 3)?;
    cluster.worker("a").set("PAWL_QUEUES", "gpu,default").start()?;
    let before = cluster.submit("sorted", &json!(0))?;
    cluster.succeeds(before, bounds::RUN)?;
    let misspelt = cluster.try_pawl(&["queue", "pause", "gpus"])?;
    ensure!(String::from_utf8_lossy(&misspelt.stderr).contains("did you mean `gpu`?"), "{misspelt:?}");
    let said = cluster.pawl(&["queue", "pause", "gpu", "--reason", "new drivers"])?;
    ensure!(said.contains("gpu is paused"), "{said}");
    ensure!(cluster.pawl(&["queue", "pause", "gpu"])?.contains("was paused before"));
    let runs = cluster.client.submit_all("sorted", &vec![json!(1); RUNS])?;
    are_shelved(&cluster, RUNS as i64)?;
    nothing_is_delivered(&cluster)?;
    let other = cluster.submit("chain-3", &json!(1))?;
    cluster.succeeds(other, bounds::RUN)?;
    let pending: i64 = cluster.database.value("select count(*) from run where status = 'pending'")?;
    ensure!(pending == RUNS as i64, "{} have started", RUNS as i64 - pending);
    let list: QueueList = cluster.client.queues()?;
    let gpu = list.paused.iter().find(|it| it.queue == "gpu").context("it is paused")?;
    let waiting = gpu.pause.waiting.as_ref().context("it is counted")?;
    ensure!(gpu.pause.reason.as_deref() == Some("new drivers") && waiting.steps == RUNS as u32, "{gpu:?}");
    ensure!(waiting.since_ms.is_some_and(|since_ms| since_ms >= gpu.pause.since_ms), "{gpu:?}");
    let doctor = cluster.try_pawl(&["doctor", "--quick"])?;
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    ensure!(said.contains("the queue gpu (for") && said.contains("new drivers; 40 steps wait)"), "{said}");
    for words in [&["queue", "list", "--over", "0s"][..], &["queue", "show", "gpu", "--over", "0s"]] {
        let said = cluster.pawl(words)?;
        ensure!(said.contains("paused") && said.contains("(40 steps wait, the oldest for "), "{words:?}: {said}");
    }
    let text = cluster.pawl(&["run", "explain", &runs[0].to_string()])?;
    ensure!(text.contains("unpause it with `pawl queue unpause gpu`"), "{text}");

    // The worker dies, Redis is emptied; and whoever ends the pause dies before anything is told.
    cluster.the("a")?.kill9();
    cluster.redis.command::<String>(&["FLUSHALL"])?;
    cluster.start_api(&[("PAWL_FAULT", "pause.ended.before_release=kill")])?;
    ensure!(cluster.client.post("/v1/queues/gpu/unpause", "", "").is_err(), "it has answered");
    cluster.start_api(&[])?;
    cluster.worker("b").set("PAWL_QUEUES", "gpu,default").start()?;
    cluster.all_succeed(&runs, bounds::RECOVERY)?;
    wait::until_true(bounds::RECOVERY, "the pause to go", || {
        Ok(cluster.database.value::<i64>("select count(*) from pause")? == 0)
    })?;
    ensure!(cluster.pawl(&["queue", "unpause", "gpu"])?.contains("is not paused"));
    cluster.finish()
}

#[test]
fn a_paused_pipeline_starts_nothing_of_any_run_and_goes_on_at_once() -> Result<()> {
    let mut cluster = Cluster::start("pause_pipeline")?;
    pipelines::chain_of_naps(&cluster, 60)?;
    pipelines::chain(&cluster, 3)?;
    cluster.worker("a").start()?;
    let begun = cluster.submit("naps-60", &json!(1))?;
    wait::until_true(bounds::RUN, "some of it to be done", || {
        Ok(cluster.database.value::<i64>("select count(*) from step where status = 'succeeded'")? > 3)
    })?;
    cluster.pawl(&["pipeline", "pause", "naps-60", "--reason", "wrong figures"])?;
    are_shelved(&cluster, 1)?;
    let list: PipelineList = cluster.client.get("/v1/pipelines")?.read()?;
    let reasons: Vec<_> =
        list.pipelines.iter().filter_map(|it| Some((&*it.name, it.paused.as_ref()?.reason.clone()?))).collect();
    ensure!(reasons == [("naps-60", "wrong figures".to_owned())], "{list:?}");
    ensure!(cluster.pawl(&["pipeline", "show", "naps-60"])?.contains("wrong figures"));
    let later = cluster.submit("naps-60", &json!(1))?;
    are_shelved(&cluster, 2)?;
    let other = cluster.submit("chain-3", &json!(1))?;
    cluster.succeeds(other, bounds::RUN)?;
    ensure!(cluster.client.run(begun)?.steps.iter().all(|step| step.status != StepStatus::Running));
    let text = cluster.pawl(&["run", "explain", &later.to_string()])?;
    ensure!(text.contains("unpause it with `pawl pipeline unpause naps-60`"), "{text}");
    ensure!(cluster.try_pawl(&["check-interrupted", "--threshold", "0s"])?.status.success());

    // Of two pauses both must end.
    cluster.pawl(&["run", "pause", &later.to_string()])?;
    ensure!(cluster.pawl(&["pipeline", "unpause", "naps-60"])?.contains("goes on"));
    cluster.succeeds(begun, bounds::RUN)?;
    are_shelved(&cluster, 1)?;
    cluster.pawl(&["run", "unpause", &later.to_string()])?;
    cluster.succeeds(later, bounds::RUN)?;
    cluster.finish()
}

#[test]
fn dev_keeps_what_is_paused_through_a_kill_and_goes_on_when_it_is_unpaused() -> Result<()> {
    let pipeline = "name = 'three'
        step = [{name = 'long', plugin = 'batch', config = {items = 20, pause_ms = 50}},
                {name = 'after', plugin = 'echo', needs = ['long']},
                {name = 'last', plugin = 'echo', needs = ['after'], queue = 'default'}]";
    let mut pawl = Embedded::start("pause_dev", &["batch", "echo"], pipeline)?;
    let status = |pawl: &Embedded, run: RunId, step: &str| -> Result<StepStatus> {
        let run = pawl.client.run(run)?;
        Ok(run.steps.iter().find(|it| it.name == step).context("no such step")?.status)
    };
    let verb = |pawl: &Embedded, path: &str| -> Result<Value> { pawl.client.post(path, "", "")?.read() };
    let run = pawl.submit("three", &json!(1))?;
    wait::until_true(bounds::RUN, "the first to run", || Ok(status(&pawl, run, "long")? == StepStatus::Running))?;
    verb(&pawl, &format!("/v1/runs/{run}/pause"))?;
    wait::until_true(bounds::RUN, "it to end", || Ok(status(&pawl, run, "long")? == StepStatus::Succeeded))?;
    verb(&pawl, "/v1/queues/default/pause")?;
    verb(&pawl, "/v1/pipelines/three/pause")?;
    let waits = pawl.submit("three", &json!(2))?;
    pawl.process()?.kill9();
    pawl.start_process(&[])?;
    for (path, stands) in [
        (format!("/v1/runs/{run}/unpause"), true),
        ("/v1/queues/default/unpause".to_owned(), true),
        ("/v1/pipelines/three/unpause".to_owned(), false),
    ] {
        verb(&pawl, &path)?;
        if stands {
            // As long as one pause is left, whoever claims them leaves them.
            let other: Explanation = pawl.client.get(&format!("/v1/runs/{waits}/explain"))?.read()?;
            ensure!(other.reasons.iter().all(|reason| reason.because == Because::Paused), "{other:?}");
            ensure!(status(&pawl, run, "after")? == StepStatus::Ready, "after {path}");
        }
    }
    pawl.succeeds(run, bounds::RECOVERY)?;
    pawl.succeeds(waits, bounds::RECOVERY)?;
    pawl.finish_with(&[])
}
