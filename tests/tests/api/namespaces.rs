//! Namespaces: whoever is of one has its names to himself, and learns nothing of what another one has, by whatever route.

use anyhow::{Context as _, Result};
use pawl_api::openapi::document;
use pawl_api::types::{
    AppliedPipeline, ChangeList, CreatedToken, NamespaceList, PushedPlugin, Role, Run, RunList, RunStatus, SecretList,
    StoredSecret, SubmittedRun, TokenList,
};
use pawl_domain::id::RunId;
use pawl_tests::client::Answer;
use pawl_tests::runtime::block_on;
use pawl_tests::{Client, binary, bounds, wait};
use serde_json::{Value, json};

use crate::served::Api;

const JSON: &str = "application/json";
const OWN: &str = "s3cret";
const NOBODYS_RUN: &str = "01890000-0000-7000-8000-000000000000";

/// An API whose client shows a token of all namespaces, and two namespaces.
pub fn with_two(name: &str) -> Result<Api> {
    let mut api = Api::prepare(name)?;
    api.migrate()?;
    api.config.token = Some(OWN.to_owned());
    api.client.show(OWN);
    api.serve()?;
    for namespace in ["team-a", "team-b"] {
        assert_eq!(send(&api.client, "PUT", &format!("/v1/namespaces/{namespace}"), &[], Vec::new())?.status, 201);
    }
    Ok(api)
}

