//! A commit that moves a run's counters, and not its state, leaves the run's row on its page: no index has to be told.

use std::time::Duration;

use anyhow::Result;
use pawl_domain::id::{Digest, StepId, StepNo, WorkerId};
use pawl_domain::namespace::Namespace;
use pawl_domain::pipeline::{Pipeline, StepSpec, Versions};
use pawl_domain::succession::Plan;
use pawl_store::leases::Heartbeat;
use pawl_store::pipelines::Pipelines as _;
use pawl_store::plugins::{NewVersion, Plugins as _};
use pawl_store::submit::NewRun;
use pawl_store::write::{Batch, Member, Settlement};
use pawl_store::{Postgres, Schema as _};
use pawl_tests::runtime::block_on;
use pawl_tests::{Database, bounds, wait};

use crate::filled::server;

const STEPS: i32 = 20;

#[test]
fn a_run_stays_on_its_page_while_its_steps_come_and_go() -> Result<()> {
    let (server, _folder) = server()?;
    let url = server.url();
    block_on(chain_step_by_step(&url))?;
    let database = Database::new(&url)?;
    // Sessions hand in their counts when they end.
    let updates = "select coalesce(sum(n_tup_upd), 0)::bigint from pg_stat_user_tables where relname = 'run'";
    wait::until_true(bounds::PROCESS, "counts of updates", || {
        Ok(database.value::<i64>(updates)? >= i64::from(2 * STEPS))
    })?;
    let moved = "select sum(n_tup_upd - n_tup_hot_upd)::bigint from pg_stat_user_tables where relname = 'run'";
    let moved: i64 = database.value(moved)?;
    eprintln!("of {} updates of a run, {moved} were written into indexes", database.value::<i64>(updates)?);
    // It starts, and it ends: lists by state must know.
    assert!(moved <= 2, "{moved} updates of a run were written into its indexes");
    Ok(())
}

/// Claims each step and ends it, one commit after the other.
async fn chain_step_by_step(url: &str) -> Result<()> {
    let store = Postgres::new(url, 1, Duration::from_secs(30))?;
    store.migrate().await?;
    let namespace = Namespace::default();
    let version = NewVersion {
        namespace: &namespace,
        name: "p",
        version: "1",
        digest: Digest::of(b"p"),
        bytes: b"p",
        manifest: b"{}",
        activate: true,
    };
    store.push_version(version).await?;
    let step = |number: i32| {
        let needs: Vec<i32> = (number > 0).then(|| number - 1).into_iter().collect();
        serde_json::from_value::<StepSpec>(
            serde_json::json!({"name": format!("s{number}"), "plugin": "p", "needs": needs}),
        )
    };
    let steps = (0..STEPS).map(step).collect::<Result<_, _>>()?;
    let pipeline = Pipeline { name: "chain".into(), versions: Versions::default(), steps };
    store.apply_pipeline(&namespace, &pipeline).await?;
    let plan = Plan::new(pipeline.digest(), pipeline);
    let run = NewRun::new(namespace.clone(), "chain".into(), vec![b'1'; 1_000], None);
    let (id, worker, mut link) = (run.id, WorkerId::new(), store.link());
    link.submit(&[run]).await?;
    let beat = Heartbeat {
        worker,
        lease_ms: 60_000,
        begin: true,
        host: "here",
        pid: 1,
        slots: 1,
        queues: &[],
        running: 0,
        draining: false,
    };
    link.heartbeat(&beat).await?;
    for number in 0..STEPS {
        let claims = vec![StepId { run: id, step: StepNo(number) }];
        let claimed = link.write(worker, &Batch { claims, members: Vec::new() }).await?.claimed;
        let claim = &claimed[0];
        // Nobody goes on with the next one: it is claimed by the next commit.
        let then = plan.after(claim.id.step, &[], false);
        let settlement = Some(Settlement::Succeeded { output: b"1".to_vec(), then });
        let members = vec![Member { settlement, ..Member::bare(claim.id, claim.fence) }];
        link.write(worker, &Batch { members, claims: Vec::new() }).await?;
    }
    Ok(())
}
