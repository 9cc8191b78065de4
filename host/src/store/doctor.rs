//! The invariants, checked over the whole database: by `pawl doctor` and after every end-to-end test.

use std::time::Duration;

use sqlx::Row;

use super::{Result, Store};

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Violation {
    /// Its number in `docs/protocol.md`.
    pub invariant: i32,
    /// What was found.
    pub what: String,
}

impl Store {
    /// All violations; none in a sound database. A lease may have ended up to `grace` ago. `quiet` says that
    /// nothing is going on, so that what workers say of themselves can be compared too.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn doctor(&self, grace: Duration, quiet: bool) -> Result<Vec<Violation>> {
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
