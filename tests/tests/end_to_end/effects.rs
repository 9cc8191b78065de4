//! Effects outside: at least once, under one key; with a target that honours the key, exactly once.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use pawl_api::types::EventKind;
use pawl_domain::id::RunId;
use pawl_tests::target::Manner;
use pawl_tests::wait::{self, Look};
use pawl_tests::{Client, Cluster, Embedded, Target, bounds};
use serde_json::json;

use crate::pipelines;

#[test]
fn an_effect_whose_answer_does_not_come_is_sent_again_under_the_same_key() -> Result<()> {
    let mut cluster = Cluster::start("unanswered_effects")?;
    let target = Target::start()?;
    pipelines::fetch(&cluster)?;
    cluster.worker("a").start()?;
    for (name, manners) in [
        ("refused", vec![Manner::Fail(503), Manner::Fail(500)]),
        ("dropped", vec![Manner::Drop, Manner::Drop]),
        ("hung", vec![Manner::Hang]),
    ] {
        let path = format!("/{name}/1");
        target.next(&path, manners.clone());
        let url = target.url(&path);
        let input = json!({"requests": [{"method": "POST", "url": url, "body": {"a": 1}, "timeout_ms": 300}]});
        let run = cluster.submit("fetch", &input)?;
        cluster.succeeds(run, bounds::RUN)?;
        assert_eq!(target.count(&path), manners.len() + 1, "{name}");
        assert_eq!(target.performed(&path), BTreeMap::from([(path.clone(), 1)]), "{name}");
    }
    cluster.finish_with(&[&target])
}

/// By what it waits for another attempt, ms: as the history tells.
fn delay_of(client: &Client, run: RunId) -> Result<u64> {
    let note = wait::until(bounds::RUN, "the retry", || {
        let events = client.events(run)?;
        let note = events.into_iter().find(|event| event.is(EventKind::StepRetrying)).and_then(|event| event.note);
        Ok(note.map_or_else(|| Look::NotYet("none".to_owned()), Look::Done))
    })?;
    // And why behind it.
    let (ms, why) =
        note.strip_prefix("in ").and_then(|note| note.split_once(" ms: ")).context("a time and a reason")?;
    anyhow::ensure!(why.contains("503"), "{note}");
    Ok(ms.parse()?)
}

#[test]
fn a_busy_server_is_left_alone_for_a_week_at_most_and_no_shorter_than_the_policy_says() -> Result<()> {
    const FETCH: &str = "name = \"fetch\"\n[[step]]\nname = \"fetch\"\nplugin = \"fetch\"\n\
                         retry = { backoff = \"fixed\", delay = \"700ms\" }\n";
    let mut cluster = Cluster::start("retry_after")?;
    cluster.push("fetch")?;
    cluster.apply(FETCH)?;
    cluster.worker("a").start()?;
    let pawl = Embedded::start("dev_retry_after", &["fetch"], FETCH)?;
    let target = Target::start()?;
    let week_ms = 7 * 86_400_000;
    for (number, (retry_after, delay_ms)) in [
        ("0", 700),
        ("2", 2_000),
        ("99999999999", week_ms),
        ("18446744073709551615", week_ms),
        ("Wed, 21 Oct 2099 07:28:00 GMT", week_ms),
        ("Wed, 21 Oct 2009 07:28:00 GMT", 700),
    ]
    .into_iter()
    .enumerate()
    {
        let input = |of: &str| {
            let path = format!("/busy/{number}/{of}");
            target.next(&path, [Manner::Busy(retry_after)]);
            json!({"requests": [{"url": target.url(&path)}]})
        };
        let on_servers = (&cluster.client, cluster.submit("fetch", &input("servers"))?);
        let embedded = (&pawl.client, pawl.submit("fetch", &input("embedded"))?);
        for (client, run) in [on_servers, embedded] {
            assert_eq!(delay_of(client, run)?, delay_ms, "{retry_after}");
            if delay_ms == week_ms {
                client.cancel(run)?;
            }
        }
    }
    pawl.finish_with(&[])?;
    cluster.finish_with(&[&target])
}

#[test]
fn answers_that_were_recorded_are_not_asked_for_again() -> Result<()> {
    let mut cluster = Cluster::start("recorded_answers")?;
    let target = Target::start()?;
    pipelines::fetch(&cluster)?;
    target.next("/last", [Manner::Hang]);
    let urls = ["/page", "/act", "/last"].map(|path| target.url(path));
    let input = json!({"requests": [
        {"url": urls[0]}, {"method": "POST", "url": urls[1], "body": 1}, {"url": urls[2], "timeout_ms": 600_000},
    ]});
    cluster.worker("first").start()?;
    let run = cluster.submit("fetch", &input)?;
    pawl_tests::wait::until_true(bounds::RUN, "the last request", || Ok(target.count("/last") == 1))?;
    cluster.the("first")?.kill9();
    cluster.worker("second").start()?;
    cluster.succeeds(run, bounds::RECOVERY)?;
    // The effect's answer was durable before the next safe request left or not; the key covers both. The
    // target performed it once either way.
    assert_eq!(target.performed("/act"), BTreeMap::from([("/act".to_owned(), 1)]));
    assert_eq!(target.count("/last"), 2, "the request without an answer is sent again");
    cluster.finish_with(&[&target])
}
