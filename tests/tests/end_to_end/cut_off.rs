//! Workers that live, and whose connections to Postgres end: by a server that restarts, an operator, a proxy that closes what
//! is idle. They come back before anybody takes them for dead, and no step is executed twice for it.

use std::time::Duration;

use anyhow::Result;
use pawl_domain::id::RunId;
use pawl_tests::{Cluster, Proxy, Target, bounds, wait};
use serde_json::json;

use crate::pipelines;

/// How often each thing is done to a busy cluster. `PAWL_CUTS` for more.
fn cuts() -> u32 {
    std::env::var("PAWL_CUTS").ok().and_then(|text| text.parse().ok()).unwrap_or(10)
}

/// A cluster with two busy workers behind a proxy.
struct Busy {
    cluster: Cluster,
    proxy: Proxy,
    target: Target,
    runs: Vec<RunId>,
}

impl Busy {
    fn start(name: &str) -> Result<Self> {
        let mut cluster = Cluster::start(name)?;
        let proxy = Proxy::start(format!("127.0.0.1:{}", cluster.postgres.port()))?;
        let database = proxy.url(&cluster.postgres.url());
        pipelines::chain_of_naps(&cluster, 5)?;
        pipelines::fetch(&cluster)?;
        for name in ["a", "b"] {
            cluster.worker(name).default_lease().set("PAWL_DATABASE_URL", &database).start()?;
        }
        let mut busy = Self { cluster, proxy, target: Target::start()?, runs: Vec::new() };
        busy.submit()?;
        wait::until_true(bounds::RUN, "both workers to be there", || {
            Ok(busy.cluster.client.workers()?.workers.len() == 2)
        })?;
        Ok(busy)
    }

    /// More work, effects among it.
    fn submit(&mut self) -> Result<()> {
        self.runs.extend(self.cluster.client.submit_all("naps-5", &vec![json!(null); 4])?);
        for number in self.runs.len()..self.runs.len() + 4 {
            let post = json!({"method": "POST", "url": self.target.url(&format!("/pay/{number}")), "body": 1});
            self.runs.push(self.cluster.submit("fetch", &json!({"requests": [post]}))?);
        }
        Ok(())
    }

    /// All succeed, nothing was taken over, and each effect left once.
    fn nothing_was_taken_over(self) -> Result<()> {
        self.cluster.all_succeed(&self.runs, bounds::RECOVERY)?;
        let taken = "select count(*) from event where 'step.lease_expired' = any (kinds)";
        assert_eq!(self.cluster.database.value::<i64>(taken)?, 0, "steps were taken from workers that live");
        let paid = self.target.performed("/pay").len();
        assert_eq!(self.target.count("/pay"), paid, "an effect left twice");
        self.cluster.finish_with(&[&self.target])
    }
}

#[test]
fn workers_whose_sessions_are_ended_by_an_operator_keep_their_steps() -> Result<()> {
    let mut busy = Busy::start("sessions_ended")?;
    for _ in 0..cuts() {
        busy.submit()?;
        let ended: i64 = busy.cluster.database.value(
            "select count(*) filter (where pg_terminate_backend(pid)) from pg_stat_activity
             where application_name = 'pawl' and pid <> pg_backend_pid()",
        )?;
        assert!(ended > 2, "{ended} sessions");
        std::thread::sleep(Duration::from_millis(500));
    }
    busy.nothing_was_taken_over()
}

#[test]
fn workers_whose_connections_a_proxy_closes_keep_their_steps() -> Result<()> {
    let mut busy = Busy::start("connections_closed")?;
    for _ in 0..cuts() {
        busy.submit()?;
        busy.proxy.break_all();
        busy.proxy.heal();
        std::thread::sleep(Duration::from_millis(500));
    }
    busy.nothing_was_taken_over()
}

#[test]
fn a_postgres_that_crashes_and_is_back_takes_no_steps_from_living_workers() -> Result<()> {
    let mut busy = Busy::start("server_back")?;
    for _ in 0..cuts().div_ceil(4) {
        busy.submit()?;
        busy.cluster.postgres.restart_immediate()?;
        std::thread::sleep(Duration::from_secs(1));
    }
    busy.nothing_was_taken_over()
}
