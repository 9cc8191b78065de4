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
        let rows = sqlx::query(include_str!("doctor.sql"))
            .bind(i64::try_from(grace.as_millis()).unwrap_or(i64::MAX))
            .bind(quiet)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| Ok(Violation { invariant: row.try_get(0)?, what: row.try_get(1)? })).collect()
    }
}
