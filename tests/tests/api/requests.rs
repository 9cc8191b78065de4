//! What wrong requests get, and those without a token.

use anyhow::Context as _;
use pawl_api::types::AppliedPipeline;
use pawl_tests::runtime::block_on;
use serde_json::json;

use crate::served::{Api, PIPELINE};

#[test]
fn every_wrong_request_gets_a_problem_that_names_the_fix() -> anyhow::Result<()> {
    let mut api = Api::start("api_wrong_requests")?;
    api.push_echo()?;
    api.apply(PIPELINE)?.read::<AppliedPipeline>()?;
    let run = api.submit(&json!(1))?;
    let unknown = "/v1/runs/01890000-0000-7000-8000-000000000000";
    let json = "application/json";
    let too_large = format!("{{\"pipeline\": \"pair\", \"input\": \"{}\"}}", "x".repeat(3 << 20));
    let step = |step: &str, verb: &str| format!("/v1/runs/{run}/steps/{step}/{verb}");
    for (method, path, media_type, body, status, kind, says) in [
        ("GET", "/v1/nothing", "", "", 404, "not-found", "no route /v1/nothing"),
        ("DELETE", "/v1/runs", "", "", 405, "method-not-allowed", "no method DELETE"),
        ("POST", "/v1/runs", json, "{", 400, "bad-request", "not valid JSON: EOF while parsing an object at line 1"),
        (
            "POST",
            "/v1/runs",
            json,
            "{\"pipelin\": 1}",
            400,
            "bad-request",
            "unknown field `pipelin`, expected `pipeline` or `input` at line 1 column 10",
        ),
        (
            "POST",
            "/v1/runs",
            json,
            "{\"pipeline\": \"pair\", \"input\": \"\u{0}\"}",
            400,
            "bad-request",
            "control character",
        ),
        ("POST", "/v1/runs", "text/plain", "{}", 415, "unsupported-media-type", "application/json"),
        ("POST", "/v1/runs", json, &too_large, 413, "too-large", "1 MiB"),
        (
            "POST",
            "/v1/runs",
            json,
            "{\"pipeline\": \"piar\"}",
            404,
            "unknown-pipeline",
            "did you mean `pair`? `pawl pipeline list`",
        ),
        ("GET", "/v1/runs?limt=3", "", "", 400, "bad-request", "unknown field `limt`"),
        ("GET", "/v1/runs?status=done", "", "", 400, "bad-request", "unknown variant `done`"),
        ("GET", "/v1/runs/17", "", "", 404, "not-found", "a run's id is a UUID"),
        ("GET", unknown, "", "", 404, "not-found", "there is no run"),
        ("GET", &format!("{unknown}?wait_ms=30000"), "", "", 404, "not-found", "there is no run"),
        ("GET", &format!("{unknown}/events"), "", "", 404, "not-found", "there is no run"),
        ("GET", &format!("{unknown}/explain"), "", "", 404, "not-found", "there is no run"),
        ("GET", &format!("{unknown}/output"), "", "", 404, "not-found", "there is no run"),
        ("POST", &format!("{unknown}/cancel"), "", "", 404, "not-found", "there is no run"),
        ("GET", &format!("/v1/runs/{run}/output"), "", "", 409, "conflict", "has no output: it is pending"),
        ("GET", &format!("/v1/runs/{run}/steps/secnd"), "", "", 404, "not-found", "did you mean `second`?"),
        ("POST", &format!("/v1/runs/{run}/retry"), "", "", 409, "conflict", "nothing to retry"),
        (
            "POST",
            &step("first", "resume"),
            json,
            "{\"on\": \"newest\"}",
            400,
            "bad-request",
            "`pinned`, `latest` or a component",
        ),
        (
            "POST",
            &step("first", "resume"),
            json,
            "{\"on\": \"0123456789ab\"}",
            404,
            "not-found",
            "there is no component",
        ),
        ("POST", &step("second", "resume"), json, "{}", 409, "conflict", "waits for the steps"),
        (
            "POST",
            &step("second", "resume"),
            json,
            "{\"from_checkpoint\": true}",
            409,
            "conflict",
            "waits for the steps",
        ),
        ("GET", &step("second", "journal"), "", "", 409, "conflict", "waits for the steps"),
        ("GET", &step("second", "replay"), "", "", 409, "conflict", "waits for the steps"),
        ("GET", &step("second", "replay?on=newest"), "", "", 400, "bad-request", "`pinned`, `latest` or a component"),
        ("GET", "/v1/components/0123", "", "", 400, "bad-request", "64 hexadecimal digits"),
        ("POST", "/v1/plugins/echo/activate", json, "{\"version\": \"2\"}", 404, "unknown-plugin", "it has 1"),
        (
            "POST",
            "/v1/plugins/ehco/activate",
            json,
            "{\"version\": \"1\"}",
            404,
            "unknown-plugin",
            "did you mean `echo`?",
        ),
        ("POST", "/v1/plugins/2e/versions/1", "application/wasm", "", 400, "bad-request", "must begin with a letter"),
        (
            "POST",
            "/v1/plugins/e/versions/1",
            "application/wasm",
            "hello",
            422,
            "invalid-component",
            "not a WebAssembly component",
        ),
        ("POST", "/v1/plugins/e/versions/1", json, "hello", 415, "unsupported-media-type", "application/wasm"),
        ("POST", "/v1/pipelines", "text/plain", "", 415, "unsupported-media-type", "application/toml"),
        ("POST", "/v1/pipelines", "application/toml", "", 422, "invalid-pipeline", "problems"),
        ("GET", "/v1/pipelines/par", "", "", 404, "unknown-pipeline", "did you mean `pair`? `pawl pipeline list`"),
        // What no text in Postgres may have is no name, wherever it comes in.
        ("POST", "/v1/runs", json, r#"{"pipeline": "a\u0000b"}"#, 404, "unknown-pipeline", r"letters, digits, - and _"),
        ("GET", "/v1/runs?pipeline=%00", "", "", 400, "bad-request", "a name must begin with a letter"),
        ("GET", "/v1/pipelines/a%00", "", "", 404, "unknown-pipeline", r"but not '\0'"),
        (
            "POST",
            "/v1/plugins/echo/activate",
            json,
            r#"{"version": "1\u0000"}"#,
            400,
            "bad-request",
            "a version may have",
        ),
        ("POST", "/v1/plugins/%00/activate", json, r#"{"version": "1"}"#, 404, "unknown-plugin", "there is no plugin"),
        ("POST", "/v1/plugins/%00/rollback", "", "", 404, "unknown-plugin", "there is no plugin"),
        ("POST", "/v1/plugins/e/versions/1%00", "application/wasm", "", 400, "bad-request", "a version may have"),
        ("POST", "/v1/plugins?name=%00", "application/wasm", "", 400, "bad-request", "a name must begin"),
        ("POST", &step("fi%00", "retry"), "", "", 404, "not-found", "has no step"),
        ("POST", &format!("/v1/runs/{run}/signals/a%00"), json, "1", 400, "bad-request", "no control characters"),
        ("GET", &format!("/v1/runs/{run}/inbox/%00"), "", "", 404, "not-found", "no signal of a run"),
        ("GET", "/v1/runs/%00", "", "", 404, "not-found", "a run's id is a UUID"),
    ] {
        let headers = [("content-type", media_type)];
        let answer = block_on(api.client.send(method, path, &headers, body.into()))?;
        let problem = answer.problem(status).with_context(|| format!("{method} {path}"))?;
        assert_eq!(problem.kind, format!("/problems/{kind}"), "{method} {path}: {problem:?}");
        assert!(problem.detail.contains(says), "{method} {path}: {}", problem.detail);
    }
    let bad_key = [("content-type", json), ("idempotency-key", "")];
    block_on(api.client.send("POST", "/v1/runs", &bad_key, b"{\"pipeline\": \"pair\"}".to_vec()))?.problem(400)?;
    api.stop()
}

#[test]
fn a_token_is_wanted_everywhere_but_for_health() -> anyhow::Result<()> {
    let mut api = Api::prepare("api_token")?;
    api.migrate()?;
    api.config.token = Some("s3cret".to_owned());
    api.serve()?;
    assert_eq!(api.client.get("/ready")?.status, 200);
    for (given, says) in [
        ("", "wants a token"),
        ("s3cret", "wants a token"),
        ("Bearer", "wants a token"),
        ("Basic s3cret", "wants a token"),
        ("Bearer s3cre", "the token is not the one of this API"),
    ] {
        let answer = block_on(api.client.send("GET", "/v1/runs", &[("authorization", given)], Vec::new()))?;
        let problem = answer.problem(401)?;
        assert_eq!(problem.kind, "/problems/unauthorized", "{given}");
        assert!(problem.detail.contains(says), "{given:?}: {}", problem.detail);
    }
    api.client.get("/v1/nothing")?.problem(401)?;
    let right = block_on(api.client.send("GET", "/v1/runs", &[("authorization", "bearer s3cret")], Vec::new()))?;
    assert_eq!(right.status, 200);
    api.stop()
}
