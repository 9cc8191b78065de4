//! What the API says of itself in `/openapi.json`, held against what it does.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};
use pawl_api::openapi::document;
use pawl_api::types::AppliedPipeline;
use pawl_tests::client::Answer;
use pawl_tests::runtime::block_on;
use pawl_tests::{binary, bounds, wait};
use serde_json::{Value, json};

use crate::served::{Api, PIPELINE};

const JSON: &str = "application/json";

/// A user who compares each answer with what the document says of it.
struct Reader<'a> {
    api: &'a Api,
    document: Value,
    /// What the places in paths are.
    places: BTreeMap<&'static str, String>,
    /// Operations that were asked, with the statuses that they gave.
    asked: BTreeMap<String, BTreeSet<u16>>,
}

impl Reader<'_> {
    fn ask(&mut self, route: &str, query: &str, media_type: &str, body: impl Into<Vec<u8>>) -> anyhow::Result<Answer> {
        let (method, template) = route.split_once(' ').context("a method and a path")?;
        let filled = |path: String, (name, value): (&&str, &String)| path.replace(&format!("{{{name}}}"), value);
        let path = self.places.iter().fold(template.to_owned(), filled);
        let headers = [("content-type", media_type)];
        let answer = block_on(self.api.client.send(method, &format!("{path}{query}"), &headers, body.into()))?;
        self.check(method, template, &answer).with_context(|| format!("{method} {path}: {}", answer.status))?;
        self.asked.entry(route.to_owned()).or_default().insert(answer.status);
        Ok(answer)
    }

    fn check(&self, method: &str, template: &str, answer: &Answer) -> anyhow::Result<()> {
        let operation = &self.document["paths"][template][method.to_lowercase()];
        let response = &operation["responses"][answer.status.to_string()];
        ensure!(response.is_object(), "the document has no such status");
        let media_type = answer.content_type.split(';').next().unwrap_or_default();
        let content = &response["content"][media_type];
        ensure!(content.is_object(), "the document has no answer of the type {media_type:?}");
        if media_type.ends_with("json") {
            let body: Value = serde_json::from_slice(&answer.body)?;
            let whole = json!({"allOf": [content["schema"]], "components": self.document["components"]});
            let validator = jsonschema::options().should_validate_formats(true).build(&whole)?;
            let errors: Vec<String> =
                validator.iter_errors(&body).map(|error| format!("{}: {error}", error.instance_path())).collect();
            ensure!(errors.is_empty(), "{body} does not fit: {}", errors.join("; "));
        }
        Ok(())
    }
}

/// Every operation of the document, as `METHOD path`.
fn operations() -> BTreeSet<String> {
    let paths = document()["paths"].as_object().into_iter().flatten();
    let methods = paths.flat_map(|(path, item)| item.as_object().into_iter().flatten().map(move |(it, _)| (path, it)));
    methods.map(|(path, method)| format!("{} {path}", method.to_uppercase())).collect()
}

