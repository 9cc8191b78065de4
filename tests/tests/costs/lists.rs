//! What people read: lists, a run's events, why it stands, and the doctor's round.

use std::time::Duration;

use anyhow::Result;
use pawl_domain::id::RunId;
use pawl_domain::namespace::Namespace;
use pawl_domain::status::RunStatus;
use pawl_store::doctor::Invariants as _;
use pawl_store::events::Events as _;
use pawl_store::live::{COUNTED_BEFORE, Live as _};
use pawl_store::runs::{RunFilter, Runs as _};
use pawl_tests::runtime::block_on;

use crate::filled::{Both, Filled, LARGE, SMALL};

/// A kind of page, and how many runs are on it.
pub struct Page<'a> {
    pub what: &'static str,
    pub filter: RunFilter<'a>,
    pub runs: usize,
}

/// Every kind, with limits as the API sets them.
pub fn pages<'a>(namespace: &'a Namespace, filled: &Filled) -> Result<Vec<Page<'a>>> {
    let newest = RunFilter::newest(namespace, 51);
    let rare = RunFilter { pipeline: Some("rare"), ..newest.clone() };
    let of = |status| RunFilter { status: Some(status), ..newest.clone() };
    let page = |what, filter, runs| Page { what, filter, runs };
    let oldest_rare = filled.run("pipeline = 'rare' order by created_at")?;
    let old = block_on(filled.store.run_alone(oldest_rare))?.created_at_ms;
    let long_ago = RunFilter { until_ms: Some(old), ..newest.clone() };
    Ok(vec![
        page("the newest runs", newest.clone(), 51),
        page("the last page", RunFilter { before: Some(oldest_rare), ..newest.clone() }, 30),
        page("runs of a time long ago", long_ago.clone(), 30),
        page("runs of a pipeline, of a time long ago", RunFilter { pipeline: Some("many"), ..long_ago }, 30),
        page("runs of no time", RunFilter { since_ms: Some(i64::MAX), ..newest.clone() }, 0),
        page("runs of a state that none has", of(RunStatus::Failed), 0),
        page("runs of a state that few have", of(RunStatus::Cancelled), 30),
        page("runs of a state that most have", of(RunStatus::Succeeded), 51),
        page("runs of a large pipeline", RunFilter { pipeline: Some("many"), ..newest.clone() }, 51),
        page("runs of a rare pipeline", rare.clone(), 30),
        page("runs of no pipeline", RunFilter { pipeline: Some("none"), ..newest.clone() }, 0),
        page("runs of a rare pipeline, and no state", RunFilter { status: Some(RunStatus::Pending), ..rare }, 0),
    ])
}

#[test]
fn a_page_of_runs_costs_the_same_however_many_there_are() -> Result<()> {
    let both = Both::start()?;
    let namespace = Namespace::default();
    let (small, large) = (pages(&namespace, &both.small)?, pages(&namespace, &both.large)?);
    for (Page { what, filter, runs }, in_large) in small.iter().zip(&large) {
        for (filled, filter) in [(&both.small, filter), (&both.large, &in_large.filter)] {
            let found = block_on(filled.store.runs(filter))?;
            assert_eq!(found.len(), *runs, "{what}");
            assert!(found.is_sorted_by_key(|run| std::cmp::Reverse(run.created_at_ms)), "newest first: {what}");
        }
        let small = both.small.pages(async |store| store.runs(filter).await)?;
        let large = both.large.pages(async |store| store.runs(&in_large.filter).await)?;
        eprintln!("{what}: {small} pages of {SMALL} runs, {large} of {LARGE}");
        assert!(large <= small + 8, "{what}: {small} pages of {SMALL} runs, {large} of {LARGE}");
        assert!((1..=400).contains(&large), "{what}: {large} pages");
    }
    Ok(())
}

#[test]
fn the_steps_of_some_runs_cost_the_same_however_many_there_are() -> Result<()> {
    let both = Both::start()?;
    let namespace = Namespace::default();
    let ended =
        RunFilter { status: Some(RunStatus::Succeeded), pipeline: Some("many"), ..RunFilter::newest(&namespace, 50) };
    let cost = |filled: &Filled| -> Result<i64> {
        let runs: Vec<RunId> = block_on(filled.store.runs(&ended))?.iter().map(|run| run.id).collect();
        assert!(block_on(filled.store.step_marks(&runs))?.len() >= 50, "each has steps");
        filled.pages(async |store| store.step_marks(&runs).await)
    };
    let (small, large) = (cost(&both.small)?, cost(&both.large)?);
    eprintln!("steps of 50 runs: {small} pages of {SMALL} runs, {large} of {LARGE}");
    assert!(large <= small + 60 && large <= 400, "{small} pages of {SMALL} runs, {large} of {LARGE}");
    Ok(())
}

