//! Runs over HTTP: submitted, explained, listed, followed to their end.

use anyhow::Context as _;
use futures_util::future::join_all;
use pawl_api::types::{
    AppliedPipeline, Because, EventKind, EventList, Explanation, Run, RunList, RunStatus, StepDetail, StepStatus,
};
use pawl_domain::id::RunId;
use pawl_tests::bounds;
use pawl_tests::runtime::{block_on, handle};
use serde_json::{Value, json};

use crate::served::{Api, PIPELINE};

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
    assert_eq!(list.events.last().map(|event| event.is(EventKind::RunSucceeded)), Some(true));
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
    // An EventSource comes back after the end of a stream, unless it is told that there is nothing more.
    let came_back = |last: u32| {
        let headers = [("accept", "text/event-stream"), ("last-event-id", &*last.to_string())];
        block_on(api.client.send("GET", &format!("/v1/runs/{run}/events"), &headers, Vec::new()))
    };
    assert_eq!(came_back(ended.summary.event_count)?.status, 204);
    assert_eq!(came_back(ended.summary.event_count - 1)?.status, 200);
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
fn marks_come_no_more_often_than_asked_and_the_end_at_once() -> anyhow::Result<()> {
    let mut api = Api::start("api_marks")?;
    api.push_echo()?;
    api.apply(PIPELINE)?.read::<AppliedPipeline>()?;
    let run = api.submit(&json!(1))?;
    let url = api.client.url(&format!("/v1/runs/{run}/events?marks_every_ms=60000"));
    let asked = || reqwest::Client::new().get(&url).header("accept", "text/event-stream").send();
    let mut marks = block_on(asked())?.error_for_status()?;
    let first = block_on(marks.chunk())?.context("the first mark")?;
    assert_eq!(first, "id: 1\ndata: {\"number\":1,\"status\":\"pending\"}\n\n");
    // What happens within the minute is not told one by one.
    for verb in ["pause", "unpause", "pause", "unpause"] {
        api.client.post(&format!("/v1/runs/{run}/{verb}"), "", "")?.read::<Value>()?;
    }
    api.client.cancel(run)?;
    let rest = block_on(async { tokio::time::timeout(bounds::RUN / 2, marks.text()).await })??;
    let ended = api.client.run(run)?.summary.event_count;
    assert!(ended >= 6, "{ended}");
    assert_eq!(rest, format!("id: {ended}\ndata: {{\"number\":{ended},\"status\":\"cancelled\"}}\n\n"));
    assert_eq!(block_on(async { asked().await?.text().await })?, rest, "whoever comes later is told the end");
    let (stream, last) = (("accept", "text/event-stream"), ended.to_string());
    let came_back = |last: &str| {
        let path = format!("/v1/runs/{run}/events?marks_every_ms=60000");
        block_on(api.client.send("GET", &path, &[stream, ("last-event-id", last)], Vec::new()))
    };
    assert_eq!(came_back(&last)?.status, 204);
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
