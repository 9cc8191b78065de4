//! What those do on pages who keep Pawl running: queues, workers, circuits, tokens, namespaces.

use anyhow::{Context as _, Result, ensure};
use pawl_api::types::{CircuitList, CreatedToken, QueueDetail, SubmittedRun, WorkerList};
use pawl_tests::runtime::block_on;
use pawl_tests::target::Manner;
use pawl_tests::{Chromium, Cluster, Target, binary, bounds, wait};
use serde_json::{Value, json};

use crate::furnished::{awaiting, furnish, is_quiet, stands, submit};

const JSON: &str = "application/json";

/// Opens the panel of the first form there, and the form is sent.
fn send(browser: &Chromium, place: &str) -> Result<()> {
    browser.click(&format!("{place} .act > summary"))?;
    browser.click(&format!("{place} form.panel button"))
}

#[test]
#[ignore = "needs a browser: `make test-pages`"]
fn a_queue_is_paused_and_a_worker_drained_from_their_pages() -> Result<()> {
    let (mut cluster, browser) = furnish("pages_drain")?;
    cluster.worker("a").start()?;
    let run = submit(&cluster, "nightly-report", &json!(null), "nightly")?;
    browser.open(&cluster.client.url("/"))?;
    browser.shows("#queues", "default")?;
    browser.click("#queues a.row")?;
    browser.shows("h1", "default")?;
    browser.shows("#pending", "collect")?;
    browser.click("#acts summary")?;
    browser.fill("#acts [name=reason]", "new drivers")?;
    browser.click("#acts form button")?;
    browser.shows(".note", "default is paused.")?;
    browser.shows("#head", "new drivers")?;
    let queue: QueueDetail = cluster.client.get("/v1/queues/default")?.read()?;
    ensure!(queue.paused.context("it is paused")?.reason.as_deref() == Some("new drivers"));
    send(&browser, "#acts")?;
    browser.shows(".note", "default is unpaused.")?;

    browser.click("nav.tabs a[href='/workers']")?;
    browser.click("#workers a.row")?;
    browser.shows("#steps", "collect")?;
    send(&browser, "main > .acts")?;
    browser.shows(".note", "asked to drain")?;
    browser.open(&cluster.client.url("/workers"))?;
    // Live: what it had is handed back, and it says goodbye.
    browser.shows("#gone", "ended")?;
    let workers: WorkerList = cluster.client.get("/v1/workers")?.read()?;
    ensure!(workers.gone.iter().all(|worker| worker.said_goodbye), "{workers:?}");
    cluster.worker("b").start()?;
    browser.shows("#workers", "alive")?;
    cluster.succeeds(run, bounds::RUN)?;
    is_quiet(&cluster, &browser)?;
    cluster.finish()
}

#[test]
#[ignore = "needs a browser: `make test-pages`"]
fn a_circuit_is_closed_by_its_form() -> Result<()> {
    let target = Target::start()?;
    target.always("/", Manner::Fail(503));
    let (mut cluster, browser) = furnish("pages_circuit")?;
    cluster.push("fetch")?;
    cluster.apply("name = \"pay\"\n[[step]]\nname = \"charge\"\nplugin = \"fetch\"\nretry = {max_attempts = 9, backoff = \"fixed\", delay = \"50ms\"}\n")?;
    cluster.worker("a").set("PAWL_CIRCUIT_FIRST", "10m").set("PAWL_CIRCUIT_LONGEST", "10m").start()?;
    let runs: Vec<_> = (0..6)
        .map(|number| {
            let request = json!({"method": "POST", "url": target.url(&format!("/order/{number}")), "body": number});
            submit(&cluster, "pay", &json!({"requests": [request]}), &format!("pay-{number}"))
        })
        .collect::<Result<_>>()?;
    browser.open(&cluster.client.url("/circuits"))?;
    browser.shows("#circuits .chip", "down")?;
    wait::until_true(bounds::RECOVERY, "all of them to wait", || {
        let list: CircuitList = cluster.client.get("/v1/circuits")?.read()?;
        Ok(list.circuits.iter().any(|circuit| circuit.deferred == 6))
    })?;
    browser.open(&cluster.client.url("/waits?kind=time"))?;
    browser.shows("#waits", "host down")?;
    browser.open(&cluster.client.url("/doctor"))?;
    browser.shows("#ill", "one outside host is down")?;
    target.always("/", Manner::Answer);
    browser.click("#ill a[href='/circuits']")?;
    send(&browser, "#circuits")?;
    browser.shows(".note", "The circuit is closed")?;
    for run in runs {
        cluster.succeeds(run, bounds::RECOVERY)?;
    }
    browser.shows("#circuits", "No outside host is down")?;
    is_quiet(&cluster, &browser)?;
    cluster.finish_with(&[&target])
}

