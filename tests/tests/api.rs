//! The HTTP API against private servers, served from this process: what it answers, to whom, and what it
//! does while its own servers are away.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use pawl::api::types::{
    AppliedPipeline, Because, EventList, Explanation, PipelineDetail, PluginList, PushedPlugin, Readiness, Run,
    RunList, RunStatus, StepDetail, StepStatus, SubmittedRun,
};
use pawl::cli::private::{PrivatePostgres, PrivateRedis, free_port};
use pawl::domain::id::{Digest, RunId, WorkerId};
use pawl::engine::Engine;
use pawl::parts::Parts;
use pawl::queue::RedisStreams;
use pawl::store::leases::Heartbeat;
use pawl::store::readiness::Report;
use pawl::store::{Postgres, Schema as _};
use pawl::{api, engine, worker};
use pawl_tests::client::Answer;
use pawl_tests::runtime::{block_on, handle};
use pawl_tests::{Client, binary, bounds, wait};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const PIPELINE: &str = r#"
name = "pair"
[[step]]
name = "first"
plugin = "echo"
[[step]]
name = "second"
plugin = "echo@1"
needs = ["first"]
config = { unused = true }
"#;

/// An API in this process, with servers of its own.
struct Api {
    client: Client,
    postgres: PrivatePostgres,
    redis: PrivateRedis,
    folder: PathBuf,
    config: api::Config,
    stop: Option<oneshot::Sender<()>>,
    served: Option<JoinHandle<Result<(), api::ServeError>>>,
}

impl Api {
    fn start(name: &str) -> anyhow::Result<Self> {
        let mut api = Self::prepare(name)?;
        api.migrate()?;
        api.serve()?;
        Ok(api)
    }

    fn migrate(&self) -> anyhow::Result<()> {
        Ok(block_on(async { Postgres::new(&self.postgres.url(), 1, Duration::from_secs(30))?.migrate().await })?)
    }

    /// The servers, without a schema and without the API.
    fn prepare(name: &str) -> anyhow::Result<Self> {
        let folder = binary::programs()?.join("tests").join(format!("{name}-{}", std::process::id()));
        let postgres = PrivatePostgres::start(&folder.join("postgres"))?;
        let redis = PrivateRedis::start(&folder.join("redis"))?;
        let listen = format!("127.0.0.1:{}", free_port()?);
        let config = api::Config { listen: listen.clone(), grace: bounds::PROCESS, ..api::Config::default() };
        let client = Client::new(format!("http://{listen}"))?;
        Ok(Self { client, postgres, redis, folder, config, stop: None, served: None })
    }

    fn serve(&mut self) -> anyhow::Result<()> {
        let (stop, stopped) = oneshot::channel();
        let shutdown = async { stopped.await.unwrap_or_default() };
        self.served = Some(handle().spawn(api::serve(self.config.clone(), self.parts(1)?, shutdown)));
        self.stop = Some(stop);
        wait::until_true(bounds::PROCESS, "the API to answer", || {
            Ok(self.client.get("/health").is_ok_and(|answer| answer.status == 200))
        })
    }

    /// Asks the API to end, and waits until it has.
    fn stop(&mut self) -> anyhow::Result<()> {
        drop(self.stop.take());
        let served = self.served.take().context("the API was not started")?;
        Ok(block_on(async { tokio::time::timeout(bounds::PROCESS, served).await })???)
    }

    /// Starts a worker in this process that ends with the returned value.
    fn worker(&self) -> anyhow::Result<oneshot::Sender<()>> {
        let (stop, stopped) = oneshot::channel::<()>();
        let config = worker::Config { slots: 4, ..worker::Config::default() };
        handle().spawn(worker::run(config, self.parts(4)?, async { stopped.await.unwrap_or_default() }));
        Ok(stop)
    }

    fn parts(&self, slots: u32) -> anyhow::Result<Parts> {
        // A store starts its connections' housekeeping on the runtime that it is made on.
        let _runtime = handle().enter();
        let store = Postgres::new(&self.postgres.url(), 8, Duration::from_millis(2_250))?;
        let queue = RedisStreams::new(&self.redis.url())?;
        let engine = Engine::new(engine::Config { slots, ..engine::Config::default() })?;
        Ok(Parts { store: Arc::new(store), queue: Arc::new(queue), engine: Arc::new(engine) })
    }

