//! How long a neighbour takes beside a guest that is greedy: the same work alone, beside one that only computes, and beside
//! one that records as fast as it can, in turns, so that all meet the same machine; and beside another namespace's flood.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use pawl_domain::id::RunId;
use pawl_tests::runtime::block_on;
use pawl_tests::{Cluster, binary, bounds, wait};
use serde_json::{Value, json};

use crate::pipelines;

const TURNS: usize = 7;

/// What computes takes a core, and where there are few of them its neighbours feel that; recording may cost them half as
/// much again, and no more.
const MOST: f64 = 1.5;

#[test]
fn neighbours_of_a_guest_that_records_as_fast_as_it_can_take_half_as_long_again_at_most() -> Result<()> {
    let mut cluster = Cluster::start("recorders_neighbours")?;
    cluster.push("runaway")?;
    cluster.apply("name = \"greedy\"\n[[step]]\nname = \"only\"\nplugin = \"runaway\"\n")?;
    pipelines::chain(&cluster, 3)?;
    pipelines::chain_of_naps(&cluster, 5)?;
    cluster.worker("a").slots(8).set("PAWL_LIMIT_ENTRIES", "10000000").start()?;
    let mut ratios = Vec::new();
    for (pipeline, runs) in [("chain-3", 40), ("naps-5", 4)] {
        let neighbours = || -> Result<f64> {
            let begun = Instant::now();
            cluster.client.keep_in_flight(pipeline, 2, runs)?;
            Ok(begun.elapsed().as_secs_f64() * 1e3)
        };
        neighbours()?;
        let mut took = [Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..TURNS {
            took[0].push(neighbours()?);
            for (mode, took) in [json!("loop"), json!({"journal": 9_000_000})].iter().zip(&mut took[1..]) {
                let greedy = begin(&cluster, mode)?;
                took.push(neighbours()?);
                end(&cluster, greedy)?;
            }
        }
        took.iter_mut().for_each(|times| times.sort_by(f64::total_cmp));
        let [alone, computing, recording] = took.map(|times| times[TURNS / 2]);
        eprintln!(
            "{runs} runs of {pipeline}: {alone:.0} ms alone, {computing:.0} beside a guest that computes, {recording:.0} \
             beside one that records: {:.2} times, {:.2} times",
            recording / alone,
            recording / computing
        );
        ratios.push(recording / computing.max(alone));
    }
    assert!(ratios.iter().all(|ratio| *ratio <= MOST), "{ratios:?}");
    cluster.finish()
}

/// A greedy guest that is at it.
fn begin(cluster: &Cluster, mode: &Value) -> Result<RunId> {
    let run = cluster.submit("greedy", &json!({ "mode": mode }))?;
    let at_it = if mode == "loop" {
        format!("select exists (select from step where run_id = '{run}' and status = 'running')")
    } else {
        format!("select coalesce(sum(length), 0) > 20000 from journal where run_id = '{run}'")
    };
    wait::until_true(bounds::RUN, "the greedy guest to be at it", || cluster.database.value(&at_it))?;
    Ok(run)
}

fn end(cluster: &Cluster, greedy: RunId) -> Result<()> {
    cluster.client.cancel(greedy)?;
    wait::until_true(bounds::RUN, "the greedy guest to be stopped", || {
        cluster.database.value("select coalesce(sum(running), 0) = 0 from worker")
    })
}

/// Runs that the flood may have in flight, of 16 slots.
const QUOTA: u32 = 8;

#[test]
fn a_neighbours_flood_ends_at_its_quota() -> Result<()> {
    let mut cluster = Cluster::start("floods_neighbours")?;
    pipelines::chain_of_naps(&cluster, 5)?;
    let there = |words: &[&str]| -> Result<()> {
        let output = cluster.command()?.env("PAWL_NAMESPACE", "flood").args(words).output()?;
        binary::succeeded(words, output).map(drop)
    };
    cluster.pawl(&["namespace", "create", "flood"])?;
    cluster.pawl(&["namespace", "quota", "flood", "--runs", &QUOTA.to_string()])?;
    let component = binary::component_file("waits")?;
    there(&["plugin", "push", &component.to_string_lossy(), "--name", "waits", "--version", "1"])?;
    let file = cluster.folder().join("flood.toml");
    std::fs::write(&file, "name = \"flood\"\n[[step]]\nname = \"nap\"\nplugin = \"waits\"\n")?;
    there(&["pipeline", "apply", &file.to_string_lossy()])?;
    cluster.worker("a").slots(2 * QUOTA).start()?;

    let (stop, taken, refused) = (AtomicBool::new(false), AtomicU32::new(0), AtomicU32::new(0));
    let (client, body) = (&cluster.client, json!({ "pipeline": "flood", "input": [{ "do": "sleep", "ms": 300 }] }));
    let body = body.to_string();
    let floods = || -> Result<()> {
        let headers = [("content-type", "application/json"), ("pawl-namespace", "flood")];
        while !stop.load(Ordering::Relaxed) {
            let answer = block_on(client.send("POST", "/v1/runs", &headers, body.clone().into_bytes()))?;
            match answer.status {
                202 => taken.fetch_add(1, Ordering::Relaxed),
                429 => refused.fetch_add(1, Ordering::Relaxed),
                other => anyhow::bail!("status {other}"),
            };
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    };
    let neighbours = || -> Result<f64> {
        let begun = Instant::now();
        client.keep_in_flight("naps-5", 2, 4)?;
        Ok(begun.elapsed().as_secs_f64() * 1e3)
    };
    neighbours()?;
    let mut took = [Vec::new(), Vec::new()];
    for _ in 0..TURNS {
        took[0].push(neighbours()?);
        stop.store(false, Ordering::Relaxed);
        std::thread::scope(|scope| -> Result<()> {
            let flood: Vec<_> = (0..4).map(|_| scope.spawn(floods)).collect();
            let beside = neighbours();
            stop.store(true, Ordering::Relaxed);
            for thread in flood {
                thread.join().map_err(|_| anyhow::anyhow!("a thread of the flood panicked"))??;
            }
            took[1].push(beside?);
            Ok(())
        })?;
    }
    took.iter_mut().for_each(|times| times.sort_by(f64::total_cmp));
    let [alone, flooded] = took.map(|times| times[TURNS / 2]);
    let (taken, refused) = (taken.into_inner(), refused.into_inner());
    eprintln!(
        "{alone:.0} ms alone, {flooded:.0} beside a flood: {:.2} times; {taken} taken, {refused} refused",
        flooded / alone
    );
    assert!(refused > taken && taken >= QUOTA, "{taken} taken, {refused} refused: it was none");
    assert!(flooded / alone <= MOST, "{:.2} times", flooded / alone);
    cluster.finish()
}
