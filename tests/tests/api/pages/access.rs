//! Who gets in, and stays in.

use anyhow::Result;
use pawl_api::types::{ChangeList, CreatedToken, PushedPlugin, Role, Run, RunStatus};
use pawl_tests::runtime::block_on;
use pawl_tests::{binary, bounds, wait};
use serde_json::json;

use super::{Browser, OWN, start, token};
use crate::served::Api;

/// What a run's page offers, and the role that it takes.
const OFFERED: [(&str, Role); 5] = [
    ("signal", Role::Submit),
    ("pause", Role::Operate),
    ("resume", Role::Operate),
    ("fail", Role::Operate),
    ("cancel", Role::Operate),
];

/// The same of the pages of pipelines and plugins.
const OFFERED_OF_THINGS: [(&str, &str, Role); 4] = [
    ("/pipelines/pair", "submit", Role::Submit),
    ("/pipelines/pair", "pause", Role::Operate),
    ("/plugins/echo", "activate", Role::Deploy),
    ("/plugins/echo", "rollback", Role::Deploy),
];

#[test]
fn each_page_is_for_whoever_may_read_and_offers_what_the_role_may_do() -> Result<()> {
    let mut api = start("pages_roles")?;
    let run = api.submit(&json!(1))?;
    for version in ["2", "3"] {
        let path = format!("/v1/plugins/echo/versions/{version}");
        api.client.post(&path, "application/wasm", binary::component("echo")?)?.read::<PushedPlugin>()?;
    }
    let filled = |path: &str| {
        path.replace("{run}", &run.to_string())
            .replace("{pipeline}", "pair")
            .replace("{plugin}", "echo")
            .replace("{act}", "cancel")
            .replace("{step}", "first")
            .replace("{file}", "none")
            .replace("{queue}", "default")
            .replace("{worker}", "01890000-0000-7000-8000-000000000000")
    };
    let nobody = Browser::at(&api)?;
    for (path, is_open) in pawl_pages::paths() {
        let path = filled(path);
        let method = if path.ends_with("/cancel") || path == "/leave" || path == "/namespace" { "POST" } else { "GET" };
        let shown = nobody.send(method, &path, &[("origin", &nobody.base)], "")?;
        if is_open {
            assert!(shown.status != 401 && shown.status < 500, "{method} {path}: {}", shown.status);
        } else {
            assert_eq!(shown.status, 303, "{method} {path}");
            assert!(shown.header("location").starts_with("/enter"), "{path}: {}", shown.header("location"));
        }
    }
    for role in Role::ALL {
        let browser = Browser::signed_in(&api, &token(&api.client, &format!("a-{role}"), role)?)?;
        for path in [
            "/",
            "/dead-letters",
            "/runs",
            "/runs/{run}",
            "/runs/{run}/events",
            "/runs/{run}/logs",
            "/runs/{run}/steps/{step}",
            "/runs/{run}/steps/{step}/replay?to=1",
            "/runs?within=1h&key=order-*&error=x&pick=yes",
            "/dead-letters?pipeline=pair",
            "/pipelines",
            "/pipelines/{pipeline}",
            "/plugins",
            "/plugins/{plugin}",
        ] {
            let shown = browser.get(&filled(path))?;
            assert_eq!(shown.status, 200, "{path} by {role}: {}", shown.text);
            assert!(shown.text.contains(&format!("a-{role}")), "{path} says who has signed in");
        }
        let page = browser.get(&format!("/runs/{run}"))?.text;
        for (act, wanted) in OFFERED {
            let path = format!("/runs/{run}/{act}");
            assert_eq!(page.contains(&format!("action=\"{path}\"")), role >= wanted, "{act} by {role}");
            if role < wanted {
                let refused = browser.submit(&path, &[("message", "no"), ("name", "a")])?;
                assert_eq!(refused.status, 403, "{act} by {role}");
                assert!(refused.text.contains(&format!("<code>{wanted}</code>")), "{act} by {role} says why");
            }
        }
        for (page, act, wanted) in OFFERED_OF_THINGS {
            let offered = browser.get(page)?.text.contains(&format!("action=\"{page}/{act}\""));
            assert_eq!(offered, role >= wanted, "{act} by {role}");
            if role < wanted {
                let refused = browser.submit(&format!("{page}/{act}"), &[("whole", "1"), ("version", "2")])?;
                assert_eq!(refused.status, 403, "{act} by {role}");
                assert!(refused.text.contains(&format!("<code>{wanted}</code>")), "{act} by {role} says why");
            }
        }
    }
    let untouched: Run = api.client.get(&format!("/v1/runs/{run}"))?.read()?;
    assert!(untouched.summary.status == RunStatus::Pending && untouched.summary.paused.is_none(), "{untouched:?}");
    api.stop()
}

