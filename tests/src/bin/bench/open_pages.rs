//! What open pages cost the API: a hundred of them, of runs, of the list and of the overview, while a hundred events happen
//! in a second. Each does what the pages' script does: it hears the marks of its run's events, and asks for the page again, at the
//! pace that the page has told it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use pawl_domain::id::RunId;
use pawl_tests::process::processor_time;
use pawl_tests::runtime::{block_on, handle};
use pawl_tests::{Cluster, binary};
use serde_json::{Value, json};
use tokio::time::{sleep, sleep_until};

/// Pages that are open: of runs, of the list, of the overview.
const OF_RUNS: usize = 80;
const OF_LISTS: usize = 10;
const OVERVIEWS: usize = 10;

/// Runs that go on, and how long each of their naps takes: three events for a nap.
const RUNS: usize = 10;
const NAP_MS: u64 = 250;

/// For how long is measured, with and without them, and how long pages are open before.
const TIME: Duration = Duration::from_secs(30);
const SETTLE: Duration = Duration::from_secs(40);

/// What they may cost, of a core.
const MOST: f64 = 0.05;

const PIPELINE: &str = "name = \"naps\"\n[[step]]\nname = \"load\"\nplugin = \"waits\"\n[[step]]\nname = \"check\"\nplugin = \"echo\"\nneeds = [\"load\"]\n\
                        [[step]]\nname = \"store\"\nplugin = \"echo\"\nneeds = [\"check\"]\n";

/// Prints what it costs; whether that is little enough.
pub(super) fn measure() -> anyhow::Result<bool> {
    let mut cluster = Cluster::start_in(binary::programs()?.join("bench-pages"))?;
    cluster.start_api(&[])?;
    for plugin in ["waits", "echo"] {
        cluster.push(plugin)?;
    }
    cluster.apply(PIPELINE)?;
    cluster.worker("worker").default_lease().default_slots().start()?;
    let naps: Vec<Value> = vec![json!({"do": "sleep", "ms": NAP_MS}); 900];
    let runs: Vec<RunId> =
        (0..RUNS).map(|_| cluster.submit("naps", &Value::from(naps.clone()))).collect::<anyhow::Result<_>>()?;
    std::thread::sleep(Duration::from_secs(5));
    let (without, events) = used(&mut cluster)?;

    let ends = Arc::new(AtomicBool::new(false));
    let asked = Arc::new(AtomicU64::new(0));
    let paths = (0..OF_RUNS).map(|number| format!("/runs/{}", runs[number % RUNS]));
    let paths = paths.chain((0..OF_LISTS).map(|_| "/runs".to_owned())).chain((0..OVERVIEWS).map(|_| "/".to_owned()));
    let open: Vec<_> = paths
        .map(|path| {
            let page = Open { base: cluster.client.url(""), path, ends: ends.clone(), asked: asked.clone() };
            handle().spawn(page.live())
        })
        .collect();
    std::thread::sleep(SETTLE);
    let before = asked.load(Ordering::Relaxed);
    let (with, _) = used(&mut cluster)?;
    let looks = (asked.load(Ordering::Relaxed) - before) as f64 / TIME.as_secs_f64();
    ends.store(true, Ordering::Relaxed);
    let pages = open.len();
    for page in open {
        block_on(page)?.context("a page that was open")?;
    }
    let cost = with - without;
    println!(
        "\n{pages} open pages at {events:.0} events/s: {:.1} % of a core ({:.1} % without them), {looks:.1} looks/s  ≤ {:.0} %{}",
        cost * 1e2,
        without * 1e2,
        MOST * 1e2,
        if cost <= MOST { "" } else { "  MISSED" }
    );
    for run in runs {
        cluster.client.cancel(run)?;
    }
    cluster.finish()?;
    Ok(cost <= MOST)
}

/// What the API takes of a core, and events in a second.
fn used(cluster: &mut Cluster) -> anyhow::Result<(f64, f64)> {
    let count = |cluster: &Cluster| cluster.database.value::<i64>("select sum(event_count) from run");
    let pid = cluster.api()?.pid();
    let (begun, events, took) = (Instant::now(), count(cluster)?, processor_time(pid)?);
    std::thread::sleep(TIME);
    let (took, events) = (processor_time(pid)? - took, count(cluster)? - events);
    let time = begun.elapsed().as_secs_f64();
    Ok((took.as_secs_f64() / time, events as f64 / time))
}

/// A page in a browser that somebody looks at.
struct Open {
    base: String,
    path: String,
    ends: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
}

impl Open {
    /// As `pawl.js` does it: `soon` after an event, `every` so often otherwise.
    async fn live(self) -> anyhow::Result<()> {
        let client = reqwest::Client::new();
        let mut page = self.look(&client, false).await?;
        let mut stream = match attribute(&page, "data-events") {
            Some(path) => {
                Some(client.get(format!("{}{path}", self.base)).header("accept", "text/event-stream").send().await?)
            }
            None => None,
        };
        let mut looked = Instant::now();
        while !self.ends.load(Ordering::Relaxed) {
            let every = attribute(&page, "data-every").context("it is live")?.parse()?;
            let pace = attribute(&page, "data-pace").map_or(Ok(1_000), |pace| pace.parse())?;
            let again = (looked + Duration::from_millis(every)).into();
            match &mut stream {
                None => sleep_until(again).await,
                Some(events) => tokio::select! {
                    event = events.chunk() => {
                        ensure!(event?.is_some(), "the stream has ended");
                        sleep(Duration::from_millis(pace).saturating_sub(looked.elapsed())).await;
                    }
                    () = sleep_until(again) => {}
                },
            }
            looked = Instant::now();
            page = self.look(&client, true).await?;
        }
        Ok(())
    }

    async fn look(&self, client: &reqwest::Client, again: bool) -> anyhow::Result<String> {
        let request = client.get(format!("{}{}", self.base, self.path));
        let request = if again { request.header("pawl-part", "1") } else { request };
        self.asked.fetch_add(1, Ordering::Relaxed);
        Ok(request.send().await?.error_for_status()?.text().await?)
    }
}

/// What one of the page's main part says.
fn attribute(page: &str, name: &str) -> Option<String> {
    let (_, rest) = page.split_once(&format!("{name}=\""))?;
    let (value, _) = rest.split_once('"')?;
    Some(value.replace("&amp;", "&"))
}
