//! Lists of runs by what somebody knows of them: by an index, or looked for in so many runs at a time.

use anyhow::{Context as _, Result, ensure};
use pawl_api::types::{AppliedPipeline, ListedStatus, Run, RunList, RunStatus, SubmittedRun};
use pawl_domain::id::RunId;
use pawl_tests::runtime::block_on;
use pawl_tests::{binary, bounds, wait};
use serde_json::{Value, json};

use crate::served::{Api, PIPELINE};

const FAILS: &str = "name = \"fails\"\n[[step]]\nname = \"fail\"\nplugin = \"flaky\"\n";

fn submit(api: &Api, pipeline: &str, input: &Value, key: Option<&str>) -> Result<RunId> {
    Ok(block_on(api.client.try_submit(pipeline, input, key))?.read::<SubmittedRun>()?.id)
}

fn list(api: &Api, query: &str) -> Result<RunList> {
    api.client.get(&format!("/v1/runs?{query}"))?.read()
}

fn ids(list: &RunList) -> Vec<RunId> {
    list.runs.iter().map(|run| run.id).collect()
}

#[test]
fn runs_are_found_by_key_version_and_time() -> Result<()> {
    let mut api = Api::start("listed")?;
    api.push_echo()?;
    let first: AppliedPipeline = api.apply(PIPELINE)?.read()?;
    let orders = (0..3).map(|number| submit(&api, "pair", &json!(number), Some(&format!("order-{number}"))));
    let orders: Vec<RunId> = orders.collect::<Result<_>>()?;
    let bill = submit(&api, "pair", &json!("bill"), Some("bill-1"))?;
    let second: AppliedPipeline = api.apply(&PIPELINE.replace("unused = true", "unused = false"))?.read()?;
    ensure!(first.digest != second.digest, "two versions");
    let other = submit(&api, "pair", &json!("other"), None)?;

    let found = list(&api, "key=order-1&status=failed")?;
    assert_eq!((ids(&found), found.looked_at), (vec![orders[1]], None), "a key is one run's, whatever its state");
    assert_eq!(ids(&list(&api, "key=order")?), []);
    let found = list(&api, "key_prefix=order-")?;
    assert_eq!(ids(&found), [orders[2], orders[1], orders[0]]);
    assert_eq!((found.looked_at, found.next.clone()), (Some(5), None), "it has looked at all there are");
    let page = list(&api, "key_prefix=order-&limit=2")?;
    assert_eq!((ids(&page), page.looked_at), (vec![orders[2], orders[1]], Some(4)));
    let next = page.next.context("there may be more")?;
    assert_eq!(ids(&list(&api, &format!("key_prefix=order-&limit=2&before={next}"))?), [orders[0]]);

    let version = first.digest.to_string();
    assert_eq!(ids(&list(&api, &format!("version={}&limit=1", &version[..12]))?), [bill]);
    assert_eq!(ids(&list(&api, &format!("pipeline=pair&version={}", second.digest))?), [other]);
    for wrong in ["null", "v1.2.0", "abcde", ""] {
        let refused = api.client.get(&format!("/v1/runs?version={wrong}&key=order-1"))?;
        let says = String::from_utf8_lossy(&refused.body).into_owned();
        ensure!(refused.status == 400 && says.contains("6 hexadecimal digits"), "{wrong:?}: {} {says}", refused.status);
    }

    let at = |run: RunId| -> Result<i64> {
        Ok(api.client.get(&format!("/v1/runs/{run}"))?.read::<Run>()?.summary.created_at_ms)
    };
    let (since, until) = (at(orders[1])?, at(other)?);
    let found = list(&api, &format!("since_ms={since}&until_ms={until}&status=pending"))?;
    assert!(found.looked_at.is_none(), "an index tells it");
    for run in ids(&found) {
        assert!((since..until).contains(&at(run)?));
    }
    ensure!(ids(&found).contains(&orders[1]) && !ids(&found).contains(&other), "{found:?}");
    assert_eq!(ids(&list(&api, "since_ms=9223372036854775807")?), []);
    assert_eq!(ids(&list(&api, "until_ms=-9223372036854775808")?), []);
    api.client.cancel(orders[0])?;
    for status in ListedStatus::ALL {
        // Any goes with any.
        list(
            &api,
            &format!("status={}&since_ms=0&until_ms={until}&key_prefix=o&error=x&version={version}", status.as_str()),
        )?;
    }
    api.stop()
}

#[test]
fn runs_are_found_by_a_text_in_an_error_of_theirs() -> Result<()> {
    let mut api = Api::start("listed_errors")?;
    let pushed = api.client.post("/v1/plugins/flaky/versions/1", "application/wasm", binary::component("flaky")?)?;
    ensure!(pushed.status == 201, "{}", pushed.status);
    api.apply(FAILS)?;
    let _worker = api.worker()?;
    let runs: Vec<RunId> = (1..=3)
        .map(|failures| submit(&api, "fails", &json!({"failures": failures, "how": "fatal"}), None))
        .collect::<Result<_>>()?;
    for run in &runs {
        wait::until_true(bounds::RUN, "the run to fail", || {
            Ok(api.client.get(&format!("/v1/runs/{run}"))?.read::<Run>()?.summary.status == RunStatus::Failed)
        })?;
    }
    let found = list(&api, "status=failed&error=attempt+1+of+2+that")?;
    assert_eq!((ids(&found), found.looked_at, found.next), (vec![runs[1]], Some(3), None));
    assert!(found.looked_to_ms.is_some_and(|ms| ms > 0));
    assert_eq!(ids(&list(&api, "error=that+fail")?), [runs[2], runs[1], runs[0]]);
    assert_eq!(ids(&list(&api, "error=no+such+text")?), []);
    assert_eq!(ids(&list(&api, "error=%00%22")?), [], "any text may be looked for");
    api.stop()
}
