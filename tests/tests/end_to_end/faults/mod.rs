//! Ten minutes of load, and one fault after the other: nothing is lost, stuck or doubled, each fault is told, and the
//! throughput is back soon after it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use pawl_rehearsal::private::free_port;
use pawl_tests::proxy::Mode;
use pawl_tests::target::Manner;
use pawl_tests::{Cluster, Load, Prometheus, Proxy, Target, bounds};
use serde_json::{Value, json};

use crate::pipelines;
use told::{Event, Fault};

mod told;

const WORKERS: [&str; 3] = ["a", "b", "c"];

/// Load lasts for so long at least.
const LASTS: Duration = Duration::from_secs(600);

/// How long a step of `fetch` waits for its answer: so many are in a worker's hands at any time.
const SLOW: Duration = Duration::from_secs(3);

/// Its retries alone would not outlast the outage.
const ORDERS: &str = "name = \"orders\"\n[[step]]\nname = \"order\"\nplugin = \"fetch\"\n\
                      retry = { max_attempts = 12, backoff = \"fixed\", delay = \"1s\" }\n";

/// Starts a worker whose figures stand where they stood before.
fn start(cluster: &mut Cluster, name: &str, metrics: &BTreeMap<&str, String>) -> Result<()> {
    cluster.worker(name).slots(64).default_lease().set("PAWL_METRICS_LISTEN", &metrics[name]).start()
}

#[test]
#[ignore = "ten minutes of load"]
fn pressure_ten_minutes_of_faults_lose_nothing_and_are_told() -> Result<()> {
    let mut cluster = Cluster::start("faults")?;
    let target = Target::start()?;
    target.always("/slow", Manner::Slow(SLOW));
    let outside = Proxy::start(target.url("").trim_start_matches("http://"))?;
    pipelines::chain(&cluster, 5)?;
    pipelines::fetch(&cluster)?;
    cluster.apply(ORDERS)?;

    let mut metrics = BTreeMap::new();
    for name in WORKERS {
        metrics.insert(name, format!("127.0.0.1:{}", free_port()?));
        start(&mut cluster, name, &metrics)?;
    }
    let mut read: Vec<String> = metrics.values().cloned().collect();
    read.push(cluster.client.url("").trim_start_matches("http://").to_owned());
    let prometheus = Prometheus::start(&cluster.folder().join("prometheus"), &read)?;

    let begun = Instant::now();
    let (slow, order) = (target.url("/slow"), outside.url(&target.url("/order")));
    let each = Duration::from_millis;
    let loads = [
        Load::start(&cluster.client, "chain-5", each(17), |number| json!({ "number": number })),
        Load::start(&cluster.client, "fetch", each(100), move |number| pipelines::get(&format!("{slow}/{number}"))),
        Load::start(&cluster.client, "orders", each(100), move |number| effect(&format!("{order}/{number}"))),
    ];

    let mut seen = Vec::new();
    let fault = Fault {
        what: "two of three workers are killed, and started again",
        lasts: Duration::ZERO,
        alert: "PawlTakeovers",
        metric: "sum(pawl_takeovers_total)",
        event: Event::OfRun("step.lease_expired"),
    };
    let kill = |cluster: &mut Cluster| {
        for name in &WORKERS[..2] {
            cluster.the(name)?.kill9();
            start(cluster, name, &metrics)?;
        }
        Ok(())
    };
    seen.push(fault.happen(&mut cluster, &prometheus, kill, |_| Ok(()))?);

    let fault = Fault {
        what: "Postgres is down, and started again",
        lasts: Duration::from_secs(15),
        alert: "PawlStoreAway",
        metric: "4 - sum(pawl_store_up)",
        // It can only be told when it is back.
        event: Event::AfterIt("store.away"),
    };
    let stop = |cluster: &mut Cluster| cluster.postgres.stop();
    seen.push(fault.happen(&mut cluster, &prometheus, stop, |cluster| cluster.postgres.launch())?);

    let fault = Fault {
        what: "Redis is emptied",
        lasts: Duration::ZERO,
        alert: "PawlQueueEmptied",
        metric: "sum(pawl_queue_losses_total)",
        event: Event::Incident("queue.lost"),
    };
    seen.push(fault.happen(&mut cluster, &prometheus, |cluster| cluster.redis.flush_all(), |_| Ok(()))?);

    let fault = Fault {
        what: "an outside service is down",
        lasts: Duration::from_secs(60),
        alert: "PawlCircuitOpen",
        metric: "max(pawl_circuits)",
        event: Event::OfRun("step.deferred"),
    };
    let down = |_: &mut Cluster| {
        outside.set(Mode::Break);
        Ok(())
    };
    let up = |_: &mut Cluster| {
        outside.heal();
        Ok(())
    };
    seen.push(fault.happen(&mut cluster, &prometheus, down, up)?);

    let fault = Fault {
        what: "no worker is there",
        lasts: Duration::from_secs(15),
        alert: "PawlNoWorker",
        metric: "3 - max(pawl_workers{state=\"alive\"})",
        event: Event::Incident("workers.none"),
    };
    let kill = |cluster: &mut Cluster| WORKERS.iter().try_for_each(|name| cluster.the(name).map(|it| it.kill9()));
    let replace = |cluster: &mut Cluster| WORKERS.iter().try_for_each(|name| start(cluster, name, &metrics));
    seen.push(fault.happen(&mut cluster, &prometheus, kill, replace)?);

    std::thread::sleep(LASTS.saturating_sub(begun.elapsed()));
    let mut submitted = Vec::new();
    for load in loads {
        let pipeline = load.pipeline();
        let runs = load.stop()?;
        let known: i64 = cluster.database.value(&format!("select count(*) from run where pipeline = '{pipeline}'"))?;
        ensure!(known == runs.len() as i64, "{pipeline}: {} submissions made {known} runs", runs.len());
        submitted.extend(runs);
    }
    eprintln!("{} runs in {:.0} s", submitted.len(), begun.elapsed().as_secs_f64());
    cluster.all_succeed(&submitted, bounds::RECOVERY)?;
    let performed = target.performed("/order/");
    ensure!(performed.values().all(|times| *times == 1), "an order was performed twice");
    let ended = "select extract(epoch from ended_at)::bigint::text, count(*)::text from run group by 1";
    let ended = cluster.database.lines(&format!("select a || ' ' || b from ({ended}) as it (a, b)"))?;
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<i64>().ok()).unwrap_or_default();
    let ended: BTreeMap<i64, i64> = ended
        .iter()
        .map(|line| line.split(' '))
        .map(|mut words| (number(words.next()), number(words.next())))
        .collect();
    eprintln!("| fault | lasted | before | least | back | alert | metric | event |\n|---|---|---|---|---|---|---|---|");
    let judged: Vec<Result<()>> = seen.iter().map(|seen| seen.judge(&ended)).collect();
    cluster.pawl(&["doctor", "--since", "10s", "--wait", "2m"])?;
    cluster.finish_with(&[&target])?;
    judged.into_iter().collect()
}

/// The input of `orders`: one effect.
fn effect(url: &str) -> Value {
    json!({"requests": [{"method": "POST", "url": url, "body": {}, "timeout_ms": 5_000}]})
}
