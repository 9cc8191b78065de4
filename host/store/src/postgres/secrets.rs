//! Secrets, as `migrations/0042_secrets.sql` keeps them.

use async_trait::async_trait;
use pawl_base::envelope::Sealed;
use pawl_domain::namespace::Namespace;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::Postgres;
use crate::Result;
use crate::secrets::{SecretRow, Secrets, grants_of, grants_text, sealed_of};

macro_rules! columns {
    () => {
        "name, revision, version, key_id, wrapped, sealed, grants, set_by,
         (extract(epoch from set_at) * 1000)::bigint as set_at_ms"
    };
}

#[async_trait]
impl Secrets for Postgres {
    async fn secrets_named(&self, namespace: &Namespace, names: &[String]) -> Result<Vec<SecretRow>> {
        let sql = concat!("select ", columns!(), " from secret where namespace = $1 and name = any($2) order by name");
        let query = sqlx::query(sql).bind(namespace.as_str()).bind(names);
        query.fetch_all(&self.pool).await?.iter().map(secret).collect()
    }

    async fn secrets(&self, namespace: &Namespace, after: Option<&str>, limit: u32) -> Result<Vec<SecretRow>> {
        let sql = concat!(
            "select ",
            columns!(),
            " from secret where namespace = $1 and name > $2 and sealed is not null order by name limit $3"
        );
        let query = sqlx::query(sql).bind(namespace.as_str()).bind(after.unwrap_or_default()).bind(i64::from(limit));
        query.fetch_all(&self.pool).await?.iter().map(secret).collect()
    }

    async fn write_secret(&self, namespace: &Namespace, row: &SecretRow) -> Result<Option<i64>> {
        let sealed = |part: fn(&Sealed) -> &[u8]| row.sealed.as_ref().map(part);
        let query = sqlx::query_scalar(
            "insert into secret as s (namespace, name, revision, version, key_id, wrapped, sealed, grants, set_at, set_by)
             select $1, $2, $3, $4, $5, $6, $7, $8,
                    coalesce(to_timestamp($9::bigint / 1000.0), clock_timestamp()), $10
             where $3 = 1 or exists (select from secret o where o.namespace = $1 and o.name = $2)
             on conflict (namespace, name) do update set
                 revision = excluded.revision, version = excluded.version, key_id = excluded.key_id,
                 wrapped = excluded.wrapped, sealed = excluded.sealed, grants = excluded.grants, set_at = excluded.set_at,
                 set_by = excluded.set_by
             where s.revision = excluded.revision - 1
             returning (extract(epoch from s.set_at) * 1000)::bigint",
        )
        .bind(namespace.as_str())
        .bind(&row.name)
        .bind(row.revision)
        .bind(row.version)
        .bind(row.sealed.as_ref().map(|sealed| sealed.key_id.as_str()))
        .bind(sealed(|sealed| &sealed.wrapped))
        .bind(sealed(|sealed| &sealed.bytes))
        .bind(grants_text(&row.grants))
        .bind(row.set_at_ms)
        .bind(&row.set_by);
        Ok(query.fetch_optional(&self.pool).await?)
    }
}

fn secret(row: &PgRow) -> Result<SecretRow> {
    Ok(SecretRow {
        name: row.try_get("name")?,
        revision: row.try_get("revision")?,
        version: row.try_get("version")?,
        sealed: sealed_of(row.try_get("key_id")?, row.try_get("wrapped")?, row.try_get("sealed")?)?,
        grants: grants_of(row.try_get("grants")?)?,
        set_at_ms: row.try_get("set_at_ms")?,
        set_by: row.try_get("set_by")?,
    })
}
