//! Tokens, as `schema/0015_tokens.sql` keeps them.

use async_trait::async_trait;
use pawl_domain::id::Digest;
use pawl_domain::namespace::Namespace;
use rusqlite::Row;

use super::{Sqlite, digest_of, ledger, parse, row, rows};
use crate::tokens::{NewToken, TOLD, TokenRow, Tokens, name_is_taken};
use crate::{Error, Result};

macro_rules! token_query {
    () => {
        "select digest, name, role, namespace, created_at, created_by, expires_at, revoked_at from token "
    };
}

#[async_trait]
impl Tokens for Sqlite {
    async fn create_token(&self, token: &NewToken) -> Result<()> {
        let new = token.clone();
        self.change(move |ledger| {
            let NewToken { digest, name, role, namespace, created_by, expires_in_ms } = &new;
            let lasts_ms = expires_in_ms.map(|ms| i64::try_from(ms).unwrap_or(i64::MAX));
            let expires_at = lasts_ms.map(|ms| ledger.now_ms.saturating_add(ms));
            let namespace = namespace.as_ref().map(ToString::to_string);
            let sql = "insert into token (digest, name, role, namespace, created_at, created_by, expires_at)
                       values (?1, ?2, ?3, ?4, ?5, ?6, ?7) on conflict do nothing";
            let values = (digest.0, name, role.as_str(), namespace, ledger.now_ms, created_by, expires_at);
            match ledger.conn.execute(sql, values)? {
                0 => Err(name_is_taken(name)),
                _ => Ok(()),
            }
        })
        .await
    }

    async fn token(&self, digest: Digest) -> Result<Option<TokenRow>> {
        self.read(move |conn| row(conn, concat!(token_query!(), "where digest = ?1"), [digest.0], token)).await
    }

    async fn tokens(&self, namespace: Option<&Namespace>) -> Result<Vec<TokenRow>> {
        let namespace = namespace.map(ToString::to_string);
        let sql = concat!(
            token_query!(),
            "where ?2 is null or namespace = ?2 order by revoked_at is not null, revoked_at desc, name limit ?1"
        );
        self.read(move |conn| rows(conn, sql, (TOLD, namespace), token)).await
    }

    async fn tokens_named(&self, name: &str) -> Result<Vec<TokenRow>> {
        let name = name.to_owned();
        let sql = concat!(token_query!(), "where name = ?1 and revoked_at is null order by namespace");
        self.read(move |conn| rows(conn, sql, [name], token)).await
    }

    async fn revoke_token(&self, digest: Digest) -> Result<bool> {
        self.change(move |ledger| {
            let sql = "update token set revoked_at = ?2 where digest = ?1 and revoked_at is null";
            Ok(ledger.conn.execute(sql, (digest.0, ledger.now_ms))? > 0)
        })
        .await
    }

    async fn has_tokens(&self) -> Result<bool> {
        self.read(|conn| Ok(row(conn, "select 1 from token limit 1", [], |_| Ok(()))?.is_some())).await
    }
}

fn token(row: &Row<'_>) -> Result<TokenRow> {
    let (expires_at_ms, revoked_at_ms) = (row.get("expires_at")?, row.get("revoked_at")?);
    let namespace = row.get::<_, Option<String>>("namespace")?;
    let namespace = namespace.map(|name| name.parse().map_err(|_| Error::Damaged("a token's namespace".to_owned())));
    Ok(TokenRow {
        digest: digest_of(row, "digest")?,
        name: row.get("name")?,
        role: parse(row, "role")?,
        namespace: namespace.transpose()?,
        created_at_ms: row.get("created_at")?,
        created_by: row.get("created_by")?,
        expires_at_ms,
        revoked_at_ms,
        standing: TokenRow::standing(expires_at_ms, revoked_at_ms, ledger::now_ms()),
    })
}
