//! A worker's running steps are found by its claims: one row a commit, folded once per lease. None is lost by it, and what is
//! over is not walked over again.

use anyhow::Result;
use pawl_domain::id::{RunId, StepId, StepNo, WorkerId};
use pawl_store::Link;
use pawl_store::leases::Sweeps as _;
use pawl_store::write::{Batch, Member, Settlement};
use pawl_tests::runtime::block_on;

use crate::filled::{Filled, SMALL, server};
use crate::sweeps::{claim_of, worker};

const CLAIMS: &str = "select count(*) from claim";

/// Queued steps, each of a run of its own.
fn queued(filled: &Filled, count: usize) -> Result<Vec<StepId>> {
    let sql =
        format!("select array_agg(id::text) from (select id from run where status = 'pending' limit {count}) as r");
    let ids: Vec<String> = filled.database.value(&sql)?;
    ids.iter().map(|id| Ok(StepId { run: id.parse::<RunId>()?, step: StepNo(0) })).collect()
}

fn claim(link: &mut Box<dyn Link>, worker: WorkerId, id: StepId) -> Result<Member> {
    let written = block_on(link.write(worker, &Batch { claims: vec![id], members: Vec::new() }))?;
    Ok(Member::bare(id, written.claimed[0].fence))
}

fn hand_back(link: &mut Box<dyn Link>, worker: WorkerId, member: Member) -> Result<()> {
    let members = vec![Member { settlement: Some(Settlement::Released), ..member }];
    block_on(link.write(worker, &Batch { members, claims: Vec::new() }))?;
    Ok(())
}

/// What the store says that the worker runs, sorted.
fn running(filled: &Filled, worker: WorkerId) -> Result<Vec<StepId>> {
    let mut running: Vec<_> = block_on(filled.store.running_of(worker))?.into_iter().map(|(id, _)| id).collect();
    running.sort();
    Ok(running)
}

#[test]
fn claims_are_folded_into_one_row_and_none_is_lost() -> Result<()> {
    let (server, _folder) = server()?;
    let filled = Filled::with(&server, "folded", SMALL)?;
    let (mut link, me) = worker(&filled.store)?;
    let mut ids = queued(&filled, 40)?;
    ids.sort();
    let members: Vec<_> = ids.iter().map(|id| claim(&mut link, me, *id)).collect::<Result<_>>()?;
    assert_eq!(filled.database.value::<i64>(CLAIMS)?, 40, "a row a commit");
    assert_eq!(running(&filled, me)?, ids);
    assert_eq!(filled.database.value::<i64>(CLAIMS)?, 1, "folded");
    let writes = filled.database.writes()?;
    assert_eq!(running(&filled, me)?, ids);
    assert_eq!(filled.database.writes()?, writes, "nothing has changed: nothing is written");

    let (over, left): (Vec<_>, Vec<_>) = members.into_iter().partition(|member| member.id < ids[30]);
    over.into_iter().try_for_each(|member| hand_back(&mut link, me, member))?;
    assert_eq!(running(&filled, me)?, ids[30..]);
    left.into_iter().try_for_each(|member| hand_back(&mut link, me, member))?;
    assert_eq!(running(&filled, me)?, []);
    Ok(())
}

/// A transaction that was begun before a fold and commits after the next one: its row is older than theirs.
#[test]
fn a_claim_that_is_committed_late_is_found() -> Result<()> {
    let (server, _folder) = server()?;
    let filled = Filled::with(&server, "late", SMALL)?;
    let (mut link, me) = worker(&filled.store)?;
    let ids = queued(&filled, 20)?;
    let late = ids[0];
    let (id, step) = (late.run, late.step.0);
    let held = filled.database.hold(&format!(
        "update step set status = 'running', ready_at = null, fence = 1, attempts = 1, claimed_at = now(),
                         started_at = now(), worker_id = '{me}' where run_id = '{id}' and step_no = {step};
         update run set status = 'running', running = 1, started_at = now() where id = '{id}';
         {}",
        claim_of(me)
    ))?;
    for pair in ids[1..].chunks(2) {
        for id in pair {
            let member = claim(&mut link, me, *id)?;
            hand_back(&mut link, me, member)?;
        }
        assert_eq!(running(&filled, me)?, [], "it is not committed");
    }
    held.commit()?;
    assert_eq!(running(&filled, me)?, [late]);
    assert_eq!(running(&filled, me)?, [late], "folded, too");
    Ok(())
}

#[test]
fn what_an_old_snapshot_keeps_of_claims_is_walked_over_once() -> Result<()> {
    let (server, _folder) = server()?;
    let filled = Filled::with(&server, "snapshot", SMALL)?;
    let (mut link, me) = worker(&filled.store)?;
    let ids = queued(&filled, 1)?;
    let mut pass = |times: usize| -> Result<(i64, i64)> {
        for _ in 0..times {
            let member = claim(&mut link, me, ids[0])?;
            hand_back(&mut link, me, member)?;
        }
        let compared = |filled: &Filled| -> Result<i64> {
            filled.database.execute("select pg_stat_statements_reset()")?;
            assert_eq!(running(filled, me)?, []);
            filled.counted("sum(shared_blks_hit + shared_blks_read)")
        };
        Ok((compared(&filled)?, compared(&filled)?))
    };
    pass(3)?;
    let (_, quiet) = pass(3)?;
    let _snapshot = filled.database.snapshot()?;
    for _ in 0..3 {
        let (fold, after) = pass(300)?;
        eprintln!("300 claims passed: {fold} pages for the fold, {after} for the next comparison, {quiet} before");
        assert!(fold >= 300, "the test leaves something behind");
        assert!(after <= quiet + 8, "{after} pages, {quiet} before");
    }
    Ok(())
}
