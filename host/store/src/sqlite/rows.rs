//! Rows of runs and steps as the writer changes them: read, changed in memory, written back whole. What is large
//! (inputs, outputs) stays behind.

use pawl_domain::decision::Waits;
use pawl_domain::id::{Digest, RunId, StepId, StepNo, WorkerId};
use pawl_domain::namespace::Namespace;
use pawl_domain::pipeline::Priority;
use pawl_domain::ready::{Ready, unless_shelved};
use pawl_domain::status::{RunStatus, StepStatus};
use pawl_domain::transition::{self, StepChange};
use rusqlite::{Connection, named_params};

use super::{digest_of, maybe_digest_of, parse, row, rows};
use crate::{Error, Result};

/// A run's state.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) id: RunId,
    pub(super) namespace: Namespace,
    pub(super) pipeline: Digest,
    pub(super) pipeline_name: String,
    /// A person has paused it.
    pub(super) paused: bool,
    pub(super) status: RunStatus,
    pub(super) live: u32,
    pub(super) running: u32,
    pub(super) failing: bool,
    pub(super) event_count: u32,
    pub(super) signal_count: u32,
    pub(super) started_at: Option<i64>,
    pub(super) ended_at: Option<i64>,
}

/// A step's state.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) id: StepId,
    pub(super) queue: String,
    pub(super) priority: Priority,
    pub(super) status: StepStatus,
    pub(super) unmet: u32,
    pub(super) fence: i64,
    pub(super) worker: Option<WorkerId>,
    pub(super) component: Option<Digest>,
    pub(super) recorded_by: Option<Digest>,
    pub(super) attempts: u32,
    pub(super) failures: u32,
    pub(super) crashes: u32,
    pub(super) alone: bool,
    pub(super) crash_mark: i64,
    pub(super) journal_length: u32,
    pub(super) checkpoint_position: Option<u32>,
    pub(super) checkpoint_ordinal: u32,
    pub(super) ready_at: Option<i64>,
    pub(super) shelved_by: Option<i64>,
    pub(super) deferred_by: Option<i64>,
    pub(super) due_at: Option<i64>,
    pub(super) awaits_position: Option<u32>,
    pub(super) awaits_until: Option<i64>,
    pub(super) awaits: Option<String>,
    pub(super) claimed_at: Option<i64>,
    pub(super) started_at: Option<i64>,
    pub(super) ended_at: Option<i64>,
    pub(super) error: Option<Vec<u8>>,
    pub(super) progress: Option<f32>,
    pub(super) progress_message: Option<String>,
}

impl Run {
    pub(super) fn read(conn: &Connection, id: RunId) -> Result<Option<Self>> {
        let sql =
            "select namespace, pipeline_digest, pipeline, paused_at is not null as paused, status, live, running, failing, event_count, signal_count, started_at,
                          ended_at
                   from run where id = ?1";
        row(conn, sql, [id.0], |row| {
            Ok(Self {
                id,
                namespace: parse(row, "namespace")?,
                pipeline: digest_of(row, "pipeline_digest")?,
                pipeline_name: row.get("pipeline")?,
                paused: row.get("paused")?,
                status: parse(row, "status")?,
                live: row.get("live")?,
                running: row.get("running")?,
                failing: row.get("failing")?,
                event_count: row.get("event_count")?,
                signal_count: row.get("signal_count")?,
                started_at: row.get("started_at")?,
                ended_at: row.get("ended_at")?,
            })
        })
    }

    pub(super) fn write(&self, conn: &Connection) -> Result<()> {
        let mut statement = conn.prepare_cached(
            "update run set status = :status, live = :live, running = :running, failing = :failing,
                            event_count = :event_count, signal_count = :signal_count,
                            started_at = :started_at, ended_at = :ended_at
             where id = :id",
        )?;
        statement.execute(named_params! {
            ":id": self.id.0,
            ":status": self.status.as_str(),
            ":live": self.live,
            ":running": self.running,
            ":failing": self.failing,
            ":event_count": self.event_count,
            ":signal_count": self.signal_count,
            ":started_at": self.started_at,
            ":ended_at": self.ended_at,
        })?;
        Ok(())
    }
}

