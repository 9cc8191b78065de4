//! Versions of pipelines and of plugins that nothing names any more.

use rusqlite::Connection;
use uuid::Uuid;

use crate::Result;
use crate::retention::{GoneVersions, LOOKED_AT};
use crate::sqlite::ledger::now_ms;
use crate::sqlite::{row, rows};

/// See `pawl_named_margin_v1`.
const MARGIN_MS: i64 = 3_600_000;

/// Runs of a version are those of its name that were submitted while it was named, or before: as for Postgres.
pub(super) fn delete_pipeline_versions(conn: &Connection, before_ms: i64) -> Result<u64> {
    let sql = "select v.digest, v.name, v.last_named_at from pipeline_version v
               where v.last_named_at < ?1 and not exists (select 1 from pipeline p where p.digest = v.digest)
               order by v.last_named_at, v.digest";
    let found: Vec<(Vec<u8>, String, i64)> =
        rows(conn, sql, [before_ms], |row| Ok((row.get("digest")?, row.get("name")?, row.get("last_named_at")?)))?;
    let mut gone = 0;
    for (digest, name, named_ms) in found {
        let sql = "select r.pipeline_digest = ?1 as used
                   from (select distinct namespace from pipeline where name = ?2) as p
                   join run r on r.namespace = p.namespace and r.pipeline = ?2
                             and r.status in ('pending', 'running', 'succeeded', 'failed', 'cancelled')
                             and r.created_at <= ?3
                   limit ?4";
        let params = (&digest, &name, named_ms.saturating_add(MARGIN_MS), LOOKED_AT);
        let looked: Vec<bool> = rows(conn, sql, params, |row| Ok(row.get("used")?))?;
        if looked.contains(&true) || looked.len() >= LOOKED_AT as usize {
            continue;
        }
        let pinned = rows(conn, "select spec from pipeline_version where digest = ?1", [&digest], |row| {
            Ok(row.get::<_, Vec<u8>>("spec")?)
        })?;
        for (plugin, version) in pinned.iter().flat_map(|spec| pinned_by(spec)) {
            let sql = "update plugin_version set last_named_at = ?3 where name = ?1 and version = ?2";
            conn.execute(sql, (plugin, version, now_ms()))?;
        }
        gone += conn.execute("delete from pipeline_version where digest = ?1", [&digest])? as u64;
    }
    Ok(gone)
}

pub(super) fn delete_plugin_versions(conn: &Connection, before_ms: i64, gone: &mut GoneVersions) -> Result<()> {
    let sql = "select v.namespace, v.name, v.version, v.digest, v.last_named_at
               from plugin_version v join plugin p on p.namespace = v.namespace and p.name = v.name
               where v.last_named_at < ?1 and v.version is not p.active_version and v.version is not p.previous_version
                 and v.version not in (select value from json_each(p.earlier_versions))
               order by v.last_named_at, v.namespace, v.name, v.version";
    let found: Vec<(String, String, String, Vec<u8>, i64)> =
        rows(conn, sql, [before_ms], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))?;
    if found.is_empty() {
        return Ok(());
    }
    let specs = rows(conn, "select spec from pipeline_version", [], |row| Ok(row.get::<_, Vec<u8>>("spec")?))?;
    let pinned: Vec<(String, String)> = specs.iter().flat_map(|spec| pinned_by(spec)).collect();
    for (namespace, name, version, digest, named_ms) in found {
        let is_pinned = pinned.iter().any(|(plugin, pinned)| *plugin == name && *pinned == version);
        if is_pinned || is_got(conn, &digest, named_ms)? {
            continue;
        }
        let sql = "delete from plugin_version where namespace = ?1 and name = ?2 and version = ?3";
        gone.plugins += conn.execute(sql, (namespace, name, version))? as u64;
        let sql = "delete from component
                   where digest = ?1 and not exists (select 1 from plugin_version where digest = ?1)";
        gone.components += conn.execute(sql, [&digest])? as u64;
    }
    Ok(())
}

/// Plugins and versions that a version of a pipeline names.
fn pinned_by(spec: &[u8]) -> Vec<(String, String)> {
    let pipeline = serde_json::from_slice::<pawl_domain::pipeline::Pipeline>(spec);
    let steps = pipeline.map(|pipeline| pipeline.steps).unwrap_or_default();
    steps.into_iter().filter_map(|step| Some((step.plugin, step.version?))).collect()
}

/// Whether a step has got this component, or may have: of runs that were submitted while it was named, or before.
fn is_got(conn: &Connection, digest: &[u8], named_ms: i64) -> Result<bool> {
    let sql = "select r.id from (select distinct namespace from pipeline) as p
               join run r on r.namespace = p.namespace and r.created_at <= ?1 limit ?2";
    let runs: Vec<Uuid> = rows(conn, sql, (named_ms.saturating_add(MARGIN_MS), LOOKED_AT), |row| Ok(row.get("id")?))?;
    if runs.len() >= LOOKED_AT as usize {
        return Ok(true);
    }
    for run in runs {
        let sql = "select 1 from step where run_id = ?1 and (component = ?2 or recorded_by = ?2) limit 1";
        if row(conn, sql, (run, digest), |_| Ok(()))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}
