//! Tokens, as `migrations/0040_tokens.sql` keeps them.

use async_trait::async_trait;
use pawl_domain::id::Digest;
use pawl_domain::namespace::Namespace;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::{Postgres, digest_of, parse};
use crate::tokens::{NewToken, TOLD, TokenRow, Tokens, name_is_taken};
use crate::{Error, Result};

macro_rules! columns {
    () => {
        "digest, name, role, namespace, created_by,
         (extract(epoch from created_at) * 1000)::bigint as created_at_ms,
         (extract(epoch from expires_at) * 1000)::bigint as expires_at_ms,
         (extract(epoch from revoked_at) * 1000)::bigint as revoked_at_ms,
         (extract(epoch from clock_timestamp()) * 1000)::bigint as now_ms"
    };
}

#[async_trait]
impl Tokens for Postgres {
    async fn create_token(&self, token: &NewToken) -> Result<()> {
        let query = sqlx::query(
            "insert into token (digest, name, role, namespace, created_by, expires_at)
             values ($1, $2, $3, $4, $5, clock_timestamp() + $6 * interval '1 millisecond')
             on conflict do nothing",
        )
        .bind(token.digest.0.as_slice())
        .bind(&token.name)
        .bind(token.role.as_str())
        .bind(token.namespace.as_ref().map(Namespace::as_str))
        .bind(&token.created_by)
        .bind(token.expires_in_ms.map(|ms| i64::try_from(ms).unwrap_or(i64::MAX)));
        match query.execute(&self.pool).await?.rows_affected() {
            0 => Err(name_is_taken(&token.name)),
            _ => Ok(()),
        }
    }

    async fn token(&self, digest: Digest) -> Result<Option<TokenRow>> {
        let sql = concat!("select ", columns!(), " from token where digest = $1");
        let query = sqlx::query(sql).bind(digest.0.as_slice());
        query.fetch_optional(&self.pool).await?.as_ref().map(token).transpose()
    }

    async fn tokens(&self, namespace: Option<&Namespace>) -> Result<Vec<TokenRow>> {
        let sql = concat!(
            "select ",
            columns!(),
            " from token where $2::text is null or namespace = $2
             order by revoked_at is not null, revoked_at desc, name limit $1"
        );
        let query = sqlx::query(sql).bind(i64::from(TOLD)).bind(namespace.map(Namespace::as_str));
        query.fetch_all(&self.pool).await?.iter().map(token).collect()
    }

    async fn tokens_named(&self, name: &str) -> Result<Vec<TokenRow>> {
        let sql =
            concat!("select ", columns!(), " from token where name = $1 and revoked_at is null order by namespace");
        sqlx::query(sql).bind(name).fetch_all(&self.pool).await?.iter().map(token).collect()
    }

    async fn revoke_token(&self, digest: Digest) -> Result<bool> {
        let sql = "update token set revoked_at = clock_timestamp() where digest = $1 and revoked_at is null";
        Ok(sqlx::query(sql).bind(digest.0.as_slice()).execute(&self.pool).await?.rows_affected() > 0)
    }

    async fn has_tokens(&self) -> Result<bool> {
        Ok(sqlx::query_scalar("select exists (select from token)").fetch_one(&self.pool).await?)
    }
}

fn token(row: &PgRow) -> Result<TokenRow> {
    let (expires_at_ms, revoked_at_ms) = (row.try_get("expires_at_ms")?, row.try_get("revoked_at_ms")?);
    let namespace = row.try_get::<Option<String>, _>("namespace")?;
    let namespace = namespace.map(|name| name.parse().map_err(|_| Error::Damaged("a token's namespace".to_owned())));
    Ok(TokenRow {
        digest: digest_of(row, "digest")?,
        name: row.try_get("name")?,
        role: parse(row, "role")?,
        namespace: namespace.transpose()?,
        created_at_ms: row.try_get("created_at_ms")?,
        created_by: row.try_get("created_by")?,
        expires_at_ms,
        revoked_at_ms,
        standing: TokenRow::standing(expires_at_ms, revoked_at_ms, row.try_get("now_ms")?),
    })
}
