//! A replay that does not match its journal: parked with a report, nothing lost, and it goes on when the
//! right component is back.

use anyhow::Result;
use pawl_api::types::RunList;
use pawl_domain::id::{Digest, RunId};
use pawl_tests::{Cluster, Embedded, binary, bounds, wait};
use serde_json::{Value, json};

use crate::pipelines;

/// A run of `batch` that has come past a checkpoint, whose worker was killed, and which was put on version 2 by hand: that asks
/// other questions, and no worker is there for it so far.
fn put_on_another_version(name: &str) -> Result<(Cluster, RunId)> {
    let mut cluster = Cluster::start(name)?;
    pipelines::batch(&cluster)?;
    cluster.worker("first").start()?;
    let input = json!({"items": 120, "pause_ms": 10, "readings": 1, "checkpoint_every": 40});
    let run = cluster.submit("batch", &input)?;
    // Past a checkpoint, with answers after it that a replay will meet.
    wait::until_true(bounds::RUN, "answers after a checkpoint", || {
        cluster.database.value::<bool>("select coalesce(journal_length - checkpoint_position, 0) >= 5 from step")
    })?;
    cluster.the("first")?.kill9();

    // Steps that have begun keep their component.
    cluster.push_as("batch-v2", "batch", "2")?;
    cluster.worker("elsewhere").set("PAWL_QUEUES", "elsewhere").start()?;
    wait::until_true(bounds::RECOVERY, "the takeover", || {
        cluster.database.value::<bool>("select status = 'ready' from step")
    })?;
    cluster.client.resume(run, "batch", "latest")?;
    Ok((cluster, run))
}

fn is_parked(cluster: &Cluster) -> Result<()> {
    wait::until_true(bounds::RUN, "the step to be parked", || {
        cluster.database.value::<bool>("select status = 'parked' from step")
    })
}

#[test]
fn a_diverging_replay_parks_the_step_and_the_right_component_finishes_it() -> Result<()> {
    let (mut cluster, run) = put_on_another_version("divergence")?;
    let journal = journal(&cluster)?;
    cluster.worker("second").start()?;
    is_parked(&cluster)?;
    assert_eq!(self::journal(&cluster)?, journal, "the journal was touched");
    let report = cluster.client.run(run)?.steps[0].error.clone().unwrap_or_default().to_string();
    assert!(report.contains("now") && report.contains("once"), "the report names neither call: {report}");
    let [first, second] = ["batch", "batch-v2"].map(|name| binary::component(name).map(|bytes| Digest::of(&bytes)));
    for digest in [first?, second?] {
        assert!(report.contains(&digest.to_string()), "the report lacks component {digest}: {report}");
    }
    assert_eq!(cluster.client.run(run)?.summary.status.as_str(), "running", "a divergence failed the run");
    let file = binary::component_file("batch")?.display().to_string();
    let replayed = cluster.pawl(&["run", "replay", &run.to_string(), "batch", "--component", &file])?;
    assert!(replayed.contains("durable.restore()") && replayed.contains("would be new"), "{replayed}");
    assert_eq!(self::journal(&cluster)?, journal, "a replay wrote to the journal");
    assert_eq!(cluster.database.value::<i32>("select failures from step")?, 0);

    cluster.pawl(&["plugin", "activate", "batch@1"])?;
    cluster.client.resume(run, "batch", "latest")?;
    cluster.succeeds(run, bounds::RECOVERY)?;
    let output = cluster.client.output(run, "batch")?;
    assert_eq!(output["digest"], pipelines::digest_of(120));
    assert!(output["resumed_at"].as_i64() >= Some(40), "{output}");
    cluster.finish()
}

#[test]
fn a_checkpoint_that_is_no_good_is_forgotten_by_the_way_out_that_is_named() -> Result<()> {
    let (mut cluster, run) = put_on_another_version("divergence_anew")?;
    cluster.worker("second").start()?;
    is_parked(&cluster)?;
    let anew = format!("pawl run retry {run} --from batch --latest");
    let said = cluster.pawl(&["run", "explain", &run.to_string()])?;
    assert!(said.contains(&anew) && said.contains("forget its checkpoint"), "{said}");
    cluster.pawl(&["plugin", "activate", "batch@1"])?;
    cluster.pawl(&anew.split(' ').skip(1).collect::<Vec<_>>())?;
    cluster.succeeds(run, bounds::RECOVERY)?;
    let output = cluster.client.output(run, "batch")?;
    assert_eq!((&output["resumed_at"], &output["done_here"]), (&json!(0), &json!(120)), "it began anew");
    assert_eq!(output["digest"], pipelines::digest_of(120));
    cluster.finish()
}

