//! The record of changes, as `schema/0015_tokens.sql` and `0020_stored_bytes.sql` keep it.

use async_trait::async_trait;
use pawl_domain::id::RunId;
use rusqlite::{OptionalExtension as _, Row};

use super::{Sqlite, parse, rows};
use crate::Result;
use crate::audit::{Asked, AuditFilter, AuditRow, Audits};

macro_rules! page {
    ($of:literal) => {
        concat!(
            "select id, at, who, source, what, target, subject, run_id, namespace, status from audit where id < ?1 ",
            $of,
            " order by id desc limit ?2"
        )
    };
}

#[async_trait]
impl Audits for Sqlite {
    async fn ask(&self, asked: &Asked) -> Result<i64> {
        let Asked { who, source, what, target, run, namespace } = asked.clone();
        let namespace = namespace.map(|namespace| namespace.to_string());
        self.change(move |ledger| {
            let sql = "insert into audit (at, who, source, what, target, run_id, namespace)
                       values (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
            ledger
                .conn
                .execute(sql, (ledger.now_ms, &who, &source, &what, &target, run.map(|run| run.0), &namespace))?;
            Ok(ledger.conn.last_insert_rowid())
        })
        .await
    }

    async fn answered(&self, id: i64, status: u16, subject: Option<&str>) -> Result<()> {
        let subject = subject.map(str::to_owned);
        self.change(move |ledger| {
            ledger.conn.execute("update audit set status = ?2, subject = ?3 where id = ?1", (id, status, &subject))?;
            Ok(())
        })
        .await
    }

    async fn take_back(&self, id: i64) -> Result<()> {
        self.change(move |ledger| {
            ledger.conn.execute("delete from audit where id = ?1", [id])?;
            Ok(())
        })
        .await
    }

    async fn audit(&self, filter: AuditFilter<'_>) -> Result<Vec<AuditRow>> {
        let AuditFilter { namespace, run, before, limit } = filter;
        let before = before.unwrap_or(i64::MAX);
        let (run, namespace) = (run.map(|run| run.0), namespace.map(ToString::to_string));
        self.read(move |conn| match (run, namespace) {
            (None, None) => rows(conn, page!(""), (before, limit), line),
            (Some(run), None) => rows(conn, page!("and run_id = ?3"), (before, limit, run), line),
            (None, Some(own)) => rows(conn, page!("and namespace = ?3"), (before, limit, own), line),
            // Of the two indexes that of runs, which have few lines: the other one's may be most of the table.
            (Some(run), Some(own)) => {
                rows(conn, page!("and run_id = ?3 and +namespace = ?4"), (before, limit, run, own), line)
            }
        })
        .await
    }

    async fn change_since(&self, at_ms: i64) -> Result<i64> {
        self.read(move |conn| {
            let ends = "select coalesce((select id from audit order by id limit 1), 1),
                               coalesce((select id from audit order by id desc limit 1), 0) + 1";
            let (mut low, mut high): (i64, i64) = conn.query_row(ends, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
            // A number in between may be none's: the next line's time counts.
            let mut at = conn.prepare_cached("select at from audit where id >= ?1 order by id limit 1")?;
            while low < high {
                let middle = low + (high - low) / 2;
                let found: Option<i64> = at.query_row([middle], |row| row.get(0)).optional()?;
                if found.is_some_and(|found| found < at_ms) {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            Ok(low)
        })
        .await
    }
}

fn line(row: &Row<'_>) -> Result<AuditRow> {
    Ok(AuditRow {
        id: row.get("id")?,
        at_ms: row.get("at")?,
        asked: Asked {
            who: row.get("who")?,
            source: row.get("source")?,
            what: row.get("what")?,
            target: row.get("target")?,
            run: row.get::<_, Option<_>>("run_id")?.map(RunId),
            namespace: row.get::<_, Option<String>>("namespace")?.map(|_| parse(row, "namespace")).transpose()?,
        },
        subject: row.get("subject")?,
        status: row.get("status")?,
    })
}
