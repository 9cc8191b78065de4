//! Logs of steps: lines that guests have said, kept for people. They are told beside the truth, never with it: no commit of a
//! step waits for its lines.
//!
//! ```text
//!  worker ── segments, one of an attempt ──▶ keep_lines ──▶ rows of the run's log, numbered as they come
//!                                                └─ the oldest of a step go, beyond what is kept of it
//!  reader ── after line n ──▶ log_page, piece by piece      log_marks: is there more?
//! ```
//!
//! A run has one log, whose lines are numbered in the order of commits, so that who has read up to a number has missed
//! nothing before it. A row is what one attempt said between two commits.

use async_trait::async_trait;
use pawl_domain::id::{Fence, RunId, StepId, StepNo, WorkerId};
use pawl_domain::limits::KeptLog;
use pawl_domain::log::{Level, Line, pack, unpack};

use super::history::PIECE_BYTES;
use super::{Error, Result};

/// Rows that one piece looks at, and bytes that it may have.
const PIECE_ROWS: i64 = 1_000;
pub(super) const PIECE: i64 = PIECE_BYTES as i64;

/// Pieces that are read for one page: what a filter leaves out costs, too.
const PIECES: usize = 16;

/// Of a step's newest rows, so many are looked at for a segment that was sent before, and whose answer was lost.
pub(super) const LATE_ROWS: i64 = 32;

/// Of a step's oldest rows, so many go at a time.
pub(super) const OLD_ROWS: i64 = 64;

/// Lines that an attempt has said, in their order.
#[derive(Debug, Clone)]
pub struct NewLines {
    /// The step.
    pub id: StepId,
    /// The claim that they were said under, whether it is still the newest or not.
    pub fence: Fence,
    /// Who executes it.
    pub worker: WorkerId,
    /// What the guest is told: attempts that failed before, and one.
    pub attempt: u32,
    /// How many lines the attempt has said before these: by it, the same lines are known when they are sent again.
    pub place: u32,
    /// How many they are; at least one.
    pub length: u32,
    /// The level of the one that matters most.
    pub level: Level,
    /// When the last one was said.
    pub last_ms: i64,
    /// The lines, packed.
    pub bytes: Vec<u8>,
}

impl NewLines {
    /// The lines of an attempt; there is at least one.
    #[must_use]
    pub fn of(id: StepId, fence: Fence, worker: WorkerId, attempt: u32, place: u32, lines: &[Line]) -> Self {
        let level = lines.iter().map(|line| line.level).max().unwrap_or(Level::Trace);
        let last_ms = lines.iter().map(|line| line.at_ms).max().unwrap_or_default();
        let length = u32::try_from(lines.len()).unwrap_or(u32::MAX);
        Self { id, fence, worker, attempt, place, length, level, last_ms, bytes: pack(lines) }
    }
}

/// Which lines of a run are wanted.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// The run.
    pub run: RunId,
    /// Only those of this step.
    pub step: Option<StepNo>,
    /// Only those of this attempt.
    pub attempt: Option<u32>,
    /// Only those that matter as much, or more.
    pub level: Level,
    /// Only those that were said then or later.
    pub since_ms: i64,
}

impl Wanted {
    /// All lines of a run.
    #[must_use]
    pub fn all(run: RunId) -> Self {
        Self { run, step: None, attempt: None, level: Level::Trace, since_ms: i64::MIN }
    }

    /// Rows to look at for so many lines, and for whether there are more: each has one, if nothing is left out.
    fn rows_for(&self, lines: usize) -> i64 {
        let leaves_out = self.attempt.is_some() || self.level > Level::Trace || self.since_ms > i64::MIN;
        let rows = i64::try_from(lines).unwrap_or(i64::MAX).saturating_add(1);
        if leaves_out { PIECE_ROWS } else { rows.min(PIECE_ROWS) }
    }
}

/// From where on, and into which direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// Rows with lines after this number, oldest first.
    After(i64),
    /// Rows that begin before this number, newest first.
    Before(i64),
}

/// A row of a run's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRow {
    /// The number of its first line.
    pub first: i64,
    /// How many lines it has.
    pub length: u32,
    /// The step.
    pub step: StepNo,
    /// See [`NewLines`].
    pub fence: Fence,
    /// See [`NewLines`].
    pub worker: WorkerId,
    /// See [`NewLines`].
    pub attempt: u32,
    /// The lines, packed; none if nothing in it is wanted.
    pub bytes: Option<Vec<u8>>,
}

