//! The list of runs: what its form finds, what an export has, what is done about several at once; and what a replay's page shows.

use anyhow::{Context as _, Result, ensure};
use pawl_api::types::{Change, Role, Run, RunStatus, RunSummary, StepReplay, SubmittedRun};
use pawl_domain::id::RunId;
use pawl_tests::runtime::block_on;
use pawl_tests::{bounds, wait};
use serde_json::{Value, json};

use super::{Browser, OWN, start, token};
use crate::served::Api;

fn keyed(api: &Api, key: &str) -> Result<RunId> {
    Ok(block_on(api.client.try_submit("pair", &json!(1), Some(key)))?.read::<SubmittedRun>()?.id)
}

fn status(api: &Api, run: RunId) -> Result<RunStatus> {
    Ok(api.client.get(&format!("/v1/runs/{run}"))?.read::<Run>()?.summary.status)
}

#[test]
fn runs_are_found_by_the_form_and_taken_along_as_lines() -> Result<()> {
    let mut api = start("pages_found")?;
    let (first, second, bill) = (keyed(&api, "order-1")?, keyed(&api, "order-2")?, keyed(&api, "bill-1")?);
    let browser = Browser::signed_in(&api, OWN)?;
    let shows = |query: &str| -> Result<Vec<RunId>> {
        let page = browser.get(&format!("/runs?{query}"))?;
        ensure!(page.status == 200, "{query}: {}", page.text);
        let found = |run: &RunId| page.text.contains(&format!("href=\"/runs/{run}\""));
        Ok([first, second, bill].into_iter().filter(found).collect())
    };
    for (query, found) in [
        ("status=pending&within=1h", vec![first, second, bill]),
        ("key=order-*", vec![first, second]),
        ("key=bill-1&status=failed", vec![bill]),
        ("to=2000-01-01T00:00", vec![]),
        ("from=2000-01-01T00:00&pipeline=pair", vec![first, second, bill]),
        ("error=refused", vec![]),
    ] {
        assert_eq!(shows(query)?, found, "{query}");
    }
    let page = browser.get("/runs?key=order-*")?.text;
    assert!(page.contains("Picked of 3 runs") && page.contains("<option value=\"pair\">"), "{page}");
    assert!(page.contains("href=\"/runs/export?key=order-*\""), "what is seen is what is taken along: {page}");

    let export = browser.get("/runs/export?key=order-*")?;
    assert_eq!((export.status, export.header("content-type")), (200, "application/x-ndjson"));
    assert!(export.header("content-disposition").contains("runs.jsonl"));
    let lines: Vec<RunSummary> = export.text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    assert_eq!(lines.iter().map(|run| run.id).collect::<Vec<_>>(), [second, first]);
    assert_eq!(browser.get("/runs/export?status=wrong")?.status, 400);
    api.stop()
}

#[test]
fn changes_are_found_by_the_form_and_taken_along_as_lines() -> Result<()> {
    let mut api = start("pages_changes")?;
    let ada = token(&api.client, "ada", Role::Operate)?;
    let run = keyed(&api, "a")?;
    api.client.with(&ada)?.cancel(run)?;
    let browser = Browser::signed_in(&api, &ada)?;
    // What the page has in a row: the form offers all names.
    let row = |what: &str| format!("<th scope=\"row\">{what}");
    for (query, found) in [
        ("", vec!["pushVersion", "applyPipeline", "createToken", "cancelRun"]),
        ("who=ada", vec!["cancelRun"]),
        ("what=applyPipeline&within=1h", vec!["applyPipeline"]),
        ("who=ada&what=applyPipeline", vec![]),
        ("to=2000-01-01T00:00", vec![]),
    ] {
        let page = browser.get(&format!("/access/audit?{query}"))?;
        ensure!(page.status == 200, "{query}: {}", page.text);
        let all = ["pushVersion", "applyPipeline", "createToken", "cancelRun"];
        let shown: Vec<&str> = all.into_iter().filter(|what| page.text.contains(&row(what))).collect();
        assert_eq!(shown, found, "{query}");
        assert_eq!(page.text.contains("There is no such change."), found.is_empty(), "{query}");
    }
    let page = browser.get("/access/audit?who=ada")?.text;
    assert!(page.contains("Picked of 4 changes") && page.contains("<option value=\"cancelRun\">"), "{page}");
    assert!(page.contains("href=\"/access/audit/export?who=ada\""), "what is seen is what is taken along: {page}");
    let slip = browser.get("/access/audit?what=canselRun")?;
    assert!(slip.status == 200 && slip.text.contains("did you mean <code>cancelRun</code>?"), "{}", slip.text);

    let export = browser.get("/access/audit/export?who=ada")?;
    assert_eq!((export.status, export.header("content-type")), (200, "application/x-ndjson"));
    assert!(export.header("content-disposition").contains("audit.jsonl"));
    let lines: Vec<Change> = export.text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    assert!(lines.len() == 1 && lines[0].run == Some(run) && lines[0].who.as_deref() == Some("ada"), "{lines:?}");
    assert_eq!(browser.get("/access/audit/export")?.text.lines().count(), 4);
    assert_eq!(browser.get("/access/audit/export?what=canselRun")?.status, 400);
    let reader = Browser::signed_in(&api, &token(&api.client, "reader", Role::Read)?)?;
    assert_eq!(reader.get("/access/audit/export")?.status, 403);
    api.stop()
}