fn send(client: &Client, method: &str, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Result<Answer> {
    block_on(client.send(method, path, headers, body))
}

/// A client with a new token of that namespace.
pub fn of(client: &Client, namespace: &str, name: &str, role: Role) -> Result<Client> {
    let body = json!({ "name": name, "role": role, "namespace": namespace });
    let made: CreatedToken = client.post("/v1/tokens", JSON, body.to_string())?.read()?;
    client.with(&made.token)
}

fn submit(client: &Client, pipeline: &str, key: &str) -> Result<SubmittedRun> {
    let body = json!({ "pipeline": pipeline, "input": 1 }).to_string();
    let headers = [("content-type", JSON), ("idempotency-key", key)];
    send(client, "POST", "/v1/runs", &headers, body.into_bytes())?.read()
}

/// A plugin, a pipeline of one step, a secret and a run, all named after `whose`.
pub fn furnish(client: &Client, whose: &str) -> Result<(RunId, String)> {
    let component = binary::component("echo")?;
    let path = format!("/v1/plugins/{whose}-echo/versions/1");
    let pushed: PushedPlugin = client.post(&path, "application/wasm", component)?.read()?;
    let toml = format!("name = \"{whose}-load\"\n[[step]]\nname = \"first\"\nplugin = \"{whose}-echo\"\n");
    client.post("/v1/pipelines", "application/toml", toml)?.read::<AppliedPipeline>()?;
    let secret = format!("/v1/secrets/{whose}_secret");
    let headers = [("content-type", "application/octet-stream")];
    send(client, "PUT", &secret, &headers, b"hunter2hunter2".to_vec())?.read::<StoredSecret>()?;
    Ok((submit(client, &format!("{whose}-load"), "order-17")?.id, pushed.digest.to_string()))
}

/// What stands in a path for what is named so.
fn named<'a>(names: &'a [(&str, String)], path: &str) -> String {
    names
        .iter()
        .fold(path.to_owned(), |path, (name, value): &'a (&str, String)| path.replace(&format!("{{{name}}}"), value))
}

/// An answer in which nothing is left of what was asked for, nor of the time.
fn told(answer: &Answer, names: &[(&str, String)]) -> String {
    let mut text = String::from_utf8_lossy(&answer.body).into_owned();
    for (name, value) in names {
        text = text.replace(value.as_str(), &format!("<{name}>"));
    }
    let mut short = String::new();
    for part in text.split_inclusive(|letter: char| !letter.is_ascii_digit()) {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        short.push_str(if digits >= 9 { "<number>" } else { &part[..digits] });
        short.push_str(&part[digits..]);
    }
    format!("{} {short}", answer.status)
}

/// A method, a path, and a body with its media type.
type Operation = (String, String, Option<(String, Vec<u8>)>);

/// Each operation that wants a token, with a body that it takes.
fn operations() -> Result<Vec<Operation>> {
    let mut all = Vec::new();
    for (path, item) in document()["paths"].as_object().context("paths")? {
        for (method, operation) in item.as_object().context("methods")? {
            if operation["security"].as_array().is_none_or(Vec::is_empty) {
                continue;
            }
            let content = operation["requestBody"]["content"].as_object();
            let body = content.and_then(|forms| forms.iter().next()).map(|(media_type, form)| {
                (media_type.clone(), form.get("example").map(Value::to_string).unwrap_or_default().into_bytes())
            });
            all.push((method.to_uppercase(), path.clone(), body));
        }
    }
    Ok(all)
}

#[test]
fn another_namespaces_things_are_found_by_no_route_and_told_apart_from_nothing_by_none() -> Result<()> {
    let mut api = with_two("api_namespaces_walk")?;
    let theirs = of(&api.client, "team-a", "theirs-ci", Role::Admin)?;
    let (run, digest) = furnish(&theirs, "theirs")?;
    let stranger = of(&api.client, "team-b", "stranger", Role::Admin)?;
    let names = |whose: &str, run: &str, digest: &str| -> Vec<(&'static str, String)> {
        vec![
            ("run", run.to_owned()),
            ("digest", digest.to_owned()),
            ("pipeline", format!("{whose}-load")),
            ("plugin", format!("{whose}-echo")),
            ("secret", format!("{whose}_secret")),
            ("token", format!("{whose}-ci")),
            ("namespace", if whose == "theirs" { "team-a" } else { "team-c" }.to_owned()),
            ("step", "first".to_owned()),
            ("version", "1".to_owned()),
            ("number", "1".to_owned()),
            ("name", "approved".to_owned()),
        ]
    };
    let there = names("theirs", &run.to_string(), &digest);
    let nowhere = names("nobody", NOBODYS_RUN, &"0".repeat(64));
    let operations = operations()?;
    assert!(operations.len() > 60, "{}", operations.len());
    let (mut closed, mut same) = (Vec::new(), 0);
    for (method, path, body) in &operations {
        // It tells what the stranger has asked for here, word for word.
        if path == "/v1/audit" {
            continue;
        }
        let ask = |names: &[(&str, String)]| {
            let (media_type, body) = body.clone().unwrap_or_default();
            let headers = [("content-type", media_type.as_str())];
            send(&stranger, method, &named(names, path), if media_type.is_empty() { &[] } else { &headers }, body)
        };
        let (one, other) = (ask(&there)?, ask(&nowhere)?);
        let (one, other) = (told(&one, &there), told(&other, &nowhere));
        assert_eq!(one, other, "{method} {path} tells what is there from what is not");
        for name in ["theirs", &run.to_string()[..]] {
            assert!(!one.contains(name), "{method} {path} tells of {name}: {one}");
        }
        match one.contains("about the whole installation") {
            true => closed.push(format!("{method} {path}")),
            false => same += 1,
        }
    }
    assert!(same > 50, "{same} routes are for whoever is of one namespace");
    for route in ["GET /metrics", "GET /v1/queues", "GET /v1/workers", "PUT /v1/namespaces/{namespace}"] {
        assert!(closed.iter().any(|closed| closed == route), "{route} is about all: {closed:?}");
    }
    let own: ChangeList = stranger.get("/v1/audit?limit=500")?.read()?;
    assert!(own.changes.len() > 20, "{} changes", own.changes.len());
    assert!(own.changes.iter().all(|change| change.namespace.as_ref().is_some_and(|own| own.as_str() == "team-b")));
    // However a path, a query or a body writes what is named.
    let escaped: String = run.to_string().bytes().map(|byte| format!("%{byte:02x}")).collect();
    for (method, path, body, status) in [
        ("GET", format!("/v1/runs/{escaped}"), Value::Null, 404),
        ("GET", format!("/v1/runs/{}", run.to_string().to_uppercase()), Value::Null, 404),
        ("GET", format!("/v1/runs/{}", run.0.simple()), Value::Null, 404),
        ("POST", format!("/v1/runs/{escaped}/cancel"), Value::Null, 404),
        ("POST", "/v1/runs".to_owned(), json!({"pipeline": "theirs-load", "input": 1}), 404),
        ("POST", "/v1/dead-letters".to_owned(), json!({"verb": "retry", "run": run}), 404),
    ] {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let problem = send(&stranger, method, &path, &[("content-type", JSON)], body)?.problem(status)?;
        assert!(problem.detail.contains("there is no "), "{method} {path}: {}", problem.detail);
    }
    for path in [format!("/v1/runs?id={}", &run.to_string()[..8]), format!("/v1/recoveries?run={run}")] {
        let text = String::from_utf8(stranger.get(&path)?.body)?;
        assert!(!text.contains(&run.to_string()), "{path}: {text}");
    }
    let foreign = send(&stranger, "GET", "/v1/runs", &[("pawl-namespace", "team-a")], Vec::new())?.problem(403)?;
    let other = send(&stranger, "GET", "/v1/runs", &[("pawl-namespace", "team-c")], Vec::new())?.problem(403)?;
    assert_eq!(foreign.detail, other.detail, "which namespaces there are is nobody's");
    // And nothing of it was touched.
    let left: Run = theirs.get(&format!("/v1/runs/{run}"))?.read()?;
    assert_eq!((left.summary.status, left.summary.pipeline.as_str()), (RunStatus::Pending, "theirs-load"));
    let secrets: SecretList = theirs.get("/v1/secrets")?.read()?;
    assert_eq!(secrets.secrets.iter().map(|it| (&*it.name, it.version)).collect::<Vec<_>>(), [("theirs_secret", 1)]);
    let tokens: TokenList = theirs.get("/v1/tokens")?.read()?;
    assert_eq!(tokens.tokens.iter().map(|token| &*token.name).collect::<Vec<_>>(), ["theirs-ci"]);
    api.stop()
}

#[test]
fn names_and_keys_are_each_namespaces_own() -> Result<()> {
    let mut api = with_two("api_namespaces_names")?;
    let [a, b] = ["team-a", "team-b"].map(|namespace| of(&api.client, namespace, "ci", Role::Admin));
    let (a, b) = (a?, b?);
    let (first, _) = furnish(&a, "same")?;
    let (second, _) = furnish(&b, "same")?;
    assert_ne!(first, second, "one key, two namespaces, two runs");
    assert!(!submit(&a, "same-load", "order-17")?.created, "and one run in each");
    for (client, run) in [(&a, first), (&b, second)] {
        let runs: RunList = client.get("/v1/runs")?.read()?;
        assert_eq!(runs.runs.iter().map(|it| it.id).collect::<Vec<_>>(), [run]);
    }
    // A pause of the one is none of the other.
    a.post("/v1/pipelines/same-load/pause", JSON, "")?.read::<Value>()?;
    let paused = |client: &Client| -> Result<bool> {
        let shown: Value = client.get("/v1/pipelines/same-load")?.read()?;
        Ok(shown["paused"].is_object())
    };
    assert!(paused(&a)? && !paused(&b)?);

    // A token of all asks for one by name, and for a run wherever it is.
    let all = &api.client;
    let runs = |namespace: &str| -> Result<Vec<RunId>> {
        let list: RunList = send(all, "GET", "/v1/runs", &[("pawl-namespace", namespace)], Vec::new())?.read()?;
        Ok(list.runs.iter().map(|run| run.id).collect())
    };
    assert_eq!((runs("team-a")?, runs("team-b")?, runs("default")?), (vec![first], vec![second], vec![]));
    assert_eq!(all.get(&format!("/v1/runs/{second}"))?.read::<Run>()?.summary.id, second);
    let path = format!("/v1/runs/{second}");
    send(all, "GET", &path, &[("pawl-namespace", "team-a")], Vec::new())?.problem(404)?;
    let mistyped = send(all, "GET", "/v1/runs", &[("pawl-namespace", "team-c")], Vec::new())?.problem(404)?;
    assert!(mistyped.detail.contains("`pawl namespace create team-c`"), "{}", mistyped.detail);
    send(all, "GET", "/v1/runs", &[("pawl-namespace", "team/a")], Vec::new())?.problem(400)?;
    let told = |client: &Client| -> Result<Vec<String>> {
        let list: NamespaceList = client.get("/v1/namespaces")?.read()?;
        Ok(list.namespaces.iter().map(|namespace| namespace.name.to_string()).collect())
    };
    assert_eq!(
        (told(all)?, told(&a)?),
        (vec!["default".into(), "team-a".into(), "team-b".into()], vec!["team-a".into()])
    );
    assert_eq!(send(all, "PUT", "/v1/namespaces/team-a", &[], Vec::new())?.status, 200);

    // Whoever administers one namespace makes and revokes its tokens, and no others.
    let body = json!({ "name": "more", "role": "read" });
    let made: CreatedToken = a.post("/v1/tokens", JSON, body.to_string())?.read()?;
    assert_eq!(made.about.namespace.as_ref().map(ToString::to_string).as_deref(), Some("team-a"));
    let elsewhere = json!({ "name": "more", "role": "read", "namespace": "team-b" });
    a.post("/v1/tokens", JSON, elsewhere.to_string())?.problem(403)?;
    let nowhere = json!({ "name": "more", "role": "read", "namespace": "team-c" });
    all.post("/v1/tokens", JSON, nowhere.to_string())?.problem(404)?;
    let several = send(all, "DELETE", "/v1/tokens/ci", &[], Vec::new())?.problem(409)?;
    assert!(several.detail.contains("(team-a, team-b)"), "{}", several.detail);
    send(all, "DELETE", "/v1/tokens/ci", &[("pawl-namespace", "team-b")], Vec::new())?.read::<Value>()?;
    let list: TokenList = a.get("/v1/tokens")?.read()?;
    assert_eq!(list.tokens.iter().map(|token| &*token.name).collect::<Vec<_>>(), ["ci", "more"]);
    let who: Value = all.get("/v1/audit")?.read()?;
    let who: Vec<&str> =
        who["changes"].as_array().context("a list")?.iter().filter_map(|it| it["who"].as_str()).collect();
    assert!(who.contains(&"team-a/ci") && who.contains(&"team-b/ci") && who.contains(&"api_token"), "{who:?}");
    api.stop()
}

#[test]
fn the_record_of_changes_tells_each_namespace_its_own() -> Result<()> {
    let mut api = with_two("api_namespaces_audit")?;
    let [a, b] = ["team-a", "team-b"].map(|namespace| of(&api.client, namespace, "ci", Role::Admin));
    let (a, b) = (a?, b?);
    let (run, _) = furnish(&a, "a")?;
    furnish(&b, "b")?;
    let all = &api.client;
    // A token of all acts upon a run, which is somebody's; on what is everybody's; and on what is refused.
    all.post(&format!("/v1/runs/{run}/cancel"), JSON, "")?.read::<Value>()?;
    send(all, "PUT", "/v1/namespaces/team-a/quota", &[("content-type", JSON)], b"{\"runs\": 9}".to_vec())?
        .read::<Value>()?;
    let refused = [("pawl-namespace", "team-b")];
    send(&a, "POST", "/v1/pipelines/a-load/pause", &refused, Vec::new())?.problem(403)?;
    let told = |client: &Client, query: &str, headers: &[(&str, &str)]| -> Result<Vec<String>> {
        let list: ChangeList = send(client, "GET", &format!("/v1/audit{query}"), headers, Vec::new())?.read()?;
        let told = list.changes.iter().map(|change| {
            let of = change.namespace.as_ref().map_or("all", |own| own.as_str());
            format!("{of}: {} {}", change.who.as_deref().unwrap_or("-"), change.what)
        });
        Ok(told.collect())
    };
    let of_a = told(&a, "", &[])?;
    let expected = [
        "team-a: team-a/ci pausePipeline",
        "team-a: api_token cancelRun",
        "team-a: team-a/ci setSecret",
        "team-a: team-a/ci applyPipeline",
        "team-a: team-a/ci pushVersion",
    ];
    assert_eq!(of_a, expected);
    let of_b = told(&b, "", &[])?;
    assert!(of_b.len() == 3 && of_b.iter().all(|line| line.starts_with("team-b: team-b/ci ")), "{of_b:?}");
    assert_eq!(told(&b, &format!("?run={run}"), &[])?, [""; 0], "it is another one's");
    assert_eq!(told(&a, &format!("?run={run}"), &[])?, ["team-a: api_token cancelRun"]);
    assert_eq!(told(all, "", &[("pawl-namespace", "team-a")])?, of_a);
    let of_all = told(all, "", &[])?;
    for line in of_a.iter().chain(&of_b) {
        assert!(of_all.contains(line), "{line}: {of_all:?}");
    }
    for line in ["all: api_token setQuota", "all: api_token createToken", "all: api_token createNamespace"] {
        assert!(of_all.iter().any(|told| told == line), "{line}: {of_all:?}");
    }
    let reader = of(all, "team-a", "reader", Role::Read)?;
    reader.get("/v1/audit")?.problem(403)?;
    api.stop()
}

#[test]
fn what_holds_as_many_bytes_as_it_may_takes_nothing_more_until_something_has_gone() -> Result<()> {
    let mut api = with_two("api_namespaces_stored")?;
    let [a, b] = ["team-a", "team-b"].map(|namespace| of(&api.client, namespace, "ci", Role::Admin));
    let (a, b) = (a?, b?);
    furnish(&a, "a")?;
    furnish(&b, "b")?;
    let set = |quota: Value| -> Result<Answer> {
        let headers = [("content-type", JSON)];
        send(&api.client, "PUT", "/v1/namespaces/team-a/quota", &headers, quota.to_string().into_bytes())
    };
    set(json!({ "stored_bytes": 2_u64.pow(51) }))?.problem(400)?;
    set(json!({ "stored_bytes": 1_000 }))?.read::<Value>()?;
    let try_submit = || {
        let body = json!({ "pipeline": "a-load", "input": 1 }).to_string();
        a.post("/v1/runs", JSON, body)
    };
    // Its component is larger than that. It is measured while it submits.
    let refused = wait::until(bounds::PROCESS, "its bytes to be counted", || {
        let answer = try_submit()?;
        Ok(if answer.status == 429 { wait::Look::Done(answer) } else { wait::Look::NotYet(answer.status.to_string()) })
    })?;
    let refused = refused.problem(429)?;
    assert_eq!(refused.kind, "/problems/over-quota");
    assert!(refused.detail.contains("and may hold 1000: runs that have ended go"), "{}", refused.detail);
    let other = a.post("/v1/plugins/a-waits/versions/1", "application/wasm", binary::component("waits")?)?;
    assert!(other.problem(429)?.detail.contains("may hold 1000"));
    let same = a.post("/v1/plugins/a-echo/versions/2", "application/wasm", binary::component("echo")?)?;
    assert_eq!(same.status, 201, "it holds nothing more");
    assert!(submit(&b, "b-load", "another").is_ok(), "it is no one else's matter");
    let list: NamespaceList = api.client.get("/v1/namespaces")?.read()?;
    let held: Vec<bool> = list.namespaces.iter().map(|namespace| namespace.stored_bytes.is_some()).collect();
    assert_eq!(held, [false, true, false], "{list:?}");
    set(json!({ "stored_bytes": 1_u64 << 40 }))?.read::<Value>()?;
    wait::until_true(bounds::PROCESS, "room again", || Ok(try_submit()?.status == 202))?;
    api.stop()
}

#[test]
fn what_is_over_a_quota_is_refused_and_let_in_when_there_is_room_again() -> Result<()> {
    let mut api = with_two("api_namespaces_quotas")?;
    let [a, b] = ["team-a", "team-b"].map(|namespace| of(&api.client, namespace, "ci", Role::Admin));
    let (a, b) = (a?, b?);
    let set = |quota: Value| -> Result<Answer> {
        let headers = [("content-type", JSON)];
        send(&api.client, "PUT", "/v1/namespaces/team-a/quota", &headers, quota.to_string().into_bytes())
    };
    assert_eq!(set(json!({ "runs": 3, "components": 1 }))?.read::<Value>()?["changed"], true);
    set(json!({ "runs": -1 }))?.problem(400)?;
    a.post("/v1/namespaces/team-a/quota", JSON, "{}")?.problem(405)?;
    send(&a, "PUT", "/v1/namespaces/team-a/quota", &[("content-type", JSON)], b"{}".to_vec())?.problem(403)?;
    let (first, _) = furnish(&a, "a")?;
    furnish(&b, "b")?;
    let try_submit = |client: &Client, pipeline: &str, key: &str| -> Result<Answer> {
        let body = json!({ "pipeline": pipeline, "input": 1 }).to_string();
        send(client, "POST", "/v1/runs", &[("content-type", JSON), ("idempotency-key", key)], body.into_bytes())
    };
    for key in ["second", "third"] {
        assert!(submit(&a, "a-load", key)?.created);
    }
    let refused = try_submit(&a, "a-load", "fourth")?.problem(429)?;
    assert_eq!(refused.kind, "/problems/over-quota");
    assert!(refused.detail.contains("`team-a` is used up: it has 3 runs"), "{}", refused.detail);
    assert!(!submit(&a, "a-load", "order-17")?.created, "what is there is answered all the same");
    assert!((0..5).all(|number| submit(&b, "b-load", &number.to_string()).is_ok()), "it is no one else's matter");
    a.post(&format!("/v1/runs/{first}/cancel"), JSON, "")?.read::<Value>()?;
    wait::until_true(bounds::PROCESS, "room for one more", || Ok(try_submit(&a, "a-load", "fourth")?.status == 202))?;
    try_submit(&a, "a-load", "fifth")?.problem(429)?;

    let push = |name: &str, version: &str| -> Result<Answer> {
        a.post(&format!("/v1/plugins/a-echo/versions/{version}"), "application/wasm", binary::component(name)?)
    };
    assert_eq!(push("echo", "2")?.status, 201, "the same component under another version is no other one");
    let refused = push("waits", "3")?.problem(429)?;
    assert!(refused.detail.contains("it has 1 components"), "{}", refused.detail);

    set(json!({ "submissions": 2 }))?.read::<Value>()?;
    let refused = wait::until(bounds::PROCESS, "too many within a second", || {
        let answer = try_submit(&a, "a-load", &RunId::new().to_string())?;
        let is_over = answer.status == 429 && String::from_utf8_lossy(&answer.body).contains("within a second");
        Ok(if is_over { wait::Look::Done(answer) } else { wait::Look::NotYet(answer.status.to_string()) })
    })?;
    assert!(refused.problem(429)?.detail.contains("submitted 2 runs"));
    let list: NamespaceList = api.client.get("/v1/namespaces")?.read()?;
    let quotas: Vec<String> = list.namespaces.iter().map(|namespace| namespace.quota.to_string()).collect();
    assert_eq!(quotas, ["none", "submissions=2", "none"]);
    assert_eq!(set(json!({ "submissions": 2 }))?.read::<Value>()?["changed"], false);
    api.stop()
}
