//! How pages look: pictures of them for the docs, in light and dark, on a screen and on a phone; nothing sticks out,
//! nothing is too pale, and each thing has a name.

use anyhow::{Context as _, Result, ensure};
use pawl_api::types::{RecoveryList, WorkerList};
use pawl_domain::id::RunId;
use pawl_tests::runtime::block_on;
use pawl_tests::{Chromium, Cluster, binary, bounds, wait};
use serde_json::{Value, json};

use crate::furnished::{CHANGED_ORDERS, awaiting, furnish, keep, stands, submit};

/// Sizes of windows: a screen, a phone.
const SCREEN: (u32, u32) = (1280, 860);
const PHONE: (u32, u32) = (390, 844);

/// What axe finds in the page that is open, of what matters.
fn is_accessible(browser: &Chromium, page: &str) -> Result<()> {
    let file = binary::repository().join(".pawl/axe/node_modules/axe-core/axe.min.js");
    let axe =
        std::fs::read_to_string(&file).with_context(|| format!("{}: `make test-pages` installs it", file.display()))?;
    browser.value(&format!("(function () {{ {axe}; window.axe = axe; }})()"))?;
    let found = browser.later(
        "const done = arguments[arguments.length - 1];
         axe.run(document, {resultTypes: ['violations']}).then((found) => done(found.violations.map((it) => ({
           impact: it.impact, id: it.id, nodes: it.nodes.slice(0, 4).map((node) => node.html + ' ' + node.failureSummary) }))));",
    )?;
    let serious: Vec<&Value> = found.as_array().into_iter().flatten().filter(|it| it["impact"] != "minor").collect();
    ensure!(serious.is_empty(), "{page}: {serious:#?}");
    Ok(())
}

/// Nothing is wider than the window was made. What it says of itself is no measure: a phone that is emulated makes `innerWidth` as
/// wide as what sticks out.
fn fits(browser: &Chromium, page: &str, width: u32) -> Result<()> {
    let wider = browser.value(&format!(
        "[...document.querySelectorAll('body *')].filter((it) => it.checkVisibility() && !it.closest('.wide-picture, .tabs, .top nav, pre, .json, .unseen, dialog, svg') \
         && it.getBoundingClientRect().right > {width} + 1).slice(0, 5).map((it) => it.outerHTML.slice(0, 120))",
    ))?;
    let content = browser.value("document.documentElement.scrollWidth")?;
    let fits = content.as_u64().is_some_and(|content| content <= u64::from(width));
    ensure!(fits && wider.as_array().is_some_and(Vec::is_empty), "{page} has {content} of {width} pixels: {wider:#}");
    Ok(())
}

