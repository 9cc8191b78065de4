//! Pauses, as `migrations/0035_pause.sql` has them for Postgres. One change at a time: what has ended can't be in the way of
//! a claim.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use pawl_domain::id::{RunId, StepId};
use pawl_domain::namespace::Namespace;
use pawl_domain::ready::SHELVED_MS;
use pawl_domain::status::StepStatus;
use rusqlite::{Connection, Row};
use uuid::Uuid;

use super::ledger::Ledger;
use super::rows::{Run, Step};
use super::runs::{page_bound, run_query, run_row};
use super::sweeps::{ready_anew, step_of};
use super::{Sqlite, row, rows};
use crate::Result;
use crate::pauses::{MOST_PAUSES, Pausable, Pause, Pauses, Released, SHELVED_LOOKED_AT, Shelf, too_many};
use crate::runs::RunRow;
use crate::write::Member;

/// The pauses that stand while a batch is written: each is looked for when a step needs to know, and once. They don't
/// change meanwhile.
pub(super) struct Standing<'c> {
    conn: &'c Connection,
    known: HashMap<Pausable, Option<i64>>,
}

impl<'c> Standing<'c> {
    pub(super) fn new(conn: &'c Connection) -> Self {
        Self { conn, known: HashMap::new() }
    }

    /// Whether nothing of a run starts: it is paused, or its pipeline is.
    pub(super) fn holds(&mut self, run: &Run) -> Result<bool> {
        Ok(run.paused || self.of_pipeline(run)?.is_some())
    }

    /// Whether nothing starts in a queue.
    pub(super) fn holds_queue(&mut self, queue: &str) -> Result<bool> {
        Ok(self.of_queue(queue)?.is_some())
    }

    /// Puts a ready step on the shelf if it may not start; whether it did. Of two pauses, it is the older one's.
    pub(super) fn shelve(&mut self, run: &Run, step: &mut Step) -> Result<bool> {
        if run.paused {
            (step.ready_at, step.shelved_by) = (Some(SHELVED_MS), None);
            return Ok(true);
        }
        let by = [self.of_queue(&step.queue)?, self.of_pipeline(run)?].into_iter().flatten().min();
        if by.is_some() {
            (step.ready_at, step.shelved_by) = (Some(SHELVED_MS), by);
        }
        Ok(by.is_some())
    }

    /// Runs of which nothing is taken that was run ahead of its claim.
    pub(super) fn not_ahead(&mut self, ledger: &Ledger<'_>, members: &[Member]) -> Result<HashSet<RunId>> {
        let mut runs = HashSet::new();
        for member in members.iter().filter(|member| member.ahead.is_some()) {
            let is_held = match ledger.run(member.id.run)? {
                Some(run) if self.holds(&run)? => true,
                _ => match ledger.step(member.id)? {
                    Some(step) => self.holds_queue(&step.queue)?,
                    None => false,
                },
            };
            if is_held {
                runs.insert(member.id.run);
            }
        }
        Ok(runs)
    }

    fn of_pipeline(&mut self, run: &Run) -> Result<Option<i64>> {
        self.of(Pausable::Pipeline(run.namespace.clone(), run.pipeline_name.clone()))
    }

    fn of_queue(&mut self, queue: &str) -> Result<Option<i64>> {
        self.of(Pausable::Queue(queue.to_owned()))
    }

    fn of(&mut self, what: Pausable) -> Result<Option<i64>> {
        if let Some(known) = self.known.get(&what) {
            return Ok(*known);
        }
        let found = find(self.conn, &what)?;
        self.known.insert(what, found);
        Ok(found)
    }
}

/// The pause of something, if it is paused.
fn find(conn: &Connection, what: &Pausable) -> Result<Option<i64>> {
    let sql = "select id from pause where kind = ?1 and namespace = ?2 and name = ?3 and ended_at is null";
    row(conn, sql, what.words(), |row| Ok(row.get("id")?))
}

#[async_trait]
impl Pauses for Sqlite {
    async fn pause(&self, what: &Pausable, reason: Option<&str>) -> Result<bool> {
        let (what, reason) = (what.clone(), reason.map(str::to_owned));
        self.change(move |ledger| {
            if find(ledger.conn, &what)?.is_some() {
                return Ok(false);
            }
            let sql = "select count(*) >= ?1 as is_full from pause where ended_at is null";
            if row(ledger.conn, sql, [MOST_PAUSES], |row| Ok(row.get("is_full")?))?.unwrap_or(false) {
                return Err(too_many());
            }
            let (kind, namespace, name) = what.words();
            let sql = "insert into pause (kind, namespace, name, reason, paused_at) values (?1, ?2, ?3, ?4, ?5)";
            ledger.conn.execute(sql, (kind, namespace, name, &reason, ledger.now_ms))?;
            Ok(true)
        })
        .await
    }

    async fn unpause(&self, what: &Pausable) -> Result<bool> {
        let what = what.clone();
        self.change(move |ledger| {
            let sql = "update pause set ended_at = ?4
                       where kind = ?1 and namespace = ?2 and name = ?3 and ended_at is null";
            let (kind, namespace, name) = what.words();
            Ok(ledger.conn.execute(sql, (kind, namespace, name, ledger.now_ms))? > 0)
        })
        .await
    }