#[test]
#[ignore = "needs a browser: `make test-pages`"]
fn a_token_is_made_told_once_and_revoked() -> Result<()> {
    let (cluster, browser) = furnish("pages_tokens")?;
    browser.open(&cluster.client.url("/access/tokens"))?;
    let make = |name: &str, role: &str, term: &str| -> Result<String> {
        browser.click("details:has([name=term]) > summary")?;
        browser.fill("[name=name]", name)?;
        browser.click(&format!("[name=role] option[value={role}]"))?;
        browser.click(&format!("[name=term] option[value='{term}']"))?;
        browser.click("form:has([name=term]) button")?;
        browser.shows(".state", &format!("The token “{name}” is made."))?;
        browser.text("#made")
    };
    // From the first one on, nobody is let in without one: neither this browser, nor this test.
    let admin = make("ada", "admin", "")?;
    cluster.client.show(admin.clone());
    wait::until_true(bounds::PROCESS, "a token to be wanted", || {
        Ok(pawl_tests::Client::new(cluster.client.url(""))?.get("/v1/runs")?.status == 401)
    })?;
    browser.open(&cluster.client.url("/access/tokens"))?;
    browser.fill("#token", &admin)?;
    browser.click("form button")?;
    browser.shows("h1", "Tokens")?;
    let read = make("ci", "read", "86400000")?;
    let reader = pawl_tests::Client::new(cluster.client.url(""))?;
    reader.show(read);
    ensure!(reader.get("/v1/runs")?.status == 200, "it lets somebody in");
    browser.open(&cluster.client.url("/access/tokens"))?;
    browser.click("details:has([name=name][value=ci]) > summary")?;
    browser.click("form:has([name=name][value=ci]) button")?;
    browser.shows(".note", "The token is revoked")?;
    browser.shows("#over", "ci")?;
    wait::until_true(bounds::PROCESS, "it to let nobody in", || Ok(reader.get("/v1/runs")?.status == 401))?;
    browser.open(&cluster.client.url("/access/audit"))?;
    browser.shows("table", "revokeToken")?;
    is_quiet_but_for_refusals(&cluster, &browser)?;
    cluster.finish()
}

/// The page that was open when the first token was made may have been refused once.
fn is_quiet_but_for_refusals(cluster: &Cluster, browser: &Chromium) -> Result<()> {
    let complaints = browser.complaints(&cluster.client.url(""))?;
    ensure!(complaints.iter().all(|line| line.contains("status of 401")), "{complaints:#?}");
    Ok(())
}

/// What the API is asked for about that namespace.
fn about(cluster: &Cluster, path: &str, kind: &str, body: impl Into<Vec<u8>>) -> Result<Value> {
    let headers = [("content-type", kind), ("pawl-namespace", "team-a")];
    block_on(cluster.client.send("POST", path, &headers, body.into()))?.read()
}

