//! Effects of workers that are stopped wherever they happen to be, past their lease, and go on: whatever they were at, none
//! of their effects leaves after the takeover.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use pawl_domain::id::RunId;
use pawl_tests::random::Random;
use pawl_tests::target::Manner;
use pawl_tests::{Cluster, Target, bounds};
use serde_json::json;

use crate::pipelines;

/// How often a worker is stopped. `PAWL_RANDOM_STOPS` for more.
fn stops() -> usize {
    std::env::var("PAWL_RANDOM_STOPS").ok().and_then(|text| text.parse().ok()).unwrap_or(24)
}

const EFFECTS: usize = 20;

/// How long an effect takes: most stops meet one.
const SLOWLY: Duration = Duration::from_millis(20);

/// A lease and half of one: by then others have the steps.
const STOPPED: Duration = Duration::from_millis(2_250);

#[test]
fn no_effect_of_a_worker_that_is_stopped_at_random_leaves_after_the_takeover() -> Result<()> {
    let mut random = Random::seeded();
    let mut cluster = Cluster::start("late_anywhere")?;
    pipelines::fetch(&cluster)?;
    let target = Target::start()?;
    target.always("/", Manner::Slow(SLOWLY));
    // Three of four are stopped at a time.
    let workers = (stops() / 8).clamp(4, 24);
    for number in 0..workers {
        cluster.worker(&name(number)).slots(2).start()?;
    }

    let mut runs: Vec<RunId> = Vec::new();
    let mut stopped: BTreeMap<usize, Instant> = BTreeMap::new();
    let mut done = 0;
    while done < stops() || !stopped.is_empty() {
        keep_busy(&cluster, &target, &mut runs, workers * 3)?;
        std::thread::sleep(Duration::from_millis(1 + random.below(30)));
        let victim = usize::try_from(random.below(workers as u64))?;
        if done < stops() && stopped.len() < workers * 3 / 4 && !stopped.contains_key(&victim) {
            cluster.the(&name(victim))?.sigstop()?;
            stopped.insert(victim, Instant::now() + STOPPED);
            done += 1;
        }
        let due: Vec<usize> =
            stopped.iter().filter(|(_, until)| **until <= Instant::now()).map(|(who, _)| *who).collect();
        for number in due {
            cluster.the(&name(number))?.sigcont()?;
            stopped.remove(&number);
        }
    }
    cluster.all_succeed(&runs, bounds::RECOVERY)?;

    let takeovers: i64 = cluster
        .database
        .value("select count(*) from event, unnest(kinds) as kind where kind = 'step.lease_expired'")?;
    let late = late(&cluster, &target, &runs)?;
    eprintln!(
        "{done} stops of {workers} workers, {} runs of {EFFECTS} effects, {takeovers} takeovers, {} late effects",
        runs.len(),
        late.len()
    );
    assert!(takeovers > 0, "no stop has met a step");
    assert_eq!(late, BTreeMap::new(), "effects that left after the takeover of their step");
    cluster.finish_with(&[&target])
}

fn name(number: usize) -> String {
    format!("worker-{number}")
}

/// Submits runs until so many are under way.
fn keep_busy(cluster: &Cluster, target: &Target, runs: &mut Vec<RunId>, wanted: usize) -> Result<()> {
    let under_way: i64 = cluster.database.value("select count(*) from run where ended_at is null")?;
    let lacking = wanted.saturating_sub(usize::try_from(under_way)?);
    let inputs: Vec<_> = (runs.len()..runs.len() + lacking)
        .map(|run| {
            let post = |effect| json!({"method": "POST", "url": target.url(&path(run, effect)), "body": effect});
            json!({ "requests": (0..EFFECTS).map(post).collect::<Vec<_>>() })
        })
        .collect();
    if !inputs.is_empty() {
        runs.extend(cluster.client.submit_all("fetch", &inputs)?);
    }
    Ok(())
}

fn path(run: usize, effect: usize) -> String {
    format!("/pay/{run}/{effect}")
}

/// Effects that arrived more often after a takeover of their step than it was begun from then on, and how much more often.
/// (An attempt sends each of its effects once, since the target answers all of them.)
fn late(cluster: &Cluster, target: &Target, runs: &[RunId]) -> Result<BTreeMap<String, usize>> {
    let mut arrived: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for effect in target.log() {
        arrived.entry(effect.path).or_default().push(effect.at_ms);
    }
    let numbers: BTreeMap<RunId, usize> = runs.iter().enumerate().map(|(number, run)| (*run, number)).collect();
    let begun = times(cluster, &["step.started", "step.resumed"])?;
    let mut late = BTreeMap::new();
    for (run, takeovers) in times(cluster, &["step.lease_expired"])? {
        let number = *numbers.get(&run).context("a run that nobody has submitted")?;
        for takeover in takeovers {
            let attempts = begun.get(&run).map_or(0, |begun| begun.iter().filter(|at| **at >= takeover).count());
            for path in (0..EFFECTS).map(|effect| path(number, effect)) {
                let after = arrived.get(&path).map_or(0, |arrived| arrived.iter().filter(|at| **at > takeover).count());
                if after > attempts {
                    late.insert(path, after - attempts);
                }
            }
        }
    }
    Ok(late)
}

/// When something happened to the step of each run, ms since 1970 by this machine's clock, which is the database's too.
fn times(cluster: &Cluster, kinds: &[&str]) -> Result<BTreeMap<RunId, Vec<i64>>> {
    let kinds = kinds.join("', '");
    let lines = cluster.database.lines(&format!(
        "select format('%s %s', x.run_id, (extract(epoch from x.at) * 1000)::bigint)
         from event x cross join unnest(x.kinds) as kind where kind in ('{kinds}')"
    ))?;
    let mut times: BTreeMap<RunId, Vec<i64>> = BTreeMap::new();
    for line in lines {
        let (run, at) = line.split_once(' ').context("a run and a time")?;
        times.entry(run.parse()?).or_default().push(at.parse()?);
    }
    Ok(times)
}
