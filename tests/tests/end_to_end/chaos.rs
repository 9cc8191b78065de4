//! A thousand runs, and every second a worker dies: each run ends, each result is recorded once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use pawl_tests::random::Random;
use pawl_tests::{Cluster, Target};

use crate::pipelines;

const RUNS: usize = 1_000;
const WORKERS: u64 = 3;
const BOUND: Duration = Duration::from_secs(300);

#[test]
fn a_thousand_runs_survive_workers_that_are_killed_at_random_every_second() -> Result<()> {
    let mut random = Random::seeded();
    let mut cluster = Cluster::start("chaos")?;
    let target = Target::start()?;
    pipelines::everything_at_work(&cluster, 1)?;
    for number in 0..WORKERS {
        start(&mut cluster, number)?;
    }
    let inputs: Vec<_> = (0..RUNS).map(|number| pipelines::everything_input(&target, number)).collect();
    let runs = cluster.client.submit_all("everything", &inputs)?;

    let end = Instant::now() + BOUND;
    let mut kills = 0;
    while cluster.database.value::<bool>("select exists (select from run where ended_at is null)")? {
        if Instant::now() > end {
            let steps = "select format('%s steps are %s, most crashes %s', count(*), status, max(crashes)) from step group by status";
            let steps = cluster.database.lines(steps)?.join("\n");
            anyhow::bail!("some runs have not ended after {kills} kills:\n{steps}");
        }
        // The second is the condition: it is what the promise is about.
        std::thread::sleep(Duration::from_millis(700 + random.below(600)));
        let victim = random.below(WORKERS);
        cluster.the(&victim.to_string())?.kill9();
        start(&mut cluster, victim)?;
        kills += 1;
    }
    eprintln!("{RUNS} runs of {} steps, {kills} kills", pipelines::EVERYTHING_STEPS);
    cluster.all_succeed(&runs, BOUND)?;

    for (number, run) in runs.iter().enumerate() {
        let output = cluster.client.output(*run, "join")?;
        pipelines::check_everything(number, &output)?;
    }
    // Every effect happened once, however often its step was begun.
    let performed = target.performed("/effect/");
    let expected: BTreeMap<_, _> = (0..RUNS).map(|number| (format!("/effect/{number}"), 1)).collect();
    assert_eq!(performed, expected);
    let failures: i64 = cluster.database.value("select count(*) from step where failures > 0")?;
    assert_eq!(failures, 0, "a kill used up a retry");
    cluster.finish_with(&[&target])
}

fn start(cluster: &mut Cluster, number: u64) -> Result<()> {
    cluster.worker(&number.to_string()).slots(8).start()
}
