//! Runs that nobody moves are found among those that wait, sleep, or have ended, and takeovers among many: what that reads does
//! not grow with any of these.

use std::time::Duration;

use anyhow::{Result, ensure};
use pawl_domain::id::WorkerId;
use pawl_domain::namespace::Namespace;
use pawl_store::recoveries::{InterruptedFilter, InterruptedRow, LOOKED_AT, Recoveries as _, RecoveryFilter};
use pawl_tests::runtime::block_on;

use crate::filled::{Filled, server};
use crate::sweeps::claim_of;

/// So many runs that a tenth of them, which wait in a queue that nobody serves, are more than are looked at.
const MANY: u32 = 12 * LOOKED_AT;
const MORE: u32 = 4 * MANY;

/// Runs that a worker has left.
const LEFT: usize = 10;

#[test]
fn interrupted_runs_and_recoveries_cost_the_same_however_many_others_there_are() -> Result<()> {
    let (server, _folder) = server()?;
    let namespace = Namespace::default();
    let mut found = Vec::new();
    for (name, runs) in [("many", MANY), ("more", MORE)] {
        let filled = Filled::with(&server, name, runs)?;
        let gone = WorkerId::new();
        filled.database.execute(&format!(
            "create temp table gone as select id from run where status = 'pending' order by id limit {LEFT};
             update step s set status = 'running', ready_at = null, fence = 1, attempts = 1, claimed_at = now(),
                               started_at = now(), worker_id = '{gone}'
             from gone where s.run_id = gone.id;
             update run r set status = 'running', running = 1, started_at = now() from gone where r.id = gone.id;
             {};
             insert into recovery (run_id, step_no, fence, worker_id, lease_ended_at, taken_over_at, to_replay, outcome)
             select id, 0, 2, '{gone}', created_at, created_at, 0, 'stopped' from run",
            claim_of(gone)
        ))?;
        filled.database.execute("vacuum (analyze)")?;
        let interrupted = filled.pages(async |store| {
            let runs = store.interrupted(&namespace, Duration::ZERO, 100).await.expect("an answer");
            assert_eq!(runs.len(), LEFT, "those that have begun");
        })?;
        // A further page reads what the first one does, and leaves out what came before.
        let half = LEFT as u32 / 2;
        let first = block_on(filled.store.interrupted(&namespace, Duration::ZERO, half))?;
        let after = first.last().map(InterruptedRow::standing);
        let (threshold, limit) = (Duration::ZERO, 100);
        let filter = InterruptedFilter { namespace: &namespace, pipeline: None, threshold, after, limit };
        let further = filled.pages(async |store| {
            let second = store.interrupted_page(&filter).await.expect("a page");
            assert_eq!((first.len(), second.len()), (LEFT / 2, LEFT - LEFT / 2));
        })?;
        ensure!(further <= interrupted + 8, "{further} pages for a further one, {interrupted} for all of them");
        let page = filled.pages(async |store| {
            let filter = RecoveryFilter { namespace: &namespace, run: None, before: None, limit: 51 };
            assert_eq!(store.recoveries(&filter).await.expect("a page").len(), 51);
        })?;
        eprintln!("{runs} runs: {interrupted} pages for the interrupted ones, {page} for a page of recoveries");
        found.push((interrupted, page));
    }
    let [(some, short), (many, long)] = found[..] else { unreachable!("there are two") };
    let of_each = i64::from(LOOKED_AT);
    // An index may be a level deeper, for each step that is looked at.
    ensure!(many <= some + 2 * of_each, "{some} pages with {MANY} runs, {many} with {MORE}");
    ensure!(many <= 12 * of_each, "{many} pages, of {LOOKED_AT} steps that are looked at");
    ensure!(
        long <= short + 8 && long <= 400,
        "a page of recoveries: {short} pages with {MANY} runs, {long} with {MORE}"
    );
    Ok(())
}
