//! The drill itself.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use pawl_api::client::Client;
use pawl_api::types::{EventList, Requeued, Run, RunStatus, StepDetail, SubmitRun};
use pawl_base::tell;
use pawl_domain::id::{Digest, RunId};
use pawl_domain::pipeline_file::Format;
use pawl_queue::{Queue as _, RedisStreams};
use pawl_store::Postgres;
use pawl_store::doctor::Invariants as _;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::summary::Summary;
use super::{Recovery, Servers};
use crate::observer::Observer;

/// The drill's plugin, pipeline and step.
const NAME: &str = "drill-recovery";

/// The queue of the drill, unless it shares one.
const OWN_QUEUE: &str = "drill";

/// How long the task computes for each item, in ms.
const ITEM_MS: u64 = 10;

/// How long something may take besides computing: a start, a takeover, a settling.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often is looked.
const PAUSE: Duration = Duration::from_millis(20);

/// What the task says about itself.
#[derive(Debug, Deserialize)]
struct Output {
    items: u32,
    resumed_at: u32,
    done_here: u32,
}

/// Plays the drill; what is found goes into the summary.
pub(super) async fn play(args: &Recovery, servers: &mut Servers, summary: &mut Summary) -> anyhow::Result<()> {
    let client = servers.coordinator(args).await?;
    let mut observer = Observer::connect(&servers.database_url, &servers.redis_config).await?;
    let queue = if args.shared_queue { "default" } else { OWN_QUEUE };
    prepare(args, &client, queue).await?;

    let first = servers.start_worker(queue)?;
    let items = (args.task_length.as_millis() as u64 / ITEM_MS).max(20);
    let run = submit(&client, items).await?;
    summary.run = Some(run);
    summary.items = items;
    tell!("run {run}: one step of {items} items");

    // In the middle: late enough that there is something to lose, early enough that something is left.
    let wanted = i32::try_from(items / 5).unwrap_or(i32::MAX).max(2);
    let pid = servers.worker(first).pid();
    wait("the checkpoint to move", args.task_length + PATIENCE, async |_| {
        servers.worker(first).ensure_running()?;
        let step = observer.step(run.0, 0).await?;
        let other = step.worker_pid.filter(|other| step.status == "running" && i64::from(*other) != i64::from(pid));
        anyhow::ensure!(other.is_none(), "another worker has the task; run the drill without --shared-queue");
        anyhow::ensure!(step.status != "succeeded", "the task ended before it was killed; give a longer --task-length");
        Ok(step.checkpoints >= wanted)
    })
    .await?;
    servers.worker(first).kill9();
    let killed_at_ms = observer.now_ms().await?;
    summary.checkpoint_at_kill = observer.step(run.0, 0).await?.checkpoints;
    tell!("killed worker-1 (pid {pid}) at item {} or later", summary.checkpoint_at_kill);

    let second = servers.start_worker(queue)?;
    tell!("started worker-2; asking for the step to be delivered again");
    wait("the replacement to take the step over", PATIENCE, async |waited: Duration| {
        servers.worker(second).ensure_running()?;
        // Workers find a dead one's steps by themselves; the runbook asks besides.
        if waited.as_millis() % 200 < PAUSE.as_millis() {
            for path in ["requeue_processing", "requeue_stale"] {
                summary.requeued += client.post_empty::<Requeued>(&["admin", path]).await?.requeued;
            }
        }
        let step = observer.step(run.0, 0).await?;
        let taken = step.attempts >= 2 && step.claimed_at_ms.is_some_and(|at_ms| at_ms >= killed_at_ms);
        if taken {
            summary.takeover_ms = step.claimed_at_ms.map(|at_ms| at_ms - killed_at_ms);
        }
        Ok(taken)
    })
    .await?;
    tell!("taken over after {} ms", summary.takeover_ms.unwrap_or_default());

    wait("the run to end", args.task_length * 3 + PATIENCE, async |_| {
        servers.worker(second).ensure_running()?;
        let found: Run = client.get_waiting(&["v1", "runs", &run.to_string()], Duration::from_secs(2)).await?;
        Ok(found.summary.status.is_ended())
    })
    .await?;
    verify(args, &client, &mut observer, servers, queue, run, summary).await
}

