//! Pipelines: names that point to versions. A version never changes; runs keep the one they began with.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use pawl_domain::id::{Digest, StepNo};
use pawl_domain::namespace::Namespace;
use pawl_domain::pipeline::{Pipeline, StepSpec};
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};

use super::components::time_for;
use super::{Postgres, digest_of};
use crate::pipelines::{
    PipelineRow, Pipelines, REMEMBERED, Tenure, check_plugins, earlier_of, no_pipeline, pipeline_of, retention_text,
};
use crate::{Error, Result, within};

#[async_trait]
impl Pipelines for Postgres {
    async fn apply_pipeline(&self, namespace: &Namespace, pipeline: &Pipeline) -> Result<bool> {
        let time = time_for(pipeline.canonical().len());
        within(time, self.apply_with_patience(namespace, pipeline, time)).await
    }

    async fn pipelines(&self, namespace: &Namespace) -> Result<Vec<PipelineRow>> {
        let rows = sqlx::query(
            "select p.name, p.digest, (extract(epoch from p.updated_at) * 1000)::bigint as updated_at_ms,
                    v.steps as step_count
             from pipeline p join pipeline_version v on v.digest = p.digest
             where p.namespace = $1 order by p.name",
        );
        rows.bind(namespace.as_str()).fetch_all(&self.pool).await?.iter().map(pipeline_row).collect()
    }

    async fn pipeline(&self, namespace: &Namespace, name: &str) -> Result<(PipelineRow, Pipeline)> {
        let row = sqlx::query(
            "select p.name, p.digest, (extract(epoch from p.updated_at) * 1000)::bigint as updated_at_ms,
                    v.steps as step_count, v.spec
             from pipeline p join pipeline_version v on v.digest = p.digest
             where p.namespace = $1 and p.name = $2",
        )
        .bind(namespace.as_str())
        .bind(name)
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Err(self.unknown_pipeline(namespace, name).await) };
        let summary = pipeline_row(&row)?;
        let pipeline = pipeline_of(summary.digest, row.try_get("spec")?)?;
        Ok((summary, pipeline))
    }

    async fn tenures(&self, namespace: &Namespace, name: &str) -> Result<Vec<Tenure>> {
        let row = sqlx::query(
            "select digest, (extract(epoch from updated_at) * 1000)::bigint as updated_at_ms, earlier_versions
             from pipeline where namespace = $1 and name = $2",
        )
        .bind(namespace.as_str())
        .bind(name)
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Err(self.unknown_pipeline(namespace, name).await) };
        let earlier: Vec<String> = row.try_get("earlier_versions")?;
        let mut tenures = vec![(row.try_get("updated_at_ms")?, digest_of(&row, "digest")?)];
        tenures.extend(earlier.iter().rev().filter_map(|text| earlier_of(text)));
        let rows = sqlx::query("select digest, steps from pipeline_version where digest = any($1)")
            .bind(tenures.iter().map(|(_, digest)| &digest.0[..]).collect::<Vec<_>>())
            .fetch_all(&self.pool)
            .await?;
        let steps = |row: &PgRow| -> Result<_> {
            Ok((digest_of(row, "digest")?, row.try_get::<i32, _>("steps")?.cast_unsigned()))
        };
        let steps: HashMap<Digest, u32> = rows.iter().map(steps).collect::<Result<_>>()?;
        let known = |(since_ms, digest)| Some(Tenure { digest, step_count: *steps.get(&digest)?, since_ms });
        Ok(tenures.into_iter().filter_map(known).collect())
    }

    async fn named_queues(&self) -> Result<Vec<String>> {
        let queues = sqlx::query_scalar(
            "select distinct s.queue from pipeline p join pipeline_step s on s.digest = p.digest order by s.queue",
        );
        Ok(queues.fetch_all(&self.pool).await?)
    }

    async fn unknown_pipeline(&self, namespace: &Namespace, name: &str) -> Error {
        let known = sqlx::query_scalar("select name from pipeline where namespace = $1").bind(namespace.as_str());
        no_pipeline(name, &known.fetch_all(&self.pool).await.unwrap_or_default())
    }

    async fn pipeline_version(&self, digest: Digest) -> Result<Pipeline> {
        let spec: Option<Vec<u8>> = sqlx::query_scalar("select spec from pipeline_version where digest = $1")
            .bind(&digest.0[..])
            .fetch_optional(&self.pool)
            .await?;
        pipeline_of(digest, spec.ok_or_else(|| Error::NotFound(format!("there is no pipeline version {digest}")))?)
    }
}

