//! Who is let in: each role at each route, tokens that are over, guesses, pages of others, and what is left of it in the record.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use pawl_api::openapi::document;
use pawl_api::types::{AppliedPipeline, ChangeList, CreatedToken, Role, TokenList, TokenState};
use pawl_tests::client::Answer;
use pawl_tests::proxy::Mode;
use pawl_tests::runtime::block_on;
use pawl_tests::{Client, Proxy, bounds, wait};
use serde_json::{Value, json};

use crate::served::{Api, PIPELINE};

const JSON: &str = "application/json";

/// The setting's.
const OWN: &str = "s3cret";

/// An API with the token of the setting, which its client shows.
fn with_own_token(name: &str) -> Result<Api> {
    let mut api = Api::prepare(name)?;
    api.migrate()?;
    api.config.token = Some(OWN.to_owned());
    api.client.show(OWN);
    api.serve()?;
    Ok(api)
}

fn make(client: &Client, name: &str, role: Role, more: &Value) -> Result<Answer> {
    let mut body = json!({"name": name, "role": role});
    body.as_object_mut().context("an object")?.extend(more.as_object().cloned().unwrap_or_default());
    client.post("/v1/tokens", JSON, body.to_string())
}

fn made(client: &Client, name: &str, role: Role) -> Result<Client> {
    let token: CreatedToken = make(client, name, role, &json!({}))?.read()?;
    client.with(&token.token)
}

/// Method, path and role of each route; `None`: open.
fn routes() -> Result<Vec<(String, String, Option<Role>)>> {
    let mut all = Vec::new();
    for (path, item) in document()["paths"].as_object().context("paths")? {
        for (method, operation) in item.as_object().context("methods")? {
            let role = match operation["security"].as_array().context("security")?.as_slice() {
                [] => None,
                [one] => Some(one["token"][0].as_str().context("a role")?.parse()?),
                several => anyhow::bail!("{several:?}"),
            };
            all.push((method.to_uppercase(), path.clone(), role));
        }
    }
    Ok(all)
}

/// A path of nothing that is there.
fn filled(path: &str) -> String {
    path.replace("{run}", "01890000-0000-7000-8000-000000000000")
        .replace("{worker}", "01890000-0000-7000-8000-000000000000")
        .replace("{digest}", &"0".repeat(64))
        .replace("{number}", "1")
        .replace(['{', '}'], "")
}

#[test]
fn each_role_may_do_what_its_routes_do_and_no_more() -> Result<()> {
    let mut api = with_own_token("api_roles")?;
    let routes = routes()?;
    let count = |role: Role| routes.iter().filter(|(.., wanted)| *wanted == Some(role)).count();
    assert!(Role::ALL.into_iter().all(|role| count(role) > 1), "{routes:?}");
    let is = |method: &str, path: &str| routes.iter().find(|(m, p, _)| m == method && p == path).map(|it| it.2);
    for (method, path, role) in [
        ("GET", "/v1/runs", Some(Role::Read)),
        ("GET", "/metrics", Some(Role::Read)),
        ("POST", "/v1/runs", Some(Role::Submit)),
        ("POST", "/v1/runs/{run}/cancel", Some(Role::Operate)),
        ("POST", "/v1/plugins", Some(Role::Deploy)),
        ("POST", "/v1/pipelines", Some(Role::Deploy)),
        ("POST", "/v1/tokens", Some(Role::Admin)),
        ("GET", "/v1/tokens", Some(Role::Admin)),
        ("GET", "/v1/secrets", Some(Role::Deploy)),
        ("PUT", "/v1/secrets/{secret}", Some(Role::Admin)),
        ("POST", "/v1/secrets/{secret}/grants", Some(Role::Admin)),
        ("GET", "/ready", None),
    ] {
        assert_eq!(is(method, path), Some(role), "{method} {path}");
    }
    for role in Role::ALL {
        let client = made(&api.client, &format!("a-{role}"), role)?;
        for (method, path, wanted) in &routes {
            let answer = block_on(client.send(method, &filled(path), &[("content-type", JSON)], Vec::new()))?;
            let place = format!("{method} {path} by {role}: {}", answer.status);
            match wanted {
                Some(wanted) if *wanted > role => {
                    let problem = answer.problem(403).context(place)?;
                    assert_eq!(problem.kind, "/problems/forbidden");
                    let says = format!("the role `{wanted}`, and the token `a-{role}` has `{role}`");
                    assert!(problem.detail.contains(&says), "{}", problem.detail);
                }
                _ => ensure!(!matches!(answer.status, 401 | 403), "{place}"),
            }
        }
        // What is no route is told to whoever may read.
        client.get("/v1/nothing")?.problem(404)?;
        block_on(client.send("PATCH", "/v1/runs", &[], Vec::new()))?.problem(405)?;
    }
    for (method, path, wanted) in &routes {
        let nobody = Client::new(api.client.url(""))?;
        let answer = block_on(nobody.send(method, &filled(path), &[("content-type", JSON)], Vec::new()))?;
        assert_eq!(answer.status == 401, wanted.is_some(), "{method} {path} by nobody: {}", answer.status);
    }
    api.stop()
}