#[test]
fn a_session_is_a_cookie_that_neither_scripts_nor_other_sites_can_use() -> Result<()> {
    let mut api = start("pages_session")?;
    let run = api.submit(&json!(1))?;
    let browser = Browser::at(&api)?;
    let entered = browser.submit("/enter", &[("token", OWN), ("next", &format!("/runs/{run}"))])?;
    assert_eq!((entered.status, entered.header("location")), (303, &*format!("/runs/{run}")));
    let cookie = entered.header("set-cookie");
    for part in ["Path=/", "HttpOnly", "SameSite=Strict"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Secure") && !cookie.contains("Max-Age") && !cookie.contains(OWN), "{cookie}");
    let led_away = browser.submit("/enter", &[("token", OWN), ("next", "//evil.example/")])?;
    assert_eq!(led_away.header("location"), "/");

    let browser = Browser::signed_in(&api, OWN)?;
    let cancel = format!("/runs/{run}/cancel");
    for (headers, says) in [
        (vec![], 403),
        (vec![("origin", "https://evil.example")], 403),
        (vec![("origin", "null")], 403),
        (vec![("origin", &*browser.base), ("sec-fetch-site", "same-site")], 403),
        (vec![("sec-fetch-site", "cross-site")], 403),
    ] {
        let form = [&[("content-type", super::FORM)][..], &headers].concat();
        assert_eq!(browser.send("POST", &cancel, &form, "")?.status, says, "{headers:?}");
        assert_eq!(browser.send("POST", "/leave", &form, "")?.status, says, "{headers:?}");
        assert_eq!(browser.send("POST", "/enter", &form, "token=s3cret")?.status, says, "{headers:?}");
    }
    // Straight to the API, a session only reads, for pages of ours.
    let route = format!("/v1/runs/{run}/cancel");
    assert_eq!(
        browser.send("POST", &route, &[("origin", &browser.base), ("sec-fetch-site", "same-origin")], "")?.status,
        401
    );
    assert_eq!(browser.get("/v1/runs")?.status, 200);
    for site in ["same-site", "cross-site"] {
        assert_eq!(browser.send("GET", "/v1/runs", &[("sec-fetch-site", site)], "")?.status, 401, "{site}");
        let led = browser.send("GET", &format!("/runs/{run}"), &[("sec-fetch-site", site)], "")?;
        assert!(
            led.status == 200 && led.text.contains("http-equiv=\"refresh\"") && !led.text.contains("pair"),
            "{}",
            led.text
        );
    }
    let pending: Run = api.client.get(&format!("/v1/runs/{run}"))?.read()?;
    assert_eq!(pending.summary.status, RunStatus::Pending, "nobody has cancelled it");

    assert_eq!(browser.submit(&cancel, &[])?.status, 303);
    let changes: ChangeList = api.client.get(&format!("/v1/audit?run={run}"))?.read()?;
    let told: Vec<_> = changes.changes.iter().map(|it| (it.who.as_deref(), &*it.what, it.status)).collect();
    assert_eq!(told, [(Some("api_token"), "cancelRun", Some(200))], "the record is that of the API");

    let left = browser.submit("/leave", &[])?;
    assert_eq!((left.status, left.header("location")), (303, "/enter"));
    assert!(left.header("set-cookie").contains("Max-Age=0"), "{left:?}");
    api.stop()
}

#[test]
fn a_session_ends_with_its_token_and_guesses_are_slowed_down() -> Result<()> {
    let mut api = Api::prepare("pages_over")?;
    api.migrate()?;
    api.config.token = Some(OWN.to_owned());
    api.config.failures = 3;
    api.client.show(OWN);
    api.serve()?;
    let made: CreatedToken =
        api.client.post("/v1/tokens", super::JSON, json!({"name": "ada", "role": "read"}).to_string())?.read()?;
    let browser = Browser::signed_in(&api, &made.token)?;
    assert_eq!(browser.get("/runs")?.status, 200);
    assert_eq!(browser.get("/enter?next=%2Fruns")?.header("location"), "/runs", "whoever is in is led on");
    block_on(api.client.send("DELETE", "/v1/tokens/ada", &[], Vec::new()))?;
    let over = wait::until(bounds::PROCESS, "the session to be over", || {
        let shown = browser.get("/runs?status=failed")?;
        Ok(if shown.status == 200 { wait::Look::NotYet("let in".to_owned()) } else { wait::Look::Done(shown) })
    })?;
    assert_eq!((over.status, over.header("location")), (303, "/enter?next=%2Fruns%3Fstatus%3Dfailed&over"));
    assert!(over.header("set-cookie").contains("Max-Age=0"), "what is wrong is not shown again");

    let guesser = Browser::at(&api)?;
    let refused = wait::until(bounds::PROCESS, "guesses to be slowed down", || {
        let shown = guesser.submit("/enter", &[("token", "guess")])?;
        Ok(if shown.status == 401 { wait::Look::NotYet("looked at".to_owned()) } else { wait::Look::Done(shown) })
    })?;
    assert_eq!(refused.status, 429, "{}", refused.text);
    assert!(refused.header("set-cookie").is_empty());
    api.stop()
}

#[test]
fn where_no_token_is_needed_pages_ask_for_none_and_forms_are_still_those_of_our_pages() -> Result<()> {
    let mut api = Api::start("pages_open")?;
    api.push_echo()?;
    api.apply(crate::served::PIPELINE)?;
    let run = api.submit(&json!(1))?;
    let browser = Browser::at(&api)?;
    assert_eq!(browser.get("/")?.status, 200);
    assert_eq!(browser.get("/enter")?.header("location"), "/");
    let path = format!("/runs/{run}/cancel");
    assert_eq!(browser.send("POST", &path, &[("content-type", super::FORM)], "")?.status, 403);
    assert_eq!(browser.submit(&path, &[])?.status, 303);
    let cancelled: Run = api.client.get(&format!("/v1/runs/{run}"))?.read()?;
    assert_eq!(cancelled.summary.status, RunStatus::Cancelled);
    api.stop()
}

#[test]
fn pages_show_what_the_tokens_namespace_has_and_nothing_of_the_installation() -> Result<()> {
    let mut api = start("pages_namespace")?;
    let run = api.submit(&json!(1))?;
    assert_eq!(block_on(api.client.send("PUT", "/v1/namespaces/team-a", &[], Vec::new()))?.status, 201);
    let body = json!({"name": "ada", "role": "operate", "namespace": "team-a"});
    let made: CreatedToken = api.client.post("/v1/tokens", super::JSON, body.to_string())?.read()?;
    let browser = Browser::signed_in(&api, &made.token)?;
    let overview = browser.get("/")?;
    assert_eq!(overview.status, 200);
    assert!(
        !overview.text.contains("id=\"workers\"") && !overview.text.contains(&run.to_string()),
        "{}",
        overview.text
    );
    assert!(!browser.get("/runs")?.text.contains(&run.to_string()));
    assert_eq!(browser.get(&format!("/runs/{run}"))?.status, 404);
    assert_eq!(browser.submit(&format!("/runs/{run}/cancel"), &[])?.status, 404);
    api.stop()
}