/// What each is called, and its path.
type Pages = Vec<(&'static str, String)>;

fn furnished(name: &str) -> Result<(Cluster, Chromium, Pages)> {
    let (mut cluster, browser) = furnish(name)?;
    cluster.worker("a").slots(4).start()?;
    cluster.worker("b").slots(4).start()?;
    let failed = submit(&cluster, "import-catalogue", &json!({"feed": "spring.xml"}), "import-2026-11-29")?;
    let done: Vec<_> = (1..=6)
        .map(|number| {
            submit(
                &cluster,
                "orders",
                &json!({"order": 1000 + number, "lines": [{"sku": "A-17", "count": number}]}),
                &format!("order-{}", 1000 + number),
            )
        })
        .collect::<Result<_>>()?;
    done.iter().try_for_each(|run| cluster.succeeds(*run, bounds::RUN))?;
    stands(&cluster, failed, "parse", "failed")?;
    let waiting = submit(&cluster, "approve-refund", &awaiting(), "refund-88")?;
    stands(&cluster, waiting, "wait-for-approval", "waiting")?;
    let nightly = submit(&cluster, "nightly-report", &json!({"day": "2026-11-29"}), "nightly-2026-11-29")?;
    installed(&mut cluster, nightly)?;
    cluster.push_as("batch-v2", "batch", "2.0.0")?;
    cluster.apply(CHANGED_ORDERS)?;
    let run = submit(&cluster, "orders", &json!({"order": 1007}), "order-1007")?;
    stands(&cluster, run, "charge", "waiting")?;
    let pages = vec![
        ("overview", "/".to_owned()),
        ("runs", "/runs".to_owned()),
        ("run", format!("/runs/{run}")),
        ("failed", format!("/runs/{failed}")),
        ("waiting", format!("/runs/{waiting}")),
        ("done", format!("/runs/{}", done[0])),
        ("history", format!("/runs/{}/events", done[0])),
        ("logs", format!("/runs/{waiting}/logs")),
        ("step", format!("/runs/{}/steps/charge", done[0])),
        ("replay", format!("/runs/{}/steps/charge/replay", done[0])),
        ("parse", format!("/runs/{failed}/steps/parse")),
        ("filtered", "/runs?within=1h&key=order-*".to_owned()),
        ("picking", "/runs?pick=yes".to_owned()),
        ("pipelines", "/pipelines".to_owned()),
        ("pipeline", "/pipelines/orders".to_owned()),
        ("form", "/pipelines/approve-refund".to_owned()),
        ("plugins", "/plugins".to_owned()),
        ("plugin", "/plugins/batch".to_owned()),
        ("none", "/runs?status=stuck".to_owned()),
        ("lost", "/runs/nothing".to_owned()),
        ("queues", "/queues".to_owned()),
        ("queue", "/queues/default".to_owned()),
        ("workers", "/workers".to_owned()),
        ("worker", worker(&cluster)?),
        ("circuits", "/circuits".to_owned()),
        ("waits", "/waits".to_owned()),
        ("waits-time", "/waits?kind=time".to_owned()),
        ("incidents", "/incidents".to_owned()),
        ("recoveries", "/recoveries".to_owned()),
        ("doctor", "/doctor".to_owned()),
        ("tokens", "/access/tokens".to_owned()),
        ("audit", "/access/audit".to_owned()),
        ("changes", "/access/audit?within=1h&what=applyPipeline".to_owned()),
        ("secrets", "/access/secrets".to_owned()),
        ("namespaces", "/access/namespaces".to_owned()),
    ];
    Ok((cluster, browser, pages))
}

/// What those see who keep it running: a worker that died with a step in hand, a queue that nobody serves, two more namespaces,
/// secrets with grants.
fn installed(cluster: &mut Cluster, nightly: RunId) -> Result<()> {
    let holder = cluster.holder(nightly, "collect", bounds::RUN)?;
    cluster.the(&holder)?.kill9();
    wait::until_true(bounds::RECOVERY, "its step to go on elsewhere", || {
        Ok(!cluster.client.get("/v1/recoveries")?.read::<RecoveryList>()?.recoveries.is_empty())
    })?;
    cluster.worker("c").slots(4).start()?;
    cluster.apply("name = \"render-video\"\n[[step]]\nname = \"encode\"\nplugin = \"echo\"\nqueue = \"gpu\"\n")?;
    submit(cluster, "render-video", &json!(null), "render-1")?;
    for name in ["team-a", "a-team-whose-name-is-as-long-as-a-name-of-one-may-be-and-longer"] {
        let made = block_on(cluster.client.send("PUT", &format!("/v1/namespaces/{name}"), &[], Vec::new()))?;
        ensure!(made.status == 201, "{name}: {}", made.status);
    }
    let quota = json!({"runs": 1000, "stored_bytes": 10_u64 << 30}).to_string();
    let json = [("content-type", "application/json")];
    block_on(cluster.client.send("PUT", "/v1/namespaces/team-a/quota", &json, quota.into_bytes()))?;
    Ok(())
}

/// The page of one that lives.
fn worker(cluster: &Cluster) -> Result<String> {
    let list: WorkerList = cluster.client.get("/v1/workers")?.read()?;
    let worker = list.workers.iter().find(|worker| worker.alive).context("a worker")?;
    Ok(format!("/workers/{}", worker.id))
}

#[test]
#[ignore = "needs a browser: `make test-pages`"]
fn pages_have_nothing_serious_against_them_and_are_pictured() -> Result<()> {
    let (cluster, browser, pages) = furnished("pages_looks")?;
    let base = cluster.client.url("");
    for (page, path) in &pages {
        for (kind, (width, height), dark) in [("", SCREEN, false), ("-dark", SCREEN, true), ("-phone", PHONE, false)] {
            let name = format!("{page}{kind}");
            browser.look(width, height, dark)?;
            browser.open(&format!("{base}{path}"))?;
            if *page == "form" {
                browser.value("document.querySelector('.act').open = true")?;
            }
            keep(&name, &browser.picture()?)?;
            is_accessible(&browser, &name)?;
            fits(&browser, &name, width)?;
        }
    }
    let complaints = browser.complaints(&base)?;
    // The page that is not there is said to be so.
    ensure!(complaints.iter().all(|line| line.contains("/runs/nothing")), "{complaints:#?}");
    Ok(())
}

#[test]
#[ignore = "needs a browser: `make test-pages`"]
fn ten_thousand_steps_and_long_names_fit() -> Result<()> {
    let (cluster, browser) = furnish("pages_large")?;
    let long = "a-name-that-is-as-long-as-a-name-may-be-and-therefore-much-longer";
    let mut wide = format!("name = \"{}\"\n[[step]]\nname = \"split\"\nplugin = \"echo\"\n", &long[..64]);
    for number in 0..9_000 {
        let plugin = ["batch", "flaky", "echo"][number % 3];
        wide.push_str(&format!(
            "[[step]]\nname = \"{}-{number:04}\"\nplugin = \"{plugin}\"\nneeds = [\"split\"]\n",
            &long[..50]
        ));
    }
    cluster.apply(&wide)?;
    let run = submit(&cluster, &long[..64], &json!(null), "wide")?;
    let base = cluster.client.url("");
    for (page, path) in [("large", format!("/runs/{run}")), ("large-pipeline", format!("/pipelines/{}", &long[..64]))] {
        for (kind, (width, height)) in [("", SCREEN), ("-phone", PHONE)] {
            browser.look(width, height, false)?;
            browser.open(&format!("{base}{path}"))?;
            keep(&format!("{page}{kind}"), &browser.picture()?)?;
            fits(&browser, page, width)?;
            is_accessible(&browser, page)?;
        }
    }
    // What is so large may take a busy store longer than it has: the page asks again.
    let complaints = browser.complaints(&base)?;
    ensure!(complaints.iter().all(|line| line.contains("status of 503")), "{complaints:#?}");
    Ok(())
}