    fn push_echo(&self) -> anyhow::Result<PushedPlugin> {
        self.client.post("/v1/plugins/echo/versions/1", "application/wasm", binary::component("echo")?)?.read()
    }

    fn apply(&self, toml: &str) -> anyhow::Result<Answer> {
        self.client.post("/v1/pipelines", "application/toml", toml)
    }

    fn submit(&self, input: &Value) -> anyhow::Result<RunId> {
        Ok(block_on(self.client.try_submit("pair", input, None))?.read::<SubmittedRun>()?.id)
    }

    /// Reads a run's server-sent events to the end of the stream.
    async fn stream(&self, run: RunId, last_event_id: Option<&str>) -> anyhow::Result<String> {
        let mut request = reqwest::Client::new()
            .get(self.client.url(&format!("/v1/runs/{run}/events")))
            .header("accept", "text/event-stream");
        if let Some(number) = last_event_id {
            request = request.header("last-event-id", number);
        }
        let mut chunks = request.send().await?.error_for_status()?.bytes_stream();
        let mut text = Vec::new();
        while let Some(chunk) = chunks.next().await {
            text.extend_from_slice(&chunk?);
        }
        Ok(String::from_utf8(text)?)
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        drop(self.stop.take());
        // What can't be removed now is in the target folder and does no harm.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

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
        ("POST", "/v1/runs", json, "{\"pipeline\": \"piar\"}", 404, "unknown-pipeline", "did you mean `pair`?"),
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
        ("GET", "/v1/pipelines/par", "", "", 404, "unknown-pipeline", "did you mean `pair`?"),
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
fn pipelines_and_plugins_are_stored_once_and_shown_as_they_are() -> anyhow::Result<()> {
    let mut api = Api::start("api_store")?;
    let problem = api.apply(PIPELINE)?.problem(422)?;
    let said: Vec<(usize, &str)> = problem.problems.iter().map(|one| (one.line, one.message.as_str())).collect();
    assert_eq!(said, [(5, "there is no plugin `echo`"), (8, "there is no plugin `echo`")]);

    let pushed = api.push_echo()?;
    assert!(pushed.created && pushed.active && pushed.manifest["name"] == "echo", "{pushed:?}");
    let again = api.push_echo()?;
    assert!(!again.created && again.digest == pushed.digest);
    let other = api.client.post("/v1/plugins/echo/versions/1", "application/wasm", binary::component("clock")?)?;
    assert_eq!(other.problem(409)?.kind, "/problems/version-exists");
    // Name and version as the component has them, and not made the active one.
    let described = api.client.post("/v1/plugins?activate=false", "application/wasm", binary::component("echo")?)?;
    let described: PushedPlugin = described.read()?;
    assert_eq!((described.name.as_str(), described.active), ("echo", false));
    let plugins: PluginList = api.client.get("/v1/plugins")?.read()?;
    assert_eq!(plugins.plugins.len(), 1);
    assert_eq!(plugins.plugins[0].active_version.as_deref(), Some("1"));
    assert_eq!(plugins.plugins[0].versions.len(), 2);
    let activated = api.client.post(
        "/v1/plugins/echo/activate",
        "application/json",
        json!({"version": described.version}).to_string(),
    )?;
    assert_eq!(activated.read::<Value>()?["previous"], "1");

    let checked = api.client.post("/v1/pipelines?check=true", "application/toml", PIPELINE)?;
    assert!(!checked.read::<AppliedPipeline>()?.changed);
    api.client.get("/v1/pipelines/pair")?.problem(404)?;
    let applied = api.apply(PIPELINE)?;
    assert_eq!(applied.status, 201);
    let applied: AppliedPipeline = applied.read()?;
    assert!(applied.changed);
    let again = api.apply(&format!("# said again\n{PIPELINE}"))?;
    assert_eq!(again.status, 200);
    assert_eq!(again.read::<AppliedPipeline>()?.digest, applied.digest);
    let shown: PipelineDetail = api.client.get("/v1/pipelines/pair")?.read()?;
    assert_eq!(shown.summary.digest, applied.digest);
    assert_eq!(shown.steps[1].needs, ["first"]);
    assert_eq!(shown.steps[1].config, json!({"unused": true}));
    api.stop()
}

#[test]
fn documents_that_never_fit_are_refused_with_step_and_path() -> anyhow::Result<()> {
    let mut api = Api::start("api_schemas")?;
    for plugin in ["clock", "demo-load"] {
        api.client.post(&format!("/v1/plugins/{plugin}/versions/1"), "application/wasm", binary::component(plugin)?)?;
    }
    let step = |name: &str, rest: &str| format!("[[step]]\nname = \"{name}\"\n{rest}\n");
    let read = step("read", "plugin = \"clock\"");
    let load = |config: &str| step("load", &format!("plugin = \"demo-load\"\nneeds = [\"read\"]\nconfig = {config}"));
    let pipeline = format!("name = \"never\"\n{read}{}", load("{ city = 1, file = \"x.csv\" }"));
    let problems = api.apply(&pipeline)?.problem(422)?.problems;
    let said: Vec<(usize, &str)> = problems.iter().map(|one| (one.line, one.message.as_str())).collect();
    let config = "the config of step `load` does not fit its plugin's schema: $.city: 1 is not of type \"string\"";
    let needs =
        "step `load` can't take what `read` returns: $: the member `data_url` is required, and the output has none";
    assert_eq!(said, [(8, needs), (9, config)]);

    assert_eq!(api.apply(&format!("name = \"pair\"\n{read}"))?.status, 201);
    let problem = block_on(api.client.try_submit("pair", &json!({"entries": -1}), None))?.problem(422)?;
    assert_eq!(problem.kind, "/problems/invalid-input");
    assert!(problem.detail.contains("step `read`") && problem.detail.contains("$.entries: -1"), "{}", problem.detail);
    api.submit(&json!({"entries": 1}))?;
    api.stop()
}

#[test]
fn a_run_is_submitted_explained_followed_and_read() -> anyhow::Result<()> {
    let mut api = Api::start("api_run")?;
    api.push_echo()?;
    api.apply(PIPELINE)?.read::<AppliedPipeline>()?;
    // Numbers that no f64 holds must come out as they went in.
    let input: Value = serde_json::from_str("{\"n\": 12345678901234567890, \"b\": [true, null]}")?;
    let run = api.submit(&input)?;

    let why: Explanation = api.client.get(&format!("/v1/runs/{run}/explain"))?.read()?;
    assert_eq!(why.reasons.len(), 1, "{why:?}");
    assert_eq!(why.reasons[0].because, Because::Queue);
    assert!(why.reasons[0].message.contains("no live worker serves the queue `default`"), "{why:?}");
    let waited: Run = api.client.get(&format!("/v1/runs/{run}?wait_ms=20"))?.read()?;
    assert_eq!(waited.summary.status, RunStatus::Pending);
    assert_eq!(
        waited.steps.iter().map(|step| step.status).collect::<Vec<_>>(),
        [StepStatus::Ready, StepStatus::Blocked]
    );

    // Readers that wait before anything happens: they learn of the end without asking again.
    let waiting = api.client.clone();
    let end = handle()
        .spawn(async move { waiting.send("GET", &format!("/v1/runs/{run}?wait_ms=25000"), &[], Vec::new()).await });
    let _worker = api.worker()?;
    let text = block_on(async { tokio::time::timeout(bounds::RUN, api.stream(run, None)).await })??;
    let ended: Run = block_on(end)??.read()?;
    assert_eq!(ended.summary.status, RunStatus::Succeeded);
    assert_eq!(ended.summary.live_steps, 0);

    let list: EventList = api.client.get(&format!("/v1/runs/{run}/events"))?.read()?;
    assert!(list.ended);
    assert_eq!(list.events.last().map(|event| event.kind.as_str()), Some("run.succeeded"));
    let numbers: Vec<u32> = list.events.iter().map(|event| event.number).collect();
    assert_eq!(numbers, (1..=ended.summary.event_count).collect::<Vec<_>>());
    let streamed =
        |text: &str| -> Vec<u32> { text.lines().filter_map(|line| line.strip_prefix("id: ")?.parse().ok()).collect() };
    assert_eq!(streamed(&text), numbers);
    assert!(text.contains("event: step.succeeded"), "{text}");

    // Going on from the middle, and from the end.
    let rest = block_on(api.stream(run, Some("3")))?;
    assert_eq!(streamed(&rest), numbers[3..]);
    assert_eq!(block_on(api.stream(run, Some("1000000")))?, "");
    let rest: EventList = api.client.get(&format!("/v1/runs/{run}/events?after=3"))?.read()?;
    assert_eq!(rest.events.len(), numbers.len() - 3);

    let output: Value = api.client.get(&format!("/v1/runs/{run}/output"))?.read()?;
    assert_eq!(output, input);
    let step: StepDetail = api.client.get(&format!("/v1/runs/{run}/steps/second"))?.read()?;
    assert_eq!(step.step.attempts, 1);
    assert_eq!(serde_json::from_str::<Value>(step.output.context("it has an output")?.get())?, input);
    let why: Explanation = api.client.get(&format!("/v1/runs/{run}/explain"))?.read()?;
    assert_eq!(why.summary, "the run has succeeded: nothing is left to do");
    api.client.post(&format!("/v1/runs/{run}/cancel"), "", "")?.problem(409)?;
    api.stop()
}

#[test]
fn runs_are_listed_newest_first_in_pages() -> anyhow::Result<()> {
    let mut api = Api::start("api_pages")?;
    api.push_echo()?;
    api.apply(PIPELINE)?.read::<AppliedPipeline>()?;
    let submitted: Vec<RunId> = (0..7).map(|number| api.submit(&json!(number))).collect::<Result<_, _>>()?;
    api.client.cancel(submitted[2])?;

    let mut found = Vec::new();
    let mut before = String::new();
    loop {
        let page: RunList = api.client.get(&format!("/v1/runs?limit=3{before}"))?.read()?;
        found.extend(page.runs.iter().map(|run| run.id));
        match page.next {
            Some(next) => before = format!("&before={next}"),
            None => break,
        }
    }
    assert_eq!(found, submitted.iter().rev().copied().collect::<Vec<_>>());
    let cancelled: RunList = api.client.get("/v1/runs?status=cancelled&pipeline=pair")?.read()?;
    assert_eq!(cancelled.runs.iter().map(|run| run.id).collect::<Vec<_>>(), [submitted[2]]);
    let none: RunList = api.client.get("/v1/runs?pipeline=other")?.read()?;
    assert!(none.runs.is_empty());
    api.stop()
}

#[test]
fn hundreds_may_wait_and_all_learn_of_the_end_at_once() -> anyhow::Result<()> {
    let mut api = Api::start("api_waiting")?;
    api.push_echo()?;
    api.apply(PIPELINE)?.read::<AppliedPipeline>()?;
    let runs: Vec<RunId> = (0..16).map(|number| api.submit(&json!(number))).collect::<Result<_, _>>()?;
    let waiting: Vec<_> = (0..512)
        .map(|index| {
            let client = api.client.clone();
            let path = format!("/v1/runs/{}?wait_ms=25000", runs[index % runs.len()]);
            handle().spawn(async move { client.send("GET", &path, &[], Vec::new()).await })
        })
        .collect();
    for run in &runs {
        api.client.cancel(*run)?;
    }
    let answers = block_on(async { tokio::time::timeout(bounds::RUN, join_all(waiting)).await })?;
    for answer in answers {
        assert_eq!(answer??.read::<Run>()?.summary.status, RunStatus::Cancelled);
    }
    api.stop()
}

#[test]
fn a_shutdown_ends_waiting_and_streams() -> anyhow::Result<()> {
    let mut api = Api::start("api_shutdown")?;
    api.push_echo()?;
    api.apply(PIPELINE)?.read::<AppliedPipeline>()?;
    let run = api.submit(&json!(null))?;
    let client = api.client.clone();
    let poll = handle()
        .spawn(async move { client.send("GET", &format!("/v1/runs/{run}?wait_ms=29000"), &[], Vec::new()).await });
    let mut stream = block_on(async {
        let url = api.client.url(&format!("/v1/runs/{run}/events"));
        reqwest::Client::new().get(url).header("accept", "text/event-stream").send().await
    })?;
    let first = block_on(stream.chunk())?.context("the first event")?;
    assert!(first.starts_with(b"id: 1\n"), "{first:?}");
    api.stop()?;
    while block_on(stream.chunk())?.is_some() {}
    assert_eq!(block_on(poll)??.read::<Run>()?.summary.status, RunStatus::Pending);
    Ok(())
}

#[test]
fn a_token_is_wanted_everywhere_but_for_health() -> anyhow::Result<()> {
    let mut api = Api::prepare("api_token")?;
    api.migrate()?;
    api.config.token = Some("s3cret".to_owned());
    api.serve()?;
    assert_eq!(api.client.get("/ready")?.status, 200);
    for wrong in ["", "s3cret", "Bearer", "Bearer s3cre", "Basic s3cret"] {
        let answer = block_on(api.client.send("GET", "/v1/runs", &[("authorization", wrong)], Vec::new()))?;
        assert_eq!(answer.problem(401)?.kind, "/problems/unauthorized", "{wrong}");
    }
    api.client.get("/v1/nothing")?.problem(401)?;
    let right = block_on(api.client.send("GET", "/v1/runs", &[("authorization", "bearer s3cret")], Vec::new()))?;
    assert_eq!(right.status, 200);
    api.stop()
}

#[test]
fn without_its_servers_it_serves_says_so_and_recovers_by_itself() -> anyhow::Result<()> {
    let mut api = Api::prepare("api_outage")?;
    api.migrate()?;
    api.postgres.stop()?;
    api.redis.stop();
    api.serve()?;
    let unready: Readiness = serde_json::from_slice(&api.client.get("/ready")?.body)?;
    assert_eq!(unready.reasons, ["Postgres is not available", "Redis is not available"]);
    assert!(api.client.get("/v1/runs")?.problem(503)?.detail.contains("Postgres"));
    assert!(api.client.get("/v1/queues")?.problem(503)?.detail.contains("Redis"));

    api.postgres.launch()?;
    api.redis.launch()?;
    wait::until_true(bounds::PROCESS, "the API to be ready", || Ok(api.client.get("/ready")?.status == 200))?;
    api.push_echo()?;
    api.apply(PIPELINE)?.read::<AppliedPipeline>()?;
    api.submit(&json!(1))?;

    // And again, while it serves.
    api.postgres.restart_immediate()?;
    wait::until_true(bounds::PROCESS, "runs to be listed again", || Ok(api.client.get("/v1/runs")?.status == 200))?;
    api.stop()
}

#[test]
fn a_schema_of_another_build_is_refused() -> anyhow::Result<()> {
    let mut api = Api::prepare("api_schema")?;
    let refused = block_on(api::serve(api.config.clone(), api.parts(1)?, std::future::pending()))
        .expect_err("there is no schema");
    assert!(refused.to_string().contains("run `pawl migrate`"), "{refused}");

    // Nor does it go on once it learns of it.
    api.postgres.stop()?;
    api.serve()?;
    api.postgres.launch()?;
    let served = api.served.take().context("it was started")?;
    let refused =
        block_on(async { tokio::time::timeout(bounds::PROCESS, served).await })??.expect_err("there is no schema");
    assert!(refused.to_string().contains("run `pawl migrate`"), "{refused}");
    Ok(())
}

#[test]
fn a_version_that_a_live_worker_cannot_load_is_stored_and_not_active() -> anyhow::Result<()> {
    let mut api = Api::start("refused_by_workers")?;
    api.push_echo()?;
    let worker = WorkerId::new();
    let digest = Digest::of(&binary::component("clock")?);
    let parts = api.parts(1)?;
    block_on(async {
        let beat = Heartbeat {
            worker,
            lease_ms: 60_000,
            begin: true,
            host: "elsewhere",
            pid: 42,
            slots: 1,
            queues: &[],
            running: 0,
            draining: false,
        };
        parts.store.lane().heartbeat(&beat).await?;
        let refusal = Some("it wants an interface of a newer Pawl".to_owned());
        parts.store.report_components(worker, &[Report { digest, refusal }]).await
    })?;
    let push = || api.client.post("/v1/plugins/echo/versions/2", "application/wasm", binary::component("clock")?);
    let problem = push()?.problem(409)?;
    assert!(problem.kind.ends_with("refused-by-workers"), "{problem:?}");
    for told in [worker.to_string().as_str(), "pid 42 on elsewhere", "of a newer Pawl", "stored, and not active"] {
        assert!(problem.detail.contains(told), "{told:?} is missing: {}", problem.detail);
    }
    let plugins: PluginList = api.client.get("/v1/plugins")?.read()?;
    assert_eq!(plugins.plugins[0].active_version.as_deref(), Some("1"));
    assert_eq!(plugins.plugins[0].versions.len(), 2, "it can be activated when the worker is mended");
    block_on(parts.store.forget_worker(worker))?;
    let pushed: PushedPlugin = push()?.read()?;
    assert!(pushed.active && !pushed.created);
    api.stop()
}
