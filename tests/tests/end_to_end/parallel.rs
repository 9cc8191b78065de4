//! Two workers on one run.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use pawl_domain::event::EventKind;
use pawl_tests::{Cluster, bounds};
use serde_json::json;

use crate::pipelines;

#[test]
fn two_workers_share_a_runs_parallel_branches_and_each_step_runs_once() -> Result<()> {
    let mut cluster = Cluster::start("parallel_branches")?;
    pipelines::fan_out(&cluster, 24)?;
    for name in ["a", "b"] {
        cluster.worker(name).slots(2).start()?;
    }
    // Both are there before the work is.
    pawl_tests::wait::until_true(bounds::PROCESS, "two workers", || Ok(cluster.client.workers()?.workers.len() == 2))?;
    let run = cluster.submit("fan-24", &json!(null))?;
    cluster.succeeds(run, bounds::RUN)?;

    let mut starts: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for event in cluster.client.events(run)?.into_iter().filter(|event| event.is(EventKind::StepStarted)) {
        starts.entry(event.step.unwrap_or_default()).or_default().push(event.worker);
    }
    assert_eq!(starts.len(), 26);
    assert!(starts.values().all(|workers| workers.len() == 1), "{starts:?}");
    let workers: BTreeSet<_> = starts.values().flatten().collect();
    assert_eq!(workers.len(), 2, "one worker did everything: {starts:?}");
    let joined = cluster.client.output(run, "join")?;
    assert_eq!(joined.as_object().map(|outputs| outputs.len()), Some(24), "{joined}");
    cluster.finish()
}

#[test]
fn the_api_takes_no_work_and_workers_of_another_queue_neither() -> Result<()> {
    let mut cluster = Cluster::start("queues")?;
    pipelines::chain(&cluster, 1)?;
    cluster.worker("elsewhere").set("PAWL_QUEUES", "other").start()?;
    pawl_tests::wait::until_true(bounds::PROCESS, "a worker", || Ok(cluster.client.workers()?.workers.len() == 1))?;
    let run = cluster.submit("chain-1", &json!(7))?;
    cluster.worker("here").start()?;
    cluster.succeeds(run, bounds::RUN)?;
    let here = cluster.the("here")?.pid();
    let pid: i32 = cluster.database.value("select worker.pid from step join worker on worker.id = step.worker_id")?;
    assert_eq!(u32::try_from(pid)?, here);
    cluster.finish()
}
