//! Recoveries, as `migrations/0023_recovery.sql` does them for Postgres: what takeovers, claims and replacements note, what
//! people read of it, and how a run goes on at their word.

use async_trait::async_trait;
use pawl_domain::event::EventKind;
use pawl_domain::id::{Fence, RunId, StepId, StepNo, WorkerId};
use pawl_domain::ready::Ready;
use pawl_domain::recovery::{Outcome, Record, Recovered};
use pawl_domain::status::StepStatus;
use pawl_domain::suspicion::Suspicion;
use rusqlite::{Connection, Row};
use uuid::Uuid;

use super::ledger::{Happened, Ledger, now_ms};
use super::rows::Step;
use super::{Sqlite, digest_of, live, parse, row, rows, sweeps};
use crate::recoveries::{
    InterruptedFilter, InterruptedRow, LOOKED_AT, Recoveries, RecoveryFilter, RecoveryId, RecoveryRow,
};
use crate::{Result, ms};

impl Ledger<'_> {
    /// A step was taken over, which the history tells as `told`.
    pub(super) fn begin_recovery(&self, step: &Step, told: EventKind) -> Result<()> {
        let Some(worker) = step.worker else { return Ok(()) };
        let lost = "update recovery set outcome = 'lost' where run_id = ?1 and step_no = ?2 and outcome is null";
        self.conn.prepare_cached(lost)?.execute((step.id.run.0, step.id.step.0))?;
        let insert = "insert into recovery (run_id, step_no, fence, worker_id, lease_ended_at, taken_over_at,
                                            checkpoint_position, to_replay, outcome)
                      values (?1, ?2, ?3, ?4, (select expires_at from worker where id = ?4), ?5, ?6, ?7, ?8)";
        self.conn.prepare_cached(insert)?.execute((
            step.id.run.0,
            step.id.step.0,
            step.fence,
            worker.0,
            self.now_ms,
            step.checkpoint_position,
            step.journal_length - step.checkpoint_position.unwrap_or(0),
            Outcome::of_takeover(told).map(Outcome::as_str),
        ))?;
        Ok(())
    }

    /// A step that was taken over is claimed again.
    pub(super) fn replace_dead(&self, step: &Step, replacement: WorkerId) -> Result<()> {
        let sql = "update recovery set replacement_id = ?3, claimed_at = max(?4, taken_over_at)
                   where run_id = ?1 and step_no = ?2 and outcome is null";
        self.conn.prepare_cached(sql)?.execute((step.id.run.0, step.id.step.0, replacement.0, self.now_ms))?;
        Ok(())
    }

    /// Whether a takeover of the step is on record that its worker has not come through yet.
    pub(super) fn recovers(&self, step: &Step) -> Result<bool> {
        // What no takeover has touched pays nothing.
        if !step.has_been_raised() {
            return Ok(false);
        }
        let sql =
            "select 1 from recovery where run_id = ?1 and step_no = ?2 and outcome is null and replacement_id = ?3";
        let worker = step.worker.map(|worker| worker.0);
        Ok(row(self.conn, sql, (step.id.run.0, step.id.step.0, worker), |_| Ok(()))?.is_some())
    }

    /// What a replacement tells of its recovery, which is noted once; what the history tells of it.
    pub(super) fn recovered(&self, step: &Step, replacement: WorkerId, told: &Recovered) -> Result<Vec<Happened>> {
        let sql =
            "select fence, claimed_at, coalesce(lease_ended_at, taken_over_at) as lease_ended, checkpoint_position
                   from recovery
                   where run_id = ?1 and step_no = ?2 and outcome is null and replacement_id = ?3";
        let found = row(self.conn, sql, (step.id.run.0, step.id.step.0, replacement.0), |row| {
            let (claimed_ms, lease_ended_ms) = (row.get("claimed_at")?, row.get("lease_ended")?);
            let record = Record { claimed_ms, lease_ended_ms, checkpoint_position: row.get("checkpoint_position")? };
            Ok((row.get::<_, i64>("fence")?, record))
        })?;
        let Some((fence, record)) = found else { return Ok(Vec::new()) };
        let told = told.after_claim(record.claimed_ms);
        let sql = "update recovery set reloaded_at = ?4, replayed_at = ?5, ready_at = ?6, replayed = ?7, outcome = ?8
                   where run_id = ?1 and step_no = ?2 and fence = ?3";
        self.conn.prepare_cached(sql)?.execute((
            step.id.run.0,
            step.id.step.0,
            fence,
            told.reloaded_ms,
            told.replayed_ms,
            told.ready_ms,
            told.replayed,
            told.outcome.as_str(),
        ))?;
        let stages = told.stages(&record).into_iter();
        Ok(stages.map(|(stage, note)| Happened::to(step, stage.event()).by(replacement).noting(note)).collect())
    }
}

