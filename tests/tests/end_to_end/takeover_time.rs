//! The time from a worker's death to the next claim of its step, with the settings that users get.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use pawl_domain::event::EventKind;
use pawl_domain::id::RunId;
use pawl_tests::target::Manner;
use pawl_tests::{Cluster, Target, bounds, wait};

use crate::pipelines;

const KILLS: usize = 30;
const PROMISED: Duration = Duration::from_millis(6_500);

#[test]
fn a_killed_workers_step_runs_again_elsewhere_within_six_and_a_half_seconds() -> Result<()> {
    let mut cluster = Cluster::start("takeover_time")?;
    // Steps that wait for an answer that never comes: they hold their workers and cost nothing.
    let target = Target::start()?;
    target.always("/hang", Manner::Hang);
    pipelines::fetch(&cluster)?;

    // One worker for each kill, each with one step; then one worker that takes all of them over.
    let mut held: Vec<(String, RunId)> = Vec::new();
    for number in 0..KILLS {
        let name = format!("victim-{number}");
        cluster.worker(&name).slots(1).default_lease().start()?;
        let run = cluster.submit("fetch", &pipelines::get(&target.url(&format!("/hang/{number}"))))?;
        held.push((cluster.holder(run, "fetch", bounds::PROCESS)?, run));
    }
    cluster.worker("rescuer").slots(KILLS as u32 + 2).default_lease().start()?;
    wait::until_true(bounds::PROCESS, "the rescuer to be there", || {
        Ok(cluster.client.workers()?.workers.len() == KILLS + 1)
    })?;

    // Kills fall on all parts of the renewal's second, since victims were started one after the other.
    let mut killed_ms = Vec::new();
    for (name, _) in &held {
        killed_ms.push(now_ms()?);
        cluster.the(name)?.kill9();
    }
    let mut took: Vec<Duration> = Vec::new();
    for ((_, run), killed_ms) in held.iter().zip(killed_ms) {
        let resumed_ms = wait::until(bounds::RECOVERY, "the step to be resumed", || resumed_ms(&cluster, *run))?;
        took.push(Duration::from_millis(u64::try_from(resumed_ms - killed_ms).unwrap_or(0)));
    }
    took.sort();
    let (median, p99) = (took[KILLS / 2], took[KILLS - 1]);
    eprintln!("takeover after {KILLS} kills: p50 {} ms, p99 {} ms", median.as_millis(), p99.as_millis());
    assert!(p99 <= PROMISED, "takeover took {p99:?} at p99, promised {PROMISED:?}; all: {took:?}");

    for (_, run) in held {
        cluster.client.cancel(run)?;
    }
    cluster.finish_with(&[&target])
}

fn resumed_ms(cluster: &Cluster, run: RunId) -> Result<wait::Look<i64>> {
    let events = cluster.client.events(run)?;
    let resumed = events.iter().find(|event| event.is(EventKind::StepResumed));
    Ok(resumed
        .map_or_else(|| wait::Look::NotYet(format!("{} events", events.len())), |event| wait::Look::Done(event.at_ms)))
}

/// The clock of this machine, which is the database's too.
fn now_ms() -> Result<i64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    Ok(i64::try_from(now.as_millis())?)
}