impl LogRow {
    /// The number of its last line.
    fn last(&self) -> i64 {
        self.first + i64::from(self.length) - 1
    }
}

/// A line, with what is known of it.
#[derive(Debug, Clone)]
pub struct LoggedLine {
    /// Its number in the run's log, from 1; numbers of lines that are gone are missing.
    pub number: i64,
    /// The step.
    pub step: StepNo,
    /// The claim that it was said under.
    pub fence: Fence,
    /// Who executed it.
    pub worker: WorkerId,
    /// What the guest was told.
    pub attempt: u32,
    /// What was said, and when.
    pub line: Line,
}

/// Some lines.
#[derive(Debug, Clone, Default)]
pub struct LogPage {
    /// By number.
    pub lines: Vec<LoggedLine>,
    /// The number up to which all were looked at.
    pub seen: i64,
    /// Whether there may be more now. (Filters may leave a page empty that is not the last.)
    pub more: bool,
}

/// Keeping logs, and reading them.
#[async_trait]
pub trait Logs: Send + Sync {
    /// Keeps lines, at most one segment of an attempt at a time, in one commit; of each step about `most`: its oldest
    /// rows go, once so much follows them. Lines under a fence that the step has not had are dropped, those of a claim that is over by now are kept. What
    /// was kept before is not kept twice.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Silent`]: they may have been kept; send them again.
    async fn keep_lines(&self, lines: &[NewLines], most: KeptLog) -> Result<()>;

    /// Rows of a run's log: at most so many, and a bounded piece, but at least one if there is one.
    ///
    /// # Errors
    /// [`Error::Unavailable`]. An unknown run has no log.
    async fn log_rows(&self, wanted: &Wanted, from: Begin, most: i64) -> Result<Vec<LogRow>>;

    /// The number of the last line of each of these runs that has one.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn log_marks(&self, runs: &[RunId]) -> Result<Vec<(RunId, i64)>>;

    /// Up to `most` wanted lines after a number, oldest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`]; [`Error::Damaged`] if a row can't be read.
    async fn log_page(&self, wanted: &Wanted, after: i64, most: usize) -> Result<LogPage> {
        let mut page = LogPage { seen: after, ..LogPage::default() };
        for _ in 0..PIECES {
            let rows = self.log_rows(wanted, Begin::After(page.seen), wanted.rows_for(most)).await?;
            if rows.is_empty() {
                return Ok(page);
            }
            for row in rows {
                for line in lines_of(wanted, &row)?.into_iter().filter(|line| line.number > after) {
                    if page.lines.len() >= most {
                        return Ok(LogPage { more: true, ..page });
                    }
                    page.seen = line.number;
                    page.lines.push(line);
                }
                page.seen = row.last();
            }
        }
        Ok(LogPage { more: true, ..page })
    }

    /// The last wanted lines after a number: `most` of them, or as many as a bounded look finds.
    ///
    /// # Errors
    /// As [`Logs::log_page`].
    async fn log_tail(&self, wanted: &Wanted, after: i64, most: usize) -> Result<LogPage> {
        // From the newest to the oldest.
        let mut lines = Vec::new();
        let (mut before, mut seen) = (i64::MAX, after);
        'looking: for _ in 0..PIECES {
            let rows = self.log_rows(wanted, Begin::Before(before), wanted.rows_for(most)).await?;
            if rows.is_empty() {
                break;
            }
            for row in rows {
                seen = seen.max(row.last());
                if lines.len() >= most || row.last() <= after {
                    break 'looking;
                }
                lines.extend(lines_of(wanted, &row)?.into_iter().filter(|line| line.number > after).rev());
                before = row.first;
            }
        }
        lines.truncate(most);
        lines.reverse();
        Ok(LogPage { lines, seen, more: false })
    }
}

/// The lines of a row that are wanted.
fn lines_of(wanted: &Wanted, row: &LogRow) -> Result<Vec<LoggedLine>> {
    let Some(bytes) = &row.bytes else { return Ok(Vec::new()) };
    let damaged = || Error::Damaged(format!("the log of run {} at line {}", wanted.run, row.first));
    let lines = unpack(bytes).map_err(|_| damaged())?;
    let LogRow { step, fence, worker, attempt, .. } = *row;
    let told = (row.first..).zip(lines).map(|(number, line)| LoggedLine { number, step, fence, worker, attempt, line });
    Ok(told.filter(|told| told.line.level >= wanted.level && told.line.at_ms >= wanted.since_ms).collect())
}