fn journal(cluster: &Cluster) -> Result<Vec<String>> {
    cluster.database.lines("select format('%s+%s %s', first, length, md5(bytes)) from journal order by first")
}

/// A step of `waits` that slept, and was put on a component that asks other questions: it is parked. Checks what a
/// person is told about it.
struct Parked {
    pawl: Embedded,
    run: RunId,
    /// The component that made the journal, and the one that left it.
    first: Digest,
    second: Digest,
}

impl Parked {
    fn new(name: &str) -> Result<Self> {
        let toml = "name = \"nap\"\n[[step]]\nname = \"nap\"\nplugin = \"waits\"\nconfig = { items = 3 }\n";
        let pawl = Embedded::start(name, &["waits", "batch-v2"], toml)?;
        let orders = json!([{"do": "now"}, {"do": "sleep", "ms": 3_600_000}, {"do": "now"}]);
        let run = pawl.submit("nap", &orders)?;
        let (first, second) = (Digest::of(&binary::component("waits")?), Digest::of(&binary::component("batch-v2")?));
        let parked = Self { pawl, run, first, second };
        parked.becomes("waiting")?;
        parked.pawl(&["run", "resume", &run.to_string(), "nap", "--pin", &second.short()])?;
        parked.becomes("parked")?;
        Ok(parked)
    }

    fn becomes(&self, status: &str) -> Result<()> {
        wait::until_true(bounds::RUN, &format!("the step to be {status}"), || {
            Ok(self.pawl.client.run(self.run)?.steps[0].status.as_str() == status)
        })
    }