/// What is read of a step; a macro, so that statements stay constants.
macro_rules! step_columns {
    () => {
        "run_id, step_no, queue, priority, status, unmet, fence, worker_id, component, recorded_by, attempts, failures, crashes,
         alone, crash_mark, journal_length, checkpoint_position, checkpoint_ordinal, ready_at, shelved_by, deferred_by, due_at, awaits_position,
         awaits_until, awaits, claimed_at, started_at, ended_at, error, progress, progress_message"
    };
}

impl Step {
    pub(super) fn read(conn: &Connection, id: StepId) -> Result<Option<Self>> {
        let sql = concat!("select ", step_columns!(), " from step where run_id = ?1 and step_no = ?2");
        row(conn, sql, (id.run.0, id.step.0), Self::of)
    }

    /// All steps of a run, by number.
    pub(super) fn all_of(conn: &Connection, run: RunId) -> Result<Vec<Self>> {
        let sql = concat!("select ", step_columns!(), " from step where run_id = ?1 order by step_no");
        rows(conn, sql, [run.0], Self::of)
    }

    /// The steps of a run that wait for a signal, or were stopped while they did, by number; only for this one, if it
    /// is named.
    pub(super) fn awaiting(conn: &Connection, run: RunId, signal: Option<&str>) -> Result<Vec<Self>> {
        let any = concat!(
            "select ",
            step_columns!(),
            " from step where run_id = ?1 and awaits is not null and (?2 is null or awaits = ?2) order by step_no"
        );
        rows(conn, any, (run.0, signal), Self::of)
    }

    fn of(row: &rusqlite::Row<'_>) -> Result<Self> {
        Ok(Self {
            id: StepId { run: RunId(row.get("run_id")?), step: StepNo(row.get("step_no")?) },
            queue: row.get("queue")?,
            priority: parse(row, "priority")?,
            status: parse(row, "status")?,
            unmet: row.get("unmet")?,
            fence: row.get("fence")?,
            worker: row.get::<_, Option<_>>("worker_id")?.map(WorkerId),
            component: maybe_digest_of(row, "component")?,
            recorded_by: maybe_digest_of(row, "recorded_by")?,
            attempts: row.get("attempts")?,
            failures: row.get("failures")?,
            crashes: row.get("crashes")?,
            alone: row.get("alone")?,
            crash_mark: row.get("crash_mark")?,
            journal_length: row.get("journal_length")?,
            checkpoint_position: row.get("checkpoint_position")?,
            checkpoint_ordinal: row.get("checkpoint_ordinal")?,
            ready_at: row.get("ready_at")?,
            shelved_by: row.get("shelved_by")?,
            deferred_by: row.get("deferred_by")?,
            due_at: row.get("due_at")?,
            awaits_position: row.get("awaits_position")?,
            awaits_until: row.get("awaits_until")?,
            awaits: row.get("awaits")?,
            claimed_at: row.get("claimed_at")?,
            started_at: row.get("started_at")?,
            ended_at: row.get("ended_at")?,
            error: row.get("error")?,
            progress: row.get("progress")?,
            progress_message: row.get("progress_message")?,
        })
    }

    pub(super) fn write(&self, conn: &Connection) -> Result<()> {
        let mut statement = conn.prepare_cached(
            "update step set status = :status, unmet = :unmet, fence = :fence, worker_id = :worker, component = :component,
                 recorded_by = :recorded_by, attempts = :attempts, failures = :failures, crashes = :crashes, alone = :alone, crash_mark = :crash_mark,
                 journal_length = :journal_length, checkpoint_position = :checkpoint_position,
                 checkpoint_ordinal = :checkpoint_ordinal, ready_at = :ready_at, shelved_by = :shelved_by, deferred_by = :deferred_by,
                 due_at = :due_at,
                 awaits_position = :awaits_position, awaits_until = :awaits_until, awaits = :awaits,
                 claimed_at = :claimed_at, started_at = :started_at, ended_at = :ended_at, error = :error,
                 progress = :progress, progress_message = :progress_message
             where run_id = :run and step_no = :step",
        )?;
        statement.execute(named_params! {
            ":run": self.id.run.0,
            ":step": self.id.step.0,
            ":status": self.status.as_str(),
            ":unmet": self.unmet,
            ":fence": self.fence,
            ":worker": self.worker.map(|worker| worker.0),
            ":component": self.component.as_ref().map(|digest| &digest.0[..]),
            ":recorded_by": self.recorded_by.as_ref().map(|digest| &digest.0[..]),
            ":attempts": self.attempts,
            ":failures": self.failures,
            ":crashes": self.crashes,
            ":alone": self.alone,
            ":crash_mark": self.crash_mark,
            ":journal_length": self.journal_length,
            ":checkpoint_position": self.checkpoint_position,
            ":checkpoint_ordinal": self.checkpoint_ordinal,
            ":ready_at": self.ready_at,
            ":shelved_by": self.shelved_by,
            ":deferred_by": self.deferred_by,
            ":due_at": self.due_at,
            ":awaits_position": self.awaits_position,
            ":awaits_until": self.awaits_until,
            ":awaits": self.awaits,
            ":claimed_at": self.claimed_at,
            ":started_at": self.started_at,
            ":ended_at": self.ended_at,
            ":error": self.error,
            ":progress": self.progress,
            ":progress_message": self.progress_message,
        })?;
        self.write_letter(conn)
    }

