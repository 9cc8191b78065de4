//! Components: bytes, found by their digest and verified by it whenever they are read.

use async_trait::async_trait;
use pawl_domain::id::Digest;
use sqlx::postgres::{PgConnection, PgTransaction};

use super::Postgres;
use crate::components::Components;
use crate::{Error, Result, verified};

#[async_trait]
impl Components for Postgres {
    async fn component(&self, digest: Digest) -> Result<Vec<u8>> {
        let mut transaction = self.patient().await?;
        let bytes: Option<Vec<u8>> = sqlx::query_scalar("select bytes from component where digest = $1")
            .bind(&digest.0[..])
            .fetch_optional(&mut *transaction)
            .await?;
        transaction.commit().await?;
        let bytes = bytes.ok_or_else(|| Error::NotFound(format!("there is no component {digest}")))?;
        verified(bytes, digest, || format!("component {digest}"))
    }
}

impl Postgres {
    /// A transaction for large values: they may take longer than half a lease on a slow disk or network,
    /// and nobody's lease depends on them.
    pub(super) async fn patient(&self) -> Result<PgTransaction<'static>> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query("select set_config('statement_timeout', '60s', true), set_config('lock_timeout', '60s', true)")
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
