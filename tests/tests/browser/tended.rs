//! What those look at in a browser who find out what happened: signals that no step has, takeovers, the record of changes.

use anyhow::{Result, ensure};
use pawl_api::types::{CreatedToken, Inbox, RecoveryList, SignalDetail};
use pawl_domain::id::RunId;
use pawl_tests::{Cluster, bounds, wait};
use serde_json::{Value, json};

use crate::furnished::{furnish, is_quiet, stands, submit};

const JSON: &str = "application/json";

/// Waits for one approval, which says by whom.
const WAITS: &str = "name = \"waits\"\n[[step]]\nname = \"wait\"\nplugin = \"waits\"\n";

fn signal(cluster: &Cluster, run: RunId, name: &str, payload: &Value) -> Result<()> {
    let sent = cluster.client.post(&format!("/v1/runs/{run}/signals/{name}"), JSON, payload.to_string())?;
    ensure!(sent.status == 202, "{name}: {}", sent.status);
    Ok(())
}

#[test]
#[ignore = "needs a browser: `make test-pages`"]
fn signals_that_no_step_has_are_returned_replaced_and_taken_away() -> Result<()> {
    let (mut cluster, browser) = furnish("pages_inbox")?;
    cluster.push("waits")?;
    cluster.apply(WAITS)?;
    cluster.worker("a").start()?;
    let run = submit(&cluster, "waits", &json!([{"do": "approval", "name": "go"}]), "inbox")?;
    stands(&cluster, run, "wait", "waiting")?;
    signal(&cluster, run, "spare", &json!(1))?;
    signal(&cluster, run, "spare", &json!(2))?;
    // The step fails by it, and waits for another one when it is opened again.
    signal(&cluster, run, "go", &json!({"by": 7}))?;
    stands(&cluster, run, "wait", "failed")?;
    cluster.client.retry(run)?;
    stands(&cluster, run, "wait", "waiting")?;

    browser.open(&cluster.client.url(&format!("/runs/{run}")))?;
    browser.shows("#inbox", "rejected")?;
    browser.shows("#inbox", "does not fit")?;
    let act = |act: &str, number: u32, carries: Option<&str>| -> Result<()> {
        let (form, its) = (format!("form[action='/runs/{run}/{act}']"), format!("[name=number][value='{number}']"));
        browser.click(&format!("#inbox details:has({form} {its}) > summary"))?;
        let form = format!("{form}:has({its})");
        if let Some(carries) = carries {
            browser.fill(&format!("#inbox {form} textarea"), carries)?;
        }
        browser.click(&format!("#inbox {form} button"))
    };
    let left = || -> Result<Vec<u32>> {
        let inbox: Inbox = cluster.client.get(&format!("/v1/runs/{run}/inbox"))?.read()?;
        Ok(inbox.signals.iter().map(|signal| signal.number).collect())
    };
    act("remove-signal", 1, None)?;
    browser.shows(".note", "The signal is gone.")?;
    assert_eq!(left()?, [2, 3]);
    act("replace-signal", 2, Some("{\"for\": \"later\"}"))?;
    browser.shows(".note", "The signal carries what you gave.")?;
    let second: SignalDetail = cluster.client.get(&format!("/v1/runs/{run}/inbox/2"))?.read()?;
    assert_eq!(second.payload.get(), "{\"for\": \"later\"}");
    // As it is, the step fails by it again.
    act("return-signal", 3, None)?;
    browser.shows(".note", "The signal waits again.")?;
    stands(&cluster, run, "wait", "failed")?;
    cluster.client.retry(run)?;
    stands(&cluster, run, "wait", "waiting")?;
    browser.open(&cluster.client.url(&format!("/runs/{run}")))?;
    act("replace-signal", 3, Some("{\"by\": \"Ann\"}"))?;
    browser.shows(".note", "The signal carries what you gave.")?;
    cluster.succeeds(run, bounds::RUN)?;
    is_quiet(&cluster, &browser)?;
    cluster.finish()
}

#[test]
#[ignore = "needs a browser: `make test-pages`"]
fn a_takeover_is_told_while_it_happens() -> Result<()> {
    let (mut cluster, browser) = furnish("pages_takeover")?;
    cluster.worker("a").start()?;
    cluster.worker("b").start()?;
    browser.open(&cluster.client.url("/recoveries"))?;
    browser.shows("#recoveries", "No worker was lost")?;
    let run = submit(&cluster, "nightly-report", &json!(null), "nightly")?;
    let holder = cluster.holder(run, "collect", bounds::RUN)?;
    cluster.the(&holder)?.kill9();
    wait::until_true(bounds::RECOVERY, "its step to be taken over", || {
        Ok(!cluster.client.get("/v1/recoveries")?.read::<RecoveryList>()?.recoveries.is_empty())
    })?;
    // The page is live.
    browser.shows("#recoveries", "collect")?;
    browser.shows("#recoveries .stages li.done:last-child", "Ready for dispatch")?;
    browser.click("#recoveries a.row")?;
    browser.shows("main", "collect")?;
    browser.open(&cluster.client.url(&format!("/runs/{run}")))?;
    browser.shows("#recoveries", "collect")?;
    cluster.succeeds(run, bounds::RECOVERY)?;
    is_quiet(&cluster, &browser)?;
    cluster.finish()
}

#[test]
#[ignore = "needs a browser: `make test-pages`"]
fn changes_are_found_by_whom_and_for_what_with_scripts_and_without() -> Result<()> {
    let (cluster, browser) = furnish("pages_changes")?;
    let run = submit(&cluster, "orders", &json!(1), "order-1")?;
    let body = json!({"name": "ada", "role": "admin"}).to_string();
    let token = cluster.client.post("/v1/tokens", JSON, body)?.read::<CreatedToken>()?.token;
    cluster.client.show(token.clone());
    wait::until_true(bounds::PROCESS, "a token to be wanted", || {
        Ok(pawl_tests::Client::new(cluster.client.url(""))?.get("/v1/runs")?.status == 401)
    })?;
    cluster.client.cancel(run)?;
    browser.scripts(false)?;
    browser.open(&cluster.client.url("/access/audit"))?;
    browser.fill("#token", &token)?;
    browser.click("form button")?;
    browser.shows("h1", "Changes")?;
    for scripts in [false, true] {
        browser.scripts(scripts)?;
        browser.open(&cluster.client.url("/access/audit"))?;
        browser.shows("table", "applyPipeline")?;
        browser.fill("[name=who]", "ada")?;
        browser.click("form.filter > button")?;
        browser.shows("#looked", "Picked of")?;
        browser.shows("table", "cancelRun")?;
        ensure!(!browser.text("table")?.contains("applyPipeline"), "{}", browser.text("table")?);
        browser.click(".more-fields > summary")?;
        browser.fill("[name=what]", "retryRun")?;
        browser.click(".more-fields .button.primary")?;
        browser.shows(".empty", "There is no such change.")?;
        browser.fill("[name=what]", "canselRun")?;
        browser.click(".more-fields .button.primary")?;
        browser.shows(".note", "did you mean cancelRun?")?;
        browser.click("form.filter > a")?;
        browser.shows("table", "applyPipeline")?;
    }
    browser.open(&cluster.client.url("/access/audit?who=ada&within=1h"))?;
    let export = browser.value("document.querySelector('a[download]').getAttribute('href')")?;
    ensure!(export == json!("/access/audit/export?who=ada&within=1h"), "{export}");
    is_quiet(&cluster, &browser)
}