    async fn release(&self, limit: usize) -> Result<Released> {
        self.change(move |ledger| release(ledger, limit)).await
    }

    async fn pauses(&self) -> Result<Vec<Pause>> {
        self.read(|conn| {
            let sql = "select kind, namespace, name, reason, paused_at from pause where ended_at is null order by id";
            rows(conn, sql, [], pause)
        })
        .await
    }

    async fn shelves(&self) -> Result<Vec<Shelf>> {
        self.read(|conn| {
            let sql =
                "select id, kind, namespace, name, reason, paused_at from pause where ended_at is null order by id";
            let pauses = rows(conn, sql, [], |row| Ok((row.get::<_, i64>("id")?, pause(row)?)))?;
            pauses.into_iter().map(|(id, pause)| shelf(conn, id, pause)).collect()
        })
        .await
    }

    async fn paused_runs(
        &self,
        namespace: &Namespace,
        pipeline: Option<&str>,
        before: Option<RunId>,
        limit: u32,
    ) -> Result<Vec<RunRow>> {
        let (namespace, pipeline) = (namespace.to_string(), pipeline.map(str::to_owned));
        self.read(move |conn| {
            let Some(bound) = page_bound(conn, before)? else { return Ok(Vec::new()) };
            let sql = concat!(
                run_query!(),
                "where r.namespace = ?1 and r.paused_at is not null and r.ended_at is null
                   and (r.created_at, r.id) < (?3, ?4) and (?5 is null or r.pipeline = ?5)
                 order by r.created_at desc, r.id desc limit ?2"
            );
            rows(conn, sql, (namespace, limit, bound.0, bound.1, pipeline), run_row)
        })
        .await
    }
}

fn pause(row: &Row<'_>) -> Result<Pause> {
    let (kind, namespace): (String, String) = (row.get("kind")?, row.get("namespace")?);
    Ok(Pause {
        what: Pausable::of_words(&kind, &namespace, row.get("name")?)?,
        reason: row.get("reason")?,
        paused_at_ms: row.get("paused_at")?,
    })
}

/// What is on the shelf by a pause. What was stopped meanwhile stays there until it ends.
fn shelf(conn: &Connection, id: i64, pause: Pause) -> Result<Shelf> {
    // Ids of runs grow with time: the first is the one that was submitted first.
    let sql = "select count(*) as looked_at, count(*) filter (where status = 'ready') as steps,
                      min(run_id) filter (where status = 'ready') as first
               from (select run_id, status from step where shelved_by = ?1 limit ?2)";
    let counted = row(conn, sql, (id, SHELVED_LOOKED_AT), |row| {
        Ok((row.get::<_, u32>("looked_at")?, row.get::<_, u32>("steps")?, row.get::<_, Option<Uuid>>("first")?))
    })?;
    let (looked_at, steps, first) = counted.unwrap_or_default();
    let submitted_ms = match first {
        Some(first) => {
            row(conn, "select created_at from run where id = ?1", [first], |row| Ok(row.get::<_, i64>("created_at")?))?
        }
        None => None,
    };
    let oldest_ms = pause.paused_at_ms.max(submitted_ms.unwrap_or(i64::MIN));
    Ok(Shelf { pause, steps, more: looked_at >= SHELVED_LOOKED_AT, oldest_ms: (steps > 0).then_some(oldest_ms) })
}

fn release(ledger: &Ledger<'_>, limit: usize) -> Result<Released> {
    let ended = "select id from pause where ended_at is not null order by id";
    let mut released: Vec<StepId> = Vec::new();
    let mut taken = 0;
    for pause in rows(ledger.conn, ended, [], |row| Ok(row.get::<_, i64>("id")?))? {
        let sql = "select run_id, step_no from step where shelved_by = ?1 limit ?2";
        let found = rows(ledger.conn, sql, (pause, (limit - taken) as i64), step_of)?;
        taken += found.len();
        for id in found {
            let off = "update step set shelved_by = null where run_id = ?1 and step_no = ?2";
            ledger.conn.prepare_cached(off)?.execute((id.run.0, id.step.0))?;
            // What was stopped meanwhile leaves the shelf, and goes nowhere.
            released.extend(ledger.step(id)?.filter(|step| step.status == StepStatus::Ready).map(|step| step.id));
        }
        let gone = "delete from pause where id = ?1 and not exists (select 1 from step where shelved_by = ?1)";
        ledger.conn.execute(gone, [pause])?;
        if taken >= limit {
            break;
        }
    }
    Ok(Released { ready: ready_anew(ledger, &released)?, more: taken >= limit })
}

/// Pauses that have ended and of which something may be left.
pub(super) fn has_ended(conn: &Connection) -> Result<bool> {
    let sql = "select 1 from pause where ended_at is not null limit 1";
    Ok(row(conn, sql, [], |_| Ok(()))?.is_some())
}