#[test]
fn a_token_that_is_over_says_so_and_is_refused_within_a_second() -> Result<()> {
    let mut api = with_own_token("api_tokens_over")?;
    let ada = made(&api.client, "ada", Role::Admin)?;
    let made: CreatedToken = make(&ada, "ci", Role::Deploy, &json!({"namespace": "default"}))?.read()?;
    let place = made.about.namespace.as_ref().map(ToString::to_string);
    assert_eq!((made.about.created_by.as_deref(), place.as_deref()), (Some("ada"), Some("default")));
    let ci = ada.with(&made.token)?;
    assert_eq!(ci.get("/v1/runs")?.status, 200);
    make(&ada, "ci", Role::Read, &json!({"namespace": "default"}))?.problem(409)?;
    let revoked = Instant::now();
    block_on(ada.send("DELETE", "/v1/tokens/ci", &[], Vec::new()))?.read::<Value>()?;
    let problem = wait::until(bounds::PROCESS, "the token to be refused", || {
        let answer = ci.get("/v1/runs")?;
        Ok(if answer.status == 200 { wait::Look::NotYet("let in".to_owned()) } else { wait::Look::Done(answer) })
    })?
    .problem(401)?;
    assert!(revoked.elapsed() < Duration::from_millis(2_500), "{:?}", revoked.elapsed());
    assert!(problem.detail.starts_with("the token `ci` was revoked"), "{}", problem.detail);
    block_on(ada.send("DELETE", "/v1/tokens/ci", &[], Vec::new()))?.problem(404)?;

    let short: CreatedToken = make(&ada, "short", Role::Read, &json!({"expires_in_ms": 300}))?.read()?;
    let short = ada.with(&short.token)?;
    let problem = wait::until(bounds::PROCESS, "the token to expire", || {
        let answer = short.get("/v1/runs")?;
        Ok(if answer.status == 200 { wait::Look::NotYet("let in".to_owned()) } else { wait::Look::Done(answer) })
    })?
    .problem(401)?;
    assert!(problem.detail.starts_with("the token `short` has expired"), "{}", problem.detail);

    let unknown = pawl_domain::token::TokenText::of([7; pawl_domain::token::RANDOM_BYTES]);
    for (token, says) in [
        (unknown.reveal(), "is not known here"),
        (&unknown.reveal()[..50], "it is cut"),
        (&unknown.reveal().replace("pawl_0", "pawl_1"), "mistyped"),
        ("guess", "is not the one of this API"),
    ] {
        let problem = api.client.with(token)?.get("/v1/runs")?.problem(401)?;
        assert!(problem.detail.contains(says), "{token}: {}", problem.detail);
        assert!(!problem.detail.contains(token), "{}", problem.detail);
    }
    let list: TokenList = ada.get("/v1/tokens")?.read()?;
    let told: Vec<_> = list.tokens.iter().map(|token| (&*token.name, token.state)).collect();
    assert_eq!(told, [("ada", TokenState::Good), ("short", TokenState::Expired), ("ci", TokenState::Revoked)]);
    assert!(!String::from_utf8(ada.get("/v1/tokens")?.body)?.contains("pawl_"), "no text is told again");
    for (body, status, says) in [
        (json!({"name": "x", "role": "root"}), 400, "unknown variant `root`"),
        (json!({"name": "x y", "role": "read"}), 400, "a name may have"),
        (json!({"name": "api_token", "role": "read"}), 409, "what Pawl calls a token of its own"),
        (json!({"name": "x", "role": "read", "namespace": "other"}), 404, "there is no namespace"),
        (json!({"name": "x", "role": "read", "expires_in_ms": 0}), 400, "`expires_in_ms`"),
    ] {
        let problem = ada.post("/v1/tokens", JSON, body.to_string())?.problem(status)?;
        assert!(problem.detail.contains(says), "{body}: {}", problem.detail);
    }
    api.stop()
}

