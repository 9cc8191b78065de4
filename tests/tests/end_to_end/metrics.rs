//! Figures: what both roles and `pawl dev` tell at `/metrics`, held against what the database says.

use anyhow::{Result, ensure};
use pawl_api::types::RunStatus;
use pawl_tests::target::Manner;
use pawl_tests::wait::{self, Look};
use pawl_tests::{Client, Cluster, Embedded, Scrape, Target, bounds};
use serde_json::json;

use crate::pipelines;

const FLAKY: &str =
    "name = \"flaky\"\n[[step]]\nname = \"read\"\nplugin = \"flaky\"\nretry = { max_attempts = 2, delay = \"1ms\" }\n";

/// Two steps that end it: the commit of one does not tell whether the other has failed.
const FORK: &str = "name = \"fork\"\n[[step]]\nname = \"good\"\nplugin = \"echo\"\n\
                    [[step]]\nname = \"bad\"\nplugin = \"flaky\"\nretry = { max_attempts = 1 }\n";

const NOBODYS: &str = "name = \"nobodys\"\n[[step]]\nname = \"waits\"\nplugin = \"echo\"\nqueue = \"nobodys\"\n";

const PIPELINES: [&str; 5] = ["chain-5", "flaky", "fork", "fetch", "nobodys"];

/// The figures of a worker of a cluster.
pub(crate) fn figures_of(cluster: &Cluster, worker: &str) -> Result<Client> {
    let log = cluster.log(worker);
    wait::until(bounds::PROCESS, "a worker to say where its figures are", || {
        let text = std::fs::read_to_string(&log)?;
        let address = text.lines().find_map(|line| line.strip_prefix("metrics at ")?.strip_suffix("/metrics"));
        address.map_or_else(|| Ok(Look::NotYet(text.clone())), |address| Ok(Look::Done(Client::new(address)?)))
    })
}

/// What figures are to say, by what the database says now: events of steps, and ends of runs, of each pipeline.
fn differences(cluster: &Cluster, api: &Scrape, workers: &[Scrape]) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    let mut hold = |what: String, told: f64, truth: i64| {
        if told != truth as f64 {
            wrong.push(format!("{what}: {told} are told, {truth} are true"));
        }
    };
    let of_workers = |name: &str, labels: &[(&str, &str)]| workers.iter().map(|it| it.sum(name, labels)).sum::<f64>();
    for pipeline in PIPELINES {
        let of = ("pipeline", pipeline);
        let events = |kind: &str| {
            cluster.database.value::<i64>(&format!(
                "select count(*) from event e join run r on r.id = e.run_id, unnest(e.kinds) as kind
                 where r.pipeline = '{pipeline}' and kind = '{kind}'"
            ))
        };
        for (attempt, kind) in [("first", "step.started"), ("later", "step.resumed")] {
            let told = of_workers("pawl_attempts_started_total", &[of, ("attempt", attempt)]);
            hold(format!("{pipeline}: attempts started, {attempt}"), told, events(kind)?);
        }
        for (outcome, kind) in [
            ("succeeded", "step.succeeded"),
            ("failed", "step.failed"),
            ("retried", "step.retrying"),
            ("waiting", "step.waiting"),
            ("handed_back", "step.handed_back"),
            ("parked", "step.parked"),
        ] {
            let told = of_workers("pawl_attempts_ended_total", &[of, ("outcome", outcome)]);
            hold(format!("{pipeline}: attempts {outcome}"), told, events(kind)?);
        }
        let runs = |condition: &str| {
            cluster
                .database
                .value::<i64>(&format!("select count(*) from run where pipeline = '{pipeline}' {condition}"))
        };
        hold(format!("{pipeline}: runs submitted"), api.sum("pawl_runs_submitted_total", &[of]), runs("")?);
        for outcome in ["succeeded", "failed", "cancelled"] {
            let labels = [of, ("outcome", outcome)];
            let told = of_workers("pawl_runs_ended_total", &labels) + api.sum("pawl_runs_ended_total", &labels);
            hold(format!("{pipeline}: runs {outcome}"), told, runs(&format!("and status = '{outcome}'"))?);
        }
        let told = of_workers("pawl_run_duration_seconds_count", &[of]);
        hold(format!("{pipeline}: times of runs"), told, runs("and status in ('succeeded', 'failed')")?);
    }
    let lease_expired = "select count(*) from event e, unnest(e.kinds) as kind where kind = 'step.lease_expired'";
    hold("takeovers".to_owned(), of_workers("pawl_takeovers_total", &[]), cluster.database.value(lease_expired)?);
    hold("parked steps".to_owned(), api.sum("pawl_parked_steps", &[]), 0);
    for state in ["failed", "parked"] {
        let dead = cluster.database.value(&format!("select count(*) from dead_letter where state = '{state}'"))?;
        hold(format!("dead letters that have {state}"), api.sum("pawl_dead_letters", &[("state", state)]), dead);
    }
    Ok(wrong)
}

