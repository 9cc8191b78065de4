//! Deleting what has ended reads what goes, not what stays, nor what went before.

use anyhow::{Result, ensure};
use pawl_domain::namespace::Namespace;
use pawl_domain::status::RunStatus;
use pawl_store::retention::{Bounds, Lane, Piece, Place, Retentions as _};
use pawl_tests::runtime::block_on;

use crate::filled::{Filled, LARGE, server};

/// Runs of one piece.
const RUNS: u32 = 200;

const BOUNDS: Bounds = Bounds { runs: RUNS, rows: 10_000, bytes: 1 << 20 };

/// All of them ended long ago.
fn lane() -> Lane {
    let (namespace, pipeline) = (Namespace::default(), "many".to_owned());
    Lane { namespace, pipeline, status: RunStatus::Succeeded, term_ms: 86_400_000 }
}

/// A piece after a place, and the pages of it.
fn piece(filled: &Filled, after: Option<Place>) -> Result<(Piece, i64)> {
    filled.database.execute("select pg_stat_statements_reset()")?;
    let piece = block_on(filled.store.delete_ended(&lane(), after, BOUNDS))?;
    ensure!(piece.runs == u64::from(RUNS) && !piece.remains, "{piece:?}");
    Ok((piece, filled.counted("sum(shared_blks_hit + shared_blks_read)")?))
}

#[test]
fn a_piece_of_retention_reads_what_goes_and_not_what_is_there() -> Result<()> {
    let (server, _folder) = server()?;
    let mut found = Vec::new();
    for (name, runs) in [("few", LARGE / 4), ("many", 5 * LARGE)] {
        let filled = Filled::with(&server, name, runs)?;
        // The first one makes the plans.
        let (first, _) = piece(&filled, None)?;
        let (second, pages) = piece(&filled, first.last)?;
        let looked = filled.pages(async |store| {
            assert_eq!(store.may_be_due(&[(lane(), second.last)]).await.expect("an answer"), [0]);
        })?;
        let rows = second.rows;
        eprintln!("{runs} runs: {pages} pages to delete {RUNS} with {rows} rows, {looked} to see whether more are due");
        ensure!(looked <= 12, "a look reads {looked} pages");
        found.push(pages);
    }
    let [few, many] = found[..] else { unreachable!("there are two") };
    // Indexes may be a level deeper: one page more for each that is asked.
    ensure!(many <= few + 10 * i64::from(RUNS), "{few} pages of {} runs, {many} of {}", LARGE / 4, 5 * LARGE);
    ensure!(many <= 50 * i64::from(RUNS), "{many} pages for {RUNS} runs");
    Ok(())
}

#[test]
fn what_an_old_snapshot_keeps_of_deleted_runs_is_walked_over_once() -> Result<()> {
    let (server, _folder) = server()?;
    let filled = Filled::with(&server, "kept", LARGE)?;
    let (before, _) = piece(&filled, None)?;
    let _snapshot = filled.database.snapshot()?;
    let mut place = before.last;
    let mut pages = Vec::new();
    for _ in 0..40 {
        let (piece, of_piece) = piece(&filled, place)?;
        place = piece.last;
        pages.push(of_piece);
    }
    let (first, last) = (pages[1], pages[pages.len() - 1]);
    // Without the place, all that went is walked over.
    let (_, from_the_beginning) = piece(&filled, None)?;
    eprintln!("with an old snapshot: {first} pages at first, {last} at last, {from_the_beginning} from the beginning");
    ensure!(last <= first + first / 5, "a piece: {first} pages at first, {last} at last");
    ensure!(from_the_beginning > last + 200, "the test leaves something behind: {from_the_beginning} pages");
    Ok(())
}
