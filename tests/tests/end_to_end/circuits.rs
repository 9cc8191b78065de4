//! Circuits: an outage of an outside host burns a handful of attempts, whatever is submitted meanwhile, and all goes on when it
//! is over, whatever dies.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use pawl_api::types::{Because, CircuitList, CircuitState, Event, EventKind, Explanation};
use pawl_domain::id::RunId;
use pawl_tests::target::Manner;
use pawl_tests::{Cluster, Embedded, Target, bounds, wait};
use serde_json::{Value, json};

/// Failed calls by which a worker opens a circuit; the last of them is deferred.
const FAILURES: i64 = 5;

/// `orders`: one step that makes requests.
const ORDERS: &str = "name = 'orders'
    [[step]]
    name = 'charge'
    plugin = 'fetch'
    retry = {max_attempts = 5, backoff = 'fixed', delay = '50ms'}";

fn orders(cluster: &Cluster) -> Result<()> {
    cluster.push("fetch")?;
    cluster.apply(ORDERS)
}

fn post(target: &Target, path: &str) -> Value {
    json!({"requests": [{"method": "POST", "url": target.url(path), "body": path}]})
}

fn posts(target: &Target, count: usize) -> Vec<Value> {
    (0..count).map(|number| post(target, &format!("/order/{number}"))).collect()
}

/// Waits until so many steps are deferred; one of them may be on its way to probe.
fn are_deferred(cluster: &Cluster, count: usize) -> Result<()> {
    wait::until_true(bounds::RECOVERY, &format!("{count} steps to be deferred"), || {
        let deferred: i64 = cluster.database.value("select count(*) from step where deferred_by is not null")?;
        let waiting: i64 =
            cluster.database.value("select count(*) from step where deferred_by is not null and status = 'waiting'")?;
        Ok(deferred == count as i64 && waiting >= deferred - 1)
    })
}

fn failures(cluster: &Cluster) -> Result<i64> {
    cluster.database.value("select coalesce(sum(failures), 0)::bigint from step")
}

/// Failed calls that the circuit knows of: those that opened it, and probes.
fn probed(cluster: &Cluster) -> Result<i64> {
    cluster.database.value("select coalesce(max(failures), 0)::bigint from circuit where closed_at is null")
}

