//! The time from a worker's death to the next claim of its step, and to the first call of the replacement, with the settings
//! that users get: at once where the end of its sessions is seen, and with the end of its lease where it isn't.

use std::ops::RangeInclusive;
use std::time::Duration;

use anyhow::Result;
use pawl_domain::event::EventKind;
use pawl_domain::id::RunId;
use pawl_tests::target::Manner;
use pawl_tests::{Cluster, Proxy, Target, bounds, wait};
use rustix::process::Signal;

use crate::pipelines;

const KILLS: usize = 30;

/// What is promised where nobody sees the sessions end.
const BY_LEASE: Duration = Duration::from_millis(6_500);

/// Far above what is seen (half a second), and below what any lease would take: four seconds at least.
const BY_SESSION: Duration = Duration::from_millis(3_000);

#[test]
fn a_killed_workers_step_goes_on_elsewhere_at_once() -> Result<()> {
    takeovers("takeover_at_once", None, Duration::ZERO..=BY_SESSION)
}

#[test]
fn where_nobody_hears_of_the_kill_the_step_goes_on_within_six_and_a_half_seconds() -> Result<()> {
    takeovers("takeover_by_lease", Some(Hidden), BY_SESSION..=BY_LEASE)
}

/// The victims reach Postgres through a proxy that keeps their connections open when they die.
struct Hidden;

/// Kills workers, and measures how long it takes from each kill until the step is at work again: claimed, and heard of by
/// whom it calls.
fn takeovers(name: &str, hidden: Option<Hidden>, promised: RangeInclusive<Duration>) -> Result<()> {
    let mut cluster = Cluster::start(name)?;
    let hidden = hidden.map(|Hidden| Proxy::start(format!("127.0.0.1:{}", cluster.postgres.port()))).transpose()?;
    let direct = cluster.postgres.url();
    let database = hidden.as_ref().map_or(direct.clone(), |proxy| proxy.url(&direct));
    // Steps that wait for an answer that never comes: they hold their workers and cost nothing.
    let target = Target::start()?;
    target.always("/hang", Manner::Hang);
    pipelines::fetch(&cluster)?;

    // One worker for each kill, each with one step; then one worker that takes all of them over.
    let mut held: Vec<(String, RunId)> = Vec::new();
    for number in 0..KILLS {
        let name = format!("victim-{number}");
        cluster.worker(&name).slots(1).default_lease().set("PAWL_DATABASE_URL", &database).start()?;
        let run = cluster.submit("fetch", &pipelines::get(&target.url(&hang(number))))?;
        held.push((cluster.holder(run, "fetch", bounds::PROCESS)?, run));
    }
    cluster.worker("rescuer").slots(KILLS as u32 + 2).default_lease().start()?;
    wait::until_true(bounds::PROCESS, "the rescuer to be there", || {
        Ok(cluster.client.workers()?.workers.len() == KILLS + 1)
    })?;
    // Whoever is killed before its call has none that could be repeated.
    wait::until_true(bounds::PROCESS, "all victims to have called", || Ok(target.log().len() == KILLS))?;

    let mut claims: Vec<Duration> = Vec::new();
    let mut calls: Vec<Duration> = Vec::new();
    if let Some(proxy) = &hidden {
        // Together: whoever is cut off and lives, comes back.
        let killed_ms = wait::now_ms();
        proxy.swallow_all();
        for (name, _) in &held {
            cluster.the(name)?.signal(Signal::KILL)?;
        }
        for (number, (_, run)) in held.iter().enumerate() {
            claims.push(since(killed_ms, resumed_ms(&cluster, *run)?));
            calls.push(since(killed_ms, called_ms(&target, number)?));
        }
    } else {
        // One after the other, whoever watches the others among them.
        for (number, (name, run)) in held.iter().enumerate() {
            let killed_ms = wait::now_ms();
            cluster.the(name)?.kill9();
            claims.push(since(killed_ms, resumed_ms(&cluster, *run)?));
            calls.push(since(killed_ms, called_ms(&target, number)?));
        }
    }
    for (what, took) in [("claim", &mut claims), ("first call", &mut calls)] {
        took.sort();
        let (median, p99) = (took[KILLS / 2], took[KILLS - 1]);
        eprintln!(
            "{KILLS} kills, from each to the next {what}: p50 {} ms, p99 {} ms",
            median.as_millis(),
            p99.as_millis()
        );
        assert!(took.iter().all(|took| promised.contains(took)), "promised are {promised:?}: {took:?}");
    }

    for (_, run) in held {
        cluster.client.cancel(run)?;
    }
    cluster.finish_with(&[&target])
}

/// What a step calls, and no other one.
fn hang(number: usize) -> String {
    format!("/hang/{number}/")
}

fn since(killed_ms: i64, ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms - killed_ms).unwrap_or(0))
}

/// When the step was claimed again.
fn resumed_ms(cluster: &Cluster, run: RunId) -> Result<i64> {
    wait::until(bounds::RECOVERY, "the step to be resumed", || {
        let events = cluster.client.events(run)?;
        let resumed = events.iter().find(|event| event.is(EventKind::StepResumed));
        Ok(resumed.map_or_else(
            || wait::Look::NotYet(format!("{} events", events.len())),
            |event| wait::Look::Done(event.at_ms),
        ))
    })
}

/// When its call arrived for the second time.
fn called_ms(target: &Target, number: usize) -> Result<i64> {
    wait::until(bounds::RECOVERY, "the replacement to call", || {
        let calls: Vec<_> = target.log().into_iter().filter(|call| call.path == hang(number)).collect();
        match calls.get(1) {
            Some(second) => Ok(wait::Look::Done(second.at_ms)),
            None => Ok(wait::Look::NotYet(format!("{} calls", calls.len()))),
        }
    })
}
