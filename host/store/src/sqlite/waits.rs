//! What waits, by the indexes that wake it. Their rows end with the table's key, by which what is due at one time is in order.

use async_trait::async_trait;
use rusqlite::Row;

use super::sweeps::step_of;
use super::{Sqlite, digest_of, parse, rows};
use crate::Result;
use crate::waits::{WaitKind, WaitPlace, WaitRow, Waits};

macro_rules! piece {
    ($where:literal, $order:literal) => {
        concat!(
            "select s.run_id, s.step_no, s.status = 'waiting' as waits, s.awaits, s.awaits_position is not null as has_asked,
                    s.failures, s.due_at, r.namespace, r.pipeline_digest, p.name as pipeline, c.origin
             from (select * from step s where ",
            $where,
            " order by ",
            $order,
            " limit ?4) s
             join run r on r.id = s.run_id
             join pipeline_version p on p.digest = r.pipeline_digest
             left join circuit c on c.id = s.deferred_by and c.closed_at is null
             order by ",
            $order
        )
    };
}

const BY_SIGNAL: &str =
    piece!("s.awaits is not null and (s.run_id, s.awaits, s.step_no) > (?2, ?1, ?3)", "s.run_id, s.awaits, s.step_no");
const BY_TIME: &str =
    piece!("s.due_at is not null and (s.due_at, s.run_id, s.step_no) > (?1, ?2, ?3)", "s.due_at, s.run_id, s.step_no");

#[async_trait]
impl Waits for Sqlite {
    async fn waiting(&self, kind: WaitKind, after: &WaitPlace, limit: usize) -> Result<Vec<WaitRow>> {
        let (signal, due_ms, step) = (after.signal(), after.due_us() / 1_000, after.step);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read(move |conn| match kind {
            WaitKind::Signal => rows(conn, BY_SIGNAL, (signal, step.run.0, step.step.0, limit), wait_row),
            WaitKind::Time => rows(conn, BY_TIME, (due_ms, step.run.0, step.step.0, limit), wait_row),
        })
        .await
    }
}

fn wait_row(row: &Row<'_>) -> Result<WaitRow> {
    Ok(WaitRow {
        step: step_of(row)?,
        namespace: parse(row, "namespace")?,
        pipeline: row.get("pipeline")?,
        pipeline_digest: digest_of(row, "pipeline_digest")?,
        waits: row.get("waits")?,
        has_asked: row.get("has_asked")?,
        signal: row.get("awaits")?,
        due_us: row.get::<_, Option<i64>>("due_at")?.map(|ms| ms * 1_000),
        failures: row.get("failures")?,
        origin: row.get("origin")?,
    })
}
