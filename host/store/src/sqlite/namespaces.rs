//! Namespaces, as `schema/0018_namespaces.sql` and `0020_stored_bytes.sql` keep them.

use async_trait::async_trait;
use pawl_domain::id::{Digest, RunId};
use pawl_domain::namespace::Namespace;
use pawl_domain::quota::Quota;
use rusqlite::Row;

use super::{Sqlite, parse, row, rows};
use crate::Result;
use crate::namespaces::{NamespaceRow, Namespaces, with_default};
use crate::stored::Stored as _;

#[async_trait]
impl Namespaces for Sqlite {
    async fn create_namespace(&self, name: &Namespace, created_by: Option<&str>) -> Result<bool> {
        if *name == Namespace::default() {
            return Ok(false);
        }
        let (name, created_by) = (name.to_string(), created_by.map(str::to_owned));
        self.change(move |ledger| {
            let sql = "insert into namespace (name, created_at, created_by) values (?1, ?2, ?3) on conflict do nothing";
            Ok(ledger.conn.execute(sql, (name, ledger.now_ms, created_by))? > 0)
        })
        .await
    }

    async fn namespaces(&self) -> Result<Vec<NamespaceRow>> {
        let sql = "select n.name, n.created_at, n.created_by, q.runs, q.submissions, q.components, q.stored_bytes,
                          s.bytes as stored
                   from namespace n left join quota q on q.namespace = n.name left join stored s on s.namespace = n.name";
        let made = self.read(move |conn| {
            rows(conn, sql, [], |row| {
                Ok(NamespaceRow {
                    name: parse(row, "name")?,
                    created_at_ms: Some(row.get("created_at")?),
                    created_by: row.get("created_by")?,
                    quota: quota_of(row)?,
                    stored_bytes: bytes(row, "stored")?,
                })
            })
        });
        let (made, default) = (made.await?, Namespace::default());
        Ok(with_default(made, self.quota(&default).await?, self.stored_bytes(&default).await?))
    }

    async fn quota(&self, namespace: &Namespace) -> Result<Quota> {
        let namespace = namespace.to_string();
        let sql = "select runs, submissions, components, stored_bytes from quota where namespace = ?1";
        Ok(self.read(move |conn| row(conn, sql, [namespace], quota_of)).await?.unwrap_or_default())
    }

    async fn set_quota(&self, namespace: &Namespace, quota: Quota) -> Result<bool> {
        let namespace = namespace.to_string();
        let Quota { runs, submissions, components, stored_bytes } = quota;
        let stored_bytes = stored_bytes.map(|most| i64::try_from(most).unwrap_or(i64::MAX));
        self.change(move |ledger| {
            let sql =
                "insert into quota (namespace, runs, submissions, components, stored_bytes) values (?1, ?2, ?3, ?4, ?5)
                       on conflict (namespace) do update set
                           runs = excluded.runs, submissions = excluded.submissions, components = excluded.components,
                           stored_bytes = excluded.stored_bytes
                       where (runs, submissions, components, stored_bytes)
                             is not (excluded.runs, excluded.submissions, excluded.components, excluded.stored_bytes)";
            Ok(ledger.conn.execute(sql, (namespace, runs, submissions, components, stored_bytes))? > 0)
        })
        .await
    }

    async fn runs_in_flight(&self, namespace: &Namespace, most: u32) -> Result<u32> {
        let namespace = namespace.to_string();
        let sql = "select count(*) from (
                       select 1 from run where namespace = ?1 and status in ('pending', 'running') limit ?2)";
        self.read(move |conn| Ok(conn.query_row(sql, (namespace, most), |row| row.get(0))?)).await
    }

    async fn components_of(&self, namespace: &Namespace) -> Result<u32> {
        let namespace = namespace.to_string();
        let sql = "select count(distinct digest) from plugin_version where namespace = ?1";
        self.read(move |conn| Ok(conn.query_row(sql, [namespace], |row| row.get(0))?)).await
    }

    async fn namespace_of(&self, run: RunId) -> Result<Option<Namespace>> {
        let sql = "select namespace from run where id = ?1";
        self.read(move |conn| row(conn, sql, [run.0], |row| parse(row, "namespace"))).await
    }

    async fn is_component_of(&self, namespace: &Namespace, component: Digest) -> Result<bool> {
        let namespace = namespace.to_string();
        let sql = "select 1 from plugin_version where digest = ?2 and namespace = ?1 limit 1";
        self.read(move |conn| Ok(row(conn, sql, (namespace, component.0), |_| Ok(()))?.is_some())).await
    }
}

fn quota_of(row: &Row<'_>) -> Result<Quota> {
    Ok(Quota {
        runs: row.get("runs")?,
        submissions: row.get("submissions")?,
        components: row.get("components")?,
        stored_bytes: bytes(row, "stored_bytes")?,
    })
}

fn bytes(row: &Row<'_>, column: &str) -> Result<Option<u64>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(i64::unsigned_abs))
}