#[test]
fn every_route_answers_as_the_document_says() -> anyhow::Result<()> {
    let mut api = Api::start("api_described")?;
    let mut reader = Reader {
        document: api.client.get("/openapi.json")?.read()?,
        api: &api,
        places: BTreeMap::from([
            ("plugin", "echo".to_owned()),
            ("version", "1".to_owned()),
            ("name", "approved".to_owned()),
        ]),
        asked: BTreeMap::new(),
    };
    let echo = binary::component("echo")?;
    let pushed = reader.ask("POST /v1/plugins/{plugin}/versions/{version}", "", "application/wasm", echo.clone())?;
    let digest = pushed.read::<Value>()?["digest"].as_str().context("a digest")?.to_owned();
    reader.ask("POST /v1/plugins", "?version=2&activate=false", "application/wasm", echo)?;
    reader.ask("POST /v1/plugins", "", "application/wasm", "hello")?;
    reader.ask("POST /v1/plugins/{plugin}/activate", "", JSON, "{\"version\": \"2\"}")?;
    reader.ask("POST /v1/plugins/{plugin}/rollback", "", "", "")?;
    reader.ask("GET /v1/plugins", "", "", "")?;
    ensure!(reader.ask("GET /v1/plugins/{plugin}", "", "", "")?.status == 200, "it is there");
    ensure!(reader.ask("GET /v1/plugins/{plugin}/versions/{version}", "", "", "")?.status == 200, "it is there");
    reader.places.insert("digest", digest);
    reader.ask("GET /v1/components/{digest}", "", "", "")?;

    reader.ask("POST /v1/pipelines", "", "application/toml", "")?;
    reader.ask("POST /v1/pipelines", "", "application/toml", PIPELINE)?.read::<AppliedPipeline>()?;
    reader.ask("GET /v1/pipelines", "", "", "")?;
    reader.places.insert("pipeline", "pair".to_owned());
    reader.ask("GET /v1/pipelines/{pipeline}", "", "", "")?;
    let known = reader.ask("GET /v1/pipelines/{pipeline}/versions", "", "", "")?.read::<Value>()?;
    reader.places.insert("digits", known["versions"][0]["digest"].as_str().context("a digest")?[..12].to_owned());
    for route in ["/versions/{digits}", "/schema", "/times"] {
        let answer = reader.ask(&format!("GET /v1/pipelines/{{pipeline}}{route}"), "", "", "")?;
        ensure!(answer.status == 200, "{route}: {}", String::from_utf8_lossy(&answer.body));
    }

    let submitted = reader.ask("POST /v1/runs", "", JSON, "{\"pipeline\": \"pair\", \"input\": [1]}")?;
    let run = submitted.read::<Value>()?["id"].as_str().context("an id")?.to_owned();
    reader.places.extend([("run", run), ("step", "first".to_owned()), ("number", "1".to_owned())]);
    reader.ask("POST /v1/runs/{run}/signals/{name}", "", JSON, "{\"by\": \"ana\"}")?;
    reader.ask("GET /v1/runs/{run}/inbox", "?limit=1", "", "")?;
    reader.ask("GET /v1/runs/{run}/inbox/{number}", "", "", "")?;
    reader.ask("PUT /v1/runs/{run}/inbox/{number}", "", JSON, "true")?;
    reader.ask("POST /v1/runs/{run}/inbox/{number}/return", "", "", "")?;
    reader.ask("DELETE /v1/runs/{run}/inbox/{number}", "", "", "")?;
    reader.ask("GET /v1/runs/{run}/input", "", "", "")?;
    reader.ask("GET /v1/runs/{run}/output", "", "", "")?;
    reader.ask("GET /v1/runs/{run}/explain", "", "", "")?;
    reader.ask("GET /v1/runs/{run}/steps/{step}/replay", "?to=3", "", "")?;
    reader.ask("POST /v1/runs/{run}/resume", "", "", "")?;
    reader.ask("POST /v1/runs/{run}/pause", "", JSON, "{\"reason\": \"maintenance\"}")?;
    reader.ask("GET /v1/runs/{run}/explain", "", "", "")?;
    reader.ask("POST /v1/runs/{run}/unpause", "", "", "")?;
    reader.ask("POST /v1/pipelines/{pipeline}/pause", "", JSON, "{}")?;
    reader.ask("GET /v1/pipelines/{pipeline}", "", "", "")?;
    reader.ask("POST /v1/pipelines/{pipeline}/unpause", "", "", "")?;
    reader.places.insert("queue", "default".to_owned());
    reader.ask("POST /v1/queues/{queue}/pause", "", JSON, "{\"reason\": \"new drivers\"}")?;
    reader.ask("GET /v1/queues", "", "", "")?;
    reader.ask("POST /v1/queues/{queue}/unpause", "", "", "")?;
    reader.ask("POST /v1/runs/{run}/cancel", "", "", "")?;
    reader.ask("POST /v1/runs/{run}/resume", "", "", "")?;
    reader.ask("POST /v1/runs/{run}/retry", "", "", "")?;
    reader.ask("POST /v1/runs/{run}/steps/{step}/retry", "", "", "")?;
    reader.ask("POST /v1/runs/{run}/steps/{step}/resume", "", JSON, "{}")?;
    reader.ask("POST /v1/runs/{run}/fail", "", JSON, "{\"message\": \"bad data\"}")?;
    reader.ask("POST /v1/runs/{run}/retry", "", "", "")?;
    reader.ask("POST /v1/runs/{run}/steps/{step}/skip", "", JSON, "{\"output\": 1}")?;
    reader.ask("POST /v1/runs/{run}/retry", "?from=first", "", "")?;

    reader.ask("GET /v1/dead-letters", "?limit=1", "", "")?;
    reader.ask("GET /v1/dead-letters/groups", "", "", "")?;
    reader.ask("POST /v1/dead-letters", "", JSON, "{\"verb\": \"retry\", \"dry_run\": true}")?;
    for status in ["parked", "stuck", "paused"] {
        reader.ask("GET /v1/runs", &format!("?status={status}"), "", "")?;
    }
    reader.ask("GET /v1/runs", "?error=refused&key_prefix=order-&version=abcdef&since_ms=0", "", "")?;
    reader.ask("GET /v1/runs", "?key=order-17", "", "")?;

    reader.ask("GET /v1/recoveries", "?limit=1", "", "")?;
    reader.ask("GET /v1/interrupted", "?threshold_ms=0", "", "")?;
    reader.ask("POST /v1/recover", "", JSON, "{\"resume\": true, \"threshold_ms\": 0}")?;

    reader.ask("GET /v1/incidents", "?limit=1", "", "")?;
    reader.ask("GET /v1/incidents", "?kind=store.away&within_ms=60000", "", "")?;
    reader.ask("GET /v1/circuits", "", "", "")?;
    for query in ["", "?kind=signal&limit=1", "?kind=time"] {
        reader.ask("GET /v1/waits", query, "", "")?;
    }
    reader.ask("GET /v1/doctor", "", "", "")?;
    reader.ask("GET /v1/builds", "", "", "")?;
    reader.ask("POST /v1/circuits/close", "", JSON, "{\"origin\": \"http://127.0.0.1:1\"}")?;

    reader.ask("GET /v1/retention", "", "", "")?;
    reader.ask("POST /v1/retention/run", "", "", "")?;
    reader.places.insert("worker", "01890000-0000-7000-8000-000000000000".to_owned());
    ensure!(reader.ask("POST /v1/workers/{worker}/drain", "", "", "")?.status == 404, "nobody knows of it");
    ensure!(reader.ask("GET /v1/workers/{worker}", "", "", "")?.status == 404, "nor can it be shown");
    reader.places.insert("queue", "default".to_owned());

    reader.ask("PUT /v1/runs/{run}/keep", "", "", "")?;
    reader.ask("DELETE /v1/runs/{run}/keep", "", "", "")?;

    reader.places.insert("namespace", "team-a".to_owned());
    reader.ask("PUT /v1/namespaces/{namespace}/quota", "", JSON, "{\"runs\": 10}")?;
    ensure!(reader.ask("PUT /v1/namespaces/{namespace}", "", "", "")?.status == 201, "it was not there");
    reader.ask("PUT /v1/namespaces/{namespace}", "", "", "")?;
    reader.ask("PUT /v1/namespaces/{namespace}/quota", "", JSON, "{\"runs\": 10.0, \"stored_bytes\": 1e9}")?;
    reader.ask("GET /v1/namespaces", "", "", "")?;
    reader.ask("PUT /v1/namespaces/{namespace}/sealing", "", JSON, "{\"sealing\": \"on\"}")?;
    reader.ask("GET /v1/namespaces/{namespace}/keys", "", "", "")?;
    reader.ask("DELETE /v1/namespaces/{namespace}/keys", "", "", "")?;
    reader.ask("DELETE /v1/runs/{run}/key", "", "", "")?;

    secrets(&mut reader)?;
    reader.ask("GET /v1/audit", "?limit=3", "", "")?;
    reader.ask("GET /v1/audit", "?who=ada&what=cancelRun&since_ms=0&until_ms=9000000000000000", "", "")?;
    ensure!(reader.ask("GET /v1/audit", "?what=listRuns", "", "")?.status == 400, "that leaves no line");
    let made = reader.ask("POST /v1/tokens", "", JSON, "{\"name\": \"ada\", \"role\": \"admin\"}")?;
    let token = made.read::<Value>()?["token"].as_str().context("a token")?.to_owned();
    // From the first one on, nobody is let in without one.
    wait::until_true(bounds::PROCESS, "a token to be wanted", || {
        Ok(reader.ask("GET /v1/tokens", "", "", "")?.status == 401)
    })?;
    api.client.show(token);
    reader.ask("GET /v1/tokens", "", "", "")?;
    reader.places.insert("token", "nobody".to_owned());
    ensure!(reader.ask("DELETE /v1/tokens/{token}", "", "", "")?.status == 404, "nobody has it");

    let _worker = api.worker()?;
    let ended = reader.ask("GET /v1/runs/{run}", "?wait_ms=25000", "", "")?;
    ensure!(ended.read::<Value>()?["status"] == "succeeded", "{}", String::from_utf8_lossy(&ended.body));
    wait::until_true(bounds::PROCESS, "the worker to be told", || {
        Ok(!reader.ask("GET /v1/workers", "", "", "")?.read::<Value>()?["workers"].as_array().is_none_or(Vec::is_empty))
    })?;
    let workers = reader.ask("GET /v1/workers", "", "", "")?.read::<Value>()?;
    reader.places.insert("worker", workers["workers"][0]["id"].as_str().context("an id")?.to_owned());
    ensure!(reader.ask("GET /v1/workers/{worker}", "", "", "")?.status == 200, "it is there");
    for route in [
        "GET /v1/runs",
        "GET /v1/runs/{run}/output",
        "GET /v1/runs/{run}/events",
        "GET /v1/runs/{run}/logs",
        "GET /v1/runs/{run}/explain",
        "GET /v1/runs/{run}/report",
        "GET /v1/runs/{run}/steps/{step}",
        "GET /v1/runs/{run}/steps/{step}/logs",
        "GET /v1/runs/{run}/steps/{step}/journal",
        "GET /v1/runs/{run}/steps/{step}/replay",
        "GET /v1/queues",
        "GET /v1/queues/{queue}",
        "GET /v1/pipelines/{pipeline}/times",
        "GET /v1/plugins/{plugin}",
        "GET /v1/scale",
        "POST /admin/requeue_processing",
        "POST /admin/requeue_stale",
        "GET /health",
        "GET /ready",
        "GET /metrics",
        "GET /openapi.json",
    ] {
        let answer = reader.ask(route, "", "", "")?;
        ensure!(answer.status == 200, "{route}: {}", String::from_utf8_lossy(&answer.body));
    }
    assert_eq!(
        reader.asked.keys().cloned().collect::<BTreeSet<_>>(),
        operations(),
        "each of them is asked once at least"
    );
    api.stop()
}

