//! Forms, without a script: each does what its route of the API does, and leads back to the page.

use anyhow::Result;
use pawl_api::types::{
    DeadLetterGroupList, Event, EventKind, EventList, Inbox, Role, Run, RunStatus, SignalDetail, SubmittedRun,
};
use pawl_domain::id::RunId;
use pawl_tests::runtime::block_on;
use pawl_tests::{binary, bounds, wait};
use serde_json::{Value, json};

use super::{Browser, OWN, start, token};
use crate::served::Api;

fn run(api: &Api, run: RunId) -> Result<Run> {
    api.client.get(&format!("/v1/runs/{run}"))?.read()
}

#[test]
fn a_form_changes_what_it_says_and_leads_back_to_the_page() -> Result<()> {
    let mut api = start("pages_forms")?;
    let id = api.submit(&json!({"n": 1}))?;
    let browser = Browser::signed_in(&api, OWN)?;
    let act = |name: &str, fields: &[(&str, &str)]| -> Result<String> {
        let shown = browser.submit(&format!("/runs/{id}/{name}"), fields)?;
        assert_eq!(
            (shown.status, shown.header("location")),
            (303, &*format!("/runs/{id}?did={name}")),
            "{}",
            shown.text
        );
        let page = browser.get(shown.header("location"))?;
        assert_eq!(page.status, 200);
        Ok(page.text)
    };
    let page = act("pause", &[("reason", "the bank is \"down\" & out")])?;
    assert!(page.contains("The run is paused.") && page.contains("(the bank is &quot;down&quot; &amp; out)"), "{page}");
    assert_eq!(
        run(&api, id)?.summary.paused.and_then(|pause| pause.reason).as_deref(),
        Some("the bank is \"down\" & out")
    );
    act("unpause", &[])?;
    assert!(run(&api, id)?.summary.paused.is_none());

    act("signal", &[("name", "go/on"), ("payload", "{\"n\": 12345678901234567890}")])?;
    let inbox: Inbox = api.client.get(&format!("/v1/runs/{id}/inbox"))?.read()?;
    assert_eq!(inbox.signals[0].name, "go/on");
    let detail: SignalDetail = api.client.get(&format!("/v1/runs/{id}/inbox/1"))?.read()?;
    assert_eq!(detail.payload.get(), "{\"n\": 12345678901234567890}", "it arrives as it was typed");

    let page = act("fail", &[("message", "wrong data")])?;
    assert!(page.contains("wrong data") && page.contains("Retry"), "{page}");
    assert_eq!(run(&api, id)?.summary.status, RunStatus::Failed);
    act("retry", &[("from", ""), ("on", "pinned")])?;
    assert!(!run(&api, id)?.summary.status.is_ended());
    act("cancel", &[])?;
    let ended = run(&api, id)?.summary;
    assert_eq!(ended.status, RunStatus::Cancelled);
    let list: EventList = api.client.get(&format!("/v1/runs/{id}/events"))?.read()?;
    let told = |kind: EventKind| list.events.iter().filter(|event: &&Event| event.is(kind)).count();
    assert_eq!((told(EventKind::RunPaused), told(EventKind::RunFailed), told(EventKind::RunCancelled)), (1, 1, 1));
    api.stop()
}

