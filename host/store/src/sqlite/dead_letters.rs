//! Dead letters: a row for each comes with its step's, and goes by the triggers of `schema/0010_dead_letters.sql`. Nobody is
//! told of them here: this store has no other systems beside it.

use async_trait::async_trait;
use pawl_domain::cause::{NO_REASON, cause_of};
use pawl_domain::id::{RunId, StepId, StepNo};
use pawl_domain::namespace::Namespace;
use pawl_domain::status::StepStatus;
use rusqlite::{Connection, Row};
use uuid::Uuid;

use super::ledger::now_ms;
use super::rows::Step;
use super::runs::{page_bound, run_query, run_row};
use super::{Sqlite, digest_of, parse, row, rows};
use crate::Result;
use crate::dead_letters::{
    COUNTED, DeadGroup, DeadGroupKey, DeadLetter, DeadLetters, DeadOrder, DeadPlace, DeadStep, DiedOn,
};
use crate::runs::RunRow;

/// What is read of a letter; a macro, so that statements stay constants.
macro_rules! letters {
    ($where:literal) => {
        concat!("select run_id, step_no, pipeline, pipeline_digest, state, at, cause from dead_letter where ", $where)
    };
}

impl Step {
    /// A step that has died is a dead letter from now on, if it was none.
    pub(super) fn write_letter(&self, conn: &Connection) -> Result<()> {
        if !matches!(self.status, StepStatus::Failed | StepStatus::Parked) {
            return Ok(());
        }
        let insert = "insert into dead_letter
                      select id, ?2, namespace, pipeline, pipeline_digest, ?3, ?4, ?5, created_at from run where id = ?1
                      on conflict do nothing";
        let cause = self.error.as_deref().map_or_else(|| NO_REASON.to_owned(), cause_of);
        let at = self.ended_at.unwrap_or_else(now_ms);
        let of = (self.id.run.0, self.id.step.0, self.status.as_str(), at, cause);
        conn.prepare_cached(insert)?.execute(of)?;
        Ok(())
    }
}

#[async_trait]
impl DeadLetters for Sqlite {
    async fn dead_letters(&self, namespace: &Namespace, order: DeadOrder, limit: u32) -> Result<Vec<DeadLetter>> {
        let namespace = namespace.to_string();
        let last = (i64::MAX, Uuid::max(), i32::MAX);
        let of = |place: DeadPlace| (place.at_us / 1_000, place.step.run.0, place.step.step.0);
        let (sql, (at, run, step)) = match order {
            DeadOrder::NewestFirst(before) => (
                letters!(
                    "namespace = ?1 and (at, run_id, step_no) < (?2, ?3, ?4)
                     order by at desc, run_id desc, step_no desc limit ?5"
                ),
                before.map_or(last, of),
            ),
            DeadOrder::OldestFirst(after) => (
                letters!(
                    "namespace = ?1 and (at, run_id, step_no) > (?2, ?3, ?4) order by at, run_id, step_no limit ?5"
                ),
                after.map_or((0, Uuid::nil(), -1), of),
            ),
        };
        self.read(move |conn| rows(conn, sql, (namespace, at, run, step, limit), letter)).await
    }

    async fn dead_letters_of(&self, steps: &[StepId]) -> Result<Vec<DeadLetter>> {
        let steps = steps.to_vec();
        self.read(move |conn| {
            let mut found = Vec::new();
            for id in steps {
                found.extend(row(conn, letters!("run_id = ?1 and step_no = ?2"), (id.run.0, id.step.0), letter)?);
            }
            Ok(found)
        })
        .await
    }

    async fn died_on(&self, namespace: &Namespace, steps: &[DeadStep]) -> Result<Vec<DiedOn>> {
        let (namespace, steps) = (namespace.to_string(), steps.to_vec());
        self.read(move |conn| {
            let mut found = Vec::new();
            for dead in steps {
                found.extend(died_on(conn, &namespace, &dead)?);
            }
            Ok(found)
        })
        .await
    }

    async fn dead_groups(
        &self,
        namespace: &Namespace,
        after: Option<&DeadGroupKey>,
        limit: u32,
    ) -> Result<Vec<DeadGroup>> {
        let (namespace, mut after) = (namespace.to_string(), after.cloned());
        self.read(move |conn| {
            let mut groups = Vec::new();
            while groups.len() < limit as usize {
                let Some(key) = next_group(conn, &namespace, after.as_ref())? else { break };
                groups.extend(group(conn, &namespace, key.clone())?);
                after = Some(key);
            }
            Ok(groups)
        })
        .await
    }

    async fn forget_dead_letters(&self, steps: &[StepId]) -> Result<u32> {
        let steps = steps.to_vec();
        self.change(move |ledger| {
            let mut gone = 0;
            for id in steps {
                let sql = "delete from dead_letter where run_id = ?1 and step_no = ?2";
                gone += ledger.conn.prepare_cached(sql)?.execute((id.run.0, id.step.0))?;
            }
            Ok(u32::try_from(gone).unwrap_or(u32::MAX))
        })
        .await
    }

    async fn untold_dead_letters(&self, _limit: u32) -> Result<Vec<DeadLetter>> {
        Ok(Vec::new())
    }

    async fn dead_letters_told(&self, _steps: &[StepId]) -> Result<()> {
        Ok(())
    }

