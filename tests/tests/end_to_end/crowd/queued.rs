//! What waits in a queue that nobody serves costs nobody anything: not the worker that has nothing to do, nor a sweep.

use std::time::{Duration, Instant};

use anyhow::Result;
use pawl_tests::crowd::{Asked, Sweep};
use pawl_tests::process::processor_time;
use pawl_tests::{Cluster, Crowd, binary, bounds, wait};
use serde_json::json;

use crate::pipelines;

const FEW: usize = 1_000;

/// A worker without work may take so much of a core.
const IDLE: f64 = 0.02;

/// How long it is looked at.
const STRETCH: Duration = Duration::from_secs(12);

#[test]
fn what_waits_where_nobody_serves_costs_an_idle_worker_and_the_sweeps_nothing() -> Result<()> {
    beside_queued("queued", 10_000, Waits::Unserved)
}

#[test]
fn what_is_paused_costs_its_worker_and_the_sweeps_nothing() -> Result<()> {
    beside_queued("queued_paused", 6_000, Waits::Paused)
}

#[test]
#[ignore = "a million steps take minutes"]
fn pressure_a_million_steps_that_wait_where_nobody_serves() -> Result<()> {
    beside_queued("million_queued", 1_000_000, Waits::Unserved)
}

/// Why nothing of the crowd starts: nobody serves its queue; or the worker that has nothing to do does, and it is paused.
#[derive(Clone, Copy, PartialEq)]
enum Waits {
    Unserved,
    Paused,
}

fn beside_queued(name: &str, many: usize, waits: Waits) -> Result<()> {
    let mut cluster = Cluster::start(name)?;
    pipelines::chain(&cluster, 3)?;
    for queue in ["unserved", "busy"] {
        cluster.apply(&format!(
            "name = \"{queue}\"\n[[step]]\nname = \"only\"\nplugin = \"echo\"\nqueue = \"{queue}\"\n"
        ))?;
    }
    cluster.worker("busy").default_slots().default_lease().set("PAWL_QUEUES", "busy").start()?;
    let served = if waits == Waits::Paused { "default,unserved" } else { "default" };
    cluster.worker("idle").default_slots().default_lease().set("PAWL_QUEUES", served).start()?;
    if waits == Waits::Paused {
        cluster.pawl(&["queue", "pause", "unserved"])?;
    }
    let are_shelved = |cluster: &Cluster, count: usize| {
        let shelved = "select count(*) from step where ready_at >= pawl_shelved_v1()";
        wait::until_true(bounds::RECOVERY, "all to be on the shelf", || {
            Ok(waits == Waits::Unserved || cluster.database.value::<i64>(shelved)? == count as i64)
        })
    };
    // Both have begun, and what is done once is done.
    let run = cluster.submit("chain-3", &json!(1))?;
    cluster.succeeds(run, bounds::RUN)?;
    let mut crowd = Crowd::of(&cluster)?;
    crowd.submit_and_deliver(("unserved", 1), &json!(1), FEW)?;
    are_shelved(&cluster, FEW)?;
    let few = stretch(&mut cluster, &crowd)?;
    crowd.submit_and_deliver(("unserved", 1), &json!(1), many - FEW)?;
    are_shelved(&cluster, many)?;
    let after = stretch(&mut cluster, &crowd)?;

    let shares = [few.share, after.share].map(|share| share * 100.0);
    eprintln!("idle beside {FEW} queued: {:.2} % of a core, beside {many}: {:.2} %", shares[0], shares[1]);
    assert!(after.share < IDLE, "an idle worker takes {:.2} % of a core", shares[1]);
    for ((sweep, before), now) in Sweep::ALL.iter().zip(few.asked).zip(after.asked) {
        let (pages_before, pages, calls) = (before.pages_each(), now.pages_each(), now.calls);
        eprintln!("{sweep:?}: {pages_before} pages each, then {pages}, of {calls} calls");
        if matches!(sweep, Sweep::Comparison) && !binary::runs_ahead() {
            // Each claim that was not ended by its own commit is looked after once: without run-ahead, all are.
            let [before, now] = [(before, few.claims), (now, after.claims)]
                .map(|(asked, claims)| asked.pages as f64 / claims.max(1) as f64);
            eprintln!("{sweep:?}: {before:.1} pages a claim, then {now:.1}");
            let most = (before + LEVEL).min(PAGES_A_CLAIM);
            assert!(now <= most, "{before:.1} pages a claim beside {FEW}, {now:.1} beside {many}");
            continue;
        }
        // Some of it is the planning of a connection's first question.
        assert!(
            pages <= pages_before + 20 && pages <= 500,
            "{sweep:?}: {pages_before} pages beside {FEW}, {pages} beside {many}"
        );
    }
    crowd.forget("unserved")?;
    let _: i64 = cluster.redis.command(&["DEL", &cluster.stream("unserved", "normal")?])?;
    cluster.finish()
}

/// What it costs at most to look a step up by its key, and the row that names it, in a small database.
const PAGES_A_CLAIM: f64 = 12.0;

/// And how much more when the indexes that are gone through for it have one more level each.
const LEVEL: f64 = 3.0;

/// What happened while the busy worker worked.
struct Stretch {
    /// What the idle worker takes of a core.
    share: f64,
    /// What both asked.
    asked: Vec<Asked>,
    /// Steps that were claimed.
    claims: i64,
}

fn stretch(cluster: &mut Cluster, crowd: &Crowd) -> Result<Stretch> {
    let idle = cluster.the("idle")?.pid();
    crowd.count_from_now()?;
    let claimed = "select count(*) from step where queue = 'busy' and status = 'succeeded'";
    let claims: i64 = cluster.database.value(claimed)?;
    let (begun, before) = (Instant::now(), processor_time(idle)?);
    // Each kind of question comes several times.
    while begun.elapsed() < STRETCH {
        cluster.client.keep_in_flight("busy", 4, 100)?;
    }
    let share = (processor_time(idle)? - before).as_secs_f64() / begun.elapsed().as_secs_f64();
    wait::until_true(bounds::RUN, "a look for strays", || Ok(crowd.asked(Sweep::Takeover)?.calls > 0))?;
    let asked = Sweep::ALL.iter().map(|sweep| crowd.asked(*sweep)).collect::<Result<_>>()?;
    Ok(Stretch { share, asked, claims: cluster.database.value::<i64>(claimed)? - claims })
}
