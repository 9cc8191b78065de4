//! Logs of steps: `migrations/0027_logs.sql`.

use async_trait::async_trait;
use pawl_domain::id::{Fence, RunId, StepNo, WorkerId};
use pawl_domain::limits::KeptLog;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::Postgres;
use crate::Result;
use crate::logs::{Begin, LATE_ROWS, LogRow, Logs, NewLines, OLD_ROWS, PIECE, Wanted};

/// A piece of a run's log, or of a step's, as it stands in an index. Sizes are told by what points to the bytes; only those that
/// are wanted, and have room, are fetched.
macro_rules! rows_where {
    ($bound:literal, $order:literal) => {
        concat!(
            "select first, length, step_no, fence, worker_id, attempt, case when wanted then bytes end as bytes
             from (select *, sum(size) over (order by first ",
            $order,
            ") - size as before
                   from (select *, case when wanted then octet_length(bytes) else 0 end as size
                         from (select *, ($3::int is null or attempt = $3) and level >= $4 and last_ms >= $5 as wanted
                               from step_log l where l.run_id = $1 and ",
            $bound,
            " order by l.first ",
            $order,
            " limit $7) as next) as judged) as sized
             where before = 0 or before + size <= $6
             order by first ",
            $order
        )
    };
}

// From the row on that holds the next line.
const AFTER: &str = rows_where!(
    "$8::int is null and l.first + l.length - 1 > $2 and l.first >= coalesce(
         (select h.first from step_log h where h.run_id = $1 and h.first <= $2 order by h.first desc limit 1), 0)",
    "asc"
);
const AFTER_OF_STEP: &str = rows_where!(
    "l.step_no = $8 and l.first + l.length - 1 > $2 and l.first >= coalesce(
         (select h.first from step_log h where h.run_id = $1 and h.step_no = $8 and h.first <= $2
          order by h.first desc limit 1), 0)",
    "asc"
);
const BEFORE: &str = rows_where!("$8::int is null and l.first < $2", "desc");
const BEFORE_OF_STEP: &str = rows_where!("l.step_no = $8 and l.first < $2", "desc");

#[async_trait]
impl Logs for Postgres {
    async fn keep_lines(&self, lines: &[NewLines], most: KeptLog) -> Result<()> {
        fn each<T>(lines: &[NewLines], of: impl Fn(&NewLines) -> T) -> Vec<T> {
            lines.iter().map(of).collect()
        }
        sqlx::query("select pawl_log_v1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)")
            .bind(each(lines, |it| it.id.run.0))
            .bind(each(lines, |it| it.id.step.0))
            .bind(each(lines, |it| it.fence.0))
            .bind(each(lines, |it| it.worker.0))
            .bind(each(lines, |it| it.attempt.cast_signed()))
            .bind(each(lines, |it| it.place.cast_signed()))
            .bind(each(lines, |it| it.length.cast_signed()))
            .bind(each(lines, |it| i16::from(it.level.number())))
            .bind(each(lines, |it| it.last_ms))
            .bind(lines.iter().map(|it| it.bytes.as_slice()).collect::<Vec<_>>())
            .bind(i64::try_from(most.lines).unwrap_or(i64::MAX))
            .bind(i64::try_from(most.bytes).unwrap_or(i64::MAX))
            .bind(LATE_ROWS)
            .bind(OLD_ROWS)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    async fn log_rows(&self, wanted: &Wanted, from: Begin, most: i64) -> Result<Vec<LogRow>> {
        let (sql, bound) = match (from, wanted.step) {
            (Begin::After(number), None) => (AFTER, number),
            (Begin::After(number), Some(_)) => (AFTER_OF_STEP, number),
            (Begin::Before(number), None) => (BEFORE, number),
            (Begin::Before(number), Some(_)) => (BEFORE_OF_STEP, number),
        };
        let rows = sqlx::query(sql)
            .bind(wanted.run.0)
            .bind(bound)
            .bind(wanted.attempt.map(u32::cast_signed))
            .bind(i16::from(wanted.level.number()))
            .bind(wanted.since_ms)
            .bind(PIECE)
            .bind(most)
            .bind(wanted.step.map(|step| step.0))
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(log_row).collect()
    }

    async fn log_marks(&self, runs: &[RunId]) -> Result<Vec<(RunId, i64)>> {
        let marks: Vec<(Uuid, i64)> = sqlx::query_as(
            "select r.run_id, l.last
             from unnest($1::uuid[]) as r (run_id)
             cross join lateral (select l.first + l.length - 1 as last from step_log l where l.run_id = r.run_id
                                 order by l.first desc limit 1) as l",
        )
        .bind(runs.iter().map(|run| run.0).collect::<Vec<_>>())
        .fetch_all(&self.pool)
        .await?;
        Ok(marks.into_iter().map(|(run, last)| (RunId(run), last)).collect())
    }
}

fn log_row(row: &PgRow) -> Result<LogRow> {
    Ok(LogRow {
        first: row.try_get("first")?,
        length: row.try_get::<i32, _>("length")?.cast_unsigned(),
        step: StepNo(row.try_get("step_no")?),
        fence: Fence(row.try_get("fence")?),
        worker: WorkerId(row.try_get("worker_id")?),
        attempt: row.try_get::<i32, _>("attempt")?.cast_unsigned(),
        bytes: row.try_get("bytes")?,
    })
}
