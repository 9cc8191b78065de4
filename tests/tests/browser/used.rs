//! Pages as they are used: by forms, without scripts, without a mouse.

use anyhow::{Context as _, Result, ensure};
use pawl_api::types::{CreatedToken, RunStatus};
use pawl_tests::browser::{ENTER, ESCAPE};
use pawl_tests::{bounds, wait};
use serde_json::json;

use crate::furnished::{awaiting, furnish, is_quiet, stands, submit};

#[test]
#[ignore = "needs a browser: `make test-pages`"]
fn a_signal_is_sent_by_its_form() -> Result<()> {
    let (mut cluster, browser) = furnish("pages_signal")?;
    cluster.worker("a").start()?;
    let run = submit(&cluster, "approve-refund", &awaiting(), "refund")?;
    stands(&cluster, run, "wait-for-approval", "waiting")?;
    browser.open(&cluster.client.url(&format!("/runs/{run}")))?;
    let form = format!(".reason form[action='/runs/{run}/signal']");
    browser.click(".reason .act > summary")?;
    ensure!(browser.value(&format!("document.querySelector(\"{form} [name=name]\").value"))? == json!("approved"));
    browser.fill(&format!("{form} textarea"), "{\"by\": \"Ann\"}")?;
    browser.click(&format!("{form} button"))?;
    browser.shows(".note", "The signal is sent.")?;
    browser.shows("#head .chip", "succeeded")?;
    cluster.succeeds(run, bounds::RUN)?;
    is_quiet(&cluster, &browser)?;
    cluster.finish()
}

#[test]
#[ignore = "needs a browser: `make test-pages`"]
fn without_scripts_somebody_signs_in_looks_and_acts() -> Result<()> {
    let (mut cluster, browser) = furnish("pages_plain")?;
    let run = submit(&cluster, "orders", &json!({"order": 1}), "order-1")?;
    let made =
        cluster.client.post("/v1/tokens", "application/json", json!({"name": "ada", "role": "admin"}).to_string())?;
    let token = made.read::<CreatedToken>()?.token;
    cluster.client.show(token.clone());
    wait::until_true(bounds::PROCESS, "a token to be wanted", || {
        Ok(pawl_tests::Client::new(cluster.client.url(""))?.get("/v1/runs")?.status == 401)
    })?;
    browser.scripts(false)?;
    browser.open(&cluster.client.url(&format!("/runs/{run}")))?;
    ensure!(browser.at()?.contains("/enter?next="), "{}", browser.at()?);
    browser.fill("#token", &token)?;
    browser.click("form button")?;
    browser.shows("h1", "orders")?;
    for (act, says, status) in [
        ("cancel", "The run is cancelled.", RunStatus::Cancelled),
        ("retry", "The run is open again.", RunStatus::Pending),
    ] {
        browser.click(&format!("details:has(form[action='/runs/{run}/{act}']) > summary"))?;
        browser.click(&format!("form[action='/runs/{run}/{act}'] button"))?;
        browser.shows(".note", says)?;
        ensure!(cluster.client.run(run)?.summary.status == status, "{act}");
    }
    browser.click("a[href='/runs']")?;
    browser.shows("table", "orders")?;
    browser.click("header form.who button")?;
    browser.shows("h1", "Sign in")?;
    cluster.worker("a").start()?;
    cluster.succeeds(run, bounds::RUN)?;
    cluster.finish()
}

#[test]
#[ignore = "needs a browser: `make test-pages`"]
fn whoever_has_no_mouse_finds_a_run_and_opens_it() -> Result<()> {
    let (cluster, browser) = furnish("pages_keys")?;
    let runs: Vec<_> = (0..3)
        .map(|number| submit(&cluster, "orders", &json!(number), &format!("order-{number}")))
        .collect::<Result<_>>()?;
    browser.open(&cluster.client.url("/"))?;
    browser.press("?")?;
    browser.shows("#help", "find a run")?;
    browser.press(&ESCAPE.to_string())?;
    browser.press("gr")?;
    browser.shows("h1", "Runs")?;
    browser.press("jjk")?;
    let newest = runs.last().context("there are some")?;
    let chosen = browser.value("document.querySelector('tr.here a').getAttribute('href')")?;
    ensure!(chosen == json!(format!("/runs/{newest}")), "{chosen}");
    browser.press(&ENTER.to_string())?;
    browser.shows("h1", "orders")?;
    ensure!(browser.at()?.ends_with(&newest.to_string()), "{}", browser.at()?);
    browser.press("/")?;
    browser.press(&format!("{}{ENTER}", runs[0]))?;
    wait::until_true(bounds::PROCESS, "the run to be found", || Ok(browser.at()?.ends_with(&runs[0].to_string())))?;
    browser.press(&ESCAPE.to_string())?;
    is_quiet(&cluster, &browser)
}
