//! The group writer's batch: what the concurrent steps of a worker want to write, in one round trip to
//! `pawl_write_v1` (see `migrations/0003_write.sql` for what it does, and in which order).
//!
//! Called by the writer of a worker only. A batch may be sent again after a lost answer: the answer is then
//! what the first one would have been.

use std::time::Duration;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Connection, Row};

use super::{Result, Store, ready_of};
use crate::domain::attempt::Claim;
use crate::domain::id::{Digest, Fence, RunId, StepId, StepNo, WorkerId};
use crate::domain::journal::Checkpoint;
use crate::domain::ready::Ready;

/// Everything that is sent at once.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// One for each step that writes.
    pub members: Vec<Member>,
    /// Ready steps that the worker wants.
    pub claims: Vec<StepId>,
}

/// One step's share of a batch.
#[derive(Debug, Clone)]
pub struct Member {
    /// The step.
    pub id: StepId,
    /// The worker's right to it.
    pub fence: Fence,
    /// Drop the journal's rows from this position on first.
    pub cut: Option<u32>,
    /// Entries to append.
    pub segment: Option<Segment>,
    /// State to save.
    pub checkpoint: Option<Checkpoint>,
    /// How far the step is, from 0 to 1, and a word about it.
    pub progress: Option<(f32, String)>,
    /// How the attempt ended.
    pub settlement: Option<Settlement>,
}

impl Member {
    /// Whether the step's attempt ends with it.
    #[must_use]
    pub fn ends(&self) -> bool {
        self.settlement.is_some()
    }

    /// Whether the worker may go on with a successor of the step.
    #[must_use]
    pub fn may_continue(&self) -> bool {
        matches!(self.settlement, Some(Settlement::Succeeded { may_continue: true, .. }))
    }

    /// How long its step waits for the next attempt.
    #[must_use]
    pub fn retry_delay(&self) -> Option<Duration> {
        match self.settlement {
            Some(Settlement::Retry { delay_ms, .. }) => Some(Duration::from_millis(delay_ms)),
            _ => None,
        }
    }

    /// What it adds to a batch.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        self.segment.as_ref().map_or(0, |segment| segment.bytes.len())
            + self.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.state.len())
            + self.settlement.as_ref().and_then(Settlement::payload).map_or(0, <[u8]>::len)
    }
}

/// All entries of a step in one batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The position of the first entry.
    pub first: u32,
    /// How many.
    pub length: u32,
    /// Packed by [`crate::domain::journal::append`].
    pub bytes: Vec<u8>,
}

/// What the end of an attempt means for the step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// It has its output (JSON); the worker may go on with a successor.
    Succeeded {
        /// JSON bytes.
        output: Vec<u8>,
        /// Whether the worker may claim successors in the same commit.
        may_continue: bool,
    },
    /// It has failed for good; the error as JSON.
    Failed(Vec<u8>),
    /// It failed and is tried again later; the error as JSON.
    Retry {
        /// JSON bytes.
        error: Vec<u8>,
        /// From the commit on.
        delay_ms: u64,
    },
    /// A person decides; the reason as JSON.
    Parked(Vec<u8>),
    /// The worker gives it back without fault: it is ready again.
    Released,
}

impl Settlement {
    fn kind(&self) -> &'static str {
        match self {
            Self::Succeeded { .. } => "succeeded",
            Self::Failed(_) => "failed",
            Self::Retry { .. } => "retry",
            Self::Parked(_) => "parked",
            Self::Released => "released",
        }
    }

    fn payload(&self) -> Option<&[u8]> {
        match self {
            Self::Succeeded { output, .. } => Some(output),
            Self::Failed(error) | Self::Retry { error, .. } | Self::Parked(error) => Some(error),
            Self::Released => None,
        }
    }
}

/// The answer to a batch, after its commit.
#[derive(Debug, Default)]
pub struct Written {
    /// By place in the batch.
    pub members: Vec<Verdict>,
    /// Claimed steps: those asked for, and successors.
    pub claimed: Vec<Claim>,
    /// Asked for, and not ready (any more).
    pub not_ready: Vec<StepId>,
    /// Asked for, and locked by somebody: ask again.
    pub busy: Vec<StepId>,
    /// To be delivered.
    pub ready: Vec<Ready>,
}

impl Written {
    /// Runs of `batch` that moved: those whose steps ended or were claimed.
    #[must_use]
    pub fn moved(&self, batch: &Batch) -> Vec<RunId> {
        let ended = batch
            .members
            .iter()
            .zip(&self.members)
            .filter(|(member, verdict)| member.ends() && **verdict == Verdict::Written);
        let mut runs: Vec<RunId> = ended.map(|(member, _)| member.id.run).collect();
        runs.extend(self.claimed.iter().map(Claim::run));
        runs.sort_unstable();
        runs.dedup();
        runs
    }
}

/// What became of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Written.
    Written,
    /// The step is no longer this worker's: nothing was written.
    LeaseLost,
    /// The segment does not start where the journal ends: nothing was written. A fault of the worker.
    Gap,
}

impl Store {
    /// A connection of its own, outside the pool.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`] if the database can't be reached.
    pub async fn connect(&self) -> Result<PgConnection> {
        Ok(PgConnection::connect_with(&self.options).await?)
    }
}

