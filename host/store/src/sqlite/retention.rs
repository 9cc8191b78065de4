//! Retention, as `migrations/0026_retention.sql` does it for Postgres. A piece is one job of the writing thread; the space that it
//! has made is given back to the disk with it ([`space`]).

use std::time::Duration;

use async_trait::async_trait;
use pawl_domain::id::{RunId, WorkerId};
use pawl_domain::retention::{Policy, Retention, Term};
use rusqlite::{Connection, Row};
use uuid::Uuid;

use super::ledger::{Ledger, now_ms};
use super::{NAME, Sqlite, parse, row, rows, space};
use crate::retention::{
    Bounds, Due, GoneVersions, LOOKED_AT, Lane, Piece, PipelineRetention, Place, Remains, Retentions, Turn,
};
use crate::runs::no_run;
use crate::{Error, Result};

/// Where the runs of a lane stand, oldest submission first.
const OF_LANE: &str = "select id, created_at, ended_at, kept, steps, length(input) as bytes from run
    where namespace = ?1 and pipeline = ?2 and status = ?3 and created_at < ?4 and (created_at, id) > (?5, ?6)
    order by created_at, id limit ?7";

#[async_trait]
impl Retentions for Sqlite {
    async fn take_turn(&self, holder: WorkerId, time: Duration, policy: &Policy) -> Result<bool> {
        let policy = *policy;
        self.change(move |ledger| {
            let term = |term: Term| term.ms().map(u64::cast_signed);
            let taken = ledger.conn.execute(
                "insert into retention (is_this, holder_id, until, succeeded_ms, failed_ms, cancelled_ms, grace_ms)
                 values (1, ?1, ?3, ?4, ?5, ?6, ?7)
                 on conflict (is_this) do update set
                     holder_id = excluded.holder_id, until = excluded.until, succeeded_ms = excluded.succeeded_ms,
                     failed_ms = excluded.failed_ms, cancelled_ms = excluded.cancelled_ms, grace_ms = excluded.grace_ms
                 where retention.holder_id = excluded.holder_id or retention.until < ?2",
                (
                    holder.0,
                    ledger.now_ms,
                    ledger.now_ms.saturating_add(ms(time)),
                    term(policy.succeeded),
                    term(policy.failed),
                    term(policy.cancelled),
                    ms(policy.grace),
                ),
            )?;
            Ok(taken == 1)
        })
        .await
    }

    async fn turn(&self) -> Result<Option<Turn>> {
        self.read(|conn| {
            let sql =
                "select holder_id, until > ?1 as holds, succeeded_ms, failed_ms, cancelled_ms, grace_ms from retention";
            row(conn, sql, [now_ms()], turn_of)
        })
        .await
    }

    async fn pipeline_retentions(
        &self,
        after: Option<&PipelineRetention>,
        limit: u32,
    ) -> Result<Vec<PipelineRetention>> {
        let after = after.map(|last| (last.namespace.to_string(), last.pipeline.clone())).unwrap_or_default();
        self.read(move |conn| {
            let sql =
                "select p.namespace, p.name, v.retention from pipeline p join pipeline_version v on v.digest = p.digest
                       where (p.namespace, p.name) > (?1, ?2) order by p.namespace, p.name limit ?3";
            rows(conn, sql, (after.0, after.1, limit), pipeline_retention)
        })
        .await
    }

    async fn may_be_due(&self, lanes: &[(Lane, Option<Place>)]) -> Result<Vec<usize>> {
        let lanes = lanes.to_vec();
        self.read(move |conn| {
            let now_ms = now_ms();
            let mut found = Vec::new();
            for (index, (lane, after)) in lanes.iter().enumerate() {
                if !candidates(conn, lane, now_ms, *after, 1)?.is_empty() {
                    found.push(index);
                }
            }
            Ok(found)
        })
        .await
    }

    async fn delete_ended(&self, lane: &Lane, after: Option<Place>, bounds: Bounds) -> Result<Piece> {
        let lane = lane.clone();
        self.change(move |ledger| delete_ended(ledger, &lane, after, bounds)).await
    }

    async fn delete_remains(&self, bounds: Bounds) -> Result<Remains> {
        self.change(move |ledger| {
            let sql = "select run_id from remains order by run_id limit ?1";
            let runs = rows(ledger.conn, sql, [bounds.runs], |row| Ok(RunId(row.get("run_id")?)))?;
            let mut left = Left::of(bounds);
            let mut done = runs.len() < bounds.runs as usize;
            for run in runs {
                if !delete_contents(ledger.conn, run, &mut left)? {
                    done = false;
                    break;
                }
                ledger.conn.prepare_cached("delete from remains where run_id = ?1")?.execute([run.0])?;
            }
            space::give_back(ledger.conn)?;
            Ok(Remains { done, rows: left.gone })
        })
        .await
    }

