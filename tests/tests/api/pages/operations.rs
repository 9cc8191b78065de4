//! Pages of those who keep Pawl running, and of those who decide who may: who sees and is offered what, what forms do, and which
//! namespace it is about.

use anyhow::{Context as _, Result};
use pawl_api::types::{CreatedToken, QueueDetail, Role, TokenList, TokenState};
use pawl_tests::runtime::block_on;
use pawl_tests::{bounds, wait};
use serde_json::json;

use super::{Browser, JSON, OWN, start, token};

/// Pages, and the role that it takes to see each.
const PAGES: [(&str, Role); 11] = [
    ("/queues", Role::Read),
    ("/workers", Role::Read),
    ("/circuits", Role::Read),
    ("/waits", Role::Read),
    ("/incidents", Role::Read),
    ("/recoveries", Role::Read),
    ("/doctor", Role::Operate),
    ("/access/tokens", Role::Admin),
    ("/access/audit", Role::Operate),
    ("/access/secrets", Role::Deploy),
    ("/access/namespaces", Role::Read),
];

/// What they offer, and the role that it takes.
const OFFERED: [(&str, &str, Role); 4] = [
    ("/queues/default", "Pause…", Role::Operate),
    ("/access/tokens", "Make a token…", Role::Admin),
    ("/access/namespaces", "Make a namespace…", Role::Admin),
    ("/access/namespaces", "Quota…", Role::Admin),
];

#[test]
fn each_role_is_led_to_what_it_may_see_and_offered_what_it_may_do() -> Result<()> {
    let mut api = start("pages_rooms")?;
    for role in Role::ALL {
        let browser = Browser::signed_in(&api, &token(&api.client, &format!("a-{role}"), role)?)?;
        let rows = format!("{}{}", browser.get("/queues")?.text, browser.get("/access/namespaces")?.text);
        for (path, wanted) in PAGES {
            let shown = browser.get(path)?;
            assert_eq!(shown.status, if role >= wanted { 200 } else { 403 }, "{path} by {role}: {}", shown.text);
            assert_eq!(rows.contains(&format!("href=\"{path}\"")), role >= wanted, "{role} is led to {path}");
        }
        for (path, label, wanted) in OFFERED {
            let shown = browser.get(path)?;
            assert_eq!(shown.text.contains(label), role >= wanted, "{label} at {path} by {role}");
            if role < wanted {
                let refused =
                    browser.submit(path, &[("act", "pause"), ("name", "x"), ("role", "read"), ("namespace", "x")])?;
                assert_eq!(refused.status, 403, "{label} at {path} by {role}: {}", refused.text);
            }
        }
    }
    // What is of the whole installation is not for whoever counts in one namespace.
    assert_eq!(block_on(api.client.send("PUT", "/v1/namespaces/team-a", &[], Vec::new()))?.status, 201);
    let body = json!({"name": "ada", "role": "admin", "namespace": "team-a"});
    let made: CreatedToken = api.client.post("/v1/tokens", JSON, body.to_string())?.read()?;
    let browser = Browser::signed_in(&api, &made.token)?;
    let shown = browser.get("/waits")?.text;
    for (path, is_offered) in [
        ("/waits", true),
        ("/circuits", true),
        ("/recoveries", true),
        ("/queues", false),
        ("/workers", false),
        ("/doctor", false),
    ] {
        assert_eq!(shown.contains(&format!("href=\"{path}\"")), is_offered, "{path}");
    }
    assert_eq!((browser.get("/queues")?.status, browser.get("/access/tokens")?.status), (403, 200));
    api.stop()
}

#[test]
fn forms_pause_a_queue_make_a_token_and_revoke_it() -> Result<()> {
    let mut api = start("pages_forms_of_rooms")?;
    let browser = Browser::signed_in(&api, OWN)?;
    let queue = || api.client.get("/v1/queues/default")?.read::<QueueDetail>();
    let paused = browser.submit("/queues/default", &[("act", "pause"), ("reason", "new drivers")])?;
    assert_eq!((paused.status, paused.header("location")), (303, "/queues/default?did=pause"));
    let shown = browser.get("/queues/default?did=pause")?.text;
    assert!(
        shown.contains("default is paused.") && shown.contains("new drivers") && shown.contains("Unpause…"),
        "{shown}"
    );
    let pause = queue()?.paused.context("it is paused")?;
    assert_eq!(pause.reason.as_deref(), Some("new drivers"));
    assert_eq!(pause.waiting.context("it is counted")?.steps, 0);
    assert!(shown.contains("no step waits"), "{shown}");
    let overview = browser.get("/")?.text;
    for part in ["href=\"/queues/default\"", " is paused", "new drivers", "no step waits"] {
        assert!(overview.contains(part), "{part} is not in {overview}");
    }
    let doctor = browser.get("/doctor")?.text;
    assert!(doctor.contains("href=\"/queues/default\"") && doctor.contains("the queue default (for"), "{doctor}");
    assert_eq!(browser.submit("/queues/default", &[("act", "unpause")])?.status, 303);
    assert!(queue()?.paused.is_none());
    let none = browser.submit("/queues/nobodys", &[("act", "pause")])?;
    assert_eq!(none.status, 404, "{}", none.text);

    let made =
        browser.submit("/access/tokens", &[("name", "ci"), ("role", "read"), ("namespace", ""), ("term", "60000")])?;
    assert_eq!(made.status, 200, "{}", made.text);
    let (_, rest) = made.text.split_once("id=\"made\" data-copy>").context("its text is told")?;
    let text = rest.split('<').next().unwrap_or_default().to_owned();
    assert_eq!(Browser::signed_in(&api, &text)?.get("/runs")?.status, 200, "it lets somebody in");
    assert!(!browser.get("/access/tokens")?.text.contains(&text), "it is told once");
    let again = browser.submit("/access/tokens", &[("name", "ci"), ("role", "read")])?;
    assert!(again.status == 409 && again.text.contains("role=\"alert\""), "{}", again.text);
    assert_eq!(browser.submit("/access/tokens", &[("act", "revoke"), ("name", "ci"), ("namespace", "")])?.status, 303);
    let list: TokenList = api.client.get("/v1/tokens")?.read()?;
    assert!(list.tokens.iter().all(|token| token.name != "ci" || token.state == TokenState::Revoked), "{list:?}");

    assert_eq!(browser.submit("/access/namespaces", &[("act", "create"), ("namespace", "team-b")])?.status, 303);
    let quota = [("act", "quota"), ("namespace", "team-b"), ("runs", "10"), ("stored_bytes", "1048576")];
    assert_eq!(browser.submit("/access/namespaces", &quota)?.status, 303);
    let shown = browser.get("/access/namespaces")?.text;
    assert!(shown.contains("team-b") && shown.contains("? of 1.0 MiB") && shown.contains("in the clear"), "{shown}");
    api.stop()
}

