//! What others have said is text; what a browser is told; how much a page weighs.

use anyhow::{Context as _, Result};
use pawl_api::types::{Run, RunStatus};
use pawl_tests::runtime::block_on;
use pawl_tests::{bounds, wait};
use serde_json::json;

use super::{Browser, OWN, start};

const HOSTILE: &str = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'";

/// A page, with style and script, bytes.
const HEAVIEST: usize = 60 << 10;

#[test]
fn what_others_have_said_is_text_on_every_page_and_browsers_run_nothing_else() -> Result<()> {
    let mut api = start("pages_text")?;
    let _worker = api.worker()?;
    let submitted = block_on(api.client.try_submit("pair", &json!({HOSTILE: HOSTILE}), Some(HOSTILE)))?;
    let id = submitted.read::<pawl_api::types::SubmittedRun>()?.id;
    wait::until_true(bounds::RUN, "the run to end", || {
        Ok(api.client.get(&format!("/v1/runs/{id}"))?.read::<Run>()?.summary.status == RunStatus::Succeeded)
    })?;
    let browser = Browser::signed_in(&api, OWN)?;
    let paused = api.submit(&json!(1))?;
    browser.submit(&format!("/runs/{paused}/pause"), &[("reason", HOSTILE)])?;
    browser.submit("/queues/default", &[("act", "pause"), ("reason", HOSTILE)])?;
    let query: String = HOSTILE.bytes().map(|byte| format!("%{byte:02x}")).collect();
    for path in [
        "/".to_owned(),
        "/runs".to_owned(),
        "/dead-letters".to_owned(),
        "/pipelines".to_owned(),
        "/pipelines/pair".to_owned(),
        format!("/pipelines/{query}"),
        format!("/pipelines/pair?from={query}&to={query}&did={query}"),
        "/plugins".to_owned(),
        "/plugins/echo".to_owned(),
        format!("/plugins/{query}"),
        format!("/plugins/echo?version={query}&with={query}"),
        format!("/dead-letters?group={query}"),
        format!("/runs/{id}"),
        format!("/runs/{paused}"),
        format!("/runs/{id}/events"),
        format!("/runs/{id}/logs"),
        format!("/runs/{id}/steps/second"),
        format!("/runs/{id}/steps/{query}"),
        format!("/runs?pipeline={query}"),
        format!("/runs?key={query}"),
        format!("/runs?key={query}*&error={query}&within={query}&from={query}&pick={query}"),
        format!("/dead-letters?pipeline={query}"),
        format!("/runs/{id}/steps/second/replay?to={query}&on={query}"),
        format!("/runs/{id}/steps/{query}/replay"),
        format!("/runs?status={query}"),
        format!("/runs/{query}"),
        format!("/runs/{id}?did={query}"),
        format!("/enter?next={query}"),
        "/queues".to_owned(),
        "/queues/default".to_owned(),
        format!("/queues/{query}"),
        "/workers".to_owned(),
        format!("/workers/{query}"),
        "/circuits".to_owned(),
        format!("/waits?kind={query}&after={query}"),
        format!("/incidents?before={query}"),
        format!("/recoveries?before={query}"),
        "/doctor".to_owned(),
        "/access/tokens".to_owned(),
        format!("/access/audit?run={query}"),
        "/access/audit".to_owned(),
        format!("/access/secrets?after={query}"),
        "/access/namespaces".to_owned(),
    ] {
        let shown = browser.get(&path)?;
        let text = shown.text.to_lowercase();
        assert!(!text.contains("<script>") && !text.contains("<img"), "{path}: {}", shown.text);
        for inline in [" onerror=\"", " onclick", " style=", "javascript:", "<style"] {
            assert!(!text.contains(inline), "{path} has {inline}");
        }
        assert!(text.matches("<script").count() <= 1, "{path}");
        let policy = shown.header("content-security-policy");
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        for (name, value) in
            [("x-content-type-options", "nosniff"), ("referrer-policy", "same-origin"), ("cache-control", "no-store")]
        {
            assert_eq!(shown.header(name), value, "{path}");
        }
    }
    assert!(browser.get(&format!("/runs/{id}"))?.text.contains("&lt;script&gt;alert(1)"), "it is shown as what it is");
    api.stop()
}

#[test]
fn a_page_with_its_style_and_script_weighs_less_than_sixty_kibibytes() -> Result<()> {
    let mut api = start("pages_weight")?;
    for number in 0..60 {
        let key = format!("order-2026-11-30-{number:07}");
        assert_eq!(block_on(api.client.try_submit("pair", &json!(number), Some(&key)))?.status, 202);
    }
    // One step that two thousand follow, whose names are as long as they may be.
    let mut wide = "name = \"wide\"\n[[step]]\nname = \"first\"\nplugin = \"echo\"\n".to_owned();
    for number in 0..2_000 {
        wide.push_str(&format!(
            "[[step]]\nname = \"{}{number:04}\"\nplugin = \"echo\"\nneeds = [\"first\"]\n",
            "n".repeat(50)
        ));
    }
    assert_eq!(api.apply(&wide)?.status, 201);
    let run = block_on(api.client.try_submit("wide", &json!(1), None))?.read::<pawl_api::types::SubmittedRun>()?.id;
    let browser = Browser::signed_in(&api, OWN)?;
    let page = browser.get("/")?;
    let asset = |from: &str, ending: &str| -> Result<String> {
        let found = page.text.split(from).find_map(|rest| rest.split('"').next().filter(|path| path.ends_with(ending)));
        Ok(found.with_context(|| format!("{ending} in {}", page.text))?.to_owned())
    };
    let mut besides = 0;
    for (from, ending, kind) in
        [("href=\"", ".css", "text/css"), ("src=\"", ".js", "text/javascript"), ("href=\"", ".svg", "image/svg+xml")]
    {
        let shown = Browser::at(&api)?.get(&asset(from, ending)?)?;
        assert!(shown.status == 200 && shown.header("content-type").starts_with(kind), "{ending}: {}", shown.status);
        assert!(shown.header("cache-control").contains("immutable"), "{ending}");
        besides += shown.text.len();
    }
    for path in [
        "/".to_owned(),
        "/runs".to_owned(),
        "/runs?pick=yes".to_owned(),
        "/pipelines".to_owned(),
        "/pipelines/wide".to_owned(),
        "/plugins".to_owned(),
        "/plugins/echo".to_owned(),
        format!("/runs/{run}"),
        format!("/runs/{run}/events"),
        format!("/runs/{run}/logs"),
        "/queues".to_owned(),
        "/queues/default".to_owned(),
        "/waits".to_owned(),
        "/doctor".to_owned(),
        "/access/tokens".to_owned(),
        "/access/audit".to_owned(),
    ] {
        let shown = browser.get(&path)?;
        assert_eq!(shown.status, 200, "{path}");
        let weight = shown.text.len() + besides;
        eprintln!("{path}: {weight} bytes");
        assert!(weight < HEAVIEST, "{path} weighs {weight} bytes, {besides} of which are style and script");
        let part = browser.send("GET", &path, &[("pawl-part", "1")], "")?;
        assert!(part.text.starts_with("<main") && part.text.len() < shown.text.len(), "{path}");
    }
    api.stop()
}
