//! Secrets, as `schema/0017_secrets.sql` keeps them.

use async_trait::async_trait;
use pawl_domain::namespace::Namespace;
use rusqlite::Row;

use super::{Sqlite, rows};
use crate::secrets::{SecretRow, Secrets, grants_of, grants_text, sealed_of};
use crate::{Error, Result};

macro_rules! secret_query {
    () => {
        "select name, revision, version, key_id, wrapped, sealed, grants, set_at, set_by from secret where namespace = ?1 "
    };
}

#[async_trait]
impl Secrets for Sqlite {
    async fn secrets_named(&self, namespace: &Namespace, names: &[String]) -> Result<Vec<SecretRow>> {
        let names = serde_json::to_string(names).map_err(|error| Error::Refused(super::NAME, error.into()))?;
        let namespace = namespace.to_string();
        let sql = concat!(secret_query!(), "and name in (select value from json_each(?2)) order by name");
        self.read(move |conn| rows(conn, sql, (namespace, names), secret)).await
    }

    async fn secrets(&self, namespace: &Namespace, after: Option<&str>, limit: u32) -> Result<Vec<SecretRow>> {
        let (namespace, after) = (namespace.to_string(), after.unwrap_or_default().to_owned());
        let sql = concat!(secret_query!(), "and name > ?2 and sealed is not null order by name limit ?3");
        self.read(move |conn| rows(conn, sql, (namespace, after, limit), secret)).await
    }

    async fn write_secret(&self, namespace: &Namespace, row: &SecretRow) -> Result<Option<i64>> {
        let (namespace, row) = (namespace.to_string(), row.clone());
        self.change(move |ledger| {
            let before = revision(ledger.conn, &namespace, &row.name)?;
            if before + 1 != row.revision {
                return Ok(None);
            }
            let sql = "insert or replace into secret
                           (namespace, name, revision, version, key_id, wrapped, sealed, grants, set_at, set_by)
                       values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
            let sealed = row.sealed.as_ref();
            let set_at_ms = row.set_at_ms.unwrap_or(ledger.now_ms);
            let values = (
                &namespace,
                &row.name,
                row.revision,
                row.version,
                sealed.map(|sealed| &sealed.key_id),
                sealed.map(|sealed| &sealed.wrapped),
                sealed.map(|sealed| &sealed.bytes),
                grants_text(&row.grants),
                set_at_ms,
                &row.set_by,
            );
            ledger.conn.execute(sql, values)?;
            Ok(Some(set_at_ms))
        })
        .await
    }
}

/// 0 if there is none.
fn revision(conn: &rusqlite::Connection, namespace: &str, name: &str) -> Result<i64> {
    let sql = "select coalesce(max(revision), 0) from secret where namespace = ?1 and name = ?2";
    Ok(conn.query_row(sql, (namespace, name), |row| row.get(0))?)
}

fn secret(row: &Row<'_>) -> Result<SecretRow> {
    Ok(SecretRow {
        name: row.get("name")?,
        revision: row.get("revision")?,
        version: row.get("version")?,
        sealed: sealed_of(row.get("key_id")?, row.get("wrapped")?, row.get("sealed")?)?,
        grants: grants_of(&row.get::<_, String>("grants")?)?,
        set_at_ms: Some(row.get("set_at")?),
        set_by: row.get("set_by")?,
    })
}