#[test]
#[ignore = "needs a browser: `make test-pages`"]
fn the_namespace_is_chosen_in_the_head_and_open_pages_follow_it() -> Result<()> {
    let (mut cluster, browser) = furnish("pages_switch")?;
    let elsewhere = submit(&cluster, "orders", &json!(1), "order-1")?;
    ensure!(block_on(cluster.client.send("PUT", "/v1/namespaces/team-a", &[], Vec::new()))?.status == 201);
    about(&cluster, "/v1/plugins/echo/versions/1", "application/wasm", binary::component("echo")?)?;
    about(
        &cluster,
        "/v1/pipelines",
        "application/toml",
        "name = \"mine\"\n[[step]]\nname = \"say\"\nplugin = \"echo\"\n",
    )?;
    for scripts in [false, true] {
        browser.scripts(scripts)?;
        browser.open(&cluster.client.url("/runs"))?;
        browser.shows("table", "orders")?;
        browser.click("details.whose > summary")?;
        browser.click("details.whose button[value=team-a]")?;
        browser.shows("details.whose > summary", "team-a")?;
        ensure!(browser.at()?.ends_with("/runs"), "{}", browser.at()?);
        ensure!(!browser.text("main")?.contains("orders"), "{}", browser.text("main")?);
        if !scripts {
            browser.click("details.whose > summary")?;
            browser.click("details.whose button[value=default]")?;
            browser.shows("table", "orders")?;
        }
    }
    // Its first steps offer what is there; its run is followed live.
    browser.click("a[href='/']")?;
    browser.click("#first summary")?;
    browser.click("#first form button")?;
    browser.shows("h1", "mine")?;
    browser.shows("#head .chip", "pending")?;
    cluster.worker("a").start()?;
    browser.shows("#head .chip", "succeeded")?;
    browser.open(&cluster.client.url("/runs"))?;
    browser.shows("table", "mine")?;
    let second: SubmittedRun = serde_json::from_value(about(
        &cluster,
        "/v1/runs",
        JSON,
        json!({"pipeline": "mine", "input": 2}).to_string(),
    )?)?;
    browser.shows(&format!("a[href='/runs/{}']", second.id), "mine")?;
    browser.open(&cluster.client.url(&format!("/runs/{elsewhere}")))?;
    browser.shows("main", "team-a")?;
    let complaints = browser.complaints(&cluster.client.url(""))?;
    ensure!(complaints.iter().all(|line| line.contains("status of 404")), "{complaints:#?}");
    cluster.succeeds(elsewhere, bounds::RUN)?;
    cluster.finish()
}

#[test]
#[ignore = "needs a browser: `make test-pages`"]
fn whoever_may_only_read_is_offered_nothing_that_changes() -> Result<()> {
    let (mut cluster, browser) = furnish("pages_reader")?;
    cluster.worker("a").start()?;
    let run = submit(&cluster, "approve-refund", &awaiting(), "refund")?;
    stands(&cluster, run, "wait-for-approval", "waiting")?;
    let made = |name: &str, role: &str| {
        let body = json!({"name": name, "role": role}).to_string();
        cluster.client.post("/v1/tokens", JSON, body)?.read::<CreatedToken>()
    };
    let admin = made("ada", "admin")?.token;
    cluster.client.show(admin);
    let made = |name: &str, role: &str| {
        let body = json!({"name": name, "role": role}).to_string();
        cluster.client.post("/v1/tokens", JSON, body)?.read::<CreatedToken>()
    };
    let token = made("grace", "read")?.token;
    wait::until_true(bounds::PROCESS, "a token to be wanted", || {
        Ok(pawl_tests::Client::new(cluster.client.url(""))?.get("/v1/runs")?.status == 401)
    })?;
    browser.open(&cluster.client.url("/"))?;
    browser.fill("#token", &token)?;
    browser.click("form button")?;
    browser.shows("#workers", "alive")?;
    let worker = browser.value("document.querySelector('#workers a.row').getAttribute('href')")?;
    let worker = worker.as_str().context("a worker")?.to_owned();
    for path in [
        "/",
        "/queues",
        "/queues/default",
        "/workers",
        &worker,
        "/circuits",
        "/waits",
        "/incidents",
        "/recoveries",
        "/access/namespaces",
    ] {
        browser.open(&cluster.client.url(path))?;
        let forms = browser
            .value("[...document.querySelectorAll('form[method=post]')].map((form) => form.getAttribute('action'))")?;
        ensure!(forms == json!(["/leave"]), "{path} offers {forms}");
        let led = browser.value("document.querySelectorAll(\"a[href='/doctor'], a[href='/access/tokens'], a[href='/access/audit'], a[href='/access/secrets']\").length")?;
        ensure!(led == json!(0), "{path} leads to what is refused");
    }
    browser.open(&cluster.client.url("/waits"))?;
    browser.shows("#waits", "approved")?;
    let signalled = block_on(cluster.client.send(
        "POST",
        &format!("/v1/runs/{run}/signals/approved"),
        &[("content-type", JSON)],
        b"{\"by\": \"Ann\"}".to_vec(),
    ))?;
    ensure!(signalled.status == 202);
    // The list is live, too.
    browser.shows("#waits", "No step waits for a signal")?;
    cluster.succeeds(run, bounds::RUN)?;
    is_quiet(&cluster, &browser)?;
    cluster.finish()
}