#[async_trait]
impl Recoveries for Sqlite {
    async fn recoveries(&self, filter: &RecoveryFilter<'_>) -> Result<Vec<RecoveryRow>> {
        let (namespace, run) = (filter.namespace.as_str().to_owned(), filter.run.map(|run| run.0));
        let (before, limit) = (filter.before, filter.limit);
        self.read(move |conn| {
            let sql = "select v.*, r.pipeline_digest, p.name as pipeline
                       from recovery v
                       join run r on r.id = v.run_id
                       join pipeline_version p on p.digest = r.pipeline_digest
                       where r.namespace = ?1 and (?2 is null or v.run_id = ?2)
                         and (?3 is null or (v.taken_over_at, v.run_id, v.step_no, v.fence) <
                              (select b.taken_over_at, b.run_id, b.step_no, b.fence from recovery b
                               where b.run_id = ?3 and b.step_no = ?4 and b.fence = ?5))
                       order by v.taken_over_at desc, v.run_id desc, v.step_no desc, v.fence desc limit ?6";
            let (step, fence) = before.map(|id| (id.step, id.fence.0)).unzip();
            let params = (namespace, run, step.map(|id| id.run.0), step.map(|id| id.step.0), fence, limit);
            rows(conn, sql, params, recovery_of)
        })
        .await
    }

    async fn interrupted_page(&self, filter: &InterruptedFilter<'_>) -> Result<Vec<InterruptedRow>> {
        let (namespace, pipeline) = (filter.namespace.as_str().to_owned(), filter.pipeline.map(str::to_owned));
        let (after, limit) = (filter.after, filter.limit);
        let threshold_ms = ms(filter.threshold);
        self.read(move |conn| {
            let now_ms = now_ms();
            let served = live::served_queues(conn, now_ms)?;
            let before_ms = now_ms.saturating_sub(threshold_ms);
            let params = (&namespace, before_ms, now_ms, LOOKED_AT);
            let mut found = rows(conn, include_str!("interrupted.sql"), params, |row| {
                Ok((row.get::<_, String>("queue")?, interrupted_of(row)?))
            })?;
            let is_served = |queue: &String| served.iter().any(|queues| queues.contains(queue));
            found.retain(|(queue, found)| found.next_status != StepStatus::Ready || !is_served(queue));
            let mut found: Vec<InterruptedRow> = found.into_iter().map(|(_, found)| found).collect();
            // Of each run its first step; then those that stand longest.
            found.sort_by_key(|found| (found.run, found.next));
            found.dedup_by_key(|found| found.run);
            found.retain(|found| pipeline.as_ref().is_none_or(|pipeline| *pipeline == found.pipeline));
            found.retain(|found| after.is_none_or(|place| found.standing() > place));
            found.sort_by_key(InterruptedRow::standing);
            found.truncate(limit as usize);
            Ok(found)
        })
        .await
    }

    async fn recover(&self, runs: &[RunId], suspicion: Suspicion) -> Result<Vec<Ready>> {
        let runs = runs.to_vec();
        self.change(move |ledger| {
            let mut ready = Vec::new();
            for run in runs {
                sweeps::take_over_run(ledger, run, suspicion)?;
                sweeps::wake_run(ledger, run)?;
                ready.extend(ready_ids(ledger.conn, run)?);
            }
            sweeps::ready_anew(ledger, &ready)
        })
        .await
    }
}

fn ready_ids(conn: &Connection, run: RunId) -> Result<Vec<StepId>> {
    let sql = "select run_id, step_no from step where run_id = ?1 and status = 'ready'";
    rows(conn, sql, [run.0], sweeps::step_of)
}

fn interrupted_of(row: &Row<'_>) -> Result<InterruptedRow> {
    Ok(InterruptedRow {
        run: RunId(row.get("run_id")?),
        pipeline: row.get("pipeline")?,
        pipeline_digest: digest_of(row, "pipeline_digest")?,
        started_ms: row.get("started_at")?,
        last_activity_ms: row.get("last_activity")?,
        steps: row.get("steps")?,
        completed: row.get("completed")?,
        failed: row.get("failed")?,
        next: StepNo(row.get("step_no")?),
        next_status: parse(row, "status")?,
    })
}

fn recovery_of(row: &Row<'_>) -> Result<RecoveryRow> {
    let outcome: Option<String> = row.get("outcome")?;
    Ok(RecoveryRow {
        id: RecoveryId {
            step: StepId { run: RunId(row.get::<_, Uuid>("run_id")?), step: StepNo(row.get("step_no")?) },
            fence: Fence(row.get("fence")?),
        },
        pipeline: row.get("pipeline")?,
        pipeline_digest: digest_of(row, "pipeline_digest")?,
        worker: WorkerId(row.get("worker_id")?),
        lease_ended_ms: row.get("lease_ended_at")?,
        taken_over_ms: row.get("taken_over_at")?,
        checkpoint_position: row.get("checkpoint_position")?,
        to_replay: row.get("to_replay")?,
        replacement: row.get::<_, Option<_>>("replacement_id")?.map(WorkerId),
        claimed_ms: row.get("claimed_at")?,
        reloaded_ms: row.get("reloaded_at")?,
        replayed_ms: row.get("replayed_at")?,
        ready_ms: row.get("ready_at")?,
        replayed: row.get("replayed")?,
        outcome: outcome.map(|_| parse(row, "outcome")).transpose()?,
    })
}
