//! Runs, as people read them: lists and states without payloads, payloads one by one and verified by their
//! digest.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use pawl_domain::id::{Digest, RunId, StepId, StepNo, WorkerId};
use pawl_domain::namespace::Namespace;
use pawl_domain::pipeline::Pipeline;
use pawl_domain::status::{RunStatus, StepStatus};

use super::history::PIECE_BYTES;
use super::{Error, Result, within};

/// Which runs to list.
#[derive(Debug, Clone)]
pub struct RunFilter<'a> {
    /// Only those of this namespace.
    pub namespace: &'a Namespace,
    /// Only these.
    pub status: Option<RunStatus>,
    /// Only of the pipeline of this name, in any version.
    pub pipeline: Option<&'a str>,
    /// Only those submitted before this one.
    pub before: Option<RunId>,
    /// Only those submitted at this time or later, ms since 1970.
    pub since_ms: Option<i64>,
    /// Only those submitted before this time, ms since 1970.
    pub until_ms: Option<i64>,
    /// At most so many.
    pub limit: u32,
}

/// Times that every store has: from 1970 to the end of the year 9999, ms.
const TIMES: std::ops::RangeInclusive<i64> = 0..=253_402_300_799_999;

impl<'a> RunFilter<'a> {
    /// The newest runs of a namespace.
    #[must_use]
    pub fn newest(namespace: &'a Namespace, limit: u32) -> Self {
        Self { namespace, status: None, pipeline: None, before: None, since_ms: None, until_ms: None, limit }
    }

    /// From when on, and before when, as far as times go.
    pub(crate) fn times(&self) -> (Option<i64>, Option<i64>) {
        let within = |ms: i64| ms.clamp(*TIMES.start(), *TIMES.end());
        (self.since_ms.map(within), self.until_ms.map(within))
    }

    /// The states of the runs.
    pub(crate) fn statuses(&self) -> &[RunStatus] {
        self.status.as_ref().map_or(RunStatus::ALL, std::slice::from_ref)
    }
}

/// A run without its steps and payloads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRow {
    /// The run.
    pub id: RunId,
    /// The pipeline's name.
    pub pipeline: String,
    /// The pipeline's version.
    pub pipeline_digest: Digest,
    /// Where it stands.
    pub status: RunStatus,
    /// All its steps.
    pub step_count: u32,
    /// Its steps that have not ended.
    pub live_steps: u32,
    /// Whether a step has failed.
    pub failing: bool,
    /// Whether nothing of it is executed, and a step waits for a person.
    pub parked: bool,
    /// Whether a person keeps it: its retention never ends.
    pub kept: bool,
    /// Since when a person has it paused.
    pub paused_at_ms: Option<i64>,
    /// Why, in that person's words.
    pub pause_reason: Option<String>,
    /// The number of its last event.
    pub event_count: u32,
    /// As given at submission.
    pub idempotency_key: Option<String>,
    /// Submission.
    pub created_at_ms: i64,
    /// First claim of a step.
    pub started_at_ms: Option<i64>,
    /// End.
    pub ended_at_ms: Option<i64>,
}

impl RunRow {
    /// A run of one step that stands in no store: examples and tests, which other crates have, too, say of it what matters to
    /// them.
    #[doc(hidden)]
    #[must_use]
    pub fn example(status: RunStatus) -> Self {
        Self {
            id: RunId::new(),
            pipeline: "p".to_owned(),
            pipeline_digest: Digest::of(b""),
            status,
            step_count: 1,
            live_steps: u32::from(!status.is_ended()),
            failing: false,
            parked: false,
            kept: false,
            paused_at_ms: None,
            pause_reason: None,
            event_count: 1,
            idempotency_key: None,
            created_at_ms: 0,
            started_at_ms: None,
            ended_at_ms: None,
        }
    }
}

/// The state of a step; what its pipeline says of it is not repeated.
#[derive(Debug, Clone, PartialEq)]
pub struct StepRow {
    /// Its place in the pipeline.
    pub no: StepNo,
    /// Where it stands.
    pub status: StepStatus,
    /// The component that it runs on; none before its start, if that decides.
    pub component: Option<Digest>,
    /// Attempts that were begun.
    pub attempts: u32,
    /// Attempts that failed.
    pub failures: u32,
    /// Attempts that ended with their worker.
    pub crashes: u32,
    /// Grows with every claim and takeover.
    pub fence: i64,
    /// Who has it, or had it last.
    pub worker: Option<WorkerId>,
    /// Journal entries.
    pub journal_length: u32,
    /// Where the last checkpoint stands in the journal.
    pub checkpoint_position: Option<u32>,
    /// From 0 to 1.
    pub progress: Option<f32>,
    /// A word about it.
    pub progress_message: Option<String>,
    /// JSON: the failure of the last attempt, or why it is parked.
    pub error: Option<Vec<u8>>,
    /// When it last became ready; none if it is ready and on the shelf, since something is paused.
    pub ready_at_ms: Option<i64>,
    /// When it wakes.
    pub due_at_ms: Option<i64>,
    /// The signal that it waits for.
    pub awaits: Option<String>,
    /// The last claim.
    pub claimed_at_ms: Option<i64>,
    /// The first claim.
    pub started_at_ms: Option<i64>,
    /// End.
    pub ended_at_ms: Option<i64>,
}

