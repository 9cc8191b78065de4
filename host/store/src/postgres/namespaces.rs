//! Namespaces, as `migrations/0043_namespaces.sql` and `0045_stored_bytes.sql` keep them.

use async_trait::async_trait;
use pawl_domain::id::{Digest, RunId};
use pawl_domain::namespace::Namespace;
use pawl_domain::quota::Quota;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::{Postgres, parse};
use crate::Result;
use crate::namespaces::{NamespaceRow, Namespaces, with_default};
use crate::stored::Stored as _;

#[async_trait]
impl Namespaces for Postgres {
    async fn create_namespace(&self, name: &Namespace, created_by: Option<&str>) -> Result<bool> {
        if *name == Namespace::default() {
            return Ok(false);
        }
        let sql = "insert into namespace (name, created_by) values ($1, $2) on conflict do nothing";
        Ok(sqlx::query(sql).bind(name.as_str()).bind(created_by).execute(&self.pool).await?.rows_affected() > 0)
    }

    async fn namespaces(&self) -> Result<Vec<NamespaceRow>> {
        let sql = "select n.name, n.created_by, (extract(epoch from n.created_at) * 1000)::bigint as created_at_ms,
                          q.runs, q.submissions, q.components, q.stored_bytes, s.run_bytes + s.component_bytes as stored
                   from namespace n left join quota q on q.namespace = n.name left join stored s on s.namespace = n.name";
        let made = sqlx::query(sql).fetch_all(&self.pool).await?;
        let row = |row: &PgRow| {
            Ok(NamespaceRow {
                name: parse(row, "name")?,
                created_at_ms: Some(row.try_get("created_at_ms")?),
                created_by: row.try_get("created_by")?,
                quota: quota_of(row)?,
                stored_bytes: bytes(row, "stored")?,
            })
        };
        let made = made.iter().map(row).collect::<Result<_>>()?;
        let default = Namespace::default();
        Ok(with_default(made, self.quota(&default).await?, self.stored_bytes(&default).await?))
    }

    async fn quota(&self, namespace: &Namespace) -> Result<Quota> {
        let query = sqlx::query("select runs, submissions, components, stored_bytes from quota where namespace = $1");
        let row = query.bind(namespace.as_str()).fetch_optional(&self.pool).await?;
        row.as_ref().map_or_else(|| Ok(Quota::default()), quota_of)
    }

    async fn set_quota(&self, namespace: &Namespace, quota: Quota) -> Result<bool> {
        let most = |most: Option<u32>| most.map(|most| i32::try_from(most).unwrap_or(i32::MAX));
        let query = sqlx::query(
            "insert into quota as q (namespace, runs, submissions, components, stored_bytes) values ($1, $2, $3, $4, $5)
             on conflict (namespace) do update set
                 runs = excluded.runs, submissions = excluded.submissions, components = excluded.components,
                 stored_bytes = excluded.stored_bytes
             where (q.runs, q.submissions, q.components, q.stored_bytes)
                   is distinct from (excluded.runs, excluded.submissions, excluded.components, excluded.stored_bytes)",
        );
        let query = query.bind(namespace.as_str()).bind(most(quota.runs)).bind(most(quota.submissions));
        let stored_bytes = quota.stored_bytes.map(|most| i64::try_from(most).unwrap_or(i64::MAX));
        let query = query.bind(most(quota.components)).bind(stored_bytes);
        Ok(query.execute(&self.pool).await?.rows_affected() > 0)
    }

    async fn runs_in_flight(&self, namespace: &Namespace, most: u32) -> Result<u32> {
        let sql = "select count(*)::int from (
                       select from run where namespace = $1 and status in ('pending', 'running') limit $2) as r";
        let query = sqlx::query_scalar::<_, i32>(sql).bind(namespace.as_str()).bind(i64::from(most));
        Ok(query.fetch_one(&self.pool).await?.cast_unsigned())
    }

    async fn components_of(&self, namespace: &Namespace) -> Result<u32> {
        let sql = "select count(distinct digest)::int from plugin_version where namespace = $1";
        let query = sqlx::query_scalar::<_, i32>(sql).bind(namespace.as_str());
        Ok(query.fetch_one(&self.pool).await?.cast_unsigned())
    }

    async fn namespace_of(&self, run: RunId) -> Result<Option<Namespace>> {
        let query = sqlx::query("select namespace from run where id = $1").bind(run.0);
        query.fetch_optional(&self.pool).await?.as_ref().map(|row| parse(row, "namespace")).transpose()
    }

    async fn is_component_of(&self, namespace: &Namespace, component: Digest) -> Result<bool> {
        let sql = "select exists (select from plugin_version where digest = $2 and namespace = $1)";
        Ok(sqlx::query_scalar(sql).bind(namespace.as_str()).bind(component.0.as_slice()).fetch_one(&self.pool).await?)
    }
}

fn quota_of(row: &PgRow) -> Result<Quota> {
    let most = |column| Ok::<_, crate::Error>(row.try_get::<Option<i32>, _>(column)?.map(i32::cast_unsigned));
    Ok(Quota {
        runs: most("runs")?,
        submissions: most("submissions")?,
        components: most("components")?,
        stored_bytes: bytes(row, "stored_bytes")?,
    })
}

fn bytes(row: &PgRow, column: &str) -> Result<Option<u64>> {
    Ok(row.try_get::<Option<i64>, _>(column)?.and_then(|bytes| u64::try_from(bytes).ok()))
}
