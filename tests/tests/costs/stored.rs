//! Measuring what a namespace holds reads what has come since and some that have not ended, not what was measured; and what is
//! deleted is taken off by its own commit.

use anyhow::{Result, ensure};
use pawl_domain::namespace::Namespace;
use pawl_domain::status::RunStatus;
use pawl_store::retention::{Bounds, Lane, Retentions as _};
use pawl_store::stored::Stored as _;
use pawl_tests::runtime::block_on;

use crate::filled::{Filled, LARGE, SMALL, server};

/// What `filled.sql` has made, as the rows say it.
const HELD: &str = "select sum(pawl_run_bytes_v1(id))::bigint from run";

/// Until nothing new is left.
fn measure(filled: &Filled) -> Result<u64> {
    let here = Namespace::default();
    loop {
        match block_on(filled.store.measure(&here))? {
            Some(measured) if !measured.more => return Ok(measured.bytes),
            measured => ensure!(measured.is_some(), "nobody else is at it"),
        }
    }
}

fn is_what_there_is(filled: &Filled, measured: u64) -> Result<()> {
    let held: i64 = filled.database.value(HELD)?;
    let noted: i64 = filled.database.value("select sum(bytes)::bigint from stored_run")?;
    ensure!(measured == held.unsigned_abs() && held == noted, "{measured} measured, {noted} noted, {held} held");
    Ok(())
}

#[test]
fn measuring_what_a_namespace_holds_reads_what_is_new_and_not_what_is_there() -> Result<()> {
    let (server, _folder) = server()?;
    let mut found = Vec::new();
    for (name, runs) in [("few", SMALL), ("many", LARGE)] {
        let filled = Filled::with(&server, name, runs)?;
        let held = measure(&filled)?;
        is_what_there_is(&filled, held)?;
        filled.database.execute("vacuum stored_run")?;
        let here = Namespace::default();
        let again = filled.pages(async |store| store.measure(&here).await)?;
        // Three that have come since, and one that has grown.
        filled.database.execute(
            "insert into run (id, namespace, pipeline, pipeline_digest, status, input, request_digest, steps, live, event_count,
                              created_at, ended_at)
             select gen_random_uuid(), 'default', 'many', sha256('many'), 'cancelled', '12345', '\\x00', 1, 0, 2,
                    now() - interval '1 minute', now() - interval '1 minute' from generate_series(1, 3);
             with one as (select id from run where status = 'running' limit 1)
             insert into signal (run_id, id, name, payload, digest) select id, 1, 's', '1234567', '\\x00' from one;
             update run set event_count = event_count + 1 where id in (select run_id from signal)",
        )?;
        // Whose turn comes again within so many pieces.
        let pieces = runs / 5 / 200 + 2;
        for _ in 0..pieces {
            measure(&filled)?;
        }
        let grown = measure(&filled)?;
        ensure!(grown == held + 3 * 5 + 7, "{held} bytes, and then {grown}");
        is_what_there_is(&filled, grown)?;

        let lane = Lane {
            namespace: here.clone(),
            pipeline: "many".to_owned(),
            status: RunStatus::Succeeded,
            term_ms: 86_400_000,
        };
        let piece =
            block_on(filled.store.delete_ended(&lane, None, Bounds { runs: 100, rows: 10_000, bytes: 1 << 20 }))?;
        ensure!(piece.runs == 100, "{piece:?}");
        let left = block_on(filled.store.stored_bytes(&here))?.unwrap_or_default();
        ensure!(left < grown, "{grown} bytes, and {left} without a hundred runs");
        is_what_there_is(&filled, left)?;
        eprintln!("{runs} runs hold {held} bytes: {again} pages to see that nothing has changed");
        found.push(again);
    }
    let [few, many] = found[..] else { unreachable!("there are two") };
    // Of those that have not ended, 200 have their turn; indexes may be a level deeper.
    ensure!(many <= few + 3 * 200 && many <= 2_000, "{few} pages of {SMALL} runs, {many} of {LARGE}");
    Ok(())
}
