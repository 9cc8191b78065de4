//! What a step needs before it goes on, whatever its size and however slowly it comes.

use std::time::Duration;

use anyhow::Result;
use pawl_tests::proxy::{Mode, Proxy};
use pawl_tests::{Cluster, Target, bounds};
use serde_json::json;

/// Over this link, 64 KiB come every 20 ms: all that the step has recorded takes longer than a lease.
#[test]
fn a_step_goes_on_though_its_past_takes_longer_than_a_lease_to_read() -> Result<()> {
    let target = Target::start()?;
    target.serve("/piece", vec![b'x'; 1_000_000]);
    let mut cluster = Cluster::start("slow_link")?;
    cluster.push("runaway")?;
    cluster.apply("name = \"long\"\n[[step]]\nname = \"only\"\nplugin = \"runaway\"\n")?;
    cluster.worker("a").default_lease().fault("suspend.before_commit=kill").start()?;
    let mode = json!({"fetch": {"url": target.url("/piece"), "times": 20, "checkpoint": false}});
    let run = cluster.submit("long", &json!({"mode": mode}))?;
    cluster.dies("a", bounds::RECOVERY)?;

    let proxy = Proxy::start(format!("127.0.0.1:{}", cluster.postgres.port()))?;
    proxy.set(Mode::Delay(Duration::from_millis(20)));
    let slow = proxy.url(&cluster.postgres.url());
    cluster.worker("b").default_lease().set("PAWL_DATABASE_URL", &slow).start()?;
    cluster.succeeds(run, bounds::RECOVERY)?;
    assert_eq!(target.count("/piece"), 20, "what was answered was not asked again");
    let taken_over: i64 = cluster.database.value("select sum(crashes)::bigint from step")?;
    assert!(taken_over <= 1, "the worker kept its lease");
    cluster.finish()
}

#[test]
fn a_component_is_fetched_once_for_all_steps_that_wait_for_it() -> Result<()> {
    let mut cluster = Cluster::start("cold_steps")?;
    cluster.push("runaway")?;
    cluster.apply("name = \"cold\"\n[[step]]\nname = \"only\"\nplugin = \"runaway\"\n")?;
    let runs = cluster.client.submit_all("cold", &vec![json!({"mode": {"log": 1}}); 64])?;
    cluster.database.execute("create extension pg_stat_statements")?;
    cluster.database.execute("select pg_stat_statements_reset()")?;
    let cache = cluster.folder().join("cold-cache").display().to_string();
    cluster.worker("a").default_slots().default_lease().set("PAWL_CACHE_DIR", &cache).start()?;
    cluster.all_succeed(&runs, bounds::RECOVERY)?;
    let fetches: i64 = cluster.database.value(
        "select coalesce(sum(calls), 0)::bigint from pg_stat_statements where query ~ 'bytes.* from component'",
    )?;
    assert_eq!(fetches, 1, "it has less than a part");
    cluster.finish()
}