#[test]
fn what_is_done_about_many_is_counted_first() -> Result<()> {
    let mut api = start("pages_dead")?;
    api.client
        .post("/v1/plugins/flaky/versions/1", "application/wasm", binary::component("flaky")?)?
        .read::<Value>()?;
    let toml = "name = \"broken\"\n[[step]]\nname = \"parse\"\nplugin = \"flaky\"\n";
    assert_eq!(api.apply(toml)?.status, 201);
    let _worker = api.worker()?;
    let input = json!({"failures": 1, "how": "fatal"});
    let submit = || block_on(api.client.try_submit("broken", &input, None))?.read::<SubmittedRun>();
    let runs: Vec<RunId> = (0..3).map(|_| Ok(submit()?.id)).collect::<Result<_>>()?;
    let all_are = |status: RunStatus| {
        wait::until_true(bounds::RUN, "all of them to be so", || {
            let stand: Vec<RunStatus> =
                runs.iter().map(|id| Ok(run(&api, *id)?.summary.status)).collect::<Result<_>>()?;
            Ok(stand.iter().all(|it| *it == status))
        })
    };
    all_are(RunStatus::Failed)?;
    let browser = Browser::signed_in(&api, OWN)?;
    let groups: DeadLetterGroupList = api.client.get("/v1/dead-letters/groups")?.read()?;
    let group = &groups.groups[0];
    let path = format!("/dead-letters?group={}", group.group);
    assert!(browser.get("/dead-letters")?.text.contains(&path) && browser.get("/")?.text.contains(&path));
    let page = browser.get(&path)?.text;
    for said in [&*runs[0].to_string(), "on flaky 1, which is active now", "Count first", "Mark as handled"] {
        assert!(page.contains(said), "{said:?} is not in {page}");
    }
    assert!(!page.contains(" checked"), "they died on the active version: {page}");
    let counted = browser.submit("/dead-letters", &[("group", &group.group), ("verb", "retry")])?;
    assert!(
        counted.status == 200
            && counted.text.contains("3 steps</strong> of 3 runs would go on, on the versions that they have."),
        "{}",
        counted.text
    );
    all_are(RunStatus::Failed)?;
    let done = browser.submit("/dead-letters", &[("group", &group.group), ("verb", "retry"), ("sure", "true")])?;
    assert!(done.text.contains("3 steps go on again</strong> on the versions that they have."), "{}", done.text);
    assert!(done.text.contains("href=\"/runs?pipeline=broken\""), "{}", done.text);
    for id in &runs {
        let list: EventList = api.client.get(&format!("/v1/runs/{id}/events"))?.read()?;
        assert!(list.events.iter().any(|event| event.is(EventKind::RunReopened)), "{id} was opened again");
    }
    let all = browser.submit("/dead-letters", &[("verb", "retry"), ("sure", "true")])?;
    assert!(all.text.contains("No group was named"), "{}", all.text);
    let reader = Browser::signed_in(&api, &token(&api.client, "reader", Role::Read)?)?;
    let refused = reader.submit("/dead-letters", &[("group", &group.group), ("verb", "purge"), ("sure", "true")])?;
    assert!(refused.status == 403 && refused.text.contains("the role <code>operate</code>"), "{}", refused.text);
    api.stop()
}

#[test]
fn what_the_api_refuses_is_said_on_the_page_in_its_words() -> Result<()> {
    let mut api = start("pages_refused")?;
    let id = api.submit(&json!(1))?;
    let browser = Browser::signed_in(&api, OWN)?;
    for (act, fields, status, says) in [
        ("retry", vec![("on", "pinned")], 409, ""),
        ("retry", vec![("from", "nobody")], 404, "has no step <code>nobody</code>"),
        ("fail", vec![("message", "")], 400, "The message"),
        ("signal", vec![("name", "go"), ("payload", "{")], 400, "is not JSON"),
        ("retry-step", vec![("step", "../../x")], 404, "has no step <code>../../x</code>"),
        ("fly", vec![], 404, "nothing to do that is called"),
    ] {
        let shown = browser.submit(&format!("/runs/{id}/{act}"), &fields)?;
        assert_eq!(shown.status, status, "{act} {fields:?}: {}", shown.text);
        assert!(shown.text.contains("role=\"alert\"") && shown.text.contains(says), "{act} {fields:?}: {}", shown.text);
        assert!(shown.text.contains("id=\"steps\""), "the page of the run is there");
    }
    for (path, status) in [
        ("/runs/nothing".to_owned(), 404),
        ("/runs/01890000-0000-7000-8000-000000000000".to_owned(), 404),
        ("/runs/..%2F..%2Fv1%2Ftokens".to_owned(), 404),
        (format!("/runs/{id}/nothing"), 405),
    ] {
        assert_eq!(browser.get(&path)?.status, status, "{path}");
    }
    assert_eq!(browser.get(&format!("/runs?id={id}"))?.header("location"), format!("/runs/{id}"));
    assert!(browser.get("/runs?id=zz")?.text.contains("role=\"alert\""));
    assert!(browser.get("/runs?status=asleep")?.text.contains("role=\"alert\""));
    let unknown: Value = serde_json::from_str(&browser.get("/v1/nothing")?.text)?;
    assert_eq!(unknown["status"], 404, "the API's answers are its own");
    api.stop()
}