/// Waits until the figures say what the database says, and returns those of the workers.
fn until_equal(cluster: &Cluster, workers: &[&Client], gone: &[Scrape]) -> Result<Vec<Scrape>> {
    wait::until(bounds::QUIET, "the figures to say what the database says", || {
        let read: Vec<Scrape> = workers.iter().map(|it| Scrape::of(it)).collect::<Result<_>>()?;
        let wrong = differences(cluster, &Scrape::of(&cluster.client)?, &[&read[..], gone].concat())?;
        Ok(if wrong.is_empty() { Look::Done(read) } else { Look::NotYet(wrong.join("\n")) })
    })
}

#[test]
fn figures_say_what_the_database_says_through_a_kill_and_a_takeover() -> Result<()> {
    let mut cluster = Cluster::start("metrics")?;
    let target = Target::start()?;
    target.next("/hang", [Manner::Hang, Manner::Hang, Manner::Hang]);
    pipelines::chain(&cluster, 5)?;
    pipelines::fetch(&cluster)?;
    cluster.push("flaky")?;
    for pipeline in [FLAKY, FORK, NOBODYS] {
        cluster.apply(pipeline)?;
    }
    cluster.set("PAWL_METRICS_LISTEN", "127.0.0.1:0");
    cluster.worker("a").start()?;
    let victim = figures_of(&cluster, "a")?;
    let held: Vec<_> =
        (0..3).map(|_| cluster.submit("fetch", &pipelines::get(&target.url("/hang")))).collect::<Result<_>>()?;
    for run in &held {
        cluster.holder(*run, "fetch", bounds::PROCESS)?;
    }
    cluster.worker("b").slots(16).start()?;
    let rescuer = figures_of(&cluster, "b")?;

    let mut runs = cluster.client.submit_all("chain-5", &vec![json!({"weight": 1}); 60])?;
    runs.extend(cluster.client.submit_all("flaky", &vec![json!({"failures": 1}); 8])?);
    for (pipeline, input) in
        [("flaky", json!({"failures": 2})), ("fork", json!({"failures": 1})), ("fork", json!({"failures": 0}))]
    {
        for run in cluster.client.submit_all(pipeline, &vec![input; 3])? {
            cluster.ends(run, bounds::RUN)?;
        }
    }
    for run in runs {
        cluster.succeeds(run, bounds::RUN)?;
    }
    let alone = cluster.submit("nobodys", &json!(null))?;
    wait::until_true(bounds::PROCESS, "the API to tell of the queue that nobody serves", || {
        let told = Scrape::of(&cluster.client)?;
        let [of, priority] = [("queue", "nobodys"), ("priority", "normal")];
        Ok(told.sum("pawl_queue_oldest_ready_seconds", &[of, priority]) > 0.0
            && told.sum("pawl_queue_messages", &[of]) == 1.0
            && told.sum("pawl_workers", &[("state", "alive")]) == 2.0)
    })?;
    cluster.pawl(&["run", "cancel", &alone.to_string()])?;
    assert_eq!(cluster.ends(alone, bounds::RUN)?, RunStatus::Cancelled);

    // Nothing moves but three steps that hang: what the victim has told by now is all that it ever counted.
    let before = until_equal(&cluster, &[&victim, &rescuer], &[])?;
    assert_eq!(before[0].sum("pawl_slots_used", &[]), 3.0);
    assert!(before[0].sum("pawl_guest_memory_bytes", &[]) > 0.0);
    cluster.the("a")?.kill9();
    for run in held {
        cluster.succeeds(run, bounds::RECOVERY)?;
    }
    let after = until_equal(&cluster, &[&rescuer], &before[..1])?;
    assert_eq!(after[0].sum("pawl_takeovers_total", &[]), 3.0);
    assert_eq!(after[0].sum("pawl_attempts_started_total", &[("pipeline", "fetch"), ("attempt", "later")]), 3.0);
    for told in ["pawl_batch_commit_seconds_count", "pawl_instantiate_seconds_count", "pawl_queue_wait_seconds_count"] {
        assert!(after[0].sum(told, &[]) > 0.0, "{told}");
    }
    let claims = after[0].sum("pawl_instantiate_seconds_count", &[]);
    assert!(
        claims >= after[0].sum("pawl_attempt_duration_seconds_count", &[]),
        "each attempt has an instance: {claims}"
    );

    // What the cancelled run has left in its stream is cleared by a worker of its queue.
    cluster.worker("c").set("PAWL_QUEUES", "nobodys").start()?;
    wait::until_true(bounds::QUIET, "the queue to be told as empty", || {
        Ok(Scrape::of(&cluster.client)?.sum("pawl_queue_messages", &[("queue", "nobodys")]) == 0.0)
    })?;
    cluster.finish_with(&[&target])
}

