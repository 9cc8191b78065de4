//! Plugins: names with versions, each a component; one version is active. A version never changes.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use pawl_domain::id::{Digest, StepNo};
use pawl_domain::namespace::Namespace;
use pawl_domain::pipeline_file::{KnownPlugin, KnownPlugins};
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::components::{insert_component, time_for};
use super::{Postgres, digest_of};
use crate::plugins::{
    EARLIER_VERSIONS, FirstSteps, NewVersion, PluginRow, Plugins, PushedVersion, VersionRow, missing_version,
    no_plugin, no_version, nothing_before, other_bytes,
};
use crate::{Error, Result, within};

/// Makes a version the active one, if there is such a version; returns the one that was active before.
const ACTIVATE: &str = "
    with before as (
        select p.namespace, p.name, p.active_version from plugin p
        where p.namespace = $1 and p.name = $2 and exists (
            select from plugin_version v where v.namespace = $1 and v.name = $2 and v.version = $3)
        for no key update
    )
    update plugin p set
        active_version = $3,
        previous_version = case when p.active_version = $3 then p.previous_version else p.active_version end,
        earlier_versions = case
            when p.active_version = $3 or p.previous_version is null then p.earlier_versions
            else (p.earlier_versions || p.previous_version)[greatest(1, cardinality(p.earlier_versions) + 2 - $4):]
        end
    from before b where p.namespace = b.namespace and p.name = b.name returning b.active_version";

#[async_trait]
impl Plugins for Postgres {
    async fn push_version(&self, new: NewVersion<'_>) -> Result<PushedVersion> {
        let time = time_for(new.bytes.len());
        within(time, self.push_with_patience(new, time)).await
    }

    async fn activate(&self, namespace: &Namespace, name: &str, version: &str) -> Result<Option<String>> {
        let previous: Option<Option<String>> = sqlx::query_scalar(ACTIVATE)
            .bind(namespace.as_str())
            .bind(name)
            .bind(version)
            .bind(EARLIER_VERSIONS)
            .fetch_optional(&self.pool)
            .await?;
        match previous {
            Some(previous) => Ok(previous),
            None => Err(missing_version(&self.known_plugins(namespace).await?, name, version)),
        }
    }

