//! The round trip of a batch: to `pawl_write_v3` and back (see `migrations/0003_write.sql` for what a batch
//! is, `0023_recovery.sql` for what is done, and in which order).

use pawl_domain::id::WorkerId;
use sqlx::postgres::PgConnection;

use crate::Result;
use crate::write::{Batch, Written};

mod answer;
mod rows;

/// Sends a batch for `worker`, and waits for its commit.
pub(super) async fn write(conn: &mut PgConnection, worker: WorkerId, batch: &Batch) -> Result<Written> {
    let (members, payloads) = rows::members(&batch.members);
    let answered = sqlx::query("select claimed, told, recovers from pawl_write_v3($1, $2, $3, $4, $5, $6, $7, $8)")
        .bind(worker.0)
        .bind(members)
        .bind(payloads)
        .bind(rows::contents(&batch.members))
        .bind(rows::runs(&batch.members))
        .bind(batch.claims.iter().map(|id| id.run.0).collect::<Vec<_>>())
        .bind(batch.claims.iter().map(|id| id.step.0).collect::<Vec<_>>())
        .bind(rows::recovered(&batch.members))
        .fetch_all(conn)
        .await?;
    answer::of(batch, &answered)
}