#[test]
fn several_runs_are_picked_counted_and_cancelled_and_what_is_refused_is_said() -> Result<()> {
    let mut api = start("pages_picked")?;
    let (first, second, other) = (keyed(&api, "a")?, keyed(&api, "b")?, keyed(&api, "c")?);
    let browser = Browser::signed_in(&api, OWN)?;
    let list = browser.get("/runs?pick=yes")?.text;
    assert!(list.contains(&format!("type=\"checkbox\" name=\"run\" value=\"{first}\"")), "{list}");
    let (one, two) = (first.to_string(), second.to_string());
    let picked = [("act", "cancel"), ("run", &one), ("run", &two)];
    let counted = browser.submit("/runs?pick=yes", &picked)?;
    assert!(counted.status == 200 && counted.text.contains("Cancel 2 runs?"), "{}", counted.text);
    assert_eq!(status(&api, first)?, RunStatus::Pending, "it is only counted");
    api.client.cancel(first)?;
    let done = browser.submit("/runs", &[&picked[..], &[("sure", "true")]].concat())?;
    assert!(done.text.contains("done for 1 run.") && done.text.contains("Refused for 1 run"), "{}", done.text);
    assert_eq!((status(&api, second)?, status(&api, other)?), (RunStatus::Cancelled, RunStatus::Pending));
    assert_eq!(browser.submit("/runs", &[("act", "cancel")])?.status, 400, "nothing is picked");

    let reader = Browser::signed_in(&api, &token(&api.client, "reader", Role::Read)?)?;
    let page = reader.get("/runs?pick=yes")?.text;
    assert!(!page.contains("checkbox") && !page.contains("Pick runs"), "it is not offered: {page}");
    let third = other.to_string();
    let refused = reader.submit("/runs", &[("act", "cancel"), ("run", &third), ("sure", "true")])?;
    assert!(refused.text.contains("done for 0 runs"), "{}", refused.text);
    assert_eq!(status(&api, other)?, RunStatus::Pending);
    api.stop()
}

#[test]
fn a_replays_page_shows_what_the_api_says_of_it() -> Result<()> {
    let mut api = start("pages_replay")?;
    let _worker = api.worker()?;
    let run = keyed(&api, "a")?;
    wait::until_true(bounds::RUN, "the run to succeed", || Ok(status(&api, run)? == RunStatus::Succeeded))?;
    let told: StepReplay = api.client.get(&format!("/v1/runs/{run}/steps/first/replay"))?.read()?;
    let browser = Browser::signed_in(&api, OWN)?;
    let page = browser.get(&format!("/runs/{run}/steps/first/replay"))?.text;
    let output = told.end.output.context("it returns")?;
    assert!(page.contains("Returned an output") && page.contains(output.get()), "{page}");
    assert!(page.contains("Nothing of the step has moved"), "{page}");
    let lost = browser.get(&format!("/runs/{run}/steps/first/replay?on=abcdef"))?;
    assert!(lost.status == 200 && lost.text.contains("There is no component abcdef"), "{}", lost.text);
    let detail: Value = api.client.get(&format!("/v1/runs/{run}/steps/first"))?.read()?;
    assert_eq!(detail["attempts"], 1, "a replay is no attempt");
    api.stop()
}
