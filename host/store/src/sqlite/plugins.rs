//! Plugins: names with versions, each a component; one version is active.

use std::collections::BTreeMap;

use async_trait::async_trait;
use pawl_domain::id::Digest;
use pawl_domain::namespace::Namespace;
use pawl_domain::pipeline_file::{KnownPlugin, KnownPlugins};
use rusqlite::Connection;

use super::ledger::read_pipeline;
use super::readiness::NEXT_WANTED;
use super::{Sqlite, digest_of, row, rows, texts};
use crate::plugins::{
    EARLIER_VERSIONS, FirstSteps, NewVersion, PluginRow, Plugins, PushedVersion, VersionRow, missing_version,
    no_plugin, no_version, nothing_before, other_bytes,
};
use crate::{Error, Result};

#[async_trait]
impl Plugins for Sqlite {
    async fn push_version(&self, new: NewVersion<'_>) -> Result<PushedVersion> {
        let (namespace, name, version) = (new.namespace.clone(), new.name.to_owned(), new.version.to_owned());
        let (bytes, manifest) = (new.bytes.to_vec(), new.manifest.to_vec());
        let (digest, activate) = (new.digest, new.activate);
        self.change(move |ledger| {
            let new = NewVersion {
                namespace: &namespace,
                name: &name,
                version: &version,
                digest,
                bytes: &bytes,
                manifest: &manifest,
                activate,
            };
            push(ledger.conn, ledger.now_ms, &new)
        })
        .await
    }

    async fn activate(&self, namespace: &Namespace, name: &str, version: &str) -> Result<Option<String>> {
        let (namespace, name, version) = (namespace.clone(), name.to_owned(), version.to_owned());
        self.change(move |ledger| {
            let sql = "select p.active_version
                       from plugin p join plugin_version v on v.namespace = p.namespace and v.name = p.name
                       where p.namespace = ?1 and p.name = ?2 and v.version = ?3";
            let asked = (namespace.as_str(), &name, &version);
            match row(ledger.conn, sql, asked, |row| Ok(row.get::<_, Option<String>>(0)?))? {
                Some(previous) => {
                    make_active(ledger.conn, &namespace, &name, &version)?;
                    Ok(previous)
                }
                None => Err(missing_version(&known(ledger.conn, &namespace)?, &name, &version)),
            }
        })
        .await
    }

    async fn rollback(&self, namespace: &Namespace, name: &str) -> Result<(String, String)> {
        let (namespace, name) = (namespace.clone(), name.to_owned());
        self.change(move |ledger| {
            let sql = "select previous_version, active_version from plugin
                       where namespace = ?1 and name = ?2 and previous_version is not null";
            let asked = (namespace.as_str(), &name);
            let Some(gone_back) = row(ledger.conn, sql, asked, |row| Ok((row.get(0)?, row.get(1)?)))? else {
                return Err(nothing_before(&known(ledger.conn, &namespace)?, &name));
            };
            ledger.conn.execute(
                "update plugin set active_version = previous_version,
                     previous_version = json_extract(earlier_versions, '$[#-1]'),
                     earlier_versions = json_remove(earlier_versions, '$[#-1]')
                 where namespace = ?1 and name = ?2",
                asked,
            )?;
            Ok(gone_back)
        })
        .await
    }

    async fn plugins(&self, namespace: &Namespace, only: Option<&str>) -> Result<Vec<PluginRow>> {
        let (namespace, only) = (namespace.clone(), only.map(str::to_owned));
        self.read(move |conn| plugins(conn, &namespace, only.as_deref())).await
    }

    async fn unknown_plugin(&self, namespace: &Namespace, name: &str) -> Error {
        self.known_plugins(namespace).await.map_or_else(|error| error, |known| no_plugin(&known, name))
    }

    async fn known_plugins(&self, namespace: &Namespace) -> Result<KnownPlugins> {
        let namespace = namespace.clone();
        self.read(move |conn| known(conn, &namespace)).await
    }

    async fn component_of(&self, namespace: &Namespace, name: &str, version: Option<&str>) -> Result<Digest> {
        let (namespace, name, version) = (namespace.clone(), name.to_owned(), version.map(str::to_owned));
        self.read(move |conn| {
            let found = component_of(conn, &namespace, &name, version.as_deref())?;
            found.ok_or_else(|| no_version(&name, version.as_deref()))
        })
        .await
    }

    async fn first_steps(&self, namespace: &Namespace, pipeline: &str) -> Result<Option<FirstSteps>> {
        let (namespace, pipeline) = (namespace.clone(), pipeline.to_owned());
        self.read(move |conn| first_steps(conn, &namespace, &pipeline)).await
    }

    async fn manifest(&self, component: Digest) -> Result<Option<Vec<u8>>> {
        self.read(move |conn| {
            let sql = "select manifest from plugin_version where digest = ?1 limit 1";
            row(conn, sql, [&component.0[..]], |row| Ok(row.get("manifest")?))
        })
        .await
    }

    async fn has_component(&self, digest: Digest) -> Result<bool> {
        self.read(move |conn| {
            Ok(row(conn, "select 1 from component where digest = ?1", [&digest.0[..]], |_| Ok(()))?.is_some())
        })
        .await
    }
}

/// The current version of a pipeline.
pub(super) fn current_version(conn: &Connection, namespace: &Namespace, pipeline: &str) -> Result<Option<Digest>> {
    let sql = "select digest from pipeline where namespace = ?1 and name = ?2";
    row(conn, sql, (namespace.as_str(), pipeline), |row| digest_of(row, "digest"))
}