    async fn rollback(&self, namespace: &Namespace, name: &str) -> Result<(String, String)> {
        let gone_back: Option<(String, String)> = sqlx::query_as(
            "with before as (
                 select namespace, name, active_version from plugin
                 where namespace = $1 and name = $2 and previous_version is not null
                 for no key update
             )
             update plugin p set
                 active_version = p.previous_version,
                 previous_version = p.earlier_versions[cardinality(p.earlier_versions)],
                 earlier_versions = p.earlier_versions[:cardinality(p.earlier_versions) - 1]
             from before b where p.namespace = b.namespace and p.name = b.name
             returning p.active_version, b.active_version",
        )
        .bind(namespace.as_str())
        .bind(name)
        .fetch_optional(&self.pool)
        .await?;
        match gone_back {
            Some(gone_back) => Ok(gone_back),
            None => Err(nothing_before(&self.known_plugins(namespace).await?, name)),
        }
    }

    async fn plugins(&self, namespace: &Namespace, only: Option<&str>) -> Result<Vec<PluginRow>> {
        let rows = sqlx::query(
            "select p.name, p.active_version, p.previous_version, p.earlier_versions, v.version, v.digest, v.manifest,
                    octet_length(c.bytes)::bigint as size_bytes,
                    (extract(epoch from v.created_at) * 1000)::bigint as created_at_ms
             from plugin p
             join plugin_version v on v.namespace = p.namespace and v.name = p.name
             join component c on c.digest = v.digest
             where p.namespace = $1 and ($2::text is null or p.name = $2)
             order by p.name, v.created_at desc, v.version desc",
        )
        .bind(namespace.as_str())
        .bind(only)
        .fetch_all(&self.pool)
        .await?;
        let mut plugins: Vec<PluginRow> = Vec::new();
        for row in rows {
            let name: String = row.try_get("name")?;
            if plugins.last().is_none_or(|plugin| plugin.name != name) {
                plugins.push(PluginRow {
                    name,
                    active_version: row.try_get("active_version")?,
                    previous_version: row.try_get("previous_version")?,
                    earlier_versions: row.try_get("earlier_versions")?,
                    versions: Vec::new(),
                });
            }
            let version = VersionRow {
                version: row.try_get("version")?,
                digest: digest_of(&row, "digest")?,
                size_bytes: row.try_get::<i64, _>("size_bytes")?.cast_unsigned(),
                manifest: row.try_get("manifest")?,
                created_at_ms: row.try_get("created_at_ms")?,
            };
            plugins.last_mut().expect("one was pushed above").versions.push(version);
        }
        Ok(plugins)
    }

    async fn unknown_plugin(&self, namespace: &Namespace, name: &str) -> Error {
        self.known_plugins(namespace).await.map_or_else(|error| error, |known| no_plugin(&known, name))
    }

    async fn known_plugins(&self, namespace: &Namespace) -> Result<KnownPlugins> {
        let rows = sqlx::query(
            "select p.name, p.active_version is not null as has_active,
                    array_agg(v.version order by v.version) as versions
             from plugin p join plugin_version v on v.namespace = p.namespace and v.name = p.name
             where p.namespace = $1
             group by p.namespace, p.name",
        )
        .bind(namespace.as_str())
        .fetch_all(&self.pool)
        .await?;
        let mut plugins = BTreeMap::new();
        for row in rows {
            let versions: Vec<String> = row.try_get("versions")?;
            let plugin =
                KnownPlugin { versions: versions.into_iter().collect(), has_active: row.try_get("has_active")? };
            plugins.insert(row.try_get("name")?, plugin);
        }
        Ok(KnownPlugins(plugins))
    }

    async fn component_of(&self, namespace: &Namespace, name: &str, version: Option<&str>) -> Result<Digest> {
        let row = sqlx::query(
            "select v.digest from plugin p join plugin_version v on v.namespace = p.namespace and v.name = p.name
             where p.namespace = $1 and p.name = $2 and v.version = coalesce($3, p.active_version)",
        )
        .bind(namespace.as_str())
        .bind(name)
        .bind(version)
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| digest_of(&row, "digest")).transpose()?.ok_or_else(|| no_version(name, version))
    }

    async fn first_steps(&self, namespace: &Namespace, pipeline: &str) -> Result<Option<FirstSteps>> {
        let rows = sqlx::query(
            "select p.digest as pipeline, t.step_no, v.digest
             from pipeline p
             join pipeline_step t on t.digest = p.digest and cardinality(t.needs) = 0
             join plugin u on u.namespace = p.namespace and u.name = t.plugin
             join plugin_version v on v.namespace = u.namespace and v.name = u.name
                                  and v.version = coalesce(t.version, u.active_version)
             where p.namespace = $1 and p.name = $2 order by t.step_no",
        )
        .bind(namespace.as_str())
        .bind(pipeline)
        .fetch_all(&self.pool)
        .await?;
        let Some(first) = rows.first() else { return Ok(None) };
        let pipeline = digest_of(first, "pipeline")?;
        let component = |row| -> Result<_> { Ok((StepNo(PgRow::try_get(row, "step_no")?), digest_of(row, "digest")?)) };
        Ok(Some(FirstSteps { pipeline, components: rows.iter().map(component).collect::<Result<_>>()? }))
    }

    async fn manifest(&self, component: Digest) -> Result<Option<Vec<u8>>> {
        let manifest = sqlx::query_scalar("select manifest from plugin_version where digest = $1 limit 1")
            .bind(&component.0[..])
            .fetch_optional(&self.pool)
            .await?;
        Ok(manifest)
    }

    async fn has_component(&self, digest: Digest) -> Result<bool> {
        let found = sqlx::query_scalar("select exists (select from component where digest = $1)")
            .bind(&digest.0[..])
            .fetch_one(&self.pool)
            .await?;
        Ok(found)
    }
}

impl Postgres {
    async fn push_with_patience(&self, new: NewVersion<'_>, time: Duration) -> Result<PushedVersion> {
        let mut transaction = self.patient(time).await?;
        insert_component(&mut transaction, new.digest, new.bytes).await?;
        let named = "insert into plugin (namespace, name) values ($1, $2) on conflict (namespace, name) do nothing";
        sqlx::query(named).bind(new.namespace.as_str()).bind(new.name).execute(&mut *transaction).await?;
        let inserted = sqlx::query(
            "insert into plugin_version (namespace, name, version, digest, manifest) values ($1, $2, $3, $4, $5)
             on conflict (namespace, name, version) do nothing",
        )
        .bind(new.namespace.as_str())
        .bind(new.name)
        .bind(new.version)
        .bind(&new.digest.0[..])
        .bind(new.manifest)
        .execute(&mut *transaction)
        .await?;
        // After the insert, so that it sees what another push has committed in the meantime.
        let row = sqlx::query(
            "select v.digest, p.active_version = v.version as active
             from plugin_version v join plugin p on p.namespace = v.namespace and p.name = v.name
             where v.namespace = $1 and v.name = $2 and v.version = $3",
        )
        .bind(new.namespace.as_str())
        .bind(new.name)
        .bind(new.version)
        .fetch_one(&mut *transaction)
        .await?;
        let stored = digest_of(&row, "digest")?;
        if stored != new.digest {
            return Err(other_bytes(&new, stored));
        }
        if new.activate {
            sqlx::query(ACTIVATE)
                .bind(new.namespace.as_str())
                .bind(new.name)
                .bind(new.version)
                .bind(EARLIER_VERSIONS)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        let was_active = row.try_get::<Option<bool>, _>("active")?.unwrap_or(false);
        Ok(PushedVersion { created: inserted.rows_affected() == 1, active: new.activate || was_active })
    }
}
