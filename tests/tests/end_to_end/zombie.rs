//! A worker that is stopped past its lease and goes on later: the most dangerous kind of dead.

use anyhow::Result;
use pawl_domain::event::EventKind;
use pawl_tests::{Cluster, bounds, wait};
use serde_json::json;

use crate::pipelines;

#[test]
fn nothing_that_a_stopped_worker_writes_after_the_takeover_is_accepted() -> Result<()> {
    let mut cluster = Cluster::start("zombie")?;
    pipelines::batch(&cluster)?;
    cluster.worker("stopped").start()?;
    let run = cluster.submit("batch", &pipelines::batch_of(900, 10))?;
    // In the middle of the step, with something to lose.
    wait_for_checkpoint(&cluster, 50)?;
    cluster.the("stopped")?.sigstop()?;
    let at: String = cluster.database.value("select clock_timestamp()::text")?;
    let stopped: String = cluster.database.value("select worker_id::text from step")?;

    cluster.worker("other").start()?;
    wait::until_true(bounds::RECOVERY, "the takeover", || {
        cluster.database.value::<bool>("select fence >= 3 and status = 'running' from step")
    })?;
    // Long enough that everything in the stopped process that looks at a clock has reason to worry.
    let long = format!("select clock_timestamp() > timestamptz '{at}' + interval '5 s'");
    wait::until_true(bounds::PROCESS, "three leases to pass", || cluster.database.value(&long))?;
    let before = rows_of_attempts(&cluster)?;
    cluster.the("stopped")?.sigcont()?;
    cluster.succeeds(run, bounds::RECOVERY)?;

    let winner: String = cluster.database.value("select worker_id::text from step")?;
    assert_ne!(winner, stopped);
    let after = rows_of_attempts(&cluster)?;
    assert!(after.starts_with(&before), "history was rewritten:\n{before:?}\n{after:?}");
    for event in cluster.client.events(run)?.iter().skip_while(|event| !event.is(EventKind::StepLeaseExpired)).skip(1) {
        assert_ne!(event.worker.map(|id| id.to_string()), Some(stopped.clone()), "{event:?}");
    }

    // The stopped process is a worker again, under a new id, and good for work.
    cluster.the("other")?.terminate(bounds::PROCESS)?;
    let again = cluster.submit("batch", &pipelines::batch_of(5, 1))?;
    cluster.succeeds(again, bounds::RUN)?;
    cluster.finish()
}

/// The journal and the events as they are, oldest first.
fn rows_of_attempts(cluster: &Cluster) -> Result<Vec<String>> {
    cluster.database.lines("select format('%s %s', first, array_to_string(kinds, ',')) from event order by first")
}

fn wait_for_checkpoint(cluster: &Cluster, ordinal: i32) -> Result<()> {
    wait::until_true(bounds::RUN, "a checkpoint in the middle", || {
        let reached: i32 = cluster.database.value("select coalesce(max(checkpoint_ordinal), 0) from step")?;
        Ok(reached >= ordinal)
    })
}

#[test]
fn a_worker_that_is_stopped_while_the_server_works_on_its_batch_loses_the_step_and_nothing_else() -> Result<()> {
    let mut cluster = Cluster::start("stopped_at_batch")?;
    pipelines::batch(&cluster)?;
    cluster.worker("stopped").fault("batch.sent=stop@4").start()?;
    let run = cluster.submit("batch", &pipelines::batch_of(100, 5))?;
    let pid = cluster.the("stopped")?.pid();
    wait::until_true(bounds::RUN, "the worker to stop itself", || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        Ok(stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T')))
    })?;
    cluster.worker("other").start()?;
    cluster.succeeds(run, bounds::RECOVERY)?;
    cluster.the("stopped")?.sigcont()?;
    let more = cluster.client.submit_all("batch", &vec![pipelines::batch_of(5, 1); 10])?;
    cluster.all_succeed(&more, bounds::RUN)?;
    assert_eq!(cluster.client.output(run, "batch")?["items"], json!(100));
    cluster.finish()
}
