//! Runs as they are looked for in a browser: filters that are saved, a step that is replayed to an entry.

use anyhow::{Result, ensure};
use pawl_tests::{bounds, wait};
use serde_json::json;

use crate::furnished::{furnish, is_quiet, keep, submit};

const SCREEN: (u32, u32) = (1280, 860);

/// Reads the clock, so that there is something to replay.
const READINGS: &str = "name = \"readings\"\n[[step]]\nname = \"read\"\nplugin = \"batch\"\nconfig = { items = 6, readings = 2, checkpoint_every = 0 }\n";

#[test]
#[ignore = "needs a browser: `make test-pages`"]
fn a_filter_is_filled_in_saved_found_again_and_forgotten() -> Result<()> {
    let (cluster, browser) = furnish("pages_filter")?;
    for number in 1..=3 {
        submit(&cluster, "orders", &json!(number), &format!("order-{number}"))?;
    }
    let kept = submit(&cluster, "nightly-report", &json!(null), "nightly-1")?;
    browser.look(SCREEN.0, SCREEN.1, false)?;
    browser.open(&cluster.client.url("/runs"))?;
    ensure!(browser.value("document.querySelector('[data-saved] details')")?.is_null(), "all runs are no filter");
    browser.click(".more-fields > summary")?;
    browser.fill("[name=key]", "nightly-*")?;
    keep("filter", &browser.picture()?)?;
    browser.click(".more-fields .button.primary")?;
    browser.shows("#runs", "nightly-report")?;
    browser.shows("#looked", "Picked of 4 runs")?;
    browser.click("[data-saved] summary")?;
    browser.fill("[data-saved] input", "Nightly <b>")?;
    browser.click("[data-saved] form button")?;
    browser.shows(".saved", "Nightly <b>")?;

    browser.open(&cluster.client.url("/runs"))?;
    browser.shows("#runs", "orders")?;
    keep("saved", &browser.picture()?)?;
    browser.click(".saved a")?;
    browser.shows("#looked", "Picked of 4 runs")?;
    let shown = browser.value("[...document.querySelectorAll('#runs a.row')].map((it) => it.getAttribute('href'))")?;
    ensure!(shown == json!([format!("/runs/{kept}")]), "{shown}");
    browser.click(".saved button")?;
    wait::until_true(bounds::PROCESS, "it to be forgotten", || {
        Ok(browser.value("document.querySelector('.saved')")?.is_null())
    })?;
    is_quiet(&cluster, &browser)
}

#[test]
#[ignore = "needs a browser: `make test-pages`"]
fn several_runs_are_picked_and_cancelled() -> Result<()> {
    let (cluster, browser) = furnish("pages_picked")?;
    for number in 1..=3 {
        submit(&cluster, "orders", &json!(number), &format!("order-{number}"))?;
    }
    browser.look(SCREEN.0, SCREEN.1, false)?;
    browser.open(&cluster.client.url("/runs?status=pending"))?;
    browser.click("a[href*='pick=yes']")?;
    browser.click("tbody tr:nth-child(1) input")?;
    browser.click("tbody tr:nth-child(2) input")?;
    keep("picking-two", &browser.picture()?)?;
    browser.click("button[value=cancel]")?;
    browser.shows("form.note", "Cancel 2 runs?")?;
    keep("picked", &browser.picture()?)?;
    browser.click("form.note button")?;
    browser.shows("p.note", "done for 2 runs")?;
    browser.open(&cluster.client.url("/runs?status=cancelled"))?;
    let rows = browser.value("document.querySelectorAll('#runs tbody tr').length")?;
    ensure!(rows == json!(2), "{rows}");
    is_quiet(&cluster, &browser)
}

#[test]
#[ignore = "needs a browser: `make test-pages`"]
fn a_step_is_replayed_to_an_entry() -> Result<()> {
    let (mut cluster, browser) = furnish("pages_replay")?;
    cluster.apply(READINGS)?;
    cluster.worker("a").start()?;
    let run = submit(&cluster, "readings", &json!(null), "readings")?;
    cluster.succeeds(run, bounds::RUN)?;
    let page = cluster.client.url(&format!("/runs/{run}/steps/read"));
    browser.look(SCREEN.0, SCREEN.1, false)?;
    browser.open(&page)?;
    keep("step-journal", &browser.picture()?)?;
    let last = browser.value("document.querySelector('#journal tbody tr:last-child td').textContent")?;
    browser.click("#journal tbody tr:nth-child(6) a")?;
    browser.shows("#end", "Stopped at entry")?;
    let seen = browser.value("document.querySelectorAll('#calls tbody tr').length")?;
    ensure!(seen == json!(5), "the sixth entry is not answered: {seen}, of {last}");
    keep("replay-stopped", &browser.picture()?)?;
    browser.click("#end a[rel=next]")?;
    browser.shows("#calls tbody tr:nth-child(6)", "durable.now()")?;
    browser.fill("#to", "")?;
    browser.click(".head form button")?;
    browser.shows("#end", "Returned an output")?;
    browser.look(SCREEN.0, SCREEN.1, true)?;
    keep("replay-end-dark", &browser.picture()?)?;
    browser.look(390, 844, false)?;
    keep("replay-end-phone", &browser.picture()?)?;
    is_quiet(&cluster, &browser)?;
    cluster.finish()
}