impl Postgres {
    async fn apply_with_patience(&self, namespace: &Namespace, pipeline: &Pipeline, time: Duration) -> Result<bool> {
        let digest = pipeline.digest();
        let mut transaction = self.patient(time).await?;
        // Locked until the commit: a plugin that a current version needs is not taken away meanwhile.
        let known: Vec<String> = sqlx::query_scalar(
            "select name from plugin where namespace = $1 and name = any($2) order by name for key share",
        )
        .bind(namespace.as_str())
        .bind(pipeline.steps.iter().map(|step| step.plugin.as_str()).collect::<Vec<_>>())
        .fetch_all(&mut *transaction)
        .await?;
        check_plugins(pipeline, &known)?;
        // Locked until the commit: one that nothing named any more is not deleted meanwhile.
        let is_new: bool = sqlx::query_scalar(
            "insert into pipeline_version (digest, name, spec, steps, versions, retention) values ($1, $2, $3, $4, $5, $6)
             on conflict (digest) do update set last_named_at = clock_timestamp() returning xmax = 0",
        )
        .bind(&digest.0[..])
        .bind(&pipeline.name)
        .bind(pipeline.canonical())
        .bind(i32::try_from(pipeline.steps.len()).unwrap_or(i32::MAX))
        .bind(pipeline.versions.as_str())
        .bind(retention_text(&pipeline.retention))
        .fetch_one(&mut *transaction)
        .await?;
        if is_new {
            insert_steps(&mut transaction, pipeline, digest).await?;
        }
        let changed = sqlx::query(
            "insert into pipeline (namespace, name, digest) values ($1, $2, $3)
             on conflict (namespace, name) do update set
                 digest = excluded.digest, updated_at = now(),
                 earlier_versions = (pipeline.earlier_versions
                     || ((extract(epoch from pipeline.updated_at) * 1000)::bigint || ' ' || encode(pipeline.digest, 'hex'))
                 )[greatest(1, cardinality(pipeline.earlier_versions) + 2 - $4):]
             where pipeline.digest <> excluded.digest",
        )
        .bind(namespace.as_str())
        .bind(&pipeline.name)
        .bind(&digest.0[..])
        .bind(REMEMBERED)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(changed.rows_affected() == 1)
    }
}

/// The rows that server-side functions decide with. Edges come as texts of arrays, since SQL has no ragged ones, and are
/// joined to nothing: without statistics a join of 10,000 steps compares each with each.
async fn insert_steps(transaction: &mut PgConnection, pipeline: &Pipeline, digest: Digest) -> Result<()> {
    let column = |of: fn(&StepSpec) -> &str| pipeline.steps.iter().map(of).collect::<Vec<_>>();
    sqlx::query(
        "insert into pipeline_step (digest, step_no, plugin, version, queue, priority, needs, successors)
         select $1, s.place - 1, s.plugin, s.version, s.queue, s.priority, s.needs::int[], s.successors::int[]
         from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[]) with ordinality
             as s (plugin, version, queue, priority, needs, successors, place)",
    )
    .bind(&digest.0[..])
    .bind(column(|step| &step.plugin))
    .bind(pipeline.steps.iter().map(|step| step.version.as_deref()).collect::<Vec<_>>())
    .bind(column(|step| &step.queue))
    .bind(column(|step| step.priority.as_str()))
    .bind(pipeline.steps.iter().map(|step| array_text(&step.needs)).collect::<Vec<_>>())
    .bind(pipeline.successors().iter().map(|steps| array_text(steps)).collect::<Vec<_>>())
    .execute(transaction)
    .await?;
    Ok(())
}

/// An array of integers as Postgres reads it.
fn array_text(steps: &[StepNo]) -> String {
    let numbers: Vec<_> = steps.iter().map(|step| step.0.to_string()).collect();
    format!("{{{}}}", numbers.join(","))
}

fn pipeline_row(row: &PgRow) -> Result<PipelineRow> {
    Ok(PipelineRow {
        name: row.try_get("name")?,
        digest: digest_of(row, "digest")?,
        step_count: row.try_get::<i32, _>("step_count")?.cast_unsigned(),
        updated_at_ms: row.try_get("updated_at_ms")?,
    })
}
