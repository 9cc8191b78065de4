//! Logs of steps, as `migrations/0027_logs.sql` keeps them for Postgres. One thread writes: numbers follow its commits.

use async_trait::async_trait;
use pawl_domain::id::{Fence, RunId, StepNo, WorkerId};
use pawl_domain::limits::KeptLog;
use rusqlite::{Connection, OptionalExtension as _};

use super::{Sqlite, row, rows};
use crate::Result;
use crate::logs::{Begin, LATE_ROWS, LogRow, Logs, NewLines, OLD_ROWS, PIECE, Wanted};

/// A piece of a run's log, or of a step's.
macro_rules! rows_where {
    ($bound:literal, $order:literal) => {
        concat!(
            "select first, length, step_no, fence, worker_id, attempt, iif(wanted, bytes, null) as bytes
             from (select *, sum(size) over (order by first ",
            $order,
            ") - size as before
                   from (select *, iif(wanted, length(bytes), 0) as size
                         from (select *, (?3 is null or attempt = ?3) and level >= ?4 and last_ms >= ?5 as wanted
                               from step_log where run_id = ?1 and ",
            $bound,
            " order by first ",
            $order,
            " limit ?7)))
             where before = 0 or before + size <= ?6
             order by first ",
            $order
        )
    };
}

const AFTER: &str = rows_where!(
    "?8 is null and first + length - 1 > ?2
     and first >= coalesce((select max(first) from step_log where run_id = ?1 and first <= ?2), 0)",
    "asc"
);
const AFTER_OF_STEP: &str = rows_where!(
    "step_no = ?8 and first + length - 1 > ?2
     and first >= coalesce((select max(first) from step_log where run_id = ?1 and step_no = ?8 and first <= ?2), 0)",
    "asc"
);
const BEFORE: &str = rows_where!("?8 is null and first < ?2", "desc");
const BEFORE_OF_STEP: &str = rows_where!("step_no = ?8 and first < ?2", "desc");

#[async_trait]
impl Logs for Sqlite {
    async fn keep_lines(&self, lines: &[NewLines], most: KeptLog) -> Result<()> {
        let lines = lines.to_vec();
        self.change(move |ledger| lines.iter().try_for_each(|lines| keep(ledger.conn, lines, most))).await
    }

    async fn log_rows(&self, wanted: &Wanted, from: Begin, most: i64) -> Result<Vec<LogRow>> {
        let (sql, bound) = match (from, wanted.step) {
            (Begin::After(number), None) => (AFTER, number),
            (Begin::After(number), Some(_)) => (AFTER_OF_STEP, number),
            (Begin::Before(number), None) => (BEFORE, number),
            (Begin::Before(number), Some(_)) => (BEFORE_OF_STEP, number),
        };
        let Wanted { run, step, attempt, level, since_ms } = *wanted;
        self.read(move |conn| {
            let step = step.map(|step| step.0);
            let params = (run.0, bound, attempt, level.number(), since_ms, PIECE, most, step);
            rows(conn, sql, params, log_row)
        })
        .await
    }

    async fn log_marks(&self, runs: &[RunId]) -> Result<Vec<(RunId, i64)>> {
        let runs = runs.to_vec();
        self.read(move |conn| {
            let mut marks = Vec::with_capacity(runs.len());
            for run in runs {
                marks.extend(last_of(conn, run)?.map(|last| (run, last)));
            }
            Ok(marks)
        })
        .await
    }
}

/// The number of a run's last line.
fn last_of(conn: &Connection, run: RunId) -> Result<Option<i64>> {
    let sql = "select first + length - 1 from step_log where run_id = ?1 order by first desc limit 1";
    row(conn, sql, [run.0], |row| Ok(row.get(0)?))
}

fn keep(conn: &Connection, lines: &NewLines, most: KeptLog) -> Result<()> {
    let (run, step) = (lines.id.run.0, lines.id.step.0);
    let is_had = "select fence >= ?3 from step where run_id = ?1 and step_no = ?2";
    let is_had: Option<bool> =
        conn.prepare_cached(is_had)?.query_row((run, step, lines.fence.0), |row| row.get(0)).optional()?;
    let was_sent = "select exists (select 1 from (select fence, place from step_log where run_id = ?1 and step_no = ?2
                                                  order by first desc limit ?5) where fence = ?3 and place >= ?4)";
    let sent = (run, step, lines.fence.0, lines.place, LATE_ROWS);
    let was_sent: bool = conn.prepare_cached(was_sent)?.query_row(sent, |row| row.get(0))?;
    if is_had != Some(true) || was_sent {
        return Ok(());
    }
    let newest = "select lines_until, bytes_until from step_log where run_id = ?1 and step_no = ?2
                  order by first desc limit 1";
    let (before_lines, before_bytes) =
        row(conn, newest, (run, step), |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?.unwrap_or_default();
    let (all_lines, all_bytes) =
        (before_lines + i64::from(lines.length), before_bytes.saturating_add_unsigned(lines.bytes.len() as u64));
    let first = last_of(conn, lines.id.run)?.unwrap_or(0) + 1;
    let insert =
        "insert into step_log (run_id, first, step_no, fence, worker_id, attempt, place, length, level, last_ms,
                                        lines_until, bytes_until, bytes)
                  values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
    conn.prepare_cached(insert)?.execute((
        run,
        first,
        step,
        lines.fence.0,
        lines.worker.0,
        lines.attempt,
        lines.place,
        lines.length,
        lines.level.number(),
        lines.last_ms,
        all_lines,
        all_bytes,
        &lines.bytes,
    ))?;
    let over = |all: i64, most: u64| all.saturating_sub_unsigned(most);
    let (lines_over, bytes_over) = (over(all_lines, most.lines), over(all_bytes, most.bytes));
    if lines_over > 0 || bytes_over > 0 {
        let delete = "delete from step_log where run_id = ?1 and (lines_until <= ?3 or bytes_until <= ?4) and first in
                      (select first from step_log where run_id = ?1 and step_no = ?2 order by first limit ?5)";
        conn.prepare_cached(delete)?.execute((run, step, lines_over, bytes_over, OLD_ROWS))?;
    }
    Ok(())
}

fn log_row(row: &rusqlite::Row<'_>) -> Result<LogRow> {
    Ok(LogRow {
        first: row.get("first")?,
        length: row.get("length")?,
        step: StepNo(row.get("step_no")?),
        fence: Fence(row.get("fence")?),
        worker: WorkerId(row.get("worker_id")?),
        attempt: row.get("attempt")?,
        bytes: row.get("bytes")?,
    })
}