#[test]
fn an_outage_burns_a_handful_of_attempts_and_all_go_on_when_it_is_over() -> Result<()> {
    const RUNS: usize = 50;
    const SLOTS: usize = 8;
    let (down, up) = (Target::start()?, Target::start()?);
    down.always("/", Manner::Fail(503));
    let mut cluster = Cluster::start("circuits_outage")?;
    orders(&cluster)?;
    for name in ["a", "b"] {
        let worker = cluster.worker(name).slots(SLOTS as u32);
        worker.set("PAWL_CIRCUIT_FIRST", "500ms").set("PAWL_CIRCUIT_LONGEST", "1s").start()?;
    }
    let runs = cluster.client.submit_all("orders", &posts(&down, RUNS))?;
    are_deferred(&cluster, RUNS)?;
    // What was under way when it opened, at both; and the probes since.
    let burst = 2 * (SLOTS + FAILURES as usize);
    let calls = || down.count("/order");
    ensure!(calls() <= burst + probed(&cluster)? as usize, "{} calls in the first burst", calls());

    // From now on one call a probe, whatever waits, and whatever is done with other hosts.
    let (before, probes) = (calls(), probed(&cluster)?);
    let others = cluster.client.submit_all("orders", &posts(&up, 20))?;
    for run in &others {
        cluster.succeeds(*run, bounds::RUN)?;
    }
    wait::until_true(bounds::RECOVERY, "three probes", || Ok(probed(&cluster)? >= probes + 3))?;
    let since = calls() - before;
    // One may be under way, one be told and not yet counted.
    ensure!(since <= (probed(&cluster)? - probes) as usize + 2, "{since} calls by few probes");
    ensure!(calls() >= before + 3, "they are made");
    let burned = failures(&cluster)?;
    ensure!((1..=2 * (FAILURES - 1)).contains(&burned), "{burned} attempts were burned");

    down.always("/", Manner::Answer);
    cluster.all_succeed(&runs, bounds::RECOVERY)?;
    ensure!(failures(&cluster)? == burned, "and no other");
    let performed = down.performed("/order");
    ensure!(performed.len() == RUNS && performed.values().all(|times| *times == 1), "{performed:?}");
    // Some were sent before, under the key that they have now.
    let mut keys = BTreeMap::<String, (usize, BTreeSet<Option<String>>)>::new();
    for received in down.log() {
        let (times, keys) = keys.entry(received.path).or_default();
        *times += 1;
        keys.insert(received.key);
    }
    ensure!(keys.values().any(|(times, _)| *times > 1) && keys.values().all(|(_, keys)| keys.len() == 1), "{keys:?}");
    let events = runs.iter().map(|run| cluster.client.events(*run)).collect::<Result<Vec<_>>>()?;
    let is_deferred = |event: &&Event| event.is(EventKind::StepDeferred);
    ensure!(events.iter().all(|events| events.iter().any(|event| is_deferred(&event))), "all of them were deferred");
    let noted = events.iter().flatten().find(is_deferred).context("an event")?;
    ensure!(noted.note.as_deref() == Some(down.url("").as_str()), "{noted:?}");
    wait::until_true(bounds::RECOVERY, "the circuit to go", || {
        Ok(cluster.database.value::<i64>("select count(*) from circuit")? == 0)
    })?;
    ensure!(cluster.database.value::<i64>("select count(*) from step where deferred_by is not null")? == 0);
    cluster.finish_with(&[&down, &up])
}

#[test]
fn people_see_who_is_down_and_may_have_it_called_at_once() -> Result<()> {
    let target = Target::start()?;
    target.always("/", Manner::Drop);
    let mut cluster = Cluster::start("circuits_seen")?;
    orders(&cluster)?;
    ensure!(cluster.pawl(&["circuits"])?.contains("no circuit is open"));
    cluster.worker("a").set("PAWL_CIRCUIT_FIRST", "10m").set("PAWL_CIRCUIT_LONGEST", "10m").start()?;
    let runs = cluster.client.submit_all("orders", &posts(&target, 10))?;
    are_deferred(&cluster, 10)?;
    let list: CircuitList = cluster.client.get("/v1/circuits")?.read()?;
    let [circuit] = &list.circuits[..] else { anyhow::bail!("{list:?}") };
    let origin = target.url("");
    ensure!(circuit.origin == origin && circuit.state == CircuitState::Open && circuit.deferred == 10, "{circuit:?}");
    ensure!(circuit.reason.starts_with("the connection broke: ") && i64::from(circuit.failures) >= FAILURES);
    ensure!(cluster.pawl(&["circuits", "-o", "ids"])?.trim() == origin);
    let text = cluster.pawl(&["circuits", "list"])?;
    ensure!(text.contains(&origin) && text.contains("open") && text.contains("in 9 min"), "{text}");
    let explained: Explanation = cluster.client.get(&format!("/v1/runs/{}/explain", runs[9]))?.read()?;
    let [reason] = &explained.reasons[..] else { anyhow::bail!("{explained:?}") };
    ensure!(reason.because == Because::Circuit && reason.message.contains("it is probed in 9 min"), "{reason:?}");
    ensure!(reason.ways_out[0].command == format!("pawl circuits close {origin}"), "{reason:?}");
    ensure!(explained.summary.contains("1 waiting for an outside host that is down"), "{}", explained.summary);
    let doctor = cluster.try_pawl(&["doctor", "--quick"])?;
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    ensure!(doctor.status.success() && said.contains("one outside host is down") && said.contains(&origin), "{said}");
    let figures = String::from_utf8(cluster.client.get("/metrics")?.body)?;
    for line in ["pawl_circuits{state=\"open\"} 1", "pawl_circuits{state=\"half_open\"} 0"] {
        ensure!(figures.lines().any(|told| told == line), "{line} is not told");
    }
    let viewed: Vec<String> = cluster.database.lines(
        "select v.state || ' ' || v.deferred || ' ' || (select count(*) from pawl_view_waits w where w.kind = 'circuit')
         from pawl_view_circuits v",
    )?;
    ensure!(viewed == ["open 10 10"], "{viewed:?}");
    ensure!(cluster.try_pawl(&["check-interrupted", "--threshold", "0s"])?.status.success(), "nothing of it is stuck");

    // A person may do all with what waits; what is closed opens again if nothing has changed.
    cluster.client.cancel(runs[0])?;
    let said = cluster.pawl(&["circuits", "close", &origin])?;
    ensure!(said.contains("is called again"), "{said}");
    wait::until_true(bounds::RECOVERY, "it to open again", || {
        Ok(cluster.database.value::<i64>("select count(*) from circuit where closed_at is null and id > 1")? == 1)
    })?;
    are_deferred(&cluster, 9)?;
    target.always("/", Manner::Answer);
    cluster.pawl(&["circuits", "close", &origin])?;
    for run in &runs[1..] {
        cluster.succeeds(*run, bounds::RECOVERY)?;
    }
    for unknown in [origin.as_str(), "http://nobody.example.org:80", "pay"] {
        let refused = cluster.try_pawl(&["circuits", "close", unknown])?;
        let why = String::from_utf8(refused.stderr)?;
        ensure!(refused.status.code() == Some(4) && why.contains("no circuit of"), "{unknown}: {why}");
    }
    ensure!(target.performed("/order").values().all(|times| *times <= 1));
    cluster.finish_with(&[&target])
}