#[test]
fn an_explanation_reads_its_run_and_a_bounded_part_of_the_queue() -> Result<()> {
    let both = Both::start()?;
    let queued = |filled: &Filled, order: &str| filled.run(&format!("status = 'pending' order by created_at {order}"));
    let explained = |filled: &Filled, order| {
        let run = queued(filled, order)?;
        let live = block_on(filled.store.live_steps(run, 100))?;
        anyhow::Ok((live[0].ready_before, filled.pages(async |store| store.live_steps(run, 100).await)?))
    };
    let (first, in_small) = explained(&both.small, "asc")?;
    let (_, in_large) = explained(&both.large, "asc")?;
    assert_eq!(first, 0, "nothing is before the first");
    assert!(in_large <= in_small + 6, "{in_small} pages with {SMALL} runs, {in_large} with {LARGE}");
    let (before, pages) = explained(&both.large, "desc")?;
    eprintln!("behind 2,000 queued steps: {before} are counted, on {pages} pages");
    assert_eq!(before, COUNTED_BEFORE, "counted so far");
    assert!(pages <= 100, "{pages} pages");
    Ok(())
}

#[test]
fn the_next_events_of_a_run_are_read_and_not_those_before() -> Result<()> {
    let both = Both::start()?;
    // One run with a history of so many commits.
    let long = |filled: &Filled, commits: u32| -> Result<RunId> {
        let run = filled.run("status = 'running'")?;
        filled.database.execute(&format!(
            "insert into event (run_id, first, kinds, steps, fences, workers, notes)
             select '{run}', n * 2 + 4, '{{step.started,step.retrying}}', '{{0,0}}', '{{1,1}}', '{{null,null}}', '{{null,null}}'
             from generate_series(1, {commits}) as n;
             update run set event_count = {commits} * 2 + 5 where id = '{run}'"
        ))?;
        filled.database.execute("vacuum (analyze) event")?;
        Ok(run)
    };
    let pages = |filled: &Filled, commits: u32| -> Result<i64> {
        let run = long(filled, commits)?;
        let last = commits * 2 + 5;
        for after in [last - 3, last - 2] {
            let events = block_on(filled.store.events(run, after, 500))?;
            let numbers: Vec<u32> = events.iter().map(|event| event.number).collect();
            assert_eq!(numbers, (after + 1..=last).collect::<Vec<_>>());
        }
        assert_eq!(block_on(filled.store.events(run, last, 500))?, []);
        assert_eq!(block_on(filled.store.events(run, 0, 3))?[0].number, 1);
        filled.pages(async |store| store.events(run, last - 1, 500).await)
    };
    let (short, long) = (pages(&both.small, 300)?, pages(&both.large, 3_000)?);
    eprintln!("the last event: {short} pages of 300 commits, {long} of 3,000");
    assert!(long <= short + 6 && long <= 30, "the last event: {short} pages of 300 commits, {long} of 3,000");
    Ok(())
}

#[test]
fn the_doctor_goes_in_pieces_of_one_size() -> Result<()> {
    let both = Both::start()?;
    let piece = |filled: &Filled| -> Result<(i64, i64)> {
        filled.database.execute("select pg_stat_statements_reset()")?;
        assert_eq!(block_on(filled.store.doctor(Duration::from_secs(60), false))?, [], "all is well");
        let largest = "max((shared_blks_hit + shared_blks_read) / calls)";
        Ok((filled.counted("max(calls)")?, filled.counted(largest)?))
    };
    let ((few, small), (many, large)) = (piece(&both.small)?, piece(&both.large)?);
    eprintln!("the doctor: {few} pieces of {small} pages, {many} of {large}");
    assert!(many >= 8 * few, "{few} pieces of {SMALL} runs, {many} of {LARGE}");
    assert!(large <= small + small / 4, "pieces of {small} pages of {SMALL} runs, of {large} of {LARGE}");
    // What a piece finds is told, and belongs to its run.
    let run = both.large.run("status = 'succeeded' order by id desc")?;
    both.large.database.execute(&format!("update run set event_count = 9 where id = '{run}'"))?;
    let found = block_on(both.large.store.doctor(Duration::from_secs(60), true))?;
    assert!(found.iter().all(|found| found.invariant == 5 && found.what.contains(&run.to_string())), "{found:?}");
    assert!(!found.is_empty());
    Ok(())
}