    async fn count_due(&self, lane: &Lane, most: u32) -> Result<Due> {
        let lane = lane.clone();
        self.read(move |conn| {
            let now_ms = now_ms();
            let looked = candidates(conn, &lane, now_ms, None, most)?;
            let due = || looked.iter().filter(|run| run.is_due(&lane, now_ms));
            Ok(Due {
                runs: due().count() as u64,
                more: looked.len() >= most as usize,
                late_ms: due().map(|run| run.late_ms(&lane, now_ms)).max(),
            })
        })
        .await
    }

    async fn keep_run(&self, run: RunId, keep: bool) -> Result<()> {
        self.change(move |ledger| {
            match ledger.conn.execute("update run set kept = ?2 where id = ?1", (run.0, keep))? {
                0 => Err(no_run(run)),
                _ => Ok(()),
            }
        })
        .await
    }

    async fn delete_versions(&self, grace: Duration) -> Result<GoneVersions> {
        self.change(move |ledger| {
            let before_ms = ledger.now_ms.saturating_sub(ms(grace));
            let pipelines = delete_pipeline_versions(ledger.conn, before_ms)?;
            let mut gone = GoneVersions { pipelines, ..GoneVersions::default() };
            delete_plugin_versions(ledger.conn, before_ms, &mut gone)?;
            space::give_back(ledger.conn)?;
            Ok(gone)
        })
        .await
    }
}

/// A run that may be due.
struct Candidate {
    id: RunId,
    created_at: i64,
    ended_at: i64,
    kept: bool,
    steps: u64,
    bytes: u64,
}

impl Candidate {
    fn is_due(&self, lane: &Lane, now_ms: i64) -> bool {
        !self.kept && self.ended_at < before(lane, now_ms)
    }

    fn late_ms(&self, lane: &Lane, now_ms: i64) -> u64 {
        u64::try_from(before(lane, now_ms) - self.ended_at).unwrap_or(0)
    }
}

fn before(lane: &Lane, now_ms: i64) -> i64 {
    now_ms.saturating_sub_unsigned(lane.term_ms)
}

fn candidates(conn: &Connection, lane: &Lane, now_ms: i64, after: Option<Place>, limit: u32) -> Result<Vec<Candidate>> {
    let (at, id) = after.map_or((i64::MIN, Uuid::nil()), |place| (place.at, place.run.0));
    let (namespace, status) = (lane.namespace.as_str(), lane.status.as_str());
    let params = (namespace, &lane.pipeline, status, before(lane, now_ms), at, id, limit);
    rows(conn, OF_LANE, params, |row| {
        Ok(Candidate {
            id: RunId(row.get("id")?),
            created_at: row.get("created_at")?,
            ended_at: row.get("ended_at")?,
            kept: row.get("kept")?,
            steps: row.get::<_, i64>("steps")?.cast_unsigned(),
            bytes: row.get::<_, i64>("bytes")?.cast_unsigned(),
        })
    })
}

fn delete_ended(ledger: &Ledger<'_>, lane: &Lane, after: Option<Place>, bounds: Bounds) -> Result<Piece> {
    let (conn, now_ms) = (ledger.conn, ledger.now_ms);
    let (mut piece, mut left) = (Piece::default(), Left::of(bounds));
    let (mut rows, mut bytes) = (0, 0);
    for run in candidates(conn, lane, now_ms, after, bounds.runs)? {
        rows += 4 * run.steps + 2;
        bytes += run.bytes;
        let is_too_much = rows > u64::from(bounds.rows) || bytes > u64::from(bounds.bytes);
        if piece.last.is_some() && (is_too_much || piece.remains) {
            break;
        }
        piece.last = Some(Place { at: run.created_at, run: run.id });
        if !run.is_due(lane, now_ms) {
            continue;
        }
        piece.late_ms = piece.late_ms.max(Some(run.late_ms(lane, now_ms)));
        piece.runs += 1;
        conn.prepare_cached("delete from run where id = ?1")?.execute([run.id.0])?;
        if !delete_contents(conn, run.id, &mut left)? {
            piece.remains = true;
            conn.prepare_cached("insert into remains (run_id, at) values (?1, ?2)")?.execute((run.id.0, now_ms))?;
        }
    }
    piece.rows = piece.runs + left.gone;
    if piece.runs > 0 {
        space::give_back(conn)?;
    }
    Ok(piece)
}

