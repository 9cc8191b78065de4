//! Pages that stay current by themselves.

use anyhow::{Result, ensure};
use pawl_tests::bounds;
use serde_json::json;

use crate::furnished::{furnish, is_quiet, submit};

#[test]
#[ignore = "needs a browser: `make test-pages`"]
fn a_page_follows_its_run_while_a_worker_is_killed_and_another_goes_on() -> Result<()> {
    let (mut cluster, browser) = furnish("pages_killed")?;
    cluster.worker("a").start()?;
    let run = submit(&cluster, "nightly-report", &json!(null), "nightly")?;
    browser.open(&cluster.client.url(&format!("/runs/{run}")))?;
    browser.value("window.untouched = true")?;
    browser.shows("#why", "executes it")?;
    cluster.worker("b").start()?;
    cluster.the("a")?.kill9();
    browser.shows("#past", "lease expired")?;
    browser.shows("#past", "resumed")?;
    browser.shows("#time svg[aria-label^='collect']", "")?;
    ensure!(browser.value("!!document.querySelector('#time .orphaned')")? == json!(true), "the gap is drawn");
    cluster.succeeds(run, bounds::RUN)?;
    browser.shows("#head .chip", "succeeded")?;
    browser.shows("#output", "Download")?;
    ensure!(browser.value("window.untouched")? == json!(true), "the page was not loaded again");
    is_quiet(&cluster, &browser)?;
    cluster.finish()
}