#[test]
fn a_worker_that_is_killed_with_the_probe_leaves_it_to_another() -> Result<()> {
    let target = Target::start()?;
    target.always("/", Manner::Fail(502));
    let mut cluster = Cluster::start("circuits_prober")?;
    orders(&cluster)?;
    cluster.worker("a").set("PAWL_CIRCUIT_FIRST", "500ms").fault("circuit.probe.before_call=kill").start()?;
    let runs = cluster.client.submit_all("orders", &posts(&target, 10))?;
    cluster.dies("a", bounds::RECOVERY)?;
    let open: i64 = cluster.database.value("select count(*) from circuit where closed_at is null")?;
    ensure!(open == 1, "{open} circuits are open");
    let called = target.count("/");
    target.always("/", Manner::Answer);
    // The probe is good for half a minute and more, were its worker alive.
    cluster.worker("b").start()?;
    cluster.all_succeed(&runs, bounds::RECOVERY)?;
    ensure!(failures(&cluster)? < FAILURES, "{} attempts were burned", failures(&cluster)?);
    ensure!(called >= FAILURES as usize && target.performed("/").values().all(|times| *times == 1));
    cluster.finish_with(&[&target])
}

#[test]
fn a_step_that_is_answered_from_its_journal_is_not_deferred() -> Result<()> {
    let (down, other) = (Target::start()?, Target::start()?);
    other.always("/hang", Manner::Hang);
    let mut cluster = Cluster::start("circuits_replay")?;
    orders(&cluster)?;
    let set = |cluster: &mut Cluster, name: &str| {
        cluster.worker(name).set("PAWL_CIRCUIT_FIRST", "10m").set("PAWL_CIRCUIT_LONGEST", "10m").start()
    };
    set(&mut cluster, "a")?;
    let run = cluster.submit(
        "orders",
        &json!({"requests": [
            {"url": down.url("/read")},
            {"method": "POST", "url": down.url("/paid"), "body": 1},
            {"method": "POST", "url": other.url("/hang"), "body": 2},
        ]}),
    )?;
    wait::until_true(bounds::RUN, "the last request to be made", || Ok(other.count("/hang") == 1))?;
    down.always("/", Manner::Fail(503));
    let later = cluster.client.submit_all("orders", &posts(&down, 10))?;
    are_deferred(&cluster, 10)?;
    cluster.the("a")?.kill9();
    other.always("/hang", Manner::Answer);
    set(&mut cluster, "b")?;
    cluster.succeeds(run, bounds::RECOVERY)?;
    let open: i64 = cluster.database.value("select count(*) from circuit where closed_at is null")?;
    ensure!(open == 1, "it went on while the host was down");
    ensure!((down.count("/read"), down.count("/paid")) == (1, 1), "it asked nobody again");
    let events = cluster.client.events(run)?;
    ensure!(!events.iter().any(|event| event.is(EventKind::StepDeferred)), "{events:?}");
    down.always("/", Manner::Answer);
    cluster.pawl(&["circuits", "close", &down.url("")])?;
    cluster.all_succeed(&later, bounds::RECOVERY)?;
    cluster.finish_with(&[&down, &other])
}

