//! Logs of steps: what is said last is kept and read, and not walked over what was said before.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, ensure};
use pawl_domain::id::{Fence, RunId, StepId, StepNo, WorkerId};
use pawl_domain::limits::KeptLog;
use pawl_domain::log::{Level, Line};
use pawl_store::logs::{Logs as _, NewLines, Wanted};
use pawl_tests::runtime::block_on;

use crate::filled::{Both, Filled};

const FEW: u32 = 300;
const MANY: u32 = 30_000;

/// A run whose first step has said so many lines, one in a commit.
fn said(filled: &Filled, lines: u32) -> Result<RunId> {
    let run = filled.run("status = 'running' order by id")?;
    filled.database.execute(&format!(
        "update step set fence = 1 where run_id = '{run}' and step_no = 0 and fence = 0;
         insert into step_log (run_id, first, step_no, fence, worker_id, attempt, place, length, level, last_ms, lines_until,
                               bytes_until, bytes)
         select '{run}', n, 0, 1, gen_random_uuid(), 1, n - 1, 1, 2, n, n, n * 50,
                convert_to('[{{\"at\":1,\"level\":\"info\",\"message\":\"line ' || n || '\"}}]', 'UTF8')
         from generate_series(1, {lines}) as n"
    ))?;
    filled.database.execute("vacuum (analyze) step_log")?;
    Ok(run)
}

#[test]
fn the_last_lines_of_a_log_are_read_and_not_those_before() -> Result<()> {
    let both = Both::start()?;
    let cost = |filled: &Filled, lines: u32| -> Result<[i64; 5]> {
        let run = said(filled, lines)?;
        let all = Wanted::all(run);
        let step = Wanted { step: Some(StepNo(0)), ..all };
        let last = i64::from(lines);
        let told = block_on(filled.store.log_tail(&step, 0, 1))?;
        assert_eq!(told.lines[0].line.message, format!("line {lines}"));
        Ok([
            filled.pages(async |store| store.log_page(&all, last - 1, 500).await)?,
            filled.pages(async |store| store.log_page(&step, last - 1, 500).await)?,
            filled.pages(async |store| store.log_page(&step, last, 500).await)?,
            filled.pages(async |store| store.log_tail(&all, 0, 10).await)?,
            filled.pages(async |store| store.log_marks(&[run]).await)?,
        ])
    };
    let (few, many) = (cost(&both.small, FEW)?, cost(&both.large, MANY)?);
    eprintln!("the last line: {few:?} pages of {FEW} lines, {many:?} of {MANY}");
    for (few, many) in few.into_iter().zip(many) {
        ensure!(many <= few + 8 && many <= 40, "{few} pages of {FEW} lines, {many} of {MANY}");
    }
    Ok(())
}

#[test]
fn lines_are_kept_beside_many_as_beside_few() -> Result<()> {
    let both = Both::start()?;
    let cost = |filled: &Filled, lines: u32| -> Result<i64> {
        let id = StepId { run: said(filled, lines)?, step: StepNo(0) };
        let place = AtomicU32::new(lines);
        // Each is one too many: an old one goes.
        let most = KeptLog { lines: lines.into(), bytes: 1 << 30 };
        filled.pages(async |store| {
            let line = Line { at_ms: 1, level: Level::Info, message: "new".into(), fields: None };
            let place = place.fetch_add(1, Ordering::Relaxed);
            let lines = NewLines::of(id, Fence(1), WorkerId::new(), 1, place, &[line]);
            store.keep_lines(&[lines], most).await
        })
    };
    let (few, many) = (cost(&both.small, FEW)?, cost(&both.large, MANY)?);
    eprintln!("a line more: {few} pages beside {FEW} lines, {many} beside {MANY}");
    ensure!(many <= few + 12 && many <= 120, "{few} pages beside {FEW} lines, {many} beside {MANY}");
    for (filled, lines) in [(&both.small, FEW), (&both.large, MANY)] {
        let kept: i64 = filled.database.value("select count(*) from step_log")?;
        let last: i64 = filled.database.value("select max(first) from step_log")?;
        assert_eq!((kept, last), (lines.into(), i64::from(lines) + 4), "as many as may be kept, and the newest");
    }
    Ok(())
}