#[test]
fn pages_of_others_are_refused_everywhere_and_browsers_are_told_to_do_nothing() -> Result<()> {
    let mut api = Api::prepare("api_browsers")?;
    api.migrate()?;
    api.config.allowed_hosts = vec!["pawl.example.org".to_owned()];
    api.serve()?;
    for (method, path, _) in routes()? {
        let path = filled(&path);
        let send = |headers: &[(&str, &str)]| block_on(api.client.send(&method, &path, headers, Vec::new()));
        let problem = send(&[("host", "evil.example")])?.problem(421).context(path.clone())?;
        assert!(problem.kind == "/problems/unknown-host" && problem.detail.contains("allowed_hosts"), "{problem:?}");
        for origin in ["https://evil.example", "null", "http://127.0.0.1:3000"] {
            let problem = send(&[("origin", origin)])?.problem(403).context(path.clone())?;
            assert_eq!(problem.kind, "/problems/foreign-origin", "{method} {path}");
        }
        assert!(!matches!(send(&[("host", "pawl.example.org")])?.status, 403 | 421), "{method} {path}");
        assert!(!matches!(send(&[("origin", &api.client.url(""))])?.status, 403 | 421), "{method} {path}");
    }
    for path in ["/health", "/v1/runs", "/v1/nothing", "/openapi.json"] {
        for host in ["localhost", "evil.example"] {
            let answer =
                block_on(async { reqwest::Client::new().get(api.client.url(path)).header("host", host).send().await })?;
            let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
            let policy = header("content-security-policy");
            assert!(policy.contains("default-src 'none'; frame-ancestors 'none'"), "{path}: {policy}");
            assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        }
    }
    api.stop()
}

#[test]
fn nobody_is_let_in_without_a_token_where_others_can_connect_or_one_was_made() -> Result<()> {
    let mut api = Api::prepare("api_open")?;
    api.migrate()?;
    let port = api.config.listen.rsplit(':').next().context("a port")?.to_owned();
    let local = std::mem::replace(&mut api.config.listen, format!("0.0.0.0:{port}"));
    let ends = std::future::pending();
    let refused = block_on(pawl_api::serve(api.config.clone(), api.ports()?, ends));
    let why = refused.err().context("it does not serve")?.to_string();
    for part in ["there is no token", "pawl migrate --admin-token", "api_token", "127.0.0.1"] {
        assert!(why.contains(part), "{part}: {why}");
    }

    api.config.listen = local;
    api.serve()?;
    assert_eq!(api.client.get("/v1/tokens")?.status, 200, "only this machine can connect, and there is none");
    let first = make(&api.client, "reader", Role::Read, &json!({}))?.problem(409)?;
    assert!(first.detail.contains("`admin`"), "{}", first.detail);
    make(&api.client, "ada", Role::Admin, &json!({"expires_in_ms": 1_000}))?.problem(409)?;
    let ada = made(&api.client, "ada", Role::Admin)?;
    wait::until_true(bounds::PROCESS, "a token to be wanted", || Ok(api.client.get("/v1/tokens")?.status == 401))?;
    assert_eq!(ada.get("/v1/tokens")?.status, 200);
    api.stop()
}