#[test]
fn switched_off_an_outage_burns_what_attempts_there_are() -> Result<()> {
    let target = Target::start()?;
    target.always("/", Manner::Fail(503));
    let mut cluster = Cluster::start("circuits_off")?;
    cluster.push("fetch")?;
    cluster.apply(&ORDERS.replace("max_attempts = 5", "max_attempts = 2"))?;
    cluster.worker("a").set("PAWL_CIRCUITS", "false").start()?;
    let runs = cluster.client.submit_all("orders", &posts(&target, 6))?;
    for run in &runs {
        ensure!(cluster.ends(*run, bounds::RECOVERY)?.as_str() == "failed");
    }
    ensure!((target.count("/order"), failures(&cluster)?) == (12, 12));
    ensure!(cluster.database.value::<i64>("select count(*) from circuit")? == 0);
    cluster.finish_with(&[&target])
}

#[test]
fn dev_keeps_what_is_deferred_through_a_kill_and_goes_on_when_the_host_is_back() -> Result<()> {
    let target = Target::start()?;
    target.always("/", Manner::Fail(504));
    let mut pawl = Embedded::start("circuits_dev", &["fetch"], ORDERS)?;
    let runs: Vec<RunId> =
        posts(&target, 12).iter().map(|input| pawl.submit("orders", input)).collect::<Result<_>>()?;
    let circuits = |pawl: &Embedded| -> Result<CircuitList> { pawl.client.get("/v1/circuits")?.read() };
    let waiting = |pawl: &Embedded| -> Result<usize> {
        let mut waiting = 0;
        for run in &runs {
            let explained: Explanation = pawl.client.get(&format!("/v1/runs/{run}/explain"))?.read()?;
            waiting += explained.reasons.iter().filter(|reason| reason.because == Because::Circuit).count();
        }
        Ok(waiting)
    };
    // One may be on its way to probe.
    wait::until_true(bounds::RECOVERY, "all to be deferred", || Ok(waiting(&pawl)? >= runs.len() - 1))?;
    let burned = |pawl: &Embedded| -> Result<u32> {
        let of = |run: &RunId| -> Result<u32> { Ok(pawl.client.run(*run)?.steps[0].failures) };
        runs.iter().map(of).sum()
    };
    let before = burned(&pawl)?;
    ensure!((1..FAILURES as u32).contains(&before), "{before} attempts were burned");
    pawl.process()?.kill9();
    pawl.start_process(&[])?;
    let list = circuits(&pawl)?;
    ensure!(list.circuits.iter().any(|circuit| circuit.origin == target.url("")), "{list:?}");
    target.always("/", Manner::Answer);
    for run in &runs {
        pawl.succeeds(*run, bounds::RECOVERY)?;
    }
    ensure!(burned(&pawl)? == before, "and no other");
    ensure!(target.performed("/order").values().all(|times| *times == 1));
    wait::until_true(bounds::RECOVERY, "the circuit to close", || Ok(circuits(&pawl)?.circuits.is_empty()))?;
    pawl.finish_with(&[&target])
}