#[test]
fn the_namespace_that_is_chosen_is_kept_by_the_browser_and_all_pages_are_about_it() -> Result<()> {
    let mut api = start("pages_whose")?;
    let run = api.submit(&json!(1))?;
    let mut browser = Browser::signed_in(&api, OWN)?;
    assert!(!browser.get("/")?.text.contains("action=\"/namespace\""), "there is nowhere else to go");
    assert_eq!(block_on(api.client.send("PUT", "/v1/namespaces/team-a", &[], Vec::new()))?.status, 201);
    let mut head = String::new();
    wait::until_true(bounds::PROCESS, "the head to offer it", || {
        head = browser.get("/runs")?.text;
        Ok(head.contains("value=\"team-a\""))
    })?;
    assert!(head.contains("name=\"next\" value=\"/runs\""), "{head}");

    let session = browser.cookie.clone().context("a session")?;
    let chosen = browser.submit("/namespace", &[("namespace", "team-a"), ("next", "/runs")])?;
    assert_eq!((chosen.status, chosen.header("location")), (303, "/runs"));
    let cookie = chosen.header("set-cookie").to_owned();
    for part in ["pawl-namespace-", "Path=/", "HttpOnly", "SameSite=Strict"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    browser.cookie = Some(format!("{session}; {}", cookie.split(';').next().context("a cookie")?));
    let listed = browser.get("/runs")?.text;
    assert!(!listed.contains(&run.to_string()) && listed.contains("Namespace: team-a"), "{listed}");
    let part = browser.send("GET", "/runs", &[("pawl-part", "1")], "")?.text;
    assert!(!part.contains(&run.to_string()), "an open page looks at the same: {part}");
    let elsewhere = browser.get(&format!("/runs/{run}"))?;
    assert!(elsewhere.status == 404 && elsewhere.text.contains("“team-a”"), "{}", elsewhere.text);
    assert_eq!(browser.submit(&format!("/runs/{run}/cancel"), &[])?.status, 404);

    assert_eq!(browser.submit("/namespace", &[("namespace", "nobodys")])?.status, 404);
    let led_away = browser.submit("/namespace", &[("namespace", "team-a"), ("next", "//evil.example")])?;
    assert_eq!(led_away.header("location"), "/");
    assert_eq!(browser.send("POST", "/namespace", &[("content-type", super::FORM)], "namespace=team-a")?.status, 403);
    let back = browser.submit("/namespace", &[("namespace", "default"), ("next", "/runs")])?;
    assert!(back.header("set-cookie").contains("Max-Age=0"), "{back:?}");
    browser.cookie = Some(session);
    assert!(browser.get("/runs")?.text.contains(&run.to_string()));

    // Who has a token of one namespace has no choice, whatever the browser has kept.
    let body = json!({"name": "ada", "role": "read", "namespace": "team-a"});
    let made: CreatedToken = api.client.post("/v1/tokens", JSON, body.to_string())?.read()?;
    let mut ada = Browser::signed_in(&api, &made.token)?;
    ada.cookie =
        Some(format!("{}; {}", ada.cookie.context("a session")?, cookie.replace("7465616d2d61", "64656661756c74")));
    let shown = ada.get("/runs")?;
    assert!(
        shown.status == 200 && shown.text.contains("team-a") && !shown.text.contains("action=\"/namespace\""),
        "{}",
        shown.text
    );
    api.stop()
}

#[test]
fn where_nothing_has_run_a_pipeline_is_run_at_a_click() -> Result<()> {
    let mut api = start("pages_first")?;
    let browser = Browser::signed_in(&api, OWN)?;
    let shown = browser.get("/")?.text;
    assert!(shown.contains("First steps") && shown.contains("Run…") && shown.contains("value=\"pair\""), "{shown}");
    let wrong = browser.submit("/", &[("pipeline", "pair"), ("input", "yes")])?;
    assert!(wrong.status == 400 && wrong.text.contains("is not JSON"), "{}", wrong.text);
    let begun = browser.submit("/", &[("pipeline", "pair"), ("input", "[1, 2]")])?;
    assert_eq!(begun.status, 303, "{}", begun.text);
    assert_eq!(browser.get(begun.header("location"))?.status, 200);
    assert!(!browser.get("/")?.text.contains("First steps"));
    api.stop()
}
