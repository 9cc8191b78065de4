//! A `pawl dev` with runs in all states, its backup, made while more runs come, and what must come of these runs wherever the
//! backup is given back.

use std::path::{Path, PathBuf};
use std::process::Output;

use anyhow::{Context as _, Result, ensure};
use pawl_api::types::{DeadLetterList, EventKind, RunList, RunStatus, StepStatus, SubmittedRun};
use pawl_domain::id::RunId;
use pawl_tests::runtime::block_on;
use pawl_tests::target::Manner;
use pawl_tests::{Client, Embedded, Target, binary, bounds, wait};
use serde_json::{Value, json};

use crate::pipelines;

const PLUGINS: [&str; 4] = ["echo", "batch", "fetch", "waits"];

const PIPELINES: [(&str, &str); 5] = [
    ("echo", "plugin = \"echo\""),
    ("count", "plugin = \"batch\""),
    ("fetch", "plugin = \"fetch\""),
    ("waits", "plugin = \"waits\""),
    ("fails", "plugin = \"waits\"\nretry = { max_attempts = 1 }"),
];

/// Items of the run that is in the middle of them.
const ITEMS: u32 = 300;

const SLEEP_MS: u64 = 8_000;

/// Under which a run was submitted.
const KEY: &str = "order-7";

/// What was there when the backup was made.
pub(super) struct Scene {
    pub(super) target: Target,
    pub(super) file: String,
    _folder: tempfile::TempDir,
    /// In the middle, with checkpoints.
    counts: RunId,
    /// Has acted twice, and waits for an answer.
    fetches: RunId,
    sleeps: RunId,
    /// Waits for the first of two signals; the second lies in its inbox.
    awaits: RunId,
    paused: RunId,
    failed: RunId,
    keyed: RunId,
}