    async fn parked_runs(
        &self,
        namespace: &Namespace,
        pipeline: Option<&str>,
        before: Option<RunId>,
        limit: u32,
    ) -> Result<Vec<RunRow>> {
        let (namespace, pipeline) = (namespace.to_string(), pipeline.map(str::to_owned));
        self.read(move |conn| {
            let Some(mut bound) = page_bound(conn, before)? else { return Ok(Vec::new()) };
            let mut runs = Vec::new();
            while runs.len() < limit as usize {
                let Some(next) = next_parked(conn, &namespace, pipeline.as_deref(), bound)? else { break };
                runs.extend(row(conn, concat!(run_query!(), "where r.id = ?1"), [next.1], run_row)?);
                bound = next;
            }
            Ok(runs)
        })
        .await
    }
}

/// The next run with a parked step: its submission, and its id.
fn next_parked(
    conn: &Connection,
    namespace: &str,
    pipeline: Option<&str>,
    bound: (i64, Uuid),
) -> Result<Option<(i64, Uuid)>> {
    let next = |row: &Row<'_>| Ok((row.get("run_created_at")?, row.get("run_id")?));
    match pipeline {
        None => {
            let sql = "select run_created_at, run_id from dead_letter
                       where namespace = ?1 and state = 'parked' and (run_created_at, run_id) < (?2, ?3)
                       order by run_created_at desc, run_id desc limit 1";
            row(conn, sql, (namespace, bound.0, bound.1), next)
        }
        Some(pipeline) => {
            let sql = "select run_created_at, run_id from dead_letter
                       where namespace = ?1 and pipeline = ?4 and state = 'parked'
                         and (run_created_at, run_id) < (?2, ?3)
                       order by run_created_at desc, run_id desc limit 1";
            row(conn, sql, (namespace, bound.0, bound.1, pipeline), next)
        }
    }
}

fn died_on(conn: &Connection, namespace: &str, dead: &DeadStep) -> Result<Option<DiedOn>> {
    let DeadStep { step, plugin } = dead;
    let sql = "select component from step where run_id = ?1 and step_no = ?2 and component is not null";
    let Some(component) = row(conn, sql, (step.run.0, step.step.0), |row| digest_of(row, "component"))? else {
        return Ok(None);
    };
    let sql = "select v.version, v.version is p.active_version as is_active
               from plugin p join plugin_version v on v.namespace = p.namespace and v.name = p.name
               where p.namespace = ?1 and p.name = ?2 and v.digest = ?3
               order by is_active desc, v.created_at desc limit 1";
    let of = (namespace, plugin, &component.0[..]);
    let version = row(conn, sql, of, |row| Ok((row.get::<_, String>("version")?, row.get::<_, bool>("is_active")?)))?;
    let (version, is_active) = version.map_or((None, false), |(version, is_active)| (Some(version), is_active));
    Ok(Some(DiedOn { step: *step, component, version, is_active }))
}

fn next_group(conn: &Connection, namespace: &str, after: Option<&DeadGroupKey>) -> Result<Option<DeadGroupKey>> {
    let sql = "select pipeline, pipeline_digest, step_no, cause from dead_letter
               where namespace = ?1 and (pipeline, pipeline_digest, step_no, cause) > (?2, ?3, ?4, ?5)
               order by pipeline, pipeline_digest, step_no, cause limit 1";
    let (pipeline, cause) = after.map_or(("", ""), |after| (&after.pipeline, &after.cause));
    let digest = after.map_or(&[][..], |after| &after.pipeline_digest.0);
    let step = after.map_or(-1, |after| after.step.0);
    row(conn, sql, (namespace, pipeline, digest, step, cause), |row| {
        Ok(DeadGroupKey {
            pipeline: row.get("pipeline")?,
            pipeline_digest: digest_of(row, "pipeline_digest")?,
            step: StepNo(row.get("step_no")?),
            cause: row.get("cause")?,
        })
    })
}

fn group(conn: &Connection, namespace: &str, key: DeadGroupKey) -> Result<Option<DeadGroup>> {
    let sql =
        "select count(*) as count, coalesce(sum(state = 'parked'), 0) as parked, min(at) as oldest, max(at) as newest
               from (select state, at from dead_letter
                     where namespace = ?1 and pipeline = ?2 and pipeline_digest = ?3 and step_no = ?4 and cause = ?5
                     order by at limit ?6)";
    let digest = key.pipeline_digest.0;
    let of = (namespace, &key.pipeline, &digest[..], key.step.0, &key.cause, COUNTED);
    let (count, parked, oldest_ms, newest_ms) =
        row(conn, sql, of, |row| Ok((row.get("count")?, row.get("parked")?, row.get("oldest")?, row.get("newest")?)))?
            .unwrap_or_default();
    Ok((count > 0).then_some(DeadGroup { key, count, parked, oldest_ms, newest_ms }))
}

fn letter(row: &Row<'_>) -> Result<DeadLetter> {
    let step = StepId { run: RunId(row.get("run_id")?), step: StepNo(row.get("step_no")?) };
    let at_ms: i64 = row.get("at")?;
    Ok(DeadLetter {
        place: DeadPlace { at_us: at_ms * 1_000, step },
        pipeline: row.get("pipeline")?,
        pipeline_digest: digest_of(row, "pipeline_digest")?,
        state: parse(row, "state")?,
        cause: row.get("cause")?,
    })
}
