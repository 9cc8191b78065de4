//! The record of changes, as `schema/0015_tokens.sql` and `0020_stored_bytes.sql` keep it.

use async_trait::async_trait;
use pawl_domain::id::RunId;

use super::{Sqlite, parse, rows};
use crate::Result;
use crate::audit::{Asked, AuditFilter, AuditRow, Audits};

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
        let namespace = namespace.map(ToString::to_string);
        self.read(move |conn| {
            let sql = "select id, at, who, source, what, target, subject, run_id, namespace, status from audit
                       where id < ?1 and (?3 is null or run_id = ?3) and (?4 is null or namespace = ?4)
                       order by id desc limit ?2";
            rows(conn, sql, (before.unwrap_or(i64::MAX), limit, run.map(|run| run.0), namespace), |row| {
                Ok(AuditRow {
                    id: row.get("id")?,
                    at_ms: row.get("at")?,
                    asked: Asked {
                        who: row.get("who")?,
                        source: row.get("source")?,
                        what: row.get("what")?,
                        target: row.get("target")?,
                        run: row.get::<_, Option<_>>("run_id")?.map(RunId),
                        namespace: row
                            .get::<_, Option<String>>("namespace")?
                            .map(|_| parse(row, "namespace"))
                            .transpose()?,
                    },
                    subject: row.get("subject")?,
                    status: row.get("status")?,
                })
            })
        })
        .await
    }
}
