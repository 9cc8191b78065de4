//! What a worker holds in memory is bounded: by its budget for guests, whatever they want, and by a piece of a journal,
//! however long that is.

use anyhow::{Context as _, Result};
use pawl_tests::{Cluster, Target, bounds};
use serde_json::json;

const MIB: usize = 1 << 20;

/// The most memory that a process had at a time, bytes.
fn peak_bytes(pid: u32) -> Result<usize> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let told = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("a peak")?;
    let told = told.trim().strip_suffix("kB").context("in kB")?;
    Ok(told.trim().parse::<usize>()? << 10)
}

/// As in a container of 1 GiB: of that, guests get five eighths.
#[test]
fn guests_that_together_want_more_than_there_is_wait_and_none_fails() -> Result<()> {
    let mut cluster = Cluster::start("greedy_guests")?;
    cluster.push("runaway")?;
    cluster.push("echo")?;
    for plugin in ["runaway", "echo"] {
        cluster.apply(&format!(
            "name = \"{plugin}\"\n[[step]]\nname = \"only\"\nplugin = \"{plugin}\"\ntimeout = \"30s\"\n\
             retry = {{ max_attempts = 1 }}\n"
        ))?;
    }
    cluster.worker("a").default_slots().default_lease().set("PAWL_MEMORY", "640MiB").start()?;
    let greedy = json!({"mode": {"touch": 100 * MIB}});
    let mut runs = cluster.client.submit_all("runaway", &vec![greedy; 256])?;
    runs.extend(cluster.client.submit_all("echo", &vec![json!(1); 64])?);
    cluster.all_succeed(&runs, bounds::RECOVERY)?;
    let pid = cluster.the("a")?.pid();
    let peak = peak_bytes(pid)?;
    assert!(peak < 1 << 30, "{} MiB", peak / MIB);
    let attempts: i64 = cluster.database.value("select sum(attempts) from step")?;
    assert_eq!(attempts as usize, runs.len(), "nobody was given back or taken over");
    cluster.finish()
}

/// `PAWL_JOURNAL_MIB=1024` makes it a long one.
#[test]
fn a_journal_is_resumed_in_the_memory_of_a_piece_before_and_behind_a_checkpoint() -> Result<()> {
    let times: usize = std::env::var("PAWL_JOURNAL_MIB").ok().map_or(Ok(192), |text| text.parse())?;
    let target = Target::start()?;
    target.serve("/piece", vec![b'x'; 1_000_000]);
    for checkpoint in [true, false] {
        let mut cluster = Cluster::start(if checkpoint { "journal_before" } else { "journal_behind" })?;
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
        cluster.succeeds(run, 10 * bounds::RECOVERY)?;
        assert_eq!(target.count("/piece"), fetched + times, "what was answered was not asked again");
        let peak = peak_bytes(cluster.the("b")?.pid())?;
        // Without any journal it takes half of that.
        assert!(peak < 160 * MIB, "{} MiB for a journal of {} MiB", peak / MIB, bytes as usize / MIB);
        let log = std::fs::read_to_string(cluster.log("b"))?;
        assert!(!log.contains("the lease ran out"), "the heartbeat goes on meanwhile");
        cluster.finish()?;
    }
    Ok(())
}