#[test]
fn a_token_is_looked_up_once_a_second_however_often_it_is_shown() -> Result<()> {
    let mut api = with_own_token("api_token_lookups")?;
    let reader = made(&api.client, "reader", Role::Read)?;
    let begun = Instant::now();
    let mut asked = 0_u32;
    while asked < 300 || begun.elapsed() < Duration::from_secs(3) {
        assert_eq!(reader.get("/v1/runs?limit=1")?.status, 200);
        asked += 1;
    }
    let most = begun.elapsed().as_secs() as i64 + 3;
    let eyes = pawl_tests::database::Database::new(&api.postgres.url())?;
    // Sessions tell it about once a second.
    let looked = wait::until(bounds::PROCESS, "lookups to be told", || {
        let looked: i64 =
            eyes.value("select coalesce(idx_scan, 0) from pg_stat_user_tables where relname = 'token'")?;
        Ok(if looked > 0 { wait::Look::Done(looked) } else { wait::Look::NotYet(looked.to_string()) })
    })?;
    assert!(looked <= most, "{looked} lookups for {asked} requests; {most} are enough");

    // While the store is away, what it said last counts.
    api.postgres.stop()?;
    let metrics = reader.get("/metrics")?;
    assert_eq!(metrics.status, 200, "{}", String::from_utf8_lossy(&metrics.body));
    reader.get("/v1/runs")?.problem(503)?;
    api.postgres.launch()?;
    wait::until_true(bounds::PROCESS, "runs to be listed", || Ok(reader.get("/v1/runs")?.status == 200))?;
    api.stop()
}

#[test]
fn a_silent_store_is_asked_for_a_token_beside_the_requests_and_holds_none_but_the_first() -> Result<()> {
    let mut api = Api::prepare("api_silent_store")?;
    api.migrate()?;
    api.config.token = Some(OWN.to_owned());
    api.client.show(OWN);
    api.proxy = Some(Proxy::start(format!("127.0.0.1:{}", api.postgres.port()))?);
    api.serve()?;
    let reader = made(&api.client, "reader", Role::Read)?;
    // What is no route needs the store for nothing but the token.
    reader.get("/v1/nothing")?.problem(404)?;
    api.proxy.as_ref().context("it is there")?.set(Mode::Stall);
    let (begun, mut answered, mut held) = (Instant::now(), 0_u32, 0_u32);
    while begun.elapsed() < Duration::from_secs(12) {
        let asked = Instant::now();
        reader.get("/v1/nothing")?.problem(404)?;
        answered += 1;
        held += u32::from(asked.elapsed() > Duration::from_millis(1_900));
    }
    assert!(answered > 40 && held <= 1, "{held} of {answered} have waited for a store that is known to be silent");
    api.proxy.as_ref().context("it is there")?.heal();
    wait::until_true(bounds::PROCESS, "runs to be listed", || Ok(reader.get("/v1/runs")?.status == 200))?;
    api.stop()
}

#[test]
fn who_asked_for_which_change_is_recorded() -> Result<()> {
    let mut api = with_own_token("api_audit")?;
    api.push_echo()?;
    let (ada, ci) = (made(&api.client, "ada", Role::Operate)?, made(&api.client, "ci", Role::Deploy)?);
    ci.post("/v1/pipelines", "application/toml", PIPELINE)?.read::<AppliedPipeline>()?;
    // What is so already is no change, and what is only checked is none.
    ci.post("/v1/pipelines", "application/toml", PIPELINE)?.read::<AppliedPipeline>()?;
    ci.post("/v1/pipelines?check=true", "application/toml", PIPELINE)?.read::<AppliedPipeline>()?;
    let run = api.submit(&json!(1))?;
    ada.cancel(run)?;
    ada.post(&format!("/v1/runs/{run}/cancel"), JSON, "")?.problem(409)?;
    ada.post("/v1/plugins/echo/rollback", JSON, "")?.problem(403)?;
    let list: ChangeList = ada.get("/v1/audit")?.read()?;
    let told: Vec<_> = list
        .changes
        .iter()
        .map(|it| (it.who.as_deref().unwrap_or("-"), &*it.what, it.status, it.subject.as_deref().unwrap_or("")))
        .collect();
    let of = |number: usize| told.get(number).copied().context("a line");
    assert_eq!(of(0)?, ("ada", "cancelRun", Some(409), ""));
    assert_eq!(of(1)?, ("ada", "cancelRun", Some(200), ""));
    let (who, what, status, subject) = of(2)?;
    assert!((who, what, status) == ("ci", "applyPipeline", Some(201)) && subject.starts_with("pair "), "{told:?}");
    assert_eq!(of(3)?, ("api_token", "createToken", Some(201), "ci: deploy"));
    assert_eq!(of(4)?, ("api_token", "createToken", Some(201), "ada: operate"));
    let (who, what, status, subject) = of(5)?;
    assert!(
        (who, what, status) == ("api_token", "pushVersion", Some(201)) && subject.starts_with("echo@1 "),
        "{told:?}"
    );
    assert_eq!(told.len(), 6, "a submission is the run's own to tell, and what was refused changes nothing: {told:?}");
    assert!(list.changes.iter().all(|change| change.source == "127.0.0.1"), "{list:?}");
    let of_run: ChangeList = ada.get(&format!("/v1/audit?run={run}&limit=1"))?.read()?;
    assert!(of_run.changes.len() == 1 && of_run.next.is_some() && of_run.changes[0].run == Some(run), "{of_run:?}");
    made(&api.client, "reader", Role::Read)?.get("/v1/audit")?.problem(403)?;
    api.stop()
}