/// When a run began and ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunTimes {
    /// The run.
    pub id: RunId,
    /// Where it stands.
    pub status: RunStatus,
    /// Submission.
    pub created_at_ms: i64,
    /// End.
    pub ended_at_ms: Option<i64>,
}

/// Where a step stands, and since when: as much as is read of many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepMark {
    /// Which step.
    pub id: StepId,
    /// Where it stands.
    pub status: StepStatus,
    /// The component that it runs on; none before its start, if that decides.
    pub component: Option<Digest>,
    /// The first claim.
    pub started_at_ms: Option<i64>,
    /// End.
    pub ended_at_ms: Option<i64>,
}

/// Reading runs.
#[async_trait]
pub trait Runs {
    /// Runs, newest first, without payloads.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn runs(&self, filter: &RunFilter<'_>) -> Result<Vec<RunRow>>;

    /// Runs of a namespace whose ids lie between these two, by id: at most `limit`.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn runs_between(&self, namespace: &Namespace, first: RunId, last: RunId, limit: u32) -> Result<Vec<RunRow>>;

    /// A run without its steps.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    async fn run_alone(&self, run: RunId) -> Result<RunRow>;

    /// These runs, those that there are, in any order.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn runs_named(&self, runs: &[RunId]) -> Result<Vec<RunRow>>;

    /// Those of these runs of which a step was left by an error with these bytes in it: they are looked for in the steps of each,
    /// so that whoever calls it bounds how many there are.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn runs_with_error(&self, runs: &[RunId], part: &[u8]) -> Result<Vec<RunId>>;

    /// When these runs began and ended, those that there are.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn run_times(&self, runs: &[RunId]) -> Result<Vec<RunTimes>>;

    /// A run and its steps, or only one of them, as they stood at one moment, without payloads.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    async fn run(&self, run: RunId, only: Option<StepNo>) -> Result<(RunRow, Vec<StepRow>)>;

    /// The steps by which a run fails, or has failed, by number: at most `limit`, without payloads.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn failed_steps(&self, run: RunId, limit: u32) -> Result<Vec<StepRow>>;

    /// The steps of these runs, those that there are, by run and number. The caller has seen that they are not too many.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn step_marks(&self, runs: &[RunId]) -> Result<Vec<StepMark>>;

    /// The outputs of the last steps of a run that has succeeded, of which [`Pipeline::output_of`] makes the run's.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] if it has not succeeded; [`Error::Damaged`].
    async fn last_outputs(&self, run: RunId, pipeline: &Pipeline) -> Result<BTreeMap<StepNo, Vec<u8>>>;

    /// The output of one step, if it has one.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Damaged`].
    async fn step_output(&self, run: RunId, step: StepNo) -> Result<Option<Vec<u8>>>;

    /// The outputs of these steps in their order, from the first on: one, and as many more as are together no larger
    /// than `most_bytes`. Reading what is large takes several calls, each in its own time.
    ///
    /// # Errors
    /// [`Error::NotFound`] if a step is not there or has none; [`Error::Damaged`].
    async fn outputs(&self, run: RunId, steps: &[StepNo], most_bytes: usize) -> Result<Vec<Vec<u8>>>;

    /// The run's input: JSON bytes.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    async fn run_input(&self, run: RunId) -> Result<Vec<u8>>;

    /// The run's pipeline version.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    async fn pipeline_of_run(&self, run: RunId) -> Result<Digest>;
}

pub(super) fn no_run(run: RunId) -> Error {
    Error::NotFound(format!("there is no run {run}"))
}

/// Outputs that are looked at in one go.
const AT_ONCE: usize = 256;

/// Those of the steps whose outputs are asked for next, when so many of them are read; `None` if all are.
#[must_use]
pub fn next_outputs(steps: &[StepNo], read: usize) -> Option<&[StepNo]> {
    let rest = steps.get(read..).filter(|rest| !rest.is_empty())?;
    Some(&rest[..rest.len().min(AT_ONCE)])
}

/// All outputs of these steps, in their order. They may be large together: they come in pieces, each `within` its own
/// time, and the caller has seen that they fit into memory.
///
/// # Errors
/// As [`Runs::outputs`].
pub async fn all_outputs(
    store: &(impl Runs + ?Sized),
    run: RunId,
    steps: &[StepNo],
    piece: Duration,
) -> Result<Vec<Vec<u8>>> {
    let mut outputs = Vec::with_capacity(steps.len());
    while let Some(some) = next_outputs(steps, outputs.len()) {
        outputs.extend(within(piece, store.outputs(run, some, PIECE_BYTES)).await?);
    }
    Ok(outputs)
}

pub(super) fn no_such_output(run: RunId, step: StepNo) -> Error {
    Error::NotFound(format!("step {run}/{step} has no output"))
}

pub(super) fn no_output(run: RunId, status: RunStatus) -> Error {
    Error::Conflict(format!("run {run} has no output: it is {status}"))
}
