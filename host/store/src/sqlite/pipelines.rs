//! Pipelines: names that point to versions. A version never changes; runs keep the one they began with.

use std::collections::BTreeSet;

use async_trait::async_trait;
use pawl_domain::id::Digest;
use pawl_domain::namespace::Namespace;
use pawl_domain::pipeline::Pipeline;

use super::ledger::read_pipeline;
use super::{Sqlite, digest_of, row, rows, texts};
use crate::pipelines::{
    PipelineRow, Pipelines, REMEMBERED, Tenure, check_plugins, earlier_of, no_pipeline, pipeline_of, retention_text,
};
use crate::{Error, Result};

#[async_trait]
impl Pipelines for Sqlite {
    async fn apply_pipeline(&self, namespace: &Namespace, pipeline: &Pipeline) -> Result<bool> {
        let (namespace, pipeline) = (namespace.clone(), pipeline.clone());
        self.change(move |ledger| {
            let sql = "select name from plugin where namespace = ?1";
            check_plugins(&pipeline, &rows(ledger.conn, sql, [namespace.as_str()], |row| Ok(row.get("name")?))?)?;
            let (digest, steps) = (pipeline.digest(), pipeline.steps.len() as i64);
            ledger.conn.execute(
                "insert into pipeline_version (digest, name, spec, steps, created_at, last_named_at, retention)
                 values (?1, ?2, ?3, ?4, ?5, ?5, ?6) on conflict (digest) do nothing",
                (
                    &digest.0[..],
                    &pipeline.name,
                    pipeline.canonical(),
                    steps,
                    ledger.now_ms,
                    retention_text(&pipeline.retention),
                ),
            )?;
            let changed = ledger.conn.execute(
                "insert into pipeline (namespace, name, digest, updated_at) values (?1, ?2, ?3, ?4)
                 on conflict (namespace, name) do update set
                     digest = excluded.digest, updated_at = excluded.updated_at,
                     earlier_versions = json_insert(earlier_versions, '$[#]', updated_at || ' ' || lower(hex(digest)))
                 where pipeline.digest <> excluded.digest",
                (namespace.as_str(), &pipeline.name, &digest.0[..], ledger.now_ms),
            )?;
            ledger.conn.execute(
                "update pipeline set earlier_versions = json_remove(earlier_versions, '$[0]')
                 where namespace = ?1 and name = ?2 and json_array_length(earlier_versions) > ?3",
                (namespace.as_str(), &pipeline.name, REMEMBERED),
            )?;
            Ok(changed == 1)
        })
        .await
    }

    async fn pipelines(&self, namespace: &Namespace) -> Result<Vec<PipelineRow>> {
        let namespace = namespace.clone();
        self.read(move |conn| {
            let sql = "select p.name, p.digest, p.updated_at, v.steps
                       from pipeline p join pipeline_version v on v.digest = p.digest
                       where p.namespace = ?1 order by p.name";
            rows(conn, sql, [namespace.as_str()], pipeline_row)
        })
        .await
    }

    async fn pipeline(&self, namespace: &Namespace, name: &str) -> Result<(PipelineRow, Pipeline)> {
        let asked = (namespace.to_string(), name.to_owned());
        let found = self.read(move |conn| {
            let sql = "select p.name, p.digest, p.updated_at, v.steps, v.spec
                       from pipeline p join pipeline_version v on v.digest = p.digest
                       where p.namespace = ?1 and p.name = ?2";
            row(conn, sql, asked, |row| Ok((pipeline_row(row)?, row.get::<_, Vec<u8>>("spec")?)))
        });
        match found.await? {
            Some((summary, spec)) => Ok((summary.clone(), pipeline_of(summary.digest, spec)?)),
            None => Err(self.unknown_pipeline(namespace, name).await),
        }
    }

    async fn tenures(&self, namespace: &Namespace, name: &str) -> Result<Vec<Tenure>> {
        let asked = (namespace.to_string(), name.to_owned());
        let found = self.read(move |conn| {
            let sql = "select digest, updated_at, earlier_versions from pipeline where namespace = ?1 and name = ?2";
            let known = row(conn, sql, asked, |row| {
                let now = (row.get::<_, i64>("updated_at")?, digest_of(row, "digest")?);
                Ok((now, texts(row, "earlier_versions")?))
            })?;
            let Some((now, earlier)) = known else { return Ok(None) };
            let mut tenures = Vec::new();
            for (since_ms, digest) in
                std::iter::once(now).chain(earlier.iter().rev().filter_map(|text| earlier_of(text)))
            {
                let sql = "select steps from pipeline_version where digest = ?1";
                let steps = row(conn, sql, [&digest.0[..]], |row| Ok(row.get("steps")?))?;
                tenures.extend(steps.map(|step_count| Tenure { digest, step_count, since_ms }));
            }
            Ok(Some(tenures))
        });
        match found.await? {
            Some(tenures) => Ok(tenures),
            None => Err(self.unknown_pipeline(namespace, name).await),
        }
    }

    async fn named_queues(&self) -> Result<Vec<String>> {
        self.read(move |conn| {
            let sql = "select distinct digest from pipeline";
            let mut queues = BTreeSet::new();
            for digest in rows(conn, sql, [], |row| digest_of(row, "digest"))? {
                queues.extend(read_pipeline(conn, digest)?.steps.into_iter().map(|step| step.queue));
            }
            Ok(queues.into_iter().collect())
        })
        .await
    }

    async fn unknown_pipeline(&self, namespace: &Namespace, name: &str) -> Error {
        let namespace = namespace.to_string();
        let known = self.read(move |conn| {
            rows(conn, "select name from pipeline where namespace = ?1", [namespace], |row| Ok(row.get("name")?))
        });
        no_pipeline(name, &known.await.unwrap_or_default())
    }

    async fn pipeline_version(&self, digest: Digest) -> Result<Pipeline> {
        self.read(move |conn| read_pipeline(conn, digest)).await
    }
}

fn pipeline_row(row: &rusqlite::Row<'_>) -> Result<PipelineRow> {
    Ok(PipelineRow {
        name: row.get("name")?,
        digest: digest_of(row, "digest")?,
        step_count: row.get("steps")?,
        updated_at_ms: row.get("updated_at")?,
    })
}