#[test]
fn a_stream_ends_with_the_token_that_it_was_opened_with() -> Result<()> {
    let mut api = with_own_token("access_streams")?;
    api.push_echo()?;
    api.apply(PIPELINE)?.read::<AppliedPipeline>()?;
    let run = api.submit(&json!(null))?;
    let revoked = make(&api.client, "revoked", Role::Read, &json!({}))?.read::<CreatedToken>()?.token;
    let expires = make(&api.client, "expires", Role::Read, &json!({"expires_in_ms": 2_000}))?;
    let expires = expires.read::<CreatedToken>()?.token;
    let open = |token: &str| {
        let url = api.client.url(&format!("/v1/runs/{run}/events"));
        let request = reqwest::Client::new().get(url).header("accept", "text/event-stream").bearer_auth(token);
        block_on(async { request.send().await?.error_for_status() })
    };
    let mut streams = [open(&expires)?, open(&revoked)?];
    let mut stays = open(OWN)?;
    for stream in streams.iter_mut().chain([&mut stays]) {
        let first = block_on(stream.chunk())?.context("the first event")?;
        assert!(first.starts_with(b"id: 1\n"), "{first:?}");
    }
    let ends = |stream: &mut reqwest::Response| -> Result<()> {
        block_on(async {
            let rest = async {
                while stream.chunk().await?.is_some() {}
                anyhow::Ok(())
            };
            tokio::time::timeout(bounds::PROCESS, rest).await?
        })
    };
    ends(&mut streams[0])?;
    block_on(api.client.send("DELETE", "/v1/tokens/revoked", &[], Vec::new()))?.read::<Value>()?;
    ends(&mut streams[1])?;
    let whole = block_on(async { tokio::time::timeout(Duration::from_millis(10), stays.chunk()).await });
    assert!(whole.is_err(), "who still may read goes on: {whole:?}");
    api.stop()
}

#[test]
fn a_refusal_arrives_whatever_was_sent_with_the_request() -> Result<()> {
    let mut api = with_own_token("access_unread")?;
    let reader = made(&api.client, "reader", Role::Read)?;
    let stranger = api.client.with("wrong")?;
    for _ in 0..20 {
        // More than what fits into the buffers of a connection.
        let component = vec![0; 8 << 20];
        let refused = reader.post("/v1/plugins?name=large&version=1", "application/wasm", component.clone())?;
        assert_eq!(refused.problem(403)?.status, 403);
        let refused = stranger.post("/v1/plugins?name=large&version=1", "application/wasm", component.clone())?;
        assert!([401, 429].contains(&refused.status), "{}", refused.status);
        // The same where nobody reads it, and where it is given up on the way.
        assert_eq!(api.client.post("/v1/nothing", "application/wasm", component.clone())?.problem(404)?.status, 404);
        assert_eq!(api.client.post("/health", "application/wasm", component.clone())?.problem(405)?.status, 405);
        assert_eq!(api.client.post("/v1/runs", "application/json", component)?.problem(413)?.status, 413);
    }
    api.stop()
}