#[test]
fn an_effect_that_leaves_again_and_what_is_replayed_are_told() -> Result<()> {
    let mut cluster = Cluster::start("metrics_effects")?;
    let target = Target::start()?;
    pipelines::fetch(&cluster)?;
    pipelines::batch(&cluster)?;
    cluster.set("PAWL_METRICS_LISTEN", "127.0.0.1:0");
    cluster.worker("a").fault("effect.answered.before_journal=kill").start()?;
    let first = json!({"method": "POST", "url": target.url("/one/1"), "body": {"a": 1}});
    let run = cluster.submit("fetch", &json!({"requests": [{"url": target.url("/free")}, first]}))?;
    cluster.dies("a", bounds::RECOVERY)?;
    cluster.worker("b").start()?;
    cluster.succeeds(run, bounds::RECOVERY)?;
    // It takes its time: a checkpoint that stands in one commit with its step's end is not written.
    let batch = cluster.submit("batch", &pipelines::batch_of(20, 50))?;
    cluster.succeeds(batch, bounds::RUN)?;
    let rescuer = figures_of(&cluster, "b")?;
    wait::until_true(bounds::QUIET, "the checkpoints to be told", || {
        Ok(Scrape::of(&rescuer)?.sum("pawl_checkpoint_size_bytes_count", &[]) > 0.0)
    })?;
    let told = Scrape::of(&rescuer)?;
    let left = |sending| told.sum("pawl_effects_total", &[("kind", "request"), ("sending", sending)]);
    assert_eq!((left("first"), left("again")), (0.0, 1.0));
    assert!(told.sum("pawl_replayed_entries_total", &[]) >= 1.0, "the first request was not made again");
    assert!(told.sum("pawl_journal_bytes_total", &[]) > 0.0);
    cluster.finish_with(&[&target])
}

#[test]
fn dev_tells_the_figures_of_both_roles_and_none_if_it_is_told_not_to() -> Result<()> {
    let pipeline = "name = \"echo\"\n[[step]]\nname = \"echo\"\nplugin = \"echo\"\n";
    let mut pawl = Embedded::start("metrics_dev", &["echo"], pipeline)?;
    let run = pawl.submit("echo", &json!(1))?;
    pawl.succeeds(run, bounds::RUN)?;
    let of = [("pipeline", "echo")];
    wait::until_true(bounds::QUIET, "the run to be told", || {
        let told = Scrape::of(&pawl.client)?;
        Ok(told.sum("pawl_runs_submitted_total", &of) == 1.0
            && told.sum("pawl_runs_ended_total", &[of[0], ("outcome", "succeeded")]) == 1.0
            && told.sum("pawl_run_duration_seconds_count", &of) == 1.0
            && told.sum("pawl_workers", &[("state", "alive")]) == 1.0
            && told.has("pawl_slots_free", &[])
            && !told.has("pawl_store_pool_wait_seconds_count", &[]))
    })?;
    pawl.process()?.terminate(bounds::PROCESS)?;
    pawl.start_process(&[("PAWL_METRICS", "false")])?;
    let answer = pawl.client.get("/metrics")?;
    let why = answer.problem(404)?;
    ensure!(why.detail.contains("`metrics` is off"), "{why:?}");
    pawl.finish_with(&[])
}
