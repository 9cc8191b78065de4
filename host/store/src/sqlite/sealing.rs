//! Keys of payloads, as `schema/0019_sealing.sql` keeps them.

use async_trait::async_trait;
use pawl_base::envelope::Sealed;
use pawl_domain::id::RunId;
use pawl_domain::namespace::Namespace;
use rusqlite::Row;

use super::{Sqlite, parse, row, rows};
use crate::Result;
use crate::runs::no_run;
use crate::sealing::{NamespaceKeyRow, RunKeyRow, Seals, WrappedKey, some_still_run, still_runs};
use crate::secrets::sealed_of;

#[async_trait]
impl Seals for Sqlite {
    async fn namespace_keys(&self, namespace: &Namespace) -> Result<Vec<NamespaceKeyRow>> {
        let namespace = namespace.to_string();
        let sql = "select version, key_id, wrapped, sealed, created_at, created_by, retired_at, erased_at
                   from namespace_key where namespace = ?1 order by version";
        self.read(move |conn| rows(conn, sql, [namespace], namespace_key)).await
    }

    async fn add_namespace_key(
        &self,
        namespace: &Namespace,
        version: u32,
        key: &Sealed,
        created_by: Option<&str>,
    ) -> Result<bool> {
        let (namespace, key, created_by) = (namespace.to_string(), key.clone(), created_by.map(str::to_owned));
        let sql = "insert into namespace_key (namespace, version, key_id, wrapped, sealed, created_at, created_by)
                   values (?1, ?2, ?3, ?4, ?5, ?6, ?7) on conflict do nothing";
        self.change(move |ledger| {
            let row = (namespace, version, key.key_id, key.wrapped, key.bytes, ledger.now_ms, created_by);
            Ok(ledger.conn.execute(sql, row)? > 0)
        })
        .await
    }

    async fn retire_namespace_key(&self, namespace: &Namespace) -> Result<bool> {
        let namespace = namespace.to_string();
        let sql = "update namespace_key set retired_at = ?2
                   where namespace = ?1 and retired_at is null
                     and version = (select max(n.version) from namespace_key n where n.namespace = ?1)";
        self.change(move |ledger| Ok(ledger.conn.execute(sql, (namespace, ledger.now_ms))? > 0)).await
    }

    async fn wrap_namespace_key(
        &self,
        namespace: &Namespace,
        version: u32,
        before: &str,
        key: &Sealed,
    ) -> Result<bool> {
        let (namespace, before, key) = (namespace.to_string(), before.to_owned(), key.clone());
        let sql = "update namespace_key set key_id = ?4, wrapped = ?5, sealed = ?6
                   where namespace = ?1 and version = ?2 and key_id = ?3";
        self.change(move |ledger| {
            Ok(ledger.conn.execute(sql, (namespace, version, before, key.key_id, key.wrapped, key.bytes))? > 0)
        })
        .await
    }

    async fn erase_namespace_keys(&self, namespace: &Namespace) -> Result<u32> {
        let namespace = namespace.clone();
        self.change(move |ledger| {
            let sql = "select 1 from run where namespace = ?1 and status in ('pending', 'running') limit 1";
            if row(ledger.conn, sql, [namespace.as_str()], |_| Ok(()))?.is_some() {
                return Err(some_still_run(&namespace));
            }
            let sql = "update namespace_key set key_id = null, wrapped = null, sealed = null, erased_at = ?2
                       where namespace = ?1 and erased_at is null";
            let erased = ledger.conn.execute(sql, (namespace.as_str(), ledger.now_ms))?;
            Ok(u32::try_from(erased).unwrap_or(u32::MAX))
        })
        .await
    }

    async fn run_key(&self, run: RunId) -> Result<Option<RunKeyRow>> {
        let sql = "select r.namespace, k.version, k.wrapped, n.key_id, n.wrapped as under_wrapped, n.sealed
                   from run_key k join run r on r.id = k.run_id
                   left join namespace_key n on n.namespace = r.namespace and n.version = k.version
                   where k.run_id = ?1";
        self.read(move |conn| row(conn, sql, [run.0], run_key)).await
    }

    async fn erase_run_key(&self, run: RunId) -> Result<bool> {
        self.change(move |ledger| {
            let ended =
                row(ledger.conn, "select ended_at is not null as ended from run where id = ?1", [run.0], |row| {
                    Ok(row.get::<_, bool>("ended")?)
                })?;
            match ended {
                None => return Err(no_run(run)),
                Some(false) => return Err(still_runs(run)),
                Some(true) => {}
            }
            let sql = "update run_key set wrapped = null, erased_at = ?2 where run_id = ?1 and wrapped is not null";
            Ok(ledger.conn.execute(sql, (run.0, ledger.now_ms))? > 0)
        })
        .await
    }
}

fn namespace_key(row: &Row<'_>) -> Result<NamespaceKeyRow> {
    Ok(NamespaceKeyRow {
        version: row.get("version")?,
        sealed: sealed_of(row.get("key_id")?, row.get("wrapped")?, row.get("sealed")?)?,
        created_at_ms: row.get("created_at")?,
        created_by: row.get("created_by")?,
        retired_at_ms: row.get("retired_at")?,
        erased_at_ms: row.get("erased_at")?,
    })
}

fn run_key(row: &Row<'_>) -> Result<RunKeyRow> {
    let version = row.get("version")?;
    Ok(RunKeyRow {
        namespace: parse(row, "namespace")?,
        key: row.get::<_, Option<_>>("wrapped")?.map(|wrapped| WrappedKey { version, wrapped }),
        under: sealed_of(row.get("key_id")?, row.get("under_wrapped")?, row.get("sealed")?)?,
    })
}
