//! Components: bytes, found by their digest and verified by it whenever they are read.

use std::time::Duration;

use async_trait::async_trait;
use pawl_domain::id::Digest;
use sqlx::postgres::PgConnection;

use super::Postgres;
use super::pool::Transaction;
use crate::components::Components;
use crate::{Error, Result, verified, within};

/// What a transaction with large values has besides, and what a link and a disk carry at least.
const MOMENT: Duration = Duration::from_secs(6);
const BYTES_PER_SECOND: usize = 1 << 20;

#[async_trait]
impl Components for Postgres {
    async fn component(&self, digest: Digest) -> Result<Vec<u8>> {
        let size: Option<i32> = sqlx::query_scalar("select octet_length(bytes) from component where digest = $1")
            .bind(&digest.0[..])
            .fetch_optional(&self.pool)
            .await?;
        let missing = || Error::NotFound(format!("there is no component {digest}"));
        let time = time_for(size.ok_or_else(missing)?.unsigned_abs() as usize);
        let reading = async {
            let mut transaction = self.patient(time).await?;
            let bytes: Option<Vec<u8>> = sqlx::query_scalar("select bytes from component where digest = $1")
                .bind(&digest.0[..])
                .fetch_optional(&mut *transaction)
                .await?;
            transaction.commit().await?;
            Ok(bytes)
        };
        let bytes = within(time, reading).await?.ok_or_else(missing)?;
        verified(bytes, digest, || format!("component {digest}"))
    }
}

/// How long a transaction may take that moves so many bytes: a host that has died costs seconds, and a slow link is not one.
pub(super) fn time_for(bytes: usize) -> Duration {
    MOMENT + Duration::from_secs((bytes / BYTES_PER_SECOND) as u64)
}

impl Postgres {
    /// A transaction for large values: they may take longer than half a lease on a slow disk or network,
    /// and nobody's lease depends on them. The caller waits for no more than `time`, see [`time_for`].
    pub(super) async fn patient(&self, time: Duration) -> Result<Transaction> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query("select set_config('statement_timeout', $1, true), set_config('lock_timeout', $1, true)")
            .bind(time.as_millis().to_string())
            .execute(&mut *transaction)
            .await?;
        Ok(transaction)
    }
}

/// Stores a component; one that is there already stays.
pub(super) async fn insert_component(conn: &mut PgConnection, digest: Digest, bytes: &[u8]) -> Result<()> {
    sqlx::query("insert into component (digest, bytes) values ($1, $2) on conflict (digest) do nothing")
        .bind(&digest.0[..])
        .bind(bytes)
        .execute(conn)
        .await?;
    Ok(())
}
