//! Steps that break limits: the step alone pays, with a clear error; its worker goes on.

use anyhow::Result;
use pawl_tests::{Cluster, bounds};
use serde_json::{Value, json};

use crate::pipelines;

#[test]
fn a_step_that_breaks_a_limit_fails_alone_and_says_which() -> Result<()> {
    let mut cluster = Cluster::start("runaway")?;
    pipelines::chain(&cluster, 1)?;
    cluster.push("runaway")?;
    for (name, timeout) in [("hurried", "1s"), ("runaway", "1m")] {
        cluster.apply(&format!(
            "name = \"{name}\"\n[[step]]\nname = \"only\"\nplugin = \"runaway\"\ntimeout = \"{timeout}\"\n\
             retry = {{ max_attempts = 1 }}\n"
        ))?;
    }
    cluster.worker("a").start()?;
    let process = cluster.the("a")?.pid();
    const MIB: usize = 1 << 20;
    let cases: [(Value, &str, &str); 10] = [
        (json!("loop"), "timeout", "longer"),
        (json!("allocate"), "", "memory"),
        (json!("recurse"), "trap", "stack"),
        (json!("trap"), "trap", "unreachable"),
        (json!("panic"), "trap", "unreachable"),
        (json!("invalid-json"), "invalid_output", "JSON"),
        (json!({"output": MIB + 1}), "limit", "1048576"),
        (json!({"checkpoint": 64 * MIB + 1}), "limit", "67108864"),
        (json!({"entry": MIB + 1}), "limit", "1048576"),
        (json!("checkpoint-in-once"), "", "once"),
    ];
    let submit = |mode: &Value, cause: &str| {
        let pipeline = if cause == "timeout" { "hurried" } else { "runaway" };
        cluster.submit(pipeline, &json!({"mode": mode}))
    };
    let runs: Vec<_> = cases.iter().map(|(mode, cause, _)| submit(mode, cause)).collect::<Result<_>>()?;
    for (run, (mode, cause, word)) in runs.into_iter().zip(&cases) {
        assert_eq!(cluster.ends(run, bounds::RECOVERY)?.as_str(), "failed", "{mode}");
        let error = cluster.client.run(run)?.steps[0].error.clone().unwrap_or_default();
        assert!(cause.is_empty() || error["cause"] == **cause, "{mode}: {error}");
        assert!(error.to_string().contains(word), "{mode} does not say {word:?}: {error}");
    }
    // Too many log lines are cut, which is no failure.
    for mode in [json!({"log": 3_000}), json!({"log-line": MIB})] {
        let run = cluster.submit("runaway", &json!({"mode": mode}))?;
        cluster.succeeds(run, bounds::RUN)?;
    }
    let after = cluster.submit("chain-1", &json!(1))?;
    cluster.succeeds(after, bounds::RUN)?;
    assert_eq!(cluster.the("a")?.pid(), process);
    cluster.the("a")?.ensure_running()?;
    cluster.finish()
}

#[test]
fn a_journal_that_grows_beyond_its_limit_fails_the_step() -> Result<()> {
    let mut cluster = Cluster::start("long_journal")?;
    cluster.push("runaway")?;
    cluster.apply("name = \"runaway\"\n[[step]]\nname = \"only\"\nplugin = \"runaway\"\n")?;
    cluster.worker("a").start()?;
    let run = cluster.submit("runaway", &json!({"mode": {"journal": 100_001}}))?;
    assert_eq!(cluster.ends(run, bounds::RECOVERY)?.as_str(), "failed");
    let error = cluster.client.run(run)?.steps[0].error.clone().unwrap_or_default();
    assert_eq!(error["cause"], "limit", "{error}");
    cluster.finish()
}

#[test]
fn endless_loops_in_all_slots_leave_the_lease_alone() -> Result<()> {
    let mut cluster = Cluster::start("endless_loops")?;
    cluster.push("runaway")?;
    cluster.apply(
        "name = \"runaway\"\n[[step]]\nname = \"only\"\nplugin = \"runaway\"\ntimeout = \"4s\"\n\
         retry = { max_attempts = 1 }\n",
    )?;
    cluster.worker("a").slots(4).start()?;
    let runs = cluster.client.submit_all("runaway", &vec![json!({"mode": "loop"}); 8])?;
    for run in &runs {
        assert_eq!(cluster.ends(*run, bounds::RECOVERY)?.as_str(), "failed");
    }
    // Each attempt took longer than two leases; none was taken over.
    let crashes: i64 = cluster.database.value("select count(*) from step where attempts <> 1 or crashes <> 0")?;
    assert_eq!(crashes, 0, "guests that loop cost their worker its lease");
    cluster.finish()
}
