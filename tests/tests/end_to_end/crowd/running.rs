//! Steps that run elsewhere cost nothing to those who take over a dead worker's, or compare their own.

use anyhow::Result;
use pawl_domain::id::RunId;
use pawl_tests::crowd::{Asked, Sweep, runs_of};
use pawl_tests::target::Manner;
use pawl_tests::{Cluster, Crowd, Target, bounds, wait};
use serde_json::Value;

use crate::pipelines;

/// What a dead worker held.
const HELD: usize = 32;

/// Steps of each run.
const STEPS: usize = 1_000;

const PROMISED_MS: i64 = 6_500;

#[test]
fn a_takeover_beside_thousands_of_running_steps() -> Result<()> {
    beside_running("running", 40)
}

#[test]
#[ignore = "a million steps take minutes"]
fn pressure_a_takeover_beside_a_million_running_steps() -> Result<()> {
    beside_running("million_running", 1_000)
}

fn beside_running(name: &str, runs: usize) -> Result<()> {
    let few = taken_over(&format!("{name}_few"), 1, HELD)?;
    let many = taken_over(&format!("{name}_many"), STEPS, runs)?;
    eprintln!("from the kill to the last claim: {} ms, beside {} steps {} ms", few.0, runs * STEPS, many.0);
    assert!(many.0 <= PROMISED_MS, "it took {} ms", many.0);
    for ((sweep, few), many) in ["takeovers", "comparisons"].iter().zip(few.1).zip(many.1) {
        eprintln!("{sweep}: {} pages of {} calls, then {} of {}", few.pages, few.calls, many.pages, many.calls);
    }
    let [(few_taken, few_compared), (taken, compared)] = [few.1, many.1].map(|[t, c]| (t.pages, c.pages_each()));
    // In tables of millions each row, and each of its entries in an index, lies two levels deeper than in those of a few.
    assert!(taken <= 2 * few_taken, "a takeover of {HELD} steps reads {few_taken} pages, then {taken}");
    assert!(
        compared <= few_compared + few_compared / 2 + 20,
        "a comparison reads {few_compared} pages, then {compared}"
    );
    Ok(())
}

/// A worker that holds the first steps of some runs is killed; the other steps of these runs, and all of the others', run
/// elsewhere. Tells how long it took until all were claimed again, ms, and what was asked meanwhile.
fn taken_over(name: &str, steps: usize, runs: usize) -> Result<(i64, [Asked; 2])> {
    let mut cluster = Cluster::start(name)?;
    let target = Target::start()?;
    target.always("/hang", Manner::Hang);
    wide(&cluster, steps)?;
    let mut crowd = Crowd::of(&cluster)?;
    cluster.worker("victim").slots(HELD as u32).default_lease().start()?;
    let (input, pipeline) = (pipelines::get(&target.url("/hang")), ("wide", steps));
    let held = some_are_held(&cluster, &mut crowd, pipeline, &input)?;
    crowd.submit(pipeline, &input, runs - HELD, |crowd, ready| crowd.run_elsewhere(&runs_of(&ready)))?;
    cluster.database.execute("analyze step; analyze run")?;
    cluster.worker("rescuer").slots(HELD as u32 + 2).default_lease().start()?;
    let rescuer = cluster.the("rescuer")?.pid();
    wait::until_true(bounds::PROCESS, "the rescuer to be there", || {
        cluster.database.value(&format!("select exists (select from worker where pid = {rescuer})"))
    })?;

    crowd.count_from_now()?;
    let killed_ms = wait::now_ms();
    cluster.the("victim")?.kill9();
    let of_rescuer = format!(
        "from step s join worker w on w.id = s.worker_id where s.step_no = 0 and s.status = 'running' and w.pid = {rescuer}"
    );
    let count = format!("select count(*) {of_rescuer}");
    wait::until_true(bounds::RECOVERY, "all to be claimed again", || {
        Ok(cluster.database.value::<i64>(&count)? == HELD as i64)
    })?;
    let last = format!("select (extract(epoch from max(s.claimed_at)) * 1000)::bigint {of_rescuer}");
    let took_ms = cluster.database.value::<i64>(&last)? - killed_ms;
    // It comes less often where it takes long.
    wait::until_true(bounds::RECOVERY, "the rescuer to compare", || Ok(crowd.asked(Sweep::Comparison)?.calls > 0))?;
    let asked = [crowd.asked(Sweep::Takeover)?, crowd.asked(Sweep::Comparison)?];
    held.iter().try_for_each(|run| cluster.client.cancel(*run).map(drop))?;
    wait::until_true(bounds::RUN, "the rescuer to be free", || Ok(cluster.database.value::<i64>(&count)? == 0))?;
    crowd.forget("wide")?;
    cluster.finish()?;
    Ok((took_ms, asked))
}

/// `wide`: a step that waits for an answer that never comes, and steps beside it that nobody serves.
fn wide(cluster: &Cluster, steps: usize) -> Result<()> {
    pipelines::fetch(cluster)?;
    cluster.push("echo")?;
    let mut toml = "name = \"wide\"\n[[step]]\nname = \"fetch\"\nplugin = \"fetch\"\n".to_owned();
    for number in 1..steps {
        toml += &format!("[[step]]\nname = \"s{number}\"\nplugin = \"echo\"\nqueue = \"elsewhere\"\n");
    }
    cluster.apply(&toml)
}

/// So many runs whose first step the one worker holds, and whose others run elsewhere.
fn some_are_held(cluster: &Cluster, crowd: &mut Crowd, pipeline: (&str, usize), input: &Value) -> Result<Vec<RunId>> {
    let mut held = Vec::new();
    crowd.submit(pipeline, input, HELD, |crowd, mut ready| {
        held.extend(runs_of(&ready));
        ready.retain(|ready| ready.id.step.0 == 0);
        crowd.deliver(&ready)
    })?;
    let running = "select count(*) from step where step_no = 0 and status = 'running'";
    wait::until_true(bounds::RECOVERY, "the victim to hold them", || {
        Ok(cluster.database.value::<i64>(running)? == HELD as i64)
    })?;
    crowd.run_elsewhere(&held)?;
    Ok(held)
}
