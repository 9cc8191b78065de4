//! What an operator looks at besides the invariants.

use std::time::Duration;

use async_trait::async_trait;
use pawl_domain::namespace::Namespace;

use super::ledger::now_ms;
use super::{Sqlite, row};
use crate::doctor::{Condition, FAILED_LOOKED_AT, Inspections, Troubles};
use crate::live::PARKED_LOOKED_AT;
use crate::{Result, ms};

#[async_trait]
impl Inspections for Sqlite {
    async fn condition(&self) -> Result<Condition> {
        self.read(|conn| {
            let number = |pragma: &str| conn.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
            let size_bytes = u64::try_from(number("page_count")? * number("page_size")?).unwrap_or(0);
            Ok(Condition { now_ms: now_ms(), sessions: None, size_bytes, oldest_transaction_ms: None })
        })
        .await
    }

    async fn troubles(&self, namespace: &Namespace, since: Duration) -> Result<Troubles> {
        let namespace = namespace.as_str().to_owned();
        self.read(move |conn| {
            let after_ms = now_ms().saturating_sub(ms(since));
            let sql = "select count(*) as parked, coalesce(sum(is_new), 0) as since
                       from (select exists (select 1 from event e
                                            where e.run_id = s.run_id and e.step_no = s.step_no
                                              and e.kind = 'step.parked' and e.at > ?1) as is_new
                             from step s where s.status = 'parked' limit ?2)";
            let parked =
                row(conn, sql, (after_ms, PARKED_LOOKED_AT), |row| Ok((row.get("parked")?, row.get("since")?)))?;
            let (parked, parked_since) = parked.unwrap_or_default();
            let sql = "select count(*) as failed
                       from (select ended_at from run where namespace = ?1 and status = 'failed'
                             order by created_at desc, id desc limit ?2) where ended_at > ?3";
            let failed = row(conn, sql, (namespace, FAILED_LOOKED_AT, after_ms), |row| Ok(row.get("failed")?))?;
            Ok(Troubles { parked, parked_since, failed_since: failed.unwrap_or(0) })
        })
        .await
    }
}