/// Puts the plugin and the pipeline in place.
async fn prepare(args: &Recovery, client: &Client, queue: &str) -> anyhow::Result<()> {
    let file = args.plugins_dir.join("batch.wasm");
    let bytes = std::fs::read(&file).with_context(|| {
        format!("can't read {}; build it with `make guests`, or say where it is with --plugins-dir", file.display())
    })?;
    let version = Digest::of(&bytes).short();
    client.push(bytes, Some(NAME), Some(&version), true).await?;
    let pipeline = json!({ "name": NAME, "step": [{ "name": "task", "plugin": NAME, "queue": queue }] });
    client.apply(&pipeline.to_string(), Format::Json).await?;
    Ok(())
}

async fn submit(client: &Client, items: u64) -> anyhow::Result<RunId> {
    let input = json!({ "items": items, "checkpoint_every": 1, "pause_ms": ITEM_MS });
    let body = SubmitRun { pipeline: NAME.to_owned(), input: RawValue::from_string(input.to_string())? };
    Ok(client.submit(&body, None).await?.id)
}

/// Looks at the result from all sides: the database, Redis, what the task says, the history.
async fn verify(
    args: &Recovery,
    client: &Client,
    observer: &mut Observer,
    servers: &Servers,
    queue: &str,
    run: RunId,
    summary: &mut Summary,
) -> anyhow::Result<()> {
    let step = observer.step(run.0, 0).await?;
    let status = observer.run_status(run.0).await?;
    summary.check("the run has succeeded", status == RunStatus::Succeeded.as_str());
    summary.check("the step was begun at least twice", step.attempts >= 2);
    summary.check("the crash did not use up a retry", step.failures == 0);
    summary.run_status = Some(status);
    summary.attempts = step.attempts;

    let id = run.to_string();
    let detail: StepDetail = client.get(&["v1", "runs", &id, "steps", "task"], &[]).await?;
    if let Some(output) = detail.output {
        let output: Output = serde_json::from_str(output.get()).context("the task's output can't be read")?;
        let before = u64::try_from(summary.checkpoint_at_kill).unwrap_or(0);
        summary.resumed_at = u64::from(output.resumed_at);
        summary.resumed_from_checkpoint = output.resumed_at > 0;
        summary.steps_executed_again = before.saturating_sub(summary.resumed_at);
        summary.check("it was resumed from the checkpoint", output.resumed_at > 0);
        summary.check("nothing before the checkpoint was done again", summary.steps_executed_again == 0);
        summary.check("every item was done", output.resumed_at + output.done_here == output.items);
    }
    let history: EventList = client.get(&["v1", "runs", &id, "events"], &[]).await?;
    let gapless = history.events.iter().zip(1..).all(|(event, number)| event.number == number);
    summary.check("the history has no gap", gapless && history.ended);
    std::fs::write(args.artifacts_dir.join("events.json"), serde_json::to_string_pretty(&history)?)?;

    // Messages are acknowledged after the commit, so the last one may be on its way.
    let store = Postgres::new(&servers.database_url, 1, PATIENCE)?;
    let streams = RedisStreams::of(&servers.redis_config, store.installation().await?)?;
    let quiet = wait("the queue to be empty", Duration::from_secs(10), async |_| {
        let states = streams.streams().await?;
        let own = states.iter().filter(|state| state.stream.queue == queue);
        (summary.queue_depth, summary.pending) =
            own.fold((0, 0), |(depth, pending), state| (depth + state.length, pending + state.pending));
        Ok(summary.queue_depth == 0 && summary.pending == 0)
    });
    let quiet = quiet.await.is_ok();
    if args.shared_queue {
        tell!("the queue is shared: its depth is told, not checked");
    } else {
        summary.check("the queue is empty and nothing is pending", quiet);
    }
    // Where others work too, what workers say of themselves is a moment old; here it is so for a heartbeat.
    let alone = args.existing_services.is_none();
    let mut violations = Vec::new();
    let sound = wait("the invariants to hold", Duration::from_secs(5), async |_| {
        violations = store.doctor(Duration::from_secs(10), alone).await?;
        Ok(violations.is_empty())
    });
    let sound = sound.await.is_ok();
    violations.iter().for_each(|violation| tell!("invariant {}: {}", violation.invariant, violation.what));
    summary.check("all invariants of the database hold", sound);
    Ok(())
}

/// Looks again and again until `ready` says so; it is told how long was waited.
async fn wait(
    what: &str,
    limit: Duration,
    mut ready: impl AsyncFnMut(Duration) -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let begin = Instant::now();
    while !ready(begin.elapsed()).await? {
        anyhow::ensure!(begin.elapsed() < limit, "waited {} s for {what}", limit.as_secs());
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}