fn first_steps(conn: &Connection, namespace: &Namespace, pipeline: &str) -> Result<Option<FirstSteps>> {
    let Some(digest) = current_version(conn, namespace, pipeline)? else { return Ok(None) };
    let spec = read_pipeline(conn, digest)?;
    let mut components = Vec::new();
    for (number, step) in spec.numbered().filter(|(_, step)| step.needs.is_empty()) {
        let component = component_of(conn, namespace, &step.plugin, step.version.as_deref())?;
        components.extend(component.map(|component| (number, component)));
    }
    Ok(Some(FirstSteps { pipeline: digest, components }))
}

/// The component of a plugin's version, the active one if none is named.
pub(super) fn component_of(
    conn: &Connection,
    namespace: &Namespace,
    name: &str,
    version: Option<&str>,
) -> Result<Option<Digest>> {
    let sql = "select v.digest from plugin p join plugin_version v on v.namespace = p.namespace and v.name = p.name
               where p.namespace = ?1 and p.name = ?2 and v.version = coalesce(?3, p.active_version)";
    row(conn, sql, (namespace.as_str(), name, version), |row| digest_of(row, "digest"))
}

fn push(conn: &Connection, now_ms: i64, new: &NewVersion<'_>) -> Result<PushedVersion> {
    let (namespace, digest) = (new.namespace.as_str(), &new.digest.0[..]);
    conn.execute(
        "insert into component (digest, bytes, created_at) values (?1, ?2, ?3) on conflict (digest) do nothing",
        (digest, new.bytes, now_ms),
    )?;
    let named = "insert into plugin (namespace, name) values (?1, ?2) on conflict (namespace, name) do nothing";
    conn.execute(named, (namespace, new.name))?;
    let inserted = conn.execute(
        &format!(
            "insert into plugin_version (namespace, name, version, digest, manifest, created_at, last_named_at, wanted_at)
             values (?2, ?3, ?4, ?5, ?6, ?1, ?1, {NEXT_WANTED}) on conflict (namespace, name, version) do nothing"
        ),
        (now_ms, namespace, new.name, new.version, digest, new.manifest),
    )?;
    let sql = "select v.digest, p.active_version is v.version as active
               from plugin_version v join plugin p on p.namespace = v.namespace and p.name = v.name
               where v.namespace = ?1 and v.name = ?2 and v.version = ?3";
    let pushed = (namespace, new.name, new.version);
    let stored = row(conn, sql, pushed, |row| Ok((digest_of(row, "digest")?, row.get("active")?)))?;
    let (stored, was_active) = stored.unwrap_or((new.digest, false));
    if stored != new.digest {
        return Err(other_bytes(new, stored));
    }
    if new.activate {
        make_active(conn, new.namespace, new.name, new.version)?;
    }
    Ok(PushedVersion { created: inserted == 1, active: new.activate || was_active })
}

fn make_active(conn: &Connection, namespace: &Namespace, name: &str, version: &str) -> Result<()> {
    conn.execute(
        "update plugin set active_version = ?3, previous_version = active_version,
             earlier_versions = case when previous_version is null then earlier_versions
                                else json_insert(earlier_versions, '$[#]', previous_version) end
         where namespace = ?1 and name = ?2 and active_version is not ?3",
        (namespace.as_str(), name, version),
    )?;
    conn.execute(
        "update plugin set earlier_versions = json_remove(earlier_versions, '$[0]')
         where namespace = ?1 and name = ?2 and json_array_length(earlier_versions) > ?3",
        (namespace.as_str(), name, EARLIER_VERSIONS),
    )?;
    Ok(())
}

fn plugins(conn: &Connection, namespace: &Namespace, only: Option<&str>) -> Result<Vec<PluginRow>> {
    let sql =
        "select p.name, p.active_version, p.previous_version, p.earlier_versions, v.version, v.digest, v.manifest,
                      length(c.bytes) as size_bytes, v.created_at
               from plugin p
               join plugin_version v on v.namespace = p.namespace and v.name = p.name
               join component c on c.digest = v.digest
               where p.namespace = ?1 and (?2 is null or p.name = ?2)
               order by p.name, v.created_at desc, v.version desc";
    let mut plugins: Vec<PluginRow> = Vec::new();
    rows(conn, sql, (namespace.as_str(), only), |row| {
        let name: String = row.get("name")?;
        if plugins.last().is_none_or(|plugin| plugin.name != name) {
            plugins.push(PluginRow {
                name,
                active_version: row.get("active_version")?,
                previous_version: row.get("previous_version")?,
                earlier_versions: texts(row, "earlier_versions")?,
                versions: Vec::new(),
            });
        }
        let version = VersionRow {
            version: row.get("version")?,
            digest: digest_of(row, "digest")?,
            size_bytes: row.get::<_, i64>("size_bytes")?.cast_unsigned(),
            manifest: row.get("manifest")?,
            created_at_ms: row.get("created_at")?,
        };
        plugins.last_mut().expect("one was pushed above").versions.push(version);
        Ok(())
    })?;
    Ok(plugins)
}

fn known(conn: &Connection, namespace: &Namespace) -> Result<KnownPlugins> {
    let sql = "select p.name, p.active_version is not null as has_active, v.version
               from plugin p join plugin_version v on v.namespace = p.namespace and v.name = p.name
               where p.namespace = ?1";
    let mut known: BTreeMap<String, KnownPlugin> = BTreeMap::new();
    rows(conn, sql, [namespace.as_str()], |row| {
        let has_active = row.get("has_active")?;
        let plugin =
            known.entry(row.get("name")?).or_insert_with(|| KnownPlugin { versions: Default::default(), has_active });
        plugin.versions.insert(row.get("version")?);
        Ok(())
    })?;
    Ok(KnownPlugins(known))
}