    /// What a command that must succeed has printed.
    fn pawl(&self, words: &[&str]) -> Result<String> {
        let output = self.pawl.try_pawl(words)?;
        anyhow::ensure!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Lets it go on, and returns the step's output.
    fn resume(&self, options: &[&str]) -> Result<Value> {
        self.pawl(&[&["run", "resume", &self.run.to_string()], options].concat())?;
        self.pawl.succeeds(self.run, bounds::RUN)?;
        self.pawl.client.output(self.run, "nap")
    }
}

#[test]
fn a_parked_run_is_called_so_and_nobody_waits_for_it_in_vain() -> Result<()> {
    let parked = Parked::new("divergence-parked")?;
    let listed = parked.pawl(&["run", "list"])?;
    assert!(listed.contains(" parked "), "{listed}");
    let events = parked.pawl(&["run", "events", &parked.run.to_string()])?;
    assert!(events.contains("step.parked") && events.contains("the replay left the journal at entry"), "{events}");
    let log = parked.pawl.text()?;
    assert!(log.contains("the step is parked until a person decides"), "{log}");

    // Who has submitted it and waits is told at once, with the reason and what to do.
    let orders = json!([{"do": "now"}, {"do": "sleep", "ms": 3_600_000}, {"do": "now"}]).to_string();
    let words = ["run", "submit", "nap", "--input", &orders, "--idempotency-key", "nap", "--wait"];
    std::thread::scope(|scope| -> Result<()> {
        let waiting = scope.spawn(|| parked.pawl.try_pawl(&words));
        let id = wait::until(bounds::RUN, "the second run", || {
            let runs = parked.pawl.client.get("/v1/runs")?.read::<RunList>()?.runs;
            Ok(match runs.iter().find(|run| run.id != parked.run && run.status.as_str() == "running") {
                Some(run) => wait::Look::Done(run.id.to_string()),
                None => wait::Look::NotYet(format!("{runs:?}")),
            })
        })?;
        wait::until_true(bounds::RUN, "it to sleep", || Ok(parked.pawl(&["run", "get", &id])?.contains("waiting")))?;
        parked.pawl(&["run", "resume", &id, "nap", "--pin", &parked.second.short()])?;
        let told = waiting.join().expect("it does not panic")?;
        let (shown, said) = (String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
        assert_eq!(told.status.code(), Some(1), "{shown}{said}");
        assert!(
            shown.contains("the replay left the journal") && said.contains("goes no further by itself"),
            "{shown}{said}"
        );
        parked.pawl(&["run", "cancel", &id])?;
        Ok(())
    })?;
    parked.resume(&["--pin", &parked.first.short()])?;
    parked.pawl.finish_with(&[])
}

#[test]
fn a_divergence_is_told_with_both_components_and_ends_on_the_one_that_made_the_journal() -> Result<()> {
    let parked = Parked::new("divergence-pin")?;
    let run = parked.run.to_string();
    let error = parked.pawl.client.run(parked.run)?.steps[0].error.clone().unwrap_or_default();
    assert_eq!(error["position"], 0, "{error}");
    assert_eq!([&error["expected"], &error["actual"]], ["durable.now()", "durable.once-begin(\"item 0\")"]);
    assert_eq!(error["recorded_by"], parked.first.to_string());
    assert_eq!(error["component"], parked.second.to_string());
    let frames = error["backtrace"].as_str().unwrap_or_default();
    assert!(!frames.is_empty(), "the guest's backtrace is missing: {error}");

    let pin = format!("pawl run resume {run} nap --pin {}", parked.first.short());
    for words in [vec!["run", "explain", &run], vec!["run", "get", &run, "nap"]] {
        let said = parked.pawl(&words)?;
        assert!(said.contains(&pin) && said.contains("--latest") && said.contains("--from-checkpoint"), "{said}");
        assert!(said.contains("durable.once-begin(\"item 0\")"), "{said}");
    }

    let unknown = parked.pawl.try_pawl(&["run", "resume", &run, "--pin", "0123456789ab"])?;
    assert_eq!(unknown.status.code(), Some(4), "{unknown:?}");
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("there is no component 0123456789ab"), "{unknown:?}");
    let output = parked.resume(&["--pin", &parked.first.short()])?;
    assert_eq!(output["saw"].as_array().map(Vec::len), Some(2), "{output}");
    parked.pawl.finish_with(&[])
}

#[test]
fn a_diverged_step_goes_on_with_the_active_version() -> Result<()> {
    let parked = Parked::new("divergence-latest")?;
    let output = parked.resume(&["nap", "--latest"])?;
    assert_eq!(output["saw"].as_array().map(Vec::len), Some(2), "{output}");
    parked.pawl.finish_with(&[])
}

#[test]
fn a_diverged_step_that_forgets_its_journal_goes_on_with_the_component_that_left_it() -> Result<()> {
    let parked = Parked::new("divergence-forget")?;
    let output = parked.resume(&["nap", "--from-checkpoint"])?;
    assert_eq!(output, json!({"items": 3, "version": 2}));
    let events = parked.pawl.client.events(parked.run)?;
    let told = events.iter().filter_map(|event| event.note.as_deref()).any(|note| note.contains("from its start"));
    assert!(told, "the history does not tell it: {events:?}");
    parked.pawl.finish_with(&[])
}

#[test]
fn a_replay_shows_each_call_and_where_it_ends_and_changes_nothing() -> Result<()> {
    let parked = Parked::new("divergence-replay")?;
    let run = parked.run.to_string();
    let before = parked.pawl.client.run(parked.run)?;

    let diverged = parked.pawl.try_pawl(&["run", "replay", &run, "nap", "-o", "json"])?;
    assert_eq!(diverged.status.code(), Some(1), "{diverged:?}");
    let shown: Value = serde_json::from_slice(&diverged.stdout)?;
    assert_eq!(shown["end"]["how"], "diverged", "{shown}");
    assert_eq!(shown["end"]["divergence"]["recorded_by"], parked.first.to_string(), "{shown}");
    assert_eq!(shown["calls"], json!([]));

    let file = binary::component_file("waits")?.display().to_string();
    let fits = parked.pawl(&["run", "replay", &run, "nap", "--component", &file, "-o", "json"])?;
    let shown: Value = serde_json::from_str(&fits)?;
    assert_eq!(shown["end"], json!({"how": "live", "position": 2, "call": "durable.now()"}));
    let calls: Vec<&str> =
        shown["calls"].as_array().into_iter().flatten().filter_map(|call| call["call"].as_str()).collect();
    assert_eq!(calls, ["durable.now()", "durable.sleep(3600000 ms)"]);

    let after = parked.pawl.client.run(parked.run)?;
    assert_eq!(serde_json::to_value(after)?, serde_json::to_value(before)?, "the replay has changed the run");
    parked.resume(&["--pin", &parked.first.short()])?;
    parked.pawl.finish_with(&[])
}
