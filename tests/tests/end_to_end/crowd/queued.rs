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
    beside_queued("queued", 30_000)
}

#[test]
#[ignore = "a million steps take minutes"]
fn pressure_a_million_steps_that_wait_where_nobody_serves() -> Result<()> {
    beside_queued("million_queued", 1_000_000)
}

fn beside_queued(name: &str, many: usize) -> Result<()> {
    let mut cluster = Cluster::start(name)?;
    pipelines::chain(&cluster, 3)?;
    for queue in ["unserved", "busy"] {
        cluster.apply(&format!(
            "name = \"{queue}\"\n[[step]]\nname = \"only\"\nplugin = \"echo\"\nqueue = \"{queue}\"\n"
        ))?;
    }
    cluster.worker("busy").default_slots().default_lease().set("PAWL_QUEUES", "busy").start()?;
    cluster.worker("idle").default_slots().default_lease().start()?;
    // Both have begun, and what is done once is done.
    let run = cluster.submit("chain-3", &json!(1))?;
    cluster.succeeds(run, bounds::RUN)?;
    let mut crowd = Crowd::of(&cluster)?;
    crowd.submit_and_deliver(("unserved", 1), &json!(1), FEW)?;
    let few = stretch(&mut cluster, &crowd)?;
    crowd.submit_and_deliver(("unserved", 1), &json!(1), many - FEW)?;
    let after = stretch(&mut cluster, &crowd)?;

    let shares = [few.share, after.share].map(|share| share * 100.0);
    eprintln!("idle beside {FEW} queued: {:.2} % of a core, beside {many}: {:.2} %", shares[0], shares[1]);
    assert!(after.share < IDLE, "an idle worker takes {:.2} % of a core", shares[1]);
    for ((sweep, few), beside) in Sweep::ALL.iter().zip(few.asked).zip(after.asked) {
        let (few, beside, calls) = (few.pages_each(), beside.pages_each(), beside.calls);
        eprintln!("{sweep:?}: {few} pages each, then {beside}, of {calls} calls");
        if matches!(sweep, Sweep::Comparison) && !binary::runs_ahead() {
            // Each claim that was not ended by its own commit is looked after once: without run-ahead, all are.
            let most = 500 + PAGES_A_CLAIM * after.claims / calls.max(1);
            assert!(beside <= most, "{sweep:?}: {beside} pages for {} claims in {calls} calls", after.claims);
            continue;
        }
        // Some of it is the planning of a connection's first question.
        assert!(beside <= few + 20 && beside <= 500, "{sweep:?}: {few} pages beside {FEW}, {beside} beside {many}");
    }
    crowd.forget("unserved")?;
    let _: i64 = cluster.redis.command(&["DEL", &cluster.stream("unserved", "normal")?])?;
    cluster.finish()
}

/// What it costs to look a step up by its key, and the row that names it, in a small database.
const PAGES_A_CLAIM: i64 = 8;

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
