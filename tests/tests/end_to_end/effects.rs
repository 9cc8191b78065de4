//! Effects outside: at least once, under one key; with a target that honours the key, exactly once.

use std::collections::BTreeMap;

use anyhow::Result;
use pawl_tests::target::Manner;
use pawl_tests::{Cluster, Target, bounds};
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
