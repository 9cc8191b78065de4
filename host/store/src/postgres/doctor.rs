//! The invariants, checked over the whole database: by `pawl doctor` and after every end-to-end test.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::Row;

use super::Postgres;
use crate::doctor::{Invariants, Violation};
use crate::{Result, within};

/// How long all of it may take; a server that has died tells nobody.
const LONGEST_LOOK: Duration = Duration::from_secs(3_600);

#[async_trait]
impl Invariants for Postgres {
    async fn doctor(&self, grace: Duration, quiet: bool) -> Result<Vec<Violation>> {
        within(LONGEST_LOOK, self.look_over_everything(grace, quiet)).await
    }
}

impl Postgres {
    async fn look_over_everything(&self, grace: Duration, quiet: bool) -> Result<Vec<Violation>> {
        let mut conn = self.connect().await?;
        // One look over everything may take its time, and reads whole tables.
        for setting in ["statement_timeout = 0", "enable_seqscan = on", "enable_hashjoin = on", "enable_mergejoin = on"]
        {
            sqlx::query(sqlx::AssertSqlSafe(format!("set {setting}"))).execute(&mut conn).await?;
        }
        let rows = sqlx::query(include_str!("doctor.sql"))
            .bind(i64::try_from(grace.as_millis()).unwrap_or(i64::MAX))
            .bind(quiet)
            .fetch_all(&mut conn)
            .await?;
        rows.iter().map(|row| Ok(Violation { invariant: row.try_get(0)?, what: row.try_get(1)? })).collect()
    }
}
