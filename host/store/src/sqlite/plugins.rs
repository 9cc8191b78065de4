//! Plugins: names with versions, each a component; one version is active.

use std::collections::BTreeMap;

use async_trait::async_trait;
use pawl_domain::id::Digest;
use pawl_domain::pipeline_file::{KnownPlugin, KnownPlugins};
use rusqlite::Connection;

use super::ledger::read_pipeline;
use super::readiness::NEXT_WANTED;
use super::{Sqlite, digest_of, row, rows};
use crate::Result;
use crate::plugins::{
    FirstSteps, NewVersion, PluginRow, Plugins, PushedVersion, VersionRow, missing_version, no_version, nothing_before,
    other_bytes,
};

#[async_trait]
impl Plugins for Sqlite {
    async fn push_version(&self, new: NewVersion<'_>) -> Result<PushedVersion> {
        let (name, version) = (new.name.to_owned(), new.version.to_owned());
        let (bytes, manifest) = (new.bytes.to_vec(), new.manifest.to_vec());
        let (digest, activate) = (new.digest, new.activate);
        self.change(move |ledger| {
            let new =
                NewVersion { name: &name, version: &version, digest, bytes: &bytes, manifest: &manifest, activate };
            push(ledger.conn, ledger.now_ms, &new)
        })
        .await
    }

    async fn activate(&self, name: &str, version: &str) -> Result<Option<String>> {
        let (name, version) = (name.to_owned(), version.to_owned());
        self.change(move |ledger| {
            let sql = "select p.active_version from plugin p join plugin_version v on v.name = p.name
                       where p.name = ?1 and v.version = ?2";
            let previous = row(ledger.conn, sql, (&name, &version), |row| Ok(row.get::<_, Option<String>>(0)?))?;
            let Some(previous) = previous else { return Err(missing_version(&known(ledger.conn)?, &name, &version)) };
            make_active(ledger.conn, &name, &version)?;
            Ok(previous)
        })
        .await
    }

    async fn rollback(&self, name: &str) -> Result<(String, String)> {
        let name = name.to_owned();
        self.change(move |ledger| {
            let sql = "update plugin set active_version = previous_version, previous_version = active_version
                       where name = ?1 and previous_version is not null returning active_version, previous_version";
            let swapped = row(ledger.conn, sql, [&name], |row| Ok((row.get(0)?, row.get(1)?)))?;
            match swapped {
                Some(swapped) => Ok(swapped),
                None => Err(nothing_before(&known(ledger.conn)?, &name)),
            }
        })
        .await
    }

    async fn plugins(&self) -> Result<Vec<PluginRow>> {
        self.read(plugins).await
    }

    async fn known_plugins(&self) -> Result<KnownPlugins> {
        self.read(known).await
    }

    async fn component_of(&self, name: &str, version: Option<&str>) -> Result<Digest> {
        let (name, version) = (name.to_owned(), version.map(str::to_owned));
        self.read(move |conn| {
            let found = component_of(conn, &name, version.as_deref())?;
            found.ok_or_else(|| no_version(&name, version.as_deref()))
        })
        .await
    }

    async fn first_steps(&self, pipeline: &str) -> Result<Option<FirstSteps>> {
        let pipeline = pipeline.to_owned();
        self.read(move |conn| first_steps(conn, &pipeline)).await
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

fn first_steps(conn: &Connection, pipeline: &str) -> Result<Option<FirstSteps>> {
    let sql = "select digest from pipeline where name = ?1";
    let Some(digest) = row(conn, sql, [pipeline], |row| digest_of(row, "digest"))? else { return Ok(None) };
    let spec = read_pipeline(conn, digest)?;
    let mut components = Vec::new();
    for (number, step) in spec.numbered().filter(|(_, step)| step.needs.is_empty()) {
        let component = component_of(conn, &step.plugin, step.version.as_deref())?;
        components.extend(component.map(|component| (number, component)));
    }
    Ok(Some(FirstSteps { pipeline: digest, components }))
}

/// The component of a plugin's version, the active one if none is named.
pub(super) fn component_of(conn: &Connection, name: &str, version: Option<&str>) -> Result<Option<Digest>> {
    let sql = "select v.digest from plugin p join plugin_version v on v.name = p.name
               where p.name = ?1 and v.version = coalesce(?2, p.active_version)";
    row(conn, sql, (name, version), |row| digest_of(row, "digest"))
}

fn push(conn: &Connection, now_ms: i64, new: &NewVersion<'_>) -> Result<PushedVersion> {
    let digest = &new.digest.0[..];
    conn.execute(
        "insert into component (digest, bytes, created_at) values (?1, ?2, ?3) on conflict (digest) do nothing",
        (digest, new.bytes, now_ms),
    )?;
    conn.execute("insert into plugin (name) values (?1) on conflict (name) do nothing", [new.name])?;
    let inserted = conn.execute(
        &format!(
            "insert into plugin_version (name, version, digest, manifest, created_at, wanted_at)
             values (?2, ?3, ?4, ?5, ?1, {NEXT_WANTED}) on conflict (name, version) do nothing"
        ),
        (now_ms, new.name, new.version, digest, new.manifest),
    )?;
    let sql = "select v.digest, p.active_version is v.version as active
               from plugin_version v join plugin p on p.name = v.name where v.name = ?1 and v.version = ?2";
    let stored = row(conn, sql, (new.name, new.version), |row| Ok((digest_of(row, "digest")?, row.get("active")?)))?;
    let (stored, was_active) = stored.unwrap_or((new.digest, false));
    if stored != new.digest {
        return Err(other_bytes(new, stored));
    }
    if new.activate {
        make_active(conn, new.name, new.version)?;
    }
    Ok(PushedVersion { created: inserted == 1, active: new.activate || was_active })
}

fn make_active(conn: &Connection, name: &str, version: &str) -> Result<()> {
    conn.execute(
        "update plugin set active_version = ?2, previous_version = active_version
         where name = ?1 and active_version is not ?2",
        (name, version),
    )?;
    Ok(())
}

fn plugins(conn: &Connection) -> Result<Vec<PluginRow>> {
    let sql =
        "select p.name, p.active_version, p.previous_version, v.version, v.digest, v.manifest, length(c.bytes) as size_bytes, v.created_at
               from plugin p
               join plugin_version v on v.name = p.name
               join component c on c.digest = v.digest
               order by p.name, v.created_at desc, v.version desc";
    let mut plugins: Vec<PluginRow> = Vec::new();
    rows(conn, sql, [], |row| {
        let name: String = row.get("name")?;
        if plugins.last().is_none_or(|plugin| plugin.name != name) {
            let (active_version, previous_version) = (row.get("active_version")?, row.get("previous_version")?);
            plugins.push(PluginRow { name, active_version, previous_version, versions: Vec::new() });
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

fn known(conn: &Connection) -> Result<KnownPlugins> {
    let sql = "select p.name, p.active_version is not null as has_active, v.version
               from plugin p join plugin_version v on v.name = p.name";
    let mut known: BTreeMap<String, KnownPlugin> = BTreeMap::new();
    rows(conn, sql, [], |row| {
        let has_active = row.get("has_active")?;
        let plugin =
            known.entry(row.get("name")?).or_insert_with(|| KnownPlugin { versions: Default::default(), has_active });
        plugin.versions.insert(row.get("version")?);
        Ok(())
    })?;
    Ok(KnownPlugins(known))
}
