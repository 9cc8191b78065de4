//! A replay that does not match its journal: parked with a report, nothing lost, and it goes on when the
//! right component is back.

use anyhow::Result;
use pawl_tests::{Cluster, bounds, wait};
use serde_json::json;

use crate::pipelines;

#[test]
fn a_diverging_replay_parks_the_step_and_the_right_component_finishes_it() -> Result<()> {
    let mut cluster = Cluster::start("divergence")?;
    pipelines::batch(&cluster)?;
    cluster.worker("first").start()?;
    let input = json!({"items": 120, "pause_ms": 10, "readings": 1, "checkpoint_every": 40});
    let run = cluster.submit("batch", &input)?;
    // Past a checkpoint, with answers after it that a replay will meet.
    wait::until_true(bounds::RUN, "answers after a checkpoint", || {
        cluster.database.value::<bool>("select coalesce(journal_length - checkpoint_position, 0) >= 5 from step")
    })?;
    cluster.the("first")?.kill9();

    // Version 2 asks other questions. Steps that have begun keep their component; this one is moved by hand.
    cluster.push_as("batch-v2", "batch", "2")?;
    cluster.worker("elsewhere").set("PAWL_QUEUES", "elsewhere").start()?;
    wait::until_true(bounds::RECOVERY, "the takeover", || {
        cluster.database.value::<bool>("select status = 'ready' from step")
    })?;
    cluster.client.resume(run, "batch", "latest")?;
    let journal = journal(&cluster)?;
    cluster.worker("second").start()?;
    wait::until_true(bounds::RUN, "the step to be parked", || {
        cluster.database.value::<bool>("select status = 'parked' from step")
    })?;
    assert_eq!(self::journal(&cluster)?, journal, "the journal was touched");
    let report = cluster.client.run(run)?.steps[0].error.clone().unwrap_or_default().to_string();
    assert!(report.contains("now") && report.contains("once"), "the report names neither call: {report}");
    assert_eq!(cluster.client.run(run)?.summary.status.as_str(), "running", "a divergence failed the run");
    assert_eq!(cluster.database.value::<i32>("select failures from step")?, 0);

    cluster.pawl(&["plugin", "activate", "batch@1"])?;
    cluster.client.resume(run, "batch", "latest")?;
    cluster.succeeds(run, bounds::RECOVERY)?;
    let output = cluster.client.output(run, "batch")?;
    assert_eq!(output["digest"], pipelines::digest_of(120));
    assert!(output["resumed_at"].as_i64() >= Some(40), "{output}");
    cluster.finish()
}

fn journal(cluster: &Cluster) -> Result<Vec<String>> {
    cluster.database.lines("select format('%s+%s %s', first, length, md5(bytes)) from journal order by first")
}
