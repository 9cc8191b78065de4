//! Pipelines and plugins, as they are used: a run by the form that its schema makes, versions that are activated, gone back from
//! and compared.

use anyhow::{Result, ensure};
use pawl_api::types::PluginDetail;
use pawl_tests::bounds;
use serde_json::json;

use crate::furnished::{CHANGED_ORDERS, furnish, is_quiet};

#[test]
#[ignore = "needs a browser: `make test-pages`"]
fn a_run_is_submitted_by_the_form_that_its_schema_makes() -> Result<()> {
    let (mut cluster, browser) = furnish("pages_schema_form")?;
    cluster.worker("a").start()?;
    browser.open(&cluster.client.url("/"))?;
    browser.press("gp")?;
    browser.shows("h1", "Pipelines")?;
    browser.click("a[href='/pipelines/approve-refund']")?;
    browser.shows("h1", "approve-refund")?;
    browser.click(".act > summary")?;
    let form = "form[action='/pipelines/approve-refund/submit']";
    browser.fill(&format!("{form} [name='of:timeout_ms']"), "1")?;
    browser.fill(&format!("{form} [name='key']"), "refund-7")?;
    // What the signal is called is missing, or no text.
    browser.click(&format!("{form} details:has(textarea) > summary"))?;
    browser.fill(&format!("{form} [name='whole']"), "{\"signal\": 7}")?;
    browser.click(&format!("{form} > button"))?;
    browser.shows(&format!("{form} .note"), "wait-for-approval")?;
    let kept = browser.value(&format!(
        "[...document.querySelectorAll(\"{form} input, {form} textarea\")].map((it) => it.value).filter(Boolean)"
    ))?;
    ensure!(kept == json!(["1", "{\"signal\": 7}", "refund-7"]), "{kept}");
    browser.value(&format!("document.querySelector(\"{form} [name='whole']\").value = ''"))?;
    browser.fill(&format!("{form} [name='of:signal']"), "approved")?;
    browser.click(&format!("{form} > button"))?;
    browser.shows("#head", "refund-7")?;
    browser.shows("#head .chip", "succeeded")?;
    browser.click("a[href='/pipelines/approve-refund']")?;
    browser.shows("#steps", "in 1 run: all that have ended")?;
    let strip = browser.value("document.querySelector('#steps .strip').getAttribute('aria-label')")?;
    ensure!(strip.as_str().is_some_and(|said| said.starts_with("1 time: from ")), "{strip}");
    let complaints = browser.complaints(&cluster.client.url(""))?;
    // What was refused was so with a status of its own.
    ensure!(complaints.iter().all(|line| line.contains("status of 422")), "{complaints:#?}");
    cluster.finish()
}

#[test]
#[ignore = "needs a browser: `make test-pages`"]
fn a_version_is_activated_and_gone_back_from_by_forms() -> Result<()> {
    let (mut cluster, browser) = furnish("pages_activate")?;
    cluster.worker("a").start()?;
    cluster.push_as("batch-v2", "batch", "9.0.0")?;
    browser.open(&cluster.client.url("/"))?;
    browser.press("gl")?;
    browser.click("a[href='/plugins/batch']")?;
    browser.shows("#head", "9.0.0")?;
    let active = || -> Result<Option<String>> {
        Ok(cluster.client.get("/v1/plugins/batch")?.read::<PluginDetail>()?.active_version)
    };
    let before = cluster.client.get("/v1/plugins/batch")?.read::<PluginDetail>()?.previous_version;
    ensure!(active()?.as_deref() == Some("9.0.0") && before.is_some(), "{before:?}");
    browser.click("details:has(form[action='/plugins/batch/rollback']) > summary")?;
    browser.click("form[action='/plugins/batch/rollback'] button")?;
    browser.shows(".note", "is active again.")?;
    ensure!(active()? == before);
    browser.click("details:has(form[action='/plugins/batch/activate']) > summary")?;
    browser.click("form[action='/plugins/batch/activate'] button")?;
    browser.shows(".note", "9.0.0 is active")?;
    ensure!(active()?.as_deref() == Some("9.0.0"));
    browser.shows("#changes", "size_bytes")?;
    browser.shows("#users", "orders")?;
    browser.shows("#asks", "pawl:step/durable")?;
    is_quiet(&cluster, &browser)?;
    cluster.finish()
}

#[test]
#[ignore = "needs a browser: `make test-pages`"]
fn two_versions_of_a_pipeline_are_compared_without_scripts() -> Result<()> {
    let (cluster, browser) = furnish("pages_versions_compared")?;
    cluster.apply(CHANGED_ORDERS)?;
    browser.scripts(false)?;
    browser.open(&cluster.client.url("/pipelines/orders"))?;
    browser.shows("#changes", "config.items")?;
    browser.click("#versions form button")?;
    browser.shows("#changes", "Steps that came")?;
    browser.shows("#changes", "weigh")?;
    ensure!(browser.at()?.contains("from="), "{}", browser.at()?);
    // What was led to lies at the top now, and the list above it.
    browser.open(&cluster.client.url("/pipelines/orders"))?;
    browser.click("#versions tbody a")?;
    browser.shows("#changes", "Steps that went")?;
    browser.shows("#changes", "notify-customer")?;
    ensure!(browser.at()?.contains("from="), "{}", browser.at()?);
    cluster.finish()
}

#[test]
#[ignore = "needs a browser: `make test-pages`"]
fn a_paused_pipeline_says_so_and_goes_on() -> Result<()> {
    let (mut cluster, browser) = furnish("pages_pause_pipeline")?;
    let run = cluster.submit("nightly-report", &json!({}))?;
    browser.open(&cluster.client.url("/pipelines/nightly-report"))?;
    browser.click("details:has(form[action='/pipelines/nightly-report/pause']) > summary")?;
    browser.fill("form[action='/pipelines/nightly-report/pause'] input", "the bank is down")?;
    browser.click("form[action='/pipelines/nightly-report/pause'] button")?;
    browser.shows("#head", "the bank is down")?;
    browser.click("details:has(form[action='/pipelines/nightly-report/unpause']) > summary")?;
    browser.click("form[action='/pipelines/nightly-report/unpause'] button")?;
    browser.shows(".note", "The pipeline goes on")?;
    cluster.worker("a").start()?;
    cluster.succeeds(run, bounds::RUN)?;
    is_quiet(&cluster, &browser)?;
    cluster.finish()
}
