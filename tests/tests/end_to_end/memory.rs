//! What a worker holds in memory is bounded: by its budget for guests, whatever they want, and by a piece of a journal,
//! however long that is.

use std::time::Instant;

use anyhow::Result;
use pawl_tests::process::peak_bytes;
use pawl_tests::{Cluster, Container, Target, bounds};
use serde_json::json;

const MIB: usize = 1 << 20;

/// In a container of 1 GiB guests get five eighths of that, and nobody is killed. Where the system allows no groups, the
/// worker is told the same, and its own peak is looked at.
#[test]
fn guests_that_together_want_more_than_there_is_wait_and_none_fails() -> Result<()> {
    // Outlives its worker.
    let container = Container::with_memory(1024 * MIB);
    let mut cluster = Cluster::start("greedy_guests")?;
    cluster.push("runaway")?;
    cluster.push("echo")?;
    for plugin in ["runaway", "echo"] {
        cluster.apply(&format!(
            "name = \"{plugin}\"\n[[step]]\nname = \"only\"\nplugin = \"{plugin}\"\ntimeout = \"30s\"\n\
             retry = {{ max_attempts = 1 }}\n"
        ))?;
    }
    let worker = cluster.worker("a").default_slots().default_lease();
    match &container {
        Ok(container) => worker.inside(container).start()?,
        Err(refused) => {
            eprintln!("without a container: {refused:#}");
            worker.set("PAWL_MEMORY", "640MiB").start()?;
        }
    }
    let greedy = json!({"mode": {"touch": 100 * MIB}});
    let mut runs = cluster.client.submit_all("runaway", &vec![greedy; 256])?;
    runs.extend(cluster.client.submit_all("echo", &vec![json!(1); 64])?);
    cluster.all_succeed(&runs, bounds::RECOVERY)?;
    let pid = cluster.the("a")?.pid();
    let peak = peak_bytes(pid)?;
    eprintln!("the worker's own peak: {} MiB", peak / MIB);
    assert!(peak < 1024 * MIB, "{} MiB", peak / MIB);
    let attempts: i64 = cluster.database.value("select sum(attempts) from step")?;
    assert_eq!(attempts as usize, runs.len(), "nobody was given back or taken over");
    if let Ok(container) = &container {
        eprintln!("the container's peak: {} MiB", container.peak_bytes()? / MIB);
        assert!(container.peak_bytes()? > 128 * MIB, "the worker is in it");
        assert_eq!(container.killed()?, 0);
    }
    cluster.finish()
}

#[test]
fn a_journal_is_resumed_in_the_memory_of_a_piece_before_and_behind_a_checkpoint() -> Result<()> {
    resumed_in_the_memory_of_a_piece("journal", 192)
}

#[test]
#[ignore = "a gibibyte takes minutes"]
fn pressure_a_journal_of_a_gibibyte_is_resumed_in_the_memory_of_a_piece() -> Result<()> {
    resumed_in_the_memory_of_a_piece("large_journal", 1024)
}

/// A journal of so many answers of about a mebibyte.
fn resumed_in_the_memory_of_a_piece(name: &str, times: usize) -> Result<()> {
    let target = Target::start()?;
    target.serve("/piece", vec![b'x'; 1_000_000]);
    for checkpoint in [true, false] {
        let mut cluster = Cluster::start(&format!("{name}_{}", if checkpoint { "before" } else { "behind" }))?;
        cluster.push("runaway")?;
        cluster.apply("name = \"long\"\n[[step]]\nname = \"only\"\nplugin = \"runaway\"\n")?;
        cluster.worker("a").default_lease().fault("suspend.before_commit=kill").start()?;
        let fetched = target.count("/piece");
        let url = target.url("/piece");
        let run = cluster
            .submit("long", &json!({"mode": {"fetch": {"url": url, "times": times, "checkpoint": checkpoint}}}))?;
        cluster.dies("a", 10 * bounds::RECOVERY)?;
        let bytes: i64 = cluster.database.value("select sum(octet_length(bytes))::bigint from journal")?;
        assert!(bytes as usize > times * 900_000, "{bytes} bytes were recorded");

        cluster.worker("b").default_lease().start()?;
        let resumed = Instant::now();
        cluster.succeeds(run, 10 * bounds::RECOVERY)?;
        assert_eq!(target.count("/piece"), fetched + times, "what was answered was not asked again");
        let peak = peak_bytes(cluster.the("b")?.pid())?;
        eprintln!(
            "{times} MiB, checkpoint {checkpoint}: done {:.1} s after the next worker's start, its peak {} MiB",
            resumed.elapsed().as_secs_f64(),
            peak / MIB
        );
        // Without any journal it takes half of that.
        assert!(peak < 160 * MIB, "{} MiB for a journal of {} MiB", peak / MIB, bytes as usize / MIB);
        let log = std::fs::read_to_string(cluster.log("b"))?;
        assert!(!log.contains("the lease ran out"), "the heartbeat goes on meanwhile");
        cluster.finish()?;
    }
    Ok(())
}
