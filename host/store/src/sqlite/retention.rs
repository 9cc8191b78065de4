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
use crate::retention::{Bounds, Due, GoneVersions, Lane, Piece, PipelineRetention, Place, Remains, Retentions, Turn};
use crate::runs::no_run;
use crate::{Error, Result, ms};

mod versions;

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
                "insert into retention (is_this, holder_id, until, succeeded_ms, failed_ms, cancelled_ms, grace_ms, audit_ms)
                 values (1, ?1, ?3, ?4, ?5, ?6, ?7, ?8)
                 on conflict (is_this) do update set
                     holder_id = excluded.holder_id, until = excluded.until, succeeded_ms = excluded.succeeded_ms,
                     failed_ms = excluded.failed_ms, cancelled_ms = excluded.cancelled_ms, grace_ms = excluded.grace_ms,
                     audit_ms = excluded.audit_ms
                 where retention.holder_id = excluded.holder_id or retention.until < ?2",
                (
                    holder.0,
                    ledger.now_ms,
                    ledger.now_ms.saturating_add(ms(time)),
                    term(policy.succeeded),
                    term(policy.failed),
                    term(policy.cancelled),
                    ms(policy.grace),
                    term(policy.audit),
                ),
            )?;
            Ok(taken == 1)
        })
        .await
    }

    async fn turn(&self) -> Result<Option<Turn>> {
        self.read(|conn| {
            let sql =
                "select holder_id, until > ?1 as holds, succeeded_ms, failed_ms, cancelled_ms, grace_ms, audit_ms from retention";
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
            let pipelines = versions::delete_pipeline_versions(ledger.conn, before_ms)?;
            let mut gone = GoneVersions { pipelines, ..GoneVersions::default() };
            versions::delete_plugin_versions(ledger.conn, before_ms, &mut gone)?;
            space::give_back(ledger.conn)?;
            Ok(gone)
        })
        .await
    }

    async fn delete_audit(&self, term_ms: u64, lines: u32) -> Result<u64> {
        self.change(move |ledger| {
            let sql = "delete from audit where id in (select id from audit order by id limit ?1) and at < ?2";
            let gone = ledger.conn.execute(sql, (lines, ledger.now_ms.saturating_sub_unsigned(term_ms)))?;
            Ok(gone as u64)
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
const CONTENTS: [Contents; 8] = [
    contents!("journal", "rowid", "step_no, first", "length(bytes)"),
    contents!("checkpoint", "rowid", "step_no", "length(state)"),
    contents!("signal", "id", "id", "length(payload)"),
    contents!("event", "number", "number", "coalesce(length(note), 0)"),
    contents!("recovery", "(step_no << 40 | fence)", "step_no, fence", "0"),
    contents!("step_log", "first", "first", "length(bytes)"),
    contents!("run_key", "rowid", "rowid", "0"),
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
            audit: term("audit_ms")?,
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