/// What is answered about secrets, none of which has a value.
fn secrets(reader: &mut Reader<'_>) -> anyhow::Result<()> {
    const BYTES: &str = "application/octet-stream";
    const VALUE: &str = "hunter2hunter2";
    reader.places.insert("secret", "token".to_owned());
    let (set, grants) = ("PUT /v1/secrets/{secret}", "/v1/secrets/{secret}/grants");
    let (grant, revoke) = (format!("POST {grants}"), format!("DELETE {grants}"));
    let whom = "?pipeline=pair&step=first&hosts=https://a.example,http://localhost:*";
    for (route, query, media_type, body, status) in [
        (&grant[..], whom, "", "", 404),
        (set, "", BYTES, "hunter2", 400),
        (set, "", JSON, VALUE, 415),
        (set, "?step=first", BYTES, VALUE, 400),
        (set, "?pipeline=pair&hosts=a.example", BYTES, VALUE, 400),
        (set, "", BYTES, VALUE, 201),
        (set, "?pipeline=pair", BYTES, VALUE, 200),
        (&grant, whom, "", "", 200),
        (&grant, "", "", "", 400),
        (&revoke, "?pipeline=other", "", "", 409),
        (&revoke, whom, "", "", 200),
        ("GET /v1/secrets", "", "", "", 200),
        ("POST /admin/rotate_secrets", "", "", "", 200),
        ("DELETE /v1/secrets/{secret}", "", "", "", 200),
        ("DELETE /v1/secrets/{secret}", "", "", "", 404),
    ] {
        let answer = reader.ask(route, query, media_type, body)?;
        let text = String::from_utf8_lossy(&answer.body);
        ensure!(answer.status == status, "{route}{query}: {} {text}", answer.status);
        ensure!(!text.contains("hunter2"), "{route}{query}: {text}");
    }
    let audited = reader.ask("GET /v1/audit", "?limit=50", "", "")?;
    let text = String::from_utf8_lossy(&audited.body);
    ensure!(text.contains("setSecret") && text.contains("version 2") && !text.contains("hunter2"), "{text}");
    Ok(())
}

