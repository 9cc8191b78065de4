//! An installation with something to look at.

use anyhow::{Result, ensure};
use pawl_domain::id::RunId;
use pawl_tests::{Chromium, Cluster, binary, bounds, wait};
use serde_json::{Value, json};

/// Pictures that docs/pages.md has, by what they show.
const OF_DOCS: [(&str, &str); 13] = [
    ("overview", "overview.png"),
    ("run-dark", "run.png"),
    ("parse", "parse.png"),
    ("replay-end-dark", "replay.png"),
    ("pipeline", "pipeline.png"),
    ("plugin-dark", "plugin.png"),
    ("queues", "queues.png"),
    ("doctor", "doctor.png"),
    ("recoveries", "recoveries.png"),
    ("audit-dark", "audit.png"),
    ("large", "large.png"),
    ("runs-phone", "phone.png"),
    ("large-phone", "large-phone.png"),
];

/// Largest picture in the docs, bytes.
const PICTURE: usize = 150 << 10;

/// Some that follow each other and some side by side, with one that fails at first.
const ORDERS: &str = r#"
name = "orders"
[[step]]
name = "fetch-orders"
plugin = "batch"
config = { items = 30, pause_ms = 25, checkpoint_every = 5 }
[[step]]
name = "fetch-prices"
plugin = "batch"
config = { items = 12, pause_ms = 25 }
[[step]]
name = "check-stock"
plugin = "batch"
needs = ["fetch-orders"]
config = { items = 20, pause_ms = 20 }
[[step]]
name = "charge"
plugin = "flaky"
needs = ["fetch-orders", "fetch-prices"]
config = { failures = 1 }
retry = { max_attempts = 3, delay = "400ms" }
[[step]]
name = "pack"
plugin = "batch"
needs = ["check-stock", "charge"]
config = { items = 10, pause_ms = 20 }
[[step]]
name = "print-label"
plugin = "echo"
needs = ["pack"]
[[step]]
name = "notify-customer"
plugin = "echo"
needs = ["charge"]
[[step]]
name = "archive"
plugin = "echo"
needs = ["print-label", "notify-customer"]
"#;

/// Its next version: other figures, a step more, and one that has gone.
pub const CHANGED_ORDERS: &str = r#"
name = "orders"
versions = "start"
[[step]]
name = "fetch-orders"
plugin = "batch"
config = { items = 40, pause_ms = 25, checkpoint_every = 5 }
[[step]]
name = "fetch-prices"
plugin = "batch"
config = { items = 12, pause_ms = 25 }
timeout = "2m"
[[step]]
name = "check-stock"
plugin = "batch"
needs = ["fetch-orders"]
config = { items = 20, pause_ms = 20 }
[[step]]
name = "charge"
plugin = "flaky"
needs = ["fetch-orders", "fetch-prices"]
config = { failures = 1 }
retry = { max_attempts = 5, delay = "400ms" }
[[step]]
name = "weigh"
plugin = "echo"
needs = ["check-stock"]
[[step]]
name = "pack"
plugin = "batch"
needs = ["weigh", "charge"]
config = { items = 10, pause_ms = 20 }
[[step]]
name = "print-label"
plugin = "echo"
needs = ["pack"]
[[step]]
name = "archive"
plugin = "echo"
needs = ["print-label"]
"#;

const IMPORTS: &str = r#"
name = "import-catalogue"
[[step]]
name = "download"
plugin = "echo"
[[step]]
name = "parse"
plugin = "flaky"
needs = ["download"]
config = { failures = 9, how = "fatal" }
[[step]]
name = "publish"
plugin = "echo"
needs = ["parse"]
"#;

const APPROVALS: &str = r#"
name = "approve-refund"
[[step]]
name = "wait-for-approval"
plugin = "approve"
[[step]]
name = "refund"
plugin = "echo"
needs = ["wait-for-approval"]
"#;

/// Long enough for a worker to be killed in.
const NIGHTLY: &str = r#"
name = "nightly-report"
[[step]]
name = "collect"
plugin = "batch"
config = { items = 160, pause_ms = 25, checkpoint_every = 10 }
[[step]]
name = "report"
plugin = "echo"
needs = ["collect"]
"#;

/// A cluster with these pipelines, its folder, and a browser.
pub fn furnish(name: &str) -> Result<(Cluster, Chromium)> {
    let cluster = Cluster::start(name)?;
    for plugin in ["batch", "flaky", "echo", "approve"] {
        cluster.push(plugin)?;
    }
    for pipeline in [ORDERS, IMPORTS, APPROVALS, NIGHTLY] {
        cluster.apply(pipeline)?;
    }
    let browser = Chromium::start(&cluster.folder().join("browser"))?;
    Ok((cluster, browser))
}

/// Submits a run with a key.
pub fn submit(cluster: &Cluster, pipeline: &str, input: &Value, key: &str) -> Result<RunId> {
    let answer = pawl_tests::runtime::block_on(cluster.client.try_submit(pipeline, input, Some(key)))?;
    Ok(answer.read::<pawl_api::types::SubmittedRun>()?.id)
}

/// Waits until a step of a run stands there.
pub fn stands(cluster: &Cluster, run: RunId, step: &str, status: &str) -> Result<()> {
    wait::until(bounds::RUN, &format!("{step} to be {status}"), || {
        let now = cluster.client.run(run)?;
        let found = now.steps.iter().find(|it| it.name == step).map(|it| it.status.to_string()).unwrap_or_default();
        Ok(if found == status { wait::Look::Done(()) } else { wait::Look::NotYet(found) })
    })
}

/// A signal that is awaited.
pub fn awaiting() -> Value {
    json!({"signal": "approved", "timeout_ms": 3_600_000})
}

/// Keeps a picture where nobody minds; and for the docs, if it is one of theirs and they are to be made anew.
pub fn keep(name: &str, picture: &[u8]) -> Result<()> {
    let folder = binary::programs()?.join("tests/pictures");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join(format!("{name}.png")), picture)?;
    let Some((_, of_docs)) = OF_DOCS.iter().find(|(taken, _)| *taken == name) else { return Ok(()) };
    ensure!(picture.len() <= PICTURE, "{name} has {} bytes", picture.len());
    if std::env::var_os("PAWL_BLESS").is_some() {
        let folder = binary::repository().join("docs/images");
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(of_docs), picture)?;
    }
    Ok(())
}

/// Nothing was said on the console, and nothing asked for elsewhere.
pub fn is_quiet(cluster: &Cluster, browser: &Chromium) -> Result<()> {
    let complaints = browser.complaints(&cluster.client.url(""))?;
    ensure!(complaints.is_empty(), "{complaints:#?}");
    Ok(())
}