impl Scene {
    /// Sets it up, makes the backup under load, and ends `pawl dev`, whose own store must be sound.
    pub(super) fn at_work(name: &str) -> Result<Self> {
        let target = Target::start()?;
        let (folder, mut pawl) = (tempfile::tempdir()?, prepared(&format!("{name}-old"))?);
        pawl.start_process(&[("PAWL_DRAIN", "500ms")])?;
        target.next("/gate", [Manner::Hang]);
        let counts = pawl.submit("count", &json!({"items": ITEMS, "pause_ms": 20, "readings": 1}))?;
        let fetches = pawl.submit("fetch", &requests(&target))?;
        let sleeps = pawl.submit("waits", &json!([{"do": "now"}, sleep(SLEEP_MS), {"do": "now"}]))?;
        let awaits =
            pawl.submit("waits", &json!([{"do": "await", "name": "first"}, {"do": "await", "name": "second"}]))?;
        let paused = pawl.submit("waits", &json!([sleep(2_000)]))?;
        let failed = pawl.submit("fails", &json!([{"do": "fail_before", "attempt": 9}]))?;
        let keyed = submit_keyed(&pawl.client)?.id;
        posted(&pawl.client, &format!("/v1/runs/{awaits}/signals/second"), "2")?;
        posted(&pawl.client, &format!("/v1/runs/{paused}/pause"), r#"{"reason": "the bank is down"}"#)?;
        wait::until_true(bounds::RUN, "each to be where it should", || {
            let step = |run: RunId| Ok::<_, anyhow::Error>(pawl.client.run(run)?.steps.remove(0));
            Ok(step(counts)?.checkpoint_position.is_some_and(|position| position > 3)
                && target.count("/gate") == 1
                && step(sleeps)?.status == StepStatus::Waiting
                && step(awaits)?.status == StepStatus::Waiting
                && step(paused)?.due_at_ms.is_none()
                && pawl.client.run(failed)?.summary.status == RunStatus::Failed
                && pawl.client.run(keyed)?.summary.status == RunStatus::Succeeded)
        })?;

        let file = folder.path().join("backup").display().to_string();
        let client = pawl.client.clone();
        let load = std::thread::spawn(move || client.submit_all("echo", &vec![json!(1); 400]));
        let told = backed_up(&pawl, &file, &["-o", "json"])?;
        let more = load.join().map_err(|_| anyhow::anyhow!("the load panicked"))??;
        let told: Value = serde_json::from_str(&binary::succeeded(&["backup"], told)?)?;
        let (runs, size_bytes) = (told["runs"].as_u64().context("runs")?, told["size_bytes"].as_u64());
        ensure!((7..=7 + more.len() as u64).contains(&runs), "{told}");
        ensure!(size_bytes == Some(std::fs::metadata(&file)?.len()), "{told}");
        pawl.finish_with(&[&target])?;
        Ok(Self { target, file, _folder: folder, counts, fetches, sleeps, awaits, paused, failed, keyed })
    }

    /// All that was there is there, and goes on to its end; nothing leaves a second time.
    pub(super) fn goes_on(&self, client: &Client) -> Result<()> {
        let again = submit_keyed(client)?;
        ensure!(!again.created && again.id == self.keyed, "a key that was answered: {again:?}");
        let letters: DeadLetterList = client.get("/v1/dead-letters")?.read()?;
        ensure!(letters.dead_letters.iter().any(|letter| letter.run == self.failed), "{letters:?}");
        let listed: RunList = client.get("/v1/runs?status=paused")?.read()?;
        let pause = listed.runs.first().and_then(|run| run.paused.clone()).context("it is paused")?;
        ensure!(listed.runs[0].id == self.paused && pause.reason.as_deref() == Some("the bank is down"), "{listed:?}");
        posted(client, &format!("/v1/runs/{}/unpause", self.paused), "{}")?;
        posted(client, &format!("/v1/runs/{}/signals/first", self.awaits), "1")?;
        for run in [self.counts, self.fetches, self.sleeps, self.awaits, self.paused] {
            succeeds(client, run)?;
        }

        let counted = client.output(self.counts, "only")?;
        ensure!(counted["digest"] == pipelines::digest_of(ITEMS), "{counted}");
        ensure!(counted["resumed_at"].as_u64() > Some(0), "it goes on from its checkpoint: {counted}");
        let events = client.events(self.counts)?;
        let note = |kind: EventKind| Some(events.iter().find(|event| event.is(kind))?.note.clone().unwrap_or_default());
        ensure!(note(EventKind::StepHandedBack).as_deref() == Some("restored from a backup"), "{events:?}");
        ensure!(note(EventKind::StepResumed).is_some_and(|note| !note.contains("checkpoint=none")), "{events:?}");
        let slept: Vec<u64> = serde_json::from_value(client.output(self.sleeps, "only")?["saw"].clone())?;
        ensure!(slept[1] - slept[0] >= SLEEP_MS, "{slept:?}");
        ensure!(client.output(self.awaits, "only")?["saw"] == json!([1, 2]));

        // What was answered is not asked for again; what was not, is.
        let asked = ["/first", "/second", "/gate"].map(|path| self.target.count(path));
        ensure!(asked == [1, 1, 2], "{asked:?}");
        let steps = client.run(self.fetches)?.steps;
        ensure!(
            steps.iter().all(|step| (step.failures, step.crashes) == (0, 0)),
            "a restore counts as nothing: {steps:?}"
        );
        Ok(())
    }
}

/// A `pawl dev` with the pipelines of a scene, not started.
pub(super) fn prepared(name: &str) -> Result<Embedded> {
    let folder = binary::programs()?.join("tests").join(format!("{name}-{}", std::process::id()));
    let toml = |(name, step): (&str, &str)| format!("name = \"{name}\"\n[[step]]\nname = \"only\"\n{step}\n");
    let pawl = Embedded::prepare(folder, &PLUGINS, &toml(PIPELINES[0]))?;
    for pipeline in &PIPELINES[1..] {
        std::fs::write(pawl.folder().join(format!("pipelines/{}.toml", pipeline.0)), toml(*pipeline))?;
    }
    Ok(pawl)
}

/// Its data.
pub(super) fn data(pawl: &Embedded) -> PathBuf {
    pawl.folder().join("data")
}

/// `pawl backup` of what a `pawl dev` has.
pub(super) fn backed_up(pawl: &Embedded, file: &str, flags: &[&str]) -> Result<Output> {
    Ok(binary::pawl()?.args(["backup", file, "--data"]).arg(data(pawl)).args(flags).output()?)
}

/// `pawl restore` into a folder.
pub(super) fn restored(file: &str, data: &Path) -> Result<Output> {
    Ok(binary::pawl()?.args(["restore", file, "--data"]).arg(data).args(["-o", "json"]).output()?)
}

fn requests(target: &Target) -> Value {
    json!({"requests": [
        {"method": "POST", "url": target.url("/first"), "body": 1},
        {"method": "POST", "url": target.url("/second"), "body": 2, "once": "the one"},
        {"url": target.url("/gate"), "timeout_ms": 600_000},
    ]})
}

fn sleep(ms: u64) -> Value {
    json!({"do": "sleep", "ms": ms})
}

fn submit_keyed(client: &Client) -> Result<SubmittedRun> {
    block_on(client.try_submit("echo", &json!({"order": 7}), Some(KEY)))?.read()
}

fn posted(client: &Client, path: &str, body: &str) -> Result<Value> {
    client.post(path, "application/json", body)?.read()
}

fn succeeds(client: &Client, run: RunId) -> Result<()> {
    wait::until_true(bounds::RECOVERY, &format!("run {run} to succeed"), || {
        let status = client.run(run)?.summary.status;
        ensure!(!status.is_ended() || status == RunStatus::Succeeded, "it ended as {status}: {:?}", client.events(run));
        Ok(status == RunStatus::Succeeded)
    })
}