/// What a piece may still come to.
struct Left {
    rows: i64,
    bytes: i64,
    gone: u64,
}

impl Left {
    fn of(bounds: Bounds) -> Self {
        Self { rows: i64::from(bounds.rows), bytes: i64::from(bounds.bytes), gone: 0 }
    }
}

/// What a run has in a table: how rows are found in the order in which they go, with their sizes, and how one goes.
struct Contents {
    find: &'static str,
    delete: &'static str,
}

macro_rules! contents {
    ($table:literal, $key:literal, $order:literal, $bytes:literal) => {
        Contents {
            find: concat!(
                "select ",
                $key,
                " as key, ",
                $bytes,
                " as bytes from ",
                $table,
                " where run_id = ?1 order by ",
                $order,
                " limit ?2"
            ),
            delete: concat!("delete from ", $table, " where run_id = ?1 and ", $key, " = ?2"),
        }
    };
}

/// Steps go last, and the first one of all: as long as it is there, no other run gets the id.
const CONTENTS: [Contents; 7] = [
    contents!("journal", "rowid", "step_no, first", "length(bytes)"),
    contents!("checkpoint", "rowid", "step_no", "length(state)"),
    contents!("signal", "id", "id", "length(payload)"),
    contents!("event", "number", "number", "coalesce(length(note), 0)"),
    contents!("recovery", "(step_no << 40 | fence)", "step_no, fence", "0"),
    contents!("step_log", "first", "first", "length(bytes)"),
    contents!("step", "step_no", "step_no desc", "coalesce(length(output), 0) + coalesce(length(error), 0)"),
];

/// Deletes of what a run has left. Returns whether nothing is.
fn delete_contents(conn: &Connection, run: RunId, left: &mut Left) -> Result<bool> {
    for contents in &CONTENTS {
        // One more than may go tells whether something is left.
        let found: Vec<(i64, i64)> =
            rows(conn, contents.find, (run.0, left.rows + 1), |row| Ok((row.get("key")?, row.get("bytes")?)))?;
        for (key, bytes) in found {
            if left.rows <= 0 || left.bytes <= 0 {
                return Ok(false);
            }
            conn.prepare_cached(contents.delete)?.execute((run.0, key))?;
            left.rows -= 1;
            left.bytes -= bytes;
            left.gone += 1;
        }
    }
    Ok(true)
}

/// Runs of a version are those of its name that were submitted while it was named, or before: as for Postgres.
fn delete_pipeline_versions(conn: &Connection, before_ms: i64) -> Result<u64> {
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

/// See `pawl_named_margin_v1`.
const MARGIN_MS: i64 = 3_600_000;

/// Plugins and versions that a version of a pipeline names.
fn pinned_by(spec: &[u8]) -> Vec<(String, String)> {
    let pipeline = serde_json::from_slice::<pawl_domain::pipeline::Pipeline>(spec);
    let steps = pipeline.map(|pipeline| pipeline.steps).unwrap_or_default();
    steps.into_iter().filter_map(|step| Some((step.plugin, step.version?))).collect()
}

fn delete_plugin_versions(conn: &Connection, before_ms: i64, gone: &mut GoneVersions) -> Result<()> {
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

fn ms(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn turn_of(row: &Row<'_>) -> Result<Turn> {
    let term = |column: &str| {
        let ms: Option<i64> = row.get(column)?;
        Result::Ok(ms.map_or(Term::Keep, |ms| Term::Ms(ms.cast_unsigned())))
    };
    Ok(Turn {
        holder: WorkerId(row.get("holder_id")?),
        holds: row.get("holds")?,
        policy: Policy {
            succeeded: term("succeeded_ms")?,
            failed: term("failed_ms")?,
            cancelled: term("cancelled_ms")?,
            grace: Duration::from_millis(row.get::<_, i64>("grace_ms")?.cast_unsigned()),
        },
    })
}

fn pipeline_retention(row: &Row<'_>) -> Result<PipelineRetention> {
    let said: Option<String> = row.get("retention")?;
    let retention = said.as_deref().map_or(Ok(Retention::default()), serde_json::from_str);
    Ok(PipelineRetention {
        namespace: parse(row, "namespace")?,
        pipeline: row.get("name")?,
        retention: retention.map_err(|error| Error::Refused(NAME, error.into()))?,
    })
}
