//! A commit that moves a run's counters, and not its state, leaves the run's row on its page: no index has to be told. The
//! same holds for a step that is claimed as a successor and ended by the next commit.

use std::time::Duration;

use anyhow::{Context as _, Result};
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
    block_on(chain(&url, Next::OfTheNextCommit))?;
    // It starts, and it ends: lists by state must know.
    let moved = moved(&url, "run", 2 * STEPS)?;
    assert!(moved <= 2, "{moved} updates of a run were written into its indexes");
    Ok(())
}

#[test]
fn a_step_that_is_handed_on_stays_on_its_page() -> Result<()> {
    let (server, _folder) = server()?;
    let url = server.url();
    block_on(chain(&url, Next::OfTheSameCommit))?;
    // The first one was ready, which a queue's index must know.
    let moved = moved(&url, "step", 2 * STEPS)?;
    assert!(moved <= 1, "{moved} updates of steps were written into their indexes");
    Ok(())
}

/// Of so many updates of a table, those that did not leave a row on its page.
fn moved(url: &str, table: &str, updates: i32) -> Result<i64> {
    let database = Database::new(url)?;
    let count = |what: &str| -> Result<i64> {
        let sql = format!("select coalesce(sum({what}), 0)::bigint from pg_stat_user_tables where relname = '{table}'");
        database.value(&sql)
    };
    // Sessions hand in their counts when they end.
    wait::until_true(bounds::PROCESS, "counts of updates", || Ok(count("n_tup_upd")? >= i64::from(updates)))?;
    let moved = count("n_tup_upd - n_tup_hot_upd")?;
    eprintln!("of {} updates of a {table}, {moved} were written into indexes", count("n_tup_upd")?);
    Ok(moved)
}

/// Who claims the next step of the chain.
#[derive(Clone, Copy, PartialEq)]
enum Next {
    /// The commit that ends the one before it.
    OfTheSameCommit,
    /// Nobody goes on with it: it becomes ready, and is asked for.
    OfTheNextCommit,
}

/// Claims each step and ends it, one commit after the other.
async fn chain(url: &str, next: Next) -> Result<()> {
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
    let pipeline =
        Pipeline { name: "chain".into(), versions: Versions::default(), retention: Default::default(), steps };
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
        version: "test",
        clock_ms: 0,
    };
    link.heartbeat(&beat).await?;
    let mut claimed = None;
    for number in 0..STEPS {
        if claimed.is_none() {
            let claims = vec![StepId { run: id, step: StepNo(number) }];
            claimed = link.write(worker, &Batch { claims, members: Vec::new() }).await?.claimed.pop();
        }
        let claim = claimed.take().context("a claim")?;
        let then = plan.after(claim.id.step, &["default".to_owned()], next == Next::OfTheSameCommit);
        let settlement = Some(Settlement::Succeeded { output: b"1".to_vec(), then });
        let members = vec![Member { settlement, ..Member::bare(claim.id, claim.fence) }];
        claimed = link.write(worker, &Batch { members, claims: Vec::new() }).await?.claimed.pop();
    }
    Ok(())
}
