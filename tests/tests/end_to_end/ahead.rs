//! Run-ahead: a chain does not wait for its commits, and nobody outside can tell. Switched off, it does wait.

use std::time::Duration;

use anyhow::Result;
use pawl_tests::proxy::{Mode, Proxy};
use pawl_tests::{Cluster, Target, binary, bounds, invariants, wait};
use serde_json::json;

use crate::pipelines;

#[test]
fn no_request_leaves_before_the_commit_that_hands_its_step_over() -> Result<()> {
    let mut cluster = Cluster::start("ahead_requests")?;
    let target = Target::start()?;
    cluster.push("echo")?;
    cluster.push("fetch")?;
    cluster.apply(
        "name = \"tail\"\n[[step]]\nname = \"a\"\nplugin = \"echo\"\n[[step]]\nname = \"b\"\nplugin = \"echo\"\n\
         needs = [\"a\"]\n[[step]]\nname = \"ask\"\nplugin = \"fetch\"\nneeds = [\"b\"]\n",
    )?;
    let proxy = Proxy::start(format!("127.0.0.1:{}", cluster.postgres.port()))?;
    let url = proxy.url(&cluster.postgres.url());
    cluster.worker("a").default_lease().set("PAWL_DATABASE_URL", &url).start()?;
    let warm = cluster.submit("tail", &pipelines::get(&target.url("/warm")))?;
    cluster.succeeds(warm, bounds::RUN)?;

    // Now each commit takes half a second and more, and the chain would be through at once.
    proxy.set(Mode::Delay(Duration::from_millis(250)));
    let run = cluster.submit("tail", &pipelines::get(&target.url("/asked")))?;
    wait::until_true(bounds::RUN, "the request", || Ok(target.count("/asked") == 1))?;
    let states = cluster.database.lines(&format!("select status from step where run_id = '{run}' order by step_no"))?;
    assert_eq!(states[..2], ["succeeded", "succeeded"], "a request left ahead of the commits before it");
    proxy.heal();
    cluster.succeeds(run, bounds::RUN)?;
    cluster.finish_with(&[&target])
}

/// Steps of ten runs of a chain that were run ahead of their claims.
fn steps_ahead(cluster: &Cluster) -> Result<i64> {
    pipelines::chain(cluster, 10)?;
    for number in 0..10 {
        let run = cluster.submit("chain-10", &json!(number))?;
        cluster.succeeds(run, bounds::RUN)?;
    }
    cluster.database.value(invariants::AHEAD)
}

#[test]
fn a_chain_runs_ahead_if_it_may() -> Result<()> {
    let mut cluster = Cluster::start("ahead_chain")?;
    cluster.worker("a").start()?;
    let ahead = steps_ahead(&cluster)?;
    assert_eq!(ahead > 0, binary::runs_ahead(), "{ahead} of 100 steps were run ahead");
    cluster.finish()
}

#[test]
fn switched_off_no_step_begins_before_its_claim() -> Result<()> {
    let mut cluster = Cluster::start("ahead_off")?;
    cluster.worker("a").set("PAWL_RUN_AHEAD", "false").start()?;
    assert_eq!(steps_ahead(&cluster)?, 0, "steps were run ahead");
    cluster.finish()
}

#[test]
fn a_wrong_guess_of_the_component_is_given_up() -> Result<()> {
    let mut cluster = Cluster::start("ahead_guess")?;
    cluster.push("echo")?;
    cluster.push_as("echo", "tail", "1")?;
    cluster.apply(
        "name = \"pair\"\n[[step]]\nname = \"head\"\nplugin = \"echo\"\n[[step]]\nname = \"tail\"\nplugin = \"tail\"\n\
         needs = [\"head\"]\n",
    )?;
    cluster.worker("a").start()?;
    let input = json!({"items": 3});
    for _ in 0..2 {
        let run = cluster.submit("pair", &input)?;
        cluster.succeeds(run, bounds::RUN)?;
        assert_eq!(cluster.client.output(run, "tail")?, input);
    }
    // The worker has learned that `tail` runs on the first version.
    cluster.push_as("batch", "tail", "2")?;
    let run = cluster.submit("pair", &input)?;
    cluster.succeeds(run, bounds::RUN)?;
    assert_eq!(cluster.client.output(run, "tail")?["digest"], pipelines::digest_of(3));
    let twice: i64 = cluster.database.value(&format!("select sum(attempts) from step where run_id = '{run}'"))?;
    assert_eq!(twice, 2, "a guess counted as an attempt");
    cluster.finish()
}