    /// Its output is recorded, with the digest that every read checks.
    pub(super) fn write_output(&self, conn: &Connection, output: &[u8]) -> Result<()> {
        let mut statement =
            conn.prepare_cached("update step set output = ?3, output_digest = ?4 where run_id = ?1 and step_no = ?2")?;
        statement.execute((self.id.run.0, self.id.step.0, output, &Digest::of(output).0[..]))?;
        Ok(())
    }

    /// It has no output any more.
    pub(super) fn drop_output(&self, conn: &Connection) -> Result<()> {
        let sql = "update step set output = null, output_digest = null where run_id = ?1 and step_no = ?2";
        conn.prepare_cached(sql)?.execute((self.id.run.0, self.id.step.0))?;
        Ok(())
    }

    /// Changes its state by the rules of [`transition`], with what goes along: fence, worker's times, due times.
    pub(super) fn change(&mut self, change: StepChange, now_ms: i64) -> Result<()> {
        self.status = transition::step(self.status, change)
            .map_err(|illegal| Error::Conflict(format!("step {}: {illegal}", self.id)))?;
        self.fence += i64::from(change.raises_fence());
        self.ready_at = (self.status == StepStatus::Ready).then_some(now_ms);
        self.ended_at = self.status.is_ended().then_some(now_ms);
        if self.status != StepStatus::Waiting {
            self.due_at = None;
        }
        self.deferred_by = None;
        // A step that is stopped while it is suspended stays so, for a reopening.
        if !matches!(self.status, StepStatus::Waiting | StepStatus::Cancelled) {
            (self.awaits_position, self.awaits_until, self.awaits) = (None, None, None);
        }
        Ok(())
    }

    /// A worker has it from now on, on that component.
    pub(super) fn claim(&mut self, change: StepChange, worker: WorkerId, component: Digest, now_ms: i64) -> Result<()> {
        self.change(change, now_ms)?;
        self.worker = Some(worker);
        self.shelved_by = None;
        self.component = Some(component);
        self.attempts += 1;
        self.claimed_at = Some(now_ms);
        self.started_at = self.started_at.or(Some(now_ms));
        Ok(())
    }

    /// Whether `worker` may write for it under `fence`.
    pub(super) fn is_held(&self, worker: WorkerId, fence: i64) -> bool {
        self.status == StepStatus::Running && self.worker == Some(worker) && self.fence == fence
    }

    /// Whether, between two of its claims, somebody else has raised its fence: a takeover, or a person.
    pub(super) fn has_been_raised(&self) -> bool {
        self.attempts > 1 && i64::from(self.attempts) < self.fence
    }

    /// The wait that has not ended.
    pub(super) fn waits(&self) -> Option<Waits> {
        self.awaits_position.map(|position| Waits { position, signal: self.awaits.clone() })
    }

    /// Its message, if it is ready and not on the shelf.
    pub(super) fn ready(&self) -> Option<Ready> {
        let ready_at_ms = unless_shelved(self.ready_at)?;
        Some(Ready { id: self.id, queue: self.queue.clone(), priority: self.priority, ready_at_ms, start: None })
    }

    /// What it has saved, for the history.
    pub(super) fn progress_note(&self) -> String {
        let checkpoint = self.checkpoint_position.map_or_else(|| "none".to_owned(), |position| position.to_string());
        format!("checkpoint={checkpoint} journal={}", self.journal_length)
    }
}
