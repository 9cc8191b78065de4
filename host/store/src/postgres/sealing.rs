//! Keys of payloads, as `migrations/0044_sealing.sql` keeps them.

use async_trait::async_trait;
use pawl_base::envelope::Sealed;
use pawl_domain::id::RunId;
use pawl_domain::namespace::Namespace;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::{Postgres, parse};
use crate::Result;
use crate::runs::no_run;
use crate::sealing::{NamespaceKeyRow, RunKeyRow, Seals, WrappedKey, some_still_run, still_runs};
use crate::secrets::sealed_of;

#[async_trait]
impl Seals for Postgres {
    async fn namespace_keys(&self, namespace: &Namespace) -> Result<Vec<NamespaceKeyRow>> {
        let sql = "select version, key_id, wrapped, sealed, created_by,
                          (extract(epoch from created_at) * 1000)::bigint as created_at_ms,
                          (extract(epoch from retired_at) * 1000)::bigint as retired_at_ms,
                          (extract(epoch from erased_at) * 1000)::bigint as erased_at_ms
                   from namespace_key where namespace = $1 order by version";
        sqlx::query(sql).bind(namespace.as_str()).fetch_all(&self.pool).await?.iter().map(namespace_key).collect()
    }

    async fn add_namespace_key(
        &self,
        namespace: &Namespace,
        version: u32,
        key: &Sealed,
        created_by: Option<&str>,
    ) -> Result<bool> {
        let sql = "insert into namespace_key (namespace, version, key_id, wrapped, sealed, created_by)
                   values ($1, $2, $3, $4, $5, $6) on conflict do nothing";
        let query = sqlx::query(sql).bind(namespace.as_str()).bind(version.cast_signed()).bind(&key.key_id);
        let query = query.bind(&key.wrapped).bind(&key.bytes).bind(created_by);
        Ok(query.execute(&self.pool).await?.rows_affected() > 0)
    }

    async fn retire_namespace_key(&self, namespace: &Namespace) -> Result<bool> {
        let sql = "update namespace_key k set retired_at = clock_timestamp()
                   where k.namespace = $1 and k.retired_at is null
                     and k.version = (select max(n.version) from namespace_key n where n.namespace = $1)";
        Ok(sqlx::query(sql).bind(namespace.as_str()).execute(&self.pool).await?.rows_affected() > 0)
    }

    async fn wrap_namespace_key(
        &self,
        namespace: &Namespace,
        version: u32,
        before: &str,
        key: &Sealed,
    ) -> Result<bool> {
        let sql = "update namespace_key set key_id = $4, wrapped = $5, sealed = $6
                   where namespace = $1 and version = $2 and key_id = $3";
        let query = sqlx::query(sql).bind(namespace.as_str()).bind(version.cast_signed()).bind(before);
        let query = query.bind(&key.key_id).bind(&key.wrapped).bind(&key.bytes);
        Ok(query.execute(&self.pool).await?.rows_affected() > 0)
    }

    async fn erase_namespace_keys(&self, namespace: &Namespace) -> Result<u32> {
        let mut tx = self.pool.begin().await?;
        // Whoever submits under one of them holds it until it is committed.
        let sql = "select from namespace_key where namespace = $1 order by version for update";
        sqlx::query(sql).bind(namespace.as_str()).execute(&mut *tx).await?;
        let sql = "select exists (select from run where namespace = $1 and status in ('pending', 'running'))";
        if sqlx::query_scalar(sql).bind(namespace.as_str()).fetch_one(&mut *tx).await? {
            return Err(some_still_run(namespace));
        }
        let sql = "update namespace_key set key_id = null, wrapped = null, sealed = null, erased_at = clock_timestamp()
                   where namespace = $1 and erased_at is null";
        let erased = sqlx::query(sql).bind(namespace.as_str()).execute(&mut *tx).await?.rows_affected();
        tx.commit().await?;
        Ok(u32::try_from(erased).unwrap_or(u32::MAX))
    }

    async fn run_key(&self, run: RunId) -> Result<Option<RunKeyRow>> {
        let sql = "select r.namespace, k.version, k.wrapped, n.key_id, n.wrapped as under_wrapped, n.sealed
                   from run_key k join run r on r.id = k.run_id
                   left join namespace_key n on n.namespace = r.namespace and n.version = k.version
                   where k.run_id = $1";
        sqlx::query(sql).bind(run.0).fetch_optional(&self.pool).await?.as_ref().map(run_key).transpose()
    }

    async fn erase_run_key(&self, run: RunId) -> Result<bool> {
        let ended = sqlx::query_scalar("select ended_at is not null from run where id = $1");
        match ended.bind(run.0).fetch_optional(&self.pool).await? {
            None => return Err(no_run(run)),
            Some(false) => return Err(still_runs(run)),
            Some(true) => {}
        }
        // Asked again, and held: somebody may be about to open it anew.
        let sql =
            "with ended as materialized (select id from run where id = $1 and ended_at is not null for no key update)
                   update run_key k set wrapped = null, erased_at = clock_timestamp() from ended r
                   where k.run_id = r.id and k.wrapped is not null";
        Ok(sqlx::query(sql).bind(run.0).execute(&self.pool).await?.rows_affected() > 0)
    }
}

fn namespace_key(row: &PgRow) -> Result<NamespaceKeyRow> {
    Ok(NamespaceKeyRow {
        version: row.try_get::<i32, _>("version")?.cast_unsigned(),
        sealed: sealed_of(row.try_get("key_id")?, row.try_get("wrapped")?, row.try_get("sealed")?)?,
        created_at_ms: row.try_get("created_at_ms")?,
        created_by: row.try_get("created_by")?,
        retired_at_ms: row.try_get("retired_at_ms")?,
        erased_at_ms: row.try_get("erased_at_ms")?,
    })
}

fn run_key(row: &PgRow) -> Result<RunKeyRow> {
    let version = row.try_get::<i32, _>("version")?.cast_unsigned();
    Ok(RunKeyRow {
        namespace: parse(row, "namespace")?,
        key: row.try_get::<Option<_>, _>("wrapped")?.map(|wrapped| WrappedKey { version, wrapped }),
        under: sealed_of(row.try_get("key_id")?, row.try_get("under_wrapped")?, row.try_get("sealed")?)?,
    })
}
