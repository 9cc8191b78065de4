//! What namespaces hold, as `migrations/0045_stored_bytes.sql` and `0047_measured_together.sql` keep it.

use async_trait::async_trait;
use pawl_domain::id::RunId;
use pawl_domain::namespace::Namespace;
use sqlx::{PgConnection, Row as _};

use super::Postgres;
use crate::Result;
use crate::stored::{Measured, Stored};

/// Runs, and steps of runs, that a piece looks at: some milliseconds of work.
const RUNS: i32 = 200;
const STEPS: i32 = 2_000;

#[async_trait]
impl Stored for Postgres {
    async fn measure(&self, namespace: &Namespace) -> Result<Option<Measured>> {
        let query = sqlx::query("select bytes, more from pawl_measure_v2($1, $2, $3)");
        let row = query.bind(namespace.as_str()).bind(RUNS).bind(STEPS).fetch_one(&self.pool).await?;
        let Some(bytes) = row.try_get::<Option<i64>, _>("bytes")? else { return Ok(None) };
        Ok(Some(Measured { bytes: count(bytes), more: row.try_get("more")? }))
    }

    async fn stored_bytes(&self, namespace: &Namespace) -> Result<Option<u64>> {
        let sql = "select run_bytes + component_bytes from stored where namespace = $1";
        let query = sqlx::query_scalar::<_, i64>(sql).bind(namespace.as_str());
        Ok(query.fetch_optional(&self.pool).await?.map(count))
    }
}

/// A run that was measured after its end grows again: it is looked at in turn.
pub(super) async fn grows_again(conn: &mut PgConnection, run: RunId) -> Result<()> {
    let query = sqlx::query("update stored_run set ended = false where run_id = $1 and ended");
    query.bind(run.0).execute(conn).await?;
    Ok(())
}

/// What holds nothing does not hold less.
fn count(bytes: i64) -> u64 {
    u64::try_from(bytes).unwrap_or(0)
}