/// Sends a batch for `worker`, which serves `queues`, and waits for its commit.
///
/// # Errors
/// [`super::Error::Unavailable`]: it may have been committed; send it again. [`super::Error::Refused`]: it
/// was not, because of the content of a member.
pub async fn write(conn: &mut PgConnection, worker: WorkerId, queues: &[String], batch: &Batch) -> Result<Written> {
    let members = &batch.members;
    let mut query = sqlx::query(
        "select kind, verdict, number, run_id, step_no, fence, pipeline, component, failures, crashes, journal_length,
                checkpoint_position, run_input, needed_outputs, queue, priority, ready_at_ms
         from pawl_write_v1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
                            $19, $20, $21, $22, $23, $24, $25, $26)",
    )
    .bind(worker.0)
    .bind(column(members, |m| m.id.run.0))
    .bind(column(members, |m| m.id.step.0))
    .bind(column(members, |m| m.fence.0))
    .bind(column(members, |m| m.cut.map(signed)));

    query = query
        .bind(column(members, |m| m.segment.as_ref().map(|s| signed(s.first))))
        .bind(column(members, |m| m.segment.as_ref().map(|s| signed(s.length))))
        .bind(column(members, |m| m.segment.as_ref().map(|s| digest(&s.bytes))))
        .bind(column(members, |m| m.segment.as_ref().map(|s| s.bytes.as_slice())));

    query = query
        .bind(column(members, |m| m.checkpoint.as_ref().map(|k| signed(k.ordinal))))
        .bind(column(members, |m| m.checkpoint.as_ref().map(|k| signed(k.position))))
        .bind(column(members, |m| m.checkpoint.as_ref().map(|k| k.random_position.cast_signed())))
        .bind(column(members, |m| m.checkpoint.as_ref().map(|k| signed(k.effect_ordinal))))
        .bind(column(members, |m| m.checkpoint.as_ref().and_then(|k| k.prelude.map(signed))))
        .bind(column(members, |m| m.checkpoint.as_ref().map(|k| digest(&k.state))))
        .bind(column(members, |m| m.checkpoint.as_ref().map(|k| k.state.as_slice())))
        .bind(column(members, |m| m.progress.as_ref().map(|(fraction, _)| *fraction)))
        .bind(column(members, |m| m.progress.as_ref().map(|(_, message)| message.as_str())));

    query = query
        .bind(column(members, |m| m.settlement.as_ref().map(Settlement::kind)))
        .bind(column(members, |m| m.settlement.as_ref().and_then(Settlement::payload)))
        .bind(column(members, |m| match &m.settlement {
            Some(Settlement::Succeeded { output, .. }) => Some(digest(output)),
            _ => None,
        }))
        .bind(column(members, |m| match &m.settlement {
            Some(Settlement::Retry { delay_ms, .. }) => Some(delay_ms.cast_signed()),
            _ => None,
        }))
        .bind(column(members, Member::may_continue));

    let rows = query
        .bind(column(&batch.claims, |id| id.run.0))
        .bind(column(&batch.claims, |id| id.step.0))
        .bind(queues)
        .fetch_all(conn)
        .await?;
    answer(batch, &rows)
}

fn column<'a, R, T>(rows: &'a [R], value: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

fn signed(number: u32) -> i32 {
    number.cast_signed()
}

fn digest(bytes: &[u8]) -> Vec<u8> {
    Digest::of(bytes).0.to_vec()
}

fn answer(batch: &Batch, rows: &[PgRow]) -> Result<Written> {
    let mut written = Written { members: vec![Verdict::Written; batch.members.len()], ..Written::default() };
    for row in rows {
        let verdict: Option<&str> = row.try_get("verdict")?;
        match row.try_get("kind")? {
            "member" => {
                let place = usize::try_from(row.try_get::<i32, _>("number")? - 1).unwrap_or(usize::MAX);
                if let Some(refused) = written.members.get_mut(place) {
                    *refused = if verdict == Some("gap") { Verdict::Gap } else { Verdict::LeaseLost };
                }
            }
            "ready" => written.ready.push(ready_of(row)?),
            _ => match verdict {
                Some("claimed") => written.claimed.push(claim_of(row)?),
                Some("busy") => written.busy.push(step_of(row)?),
                _ => written.not_ready.push(step_of(row)?),
            },
        }
    }
    Ok(written)
}

fn step_of(row: &PgRow) -> Result<StepId> {
    Ok(StepId { run: RunId(row.try_get("run_id")?), step: StepNo(row.try_get("step_no")?) })
}

fn claim_of(row: &PgRow) -> Result<Claim> {
    let count = |column: &str| -> Result<u32> { Ok(row.try_get::<i32, _>(column)?.cast_unsigned()) };
    Ok(Claim {
        id: step_of(row)?,
        fence: Fence(row.try_get("fence")?),
        pipeline: super::digest_of(row, "pipeline")?,
        component: super::digest_of(row, "component")?,
        failures: count("failures")?,
        crashes: count("crashes")?,
        journal_length: count("journal_length")?,
        checkpoint_position: row.try_get::<Option<i32>, _>("checkpoint_position")?.map(i32::cast_unsigned),
        run_input: row.try_get("run_input")?,
        needed_outputs: row.try_get::<Option<_>, _>("needed_outputs")?.unwrap_or_default(),
    })
}