#[test]
fn what_the_document_does_not_name_is_no_route() -> anyhow::Result<()> {
    let mut api = Api::start("api_undescribed")?;
    let paths: BTreeSet<String> = operations().iter().filter_map(|it| Some(it.split_once(' ')?.1.to_owned())).collect();
    for path in paths {
        for method in ["GET", "PUT", "POST", "DELETE", "PATCH"] {
            let filled = path.replace(['{', '}'], "");
            let answer = block_on(api.client.send(method, &filled, &[], Vec::new()))?;
            let is_told = operations().contains(&format!("{method} {path}"));
            ensure!((answer.status == 405) != is_told, "{method} {path}: {}, told: {is_told}", answer.status);
            ensure!(is_told || answer.problem(405).is_ok(), "{method} {path} is refused with a problem");
            let text = String::from_utf8_lossy(&answer.body);
            ensure!(!text.contains("there is no route"), "{method} {path}: {text}");
        }
    }
    api.stop()
}

#[test]
fn a_path_or_a_header_that_cannot_be_read_is_a_problem_and_a_list_is_no_object() -> anyhow::Result<()> {
    let mut api = Api::start("api_unreadable")?;
    api.client.get("/v1/pipelines/%ff")?.problem(400)?;
    api.push_echo()?;
    api.apply(PIPELINE)?.read::<AppliedPipeline>()?;
    let run = format!("/v1/runs/{}", api.submit(&json!(1))?);
    let send =
        |method, path: &str, headers: &[_], body: &str| block_on(api.client.send(method, path, headers, body.into()));
    let problem = send("GET", &format!("{run}/events"), &[("last-event-id", "three")], "")?.problem(400)?;
    assert!(problem.detail.contains("Last-Event-ID"), "{problem:?}");
    let problem = send("POST", "/v1/runs", &[("content-type", JSON)], "[\"pair\", 1]")?.problem(400)?;
    assert!(problem.detail.contains("an object, not a list"), "{problem:?}");
    let with_tab = [("content-type", JSON), ("idempotency-key", "a\tb")];
    send("POST", "/v1/runs", &with_tab, "{\"pipeline\": \"pair\"}")?.problem(400)?;
    api.stop()
}
