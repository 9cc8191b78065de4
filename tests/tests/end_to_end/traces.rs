//! Traces, as a collector gets them from real processes: one of each attempt, linked to the trace that its run was submitted in
//! and to the attempt before, over retries, sleeps and takeovers; and what becomes of work while there is no collector.

use anyhow::{Context as _, Result, ensure};
use pawl_api::types::{StepDetail, SubmittedRun};
use pawl_domain::id::RunId;
use pawl_domain::recovery::Stage;
use pawl_domain::trace::TraceContext;
use pawl_tests::collector::{Collector, Mood, Seen};
use pawl_tests::runtime::block_on;
use pawl_tests::target::Manner;
use pawl_tests::{Client, Cluster, Embedded, Scrape, Target, bounds, wait};
use serde_json::{Value, json};

use crate::pipelines;

/// What a client sends.
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const PARENTS_TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const STATE: &str = "congo=t61rcWkgMzE";

/// Numbers of the protocol.
const SERVER: i32 = 2;
const CLIENT: i32 = 3;
const CONSUMER: i32 = 5;

/// Nobody waits so long for a step in these tests.
const LONG_MS: u64 = 600_000;

/// A cluster whose processes send spans to a collector.
fn traced(name: &str, collector: &Collector) -> Result<Cluster> {
    let mut cluster = Cluster::start(name)?;
    cluster.set("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint());
    cluster.start_api(&[])?;
    Ok(cluster)
}

/// Submits a run in the trace of a client.
fn submit_in_trace(client: &Client, pipeline: &str, input: &Value) -> Result<RunId> {
    let headers = [("content-type", "application/json"), ("traceparent", PARENT), ("tracestate", STATE)];
    let body = serde_json::to_vec(&json!({"pipeline": pipeline, "input": input}))?;
    Ok(block_on(client.send("POST", "/v1/runs", &headers, body))?.read::<SubmittedRun>()?.id)
}

fn names(spans: &[Seen]) -> Vec<&str> {
    spans.iter().map(|span| span.name.as_str()).collect()
}

#[test]
fn a_trace_goes_from_the_submission_over_each_attempt_to_what_its_requests_ask() -> Result<()> {
    let (collector, target) = (Collector::start()?, Target::start()?);
    target.next("/paid", [Manner::Fail(503)]);
    let mut cluster = traced("traces", &collector)?;
    pipelines::fetch(&cluster)?;
    cluster.set("OTEL_SERVICE_NAME", "shop");
    cluster.worker("a").start()?;
    let order = json!({"requests": [{"method": "POST", "url": target.url("/paid?for=tea"), "body": {"price": 3}}]});
    let run = submit_in_trace(&cluster.client, "fetch", &order)?;
    cluster.succeeds(run, bounds::RUN)?;

    let attempts = collector.attempts(&run.to_string(), 2, bounds::RUN)?;
    let [first, second] = &attempts[..] else { panic!("two attempts: {attempts:?}") };
    assert_ne!(first.trace, second.trace, "a trace of each attempt");
    for (attempt, outcome, number) in [(first, "retried", "1"), (second, "succeeded", "2")] {
        assert_eq!((attempt.name.as_str(), attempt.kind, attempt.service.as_str()), ("fetch/fetch", CONSUMER, "shop"));
        assert_eq!((attempt.attribute("pawl.outcome"), attempt.attribute("pawl.attempt")), (outcome, number));
        assert_eq!((attempt.attribute("pawl.pipeline"), attempt.attribute("pawl.plugin")), ("fetch", "fetch"));
        assert_eq!(attempt.failed, outcome == "retried");
        let submitted = attempt.link("submitted").context("the trace of its submission")?;
        assert_eq!((submitted.trace.as_str(), submitted.state.as_str()), (PARENTS_TRACE, STATE));

        let parts = collector.parts(attempt)?;
        for part in ["queue", "instantiate", "POST", "commit"] {
            ensure!(names(&parts).contains(&part), "{part} is missing: {:?}", names(&parts));
        }
        let within = |part: &Seen| attempt.begun_ns <= part.begun_ns && part.ended_ns <= attempt.ended_ns;
        ensure!(parts.iter().all(within), "{attempt:?}\n{parts:?}");
        let request = parts.iter().find(|part| part.kind == CLIENT).context("a request")?;
        assert_eq!(request.attribute("url.full"), target.url("/paid?for=tea"));
        assert_eq!(
            (request.attribute("http.request.method"), request.attribute("server.address")),
            ("POST", "127.0.0.1")
        );
        let status = if outcome == "retried" { "503" } else { "200" };
        assert_eq!((request.attribute("http.response.status_code"), request.failed), (status, status == "503"));
        let arrived =
            target.log().into_iter().filter_map(|received| received.traceparent?.parse::<TraceContext>().ok());
        let asked = arrived.filter(|context| context.trace.to_string() == attempt.trace).collect::<Vec<_>>();
        assert_eq!(asked.len(), 1, "the target is told its trace");
        assert_eq!((asked[0].span.to_string(), asked[0].sampled), (request.id.clone(), true));
    }
    let before = second.link("attempt_before").context("the attempt before")?;
    assert_eq!((&before.trace, &before.span), (&first.trace, &first.id));
    assert_eq!(first.link("attempt_before"), None);

    // The request of the submission is a part of the client's trace, and what attempts are linked to.
    wait::until_true(bounds::RUN, "the span of the submission", || {
        let seen = collector.seen()?;
        let asked = |span: &&Seen| span.trace == PARENTS_TRACE && span.name == "POST /v1/runs";
        let Some(request) = seen.iter().find(asked) else { return Ok(false) };
        assert_eq!((request.kind, request.parent.as_str()), (SERVER, "00f067aa0ba902b7"));
        assert_eq!(Some(&request.id), first.link("submitted").map(|link| &link.span));
        Ok(request.attribute("http.response.status_code") == "202")
    })?;
    let step = cluster.client.get(&format!("/v1/runs/{run}/steps/fetch"))?.read::<StepDetail>()?.step;
    assert_eq!(step.trace_id.as_ref(), Some(&second.trace), "people find it by this");
    ensure!(cluster.pawl(&["run", "get", &run.to_string(), "fetch"])?.contains(&second.trace));
    cluster.finish_with(&[&target])
}

#[test]
fn after_a_takeover_the_trace_tells_its_stages_in_order_and_the_attempt_before() -> Result<()> {
    let (collector, target) = (Collector::start()?, Target::start()?);
    target.serve("/first", b"1".to_vec());
    target.next("/hang", [Manner::Hang]);
    let mut cluster = traced("traces_takeover", &collector)?;
    pipelines::fetch(&cluster)?;
    cluster.worker("first").start()?;
    let requests = ["/first", "/hang"].map(|path| json!({"url": target.url(path), "timeout_ms": LONG_MS}));
    let run = submit_in_trace(&cluster.client, "fetch", &json!({"requests": requests}))?;
    wait::until_true(bounds::RUN, "the call that hangs", || Ok(target.count("/hang") == 1))?;
    // What has been is told while the attempt goes on.
    wait::until_true(bounds::RUN, "the first request's span", || {
        Ok(collector.seen()?.iter().any(|span| span.attribute("url.full").ends_with("/first")))
    })?;
    cluster.the("first")?.kill9();
    cluster.worker("second").start()?;
    cluster.succeeds(run, bounds::RECOVERY)?;

    let [attempt] = &collector.attempts(&run.to_string(), 1, bounds::RUN)?[..] else { panic!("one has ended") };
    let seen = collector.seen()?;
    let first = seen.iter().find(|span| span.attribute("url.full").ends_with("/first")).context("the first request")?;
    let before = attempt.link("attempt_before").context("the attempt that was killed")?;
    assert_eq!((&before.trace, &before.span), (&first.trace, &first.parent));
    assert_eq!(attempt.link("submitted").map(|link| link.trace.as_str()), Some(PARENTS_TRACE));
    let parts = collector.parts(attempt)?;
    let is_stage = |span: &&Seen| Stage::ALL.iter().any(|stage| stage.as_str() == span.name);
    let stages: Vec<&Seen> = parts.iter().filter(is_stage).collect();
    assert_eq!(stages.iter().map(|span| span.name.as_str()).collect::<Vec<_>>(), Stage::ALL.map(Stage::as_str));
    ensure!(stages.is_sorted_by(|one, next| one.ended_ns <= next.begun_ns), "one after the other: {stages:?}");
    assert_eq!(stages[2].attribute("pawl.replayed_entries"), "1");
    assert_eq!(attempt.begun_ns, stages[0].begun_ns, "it begins with the end of the lease");
    let requests: Vec<&Seen> = parts.iter().filter(|span| span.kind == CLIENT).collect();
    let [again] = requests[..] else { panic!("what was answered is not asked again: {requests:?}") };
    ensure!(again.attribute("url.full").ends_with("/hang"), "{again:?}");
    cluster.finish_with(&[&target])
}

#[test]
fn a_step_that_sleeps_holds_no_span_open() -> Result<()> {
    let collector = Collector::start()?;
    let mut cluster = traced("traces_asleep", &collector)?;
    cluster.push("waits")?;
    cluster.apply("name = \"sleeps\"\n[[step]]\nname = \"only\"\nplugin = \"waits\"\n")?;
    cluster.worker("a").start()?;
    let run = cluster.submit("sleeps", &json!([{"do": "now"}, {"do": "await", "name": "go", "timeout_ms": null}]))?;

    let [asleep] = &collector.attempts(&run.to_string(), 1, bounds::RUN)?[..] else { panic!("one attempt") };
    assert_eq!((asleep.attribute("pawl.outcome"), asleep.failed), ("waiting", false));
    let status = format!("select status from step where run_id = '{run}'");
    assert_eq!(cluster.database.value::<String>(&status)?, "waiting", "its trace is whole, and it waits");
    cluster.pawl(&["run", "signal", &run.to_string(), "go", "--payload", "1"])?;
    cluster.succeeds(run, bounds::RUN)?;
    let attempts = collector.attempts(&run.to_string(), 2, bounds::RUN)?;
    let before = attempts[1].link("attempt_before").context("the attempt that fell asleep")?;
    assert_eq!((&before.trace, &before.span), (&attempts[0].trace, &attempts[0].id));
    let parts = collector.parts(&attempts[1])?;
    let replay = parts.iter().find(|span| span.name == "replay").context("its way back")?;
    assert_eq!(replay.attribute("pawl.replayed_entries"), "2");
    assert_eq!(
        attempts[1].link("submitted").map(|link| link.what.as_str()),
        Some("submitted"),
        "the API traces itself"
    );
    cluster.finish()
}

#[test]
fn steps_go_on_whatever_the_collector_does_and_what_is_lost_is_counted() -> Result<()> {
    let collector = Collector::start()?;
    collector.be(Mood::Hangs);
    let mut cluster = traced("traces_away", &collector)?;
    pipelines::chain(&cluster, 3)?;
    cluster.set("PAWL_METRICS_LISTEN", "127.0.0.1:0");
    cluster.worker("a").start()?;
    let all = |count| cluster.client.submit_all("chain-3", &vec![json!({"weight": 1}); count]);
    cluster.all_succeed(&all(50)?, bounds::RUN)?;
    wait::until_true(bounds::RUN, "a request", || Ok(collector.requests() > 0))?;
    ensure!(collector.seen()?.is_empty());

    // What it refuses for good is gone at once; it is told once, however many there are.
    collector.be(Mood::Refuses(400));
    cluster.start_api(&[])?;
    ensure!(cluster.the("a")?.terminate(bounds::PROCESS)?.success(), "a collector that hangs holds up no end");
    cluster.worker("b").start()?;
    let log = cluster.log("b");
    let figures = wait::until(bounds::PROCESS, "a worker to say where its figures are", || {
        let text = std::fs::read_to_string(&log)?;
        let address = text.lines().find_map(|line| line.strip_prefix("metrics at ")?.strip_suffix("/metrics"));
        address.map_or(Ok(wait::Look::NotYet(text.clone())), |address| Ok(wait::Look::Done(Client::new(address)?)))
    })?;
    for _ in 0..3 {
        let requests = collector.requests();
        cluster.all_succeed(&cluster.client.submit_all("chain-3", &vec![json!({"weight": 1}); 20])?, bounds::RUN)?;
        wait::until_true(bounds::RUN, "the next request", || Ok(collector.requests() > requests))?;
    }
    wait::until_true(bounds::RUN, "what was refused to be counted", || {
        Ok(Scrape::of(&figures)?.sum("pawl_spans_dropped_total", &[("reason", "refused")]) > 0.0)
    })?;
    let told = std::fs::read_to_string(&log)?.matches("does not take spans").count();
    assert_eq!(told, 1, "once for all");

    collector.be(Mood::Takes);
    let run = cluster.submit("chain-3", &json!({"weight": 1}))?;
    cluster.succeeds(run, bounds::RUN)?;
    assert_eq!(collector.attempts(&run.to_string(), 3, bounds::RUN)?.len(), 3);
    // It counts when it has the answer.
    wait::until_true(bounds::RUN, "what was sent to be counted", || {
        Ok(Scrape::of(&figures)?.sum("pawl_spans_sent_total", &[]) > 0.0)
    })?;
    cluster.finish()
}

#[test]
fn what_is_left_is_sent_at_the_end_and_a_sampler_keeps_runs_whole_or_not_at_all() -> Result<()> {
    let collector = Collector::start()?;
    let pipeline = "name = \"two\"\n[[step]]\nname = \"one\"\nplugin = \"echo\"\n\
                    [[step]]\nname = \"other\"\nplugin = \"echo\"\nneeds = [\"one\"]\n";
    let mut dev = Embedded::start("traces_dev", &["echo"], pipeline)?;
    ensure!(dev.process()?.terminate(bounds::PROCESS)?.success());
    let endpoint = collector.endpoint();
    let url = format!("{endpoint}/v1/traces");
    dev.start_process(&[
        ("PAWL_TRACES_URL", &url),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"),
        ("OTEL_TRACES_SAMPLER", "traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.5"),
    ])?;
    let runs = dev.client.submit_all("two", &vec![json!(1); 40])?;
    for run in &runs {
        dev.succeeds(*run, bounds::RUN)?;
    }
    ensure!(dev.process()?.terminate(bounds::PROCESS)?.success());
    let seen = collector.seen()?;
    let kept = |run: &RunId| seen.iter().filter(|span| span.attribute("pawl.run.id") == run.to_string()).count();
    let counts: Vec<usize> = runs.iter().map(kept).collect();
    ensure!(counts.iter().all(|count| [0, 2].contains(count)), "{counts:?}");
    // All of one kind among 40: once in 2^39.
    ensure!(counts.contains(&0) && counts.contains(&2), "{counts:?}");
    dev.start_process(&[])?;
    dev.finish_with(&[])
}
