//! One guest during one attempt: everything that its host calls and its limits need. It is the data of the
//! wasmtime store, made anew for every attempt.

use std::sync::Arc;

use wasmtime::{ResourceLimiter, UpdateDeadline};

use super::clock::Deadline;
use super::host::outgoing::Outgoing;
use super::recorder::{Recorder, Stop};
use super::secrets::Secrets;
use super::settings::TABLE_ELEMENTS;
use super::threads::Pulse;
use super::wasi::Wasi;
use crate::domain::attempt::Divergence;
use crate::domain::id::StepId;
use crate::domain::journal::Entry;
use crate::domain::limits::Limits;
use crate::domain::replay::{Fault, Refused, Replay};
use crate::domain::secret::variable_of;
use crate::domain::wait::Wait;

/// The state of a guest.
pub(super) struct Guest {
    pub(super) step: StepId,
    pub(super) step_name: String,
    /// Attempts that failed before this one.
    pub(super) failures: u32,
    pub(super) config: String,
    pub(super) secrets: Secrets,
    pub(super) deadline: Deadline,
    pub(super) limits: Limits,
    pub(super) replay: Replay,
    /// None while the guest is only asked to describe itself: then every host call is refused.
    pub(super) recorder: Option<Arc<dyn Recorder>>,
    pub(super) http: Arc<Outgoing>,
    pub(super) pulse: Arc<Pulse>,
    pub(super) memory: Memory,
    /// Bytes of log that this attempt may still write.
    pub(super) log_left: usize,
    /// What a component that imports WASI has of it; none before its first call.
    pub(super) wasi: Option<Box<Wasi>>,
}

/// Why the host ends a guest in the middle of its code. The guest can't catch it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Halt {
    #[error(transparent)]
    Stop(#[from] Stop),
    #[error("the attempt's time is over")]
    Deadline,
    #[error("{0}")]
    Limit(String),
    #[error(transparent)]
    Refused(Refused),
    #[error("the replay left the journal")]
    Diverged(Box<Divergence>),
    #[error("the step waits")]
    Suspend(Wait),
    #[error(
        "the pipeline grants the step the secret `{name}`, but this worker has no value for it: start it with {variable}",
        variable = variable_of(name)
    )]
    NoSecret { name: String },
    #[error("`describe` must not call the host")]
    Describing,
}

impl From<Fault> for Halt {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Diverged(divergence) => Self::Diverged(divergence),
            Fault::Refused(refused) => Self::Refused(refused),
        }
    }
}

impl Guest {
    /// The way to the world outside.
    pub(super) fn recorder(&self) -> Result<&dyn Recorder, Halt> {
        self.recorder.as_deref().ok_or(Halt::Describing)
    }

    /// Adds an answer of the world to the journal.
    pub(super) fn record(&mut self, entry: &Entry) -> Result<(), Halt> {
        self.make_room_for_entry()?;
        self.hand_over(entry)
    }

    /// All that must precede a new entry: the limit, and the facts that the guest knows.
    pub(super) fn make_room_for_entry(&mut self) -> Result<(), Halt> {
        let limit = self.limits.journal_entries;
        if self.replay.entries_since_checkpoint() >= limit {
            return Err(Halt::Limit(format!(
                "the step made more than {limit} journal entries since its last checkpoint: save checkpoints more often"
            )));
        }
        if let Some(facts) = self.replay.unrecorded_facts() {
            self.hand_over(&facts)?;
        }
        Ok(())
    }

    /// The same, without the facts before it.
    pub(super) fn hand_over(&mut self, entry: &Entry) -> Result<(), Halt> {
        let recorder = self.recorder()?;
        self.pulse.waiting(|| recorder.record(entry))?;
        self.replay.record(entry);
        Ok(())
    }

    /// Waits until everything recorded is durable.
    pub(super) fn barrier(&self) -> Result<(), Halt> {
        let recorder = self.recorder()?;
        Ok(self.pulse.away(|| recorder.barrier())?)
    }

    /// The last check before a request leaves.
    pub(super) fn clear_to_leave(&self) -> Result<(), Halt> {
        let recorder = self.recorder()?;
        Ok(self.pulse.away(|| recorder.clear_to_leave())?)
    }

    /// Whether the guest must not go on.
    pub(super) fn halt(&self) -> Option<Halt> {
        let stop = self.recorder.as_ref().and_then(|recorder| recorder.stop());
        stop.map(Halt::Stop).or_else(|| self.deadline.is_over().then_some(Halt::Deadline))
    }

    /// Called by the guest's own code whenever the epoch has been raised.
    pub(super) fn at_epoch(&self) -> wasmtime::Result<UpdateDeadline> {
        self.pulse.beat();
        match self.halt() {
            Some(halt) => Err(halt.into()),
            None => Ok(UpdateDeadline::Continue(1)),
        }
    }
}

/// What a guest's memories and tables may take, and what they have taken.
#[derive(Debug)]
pub(super) struct Memory {
    bytes_left: usize,
    elements_left: usize,
    /// What was refused last; explains a trap that follows.
    refused: Option<String>,
    limit_bytes: usize,
}

impl Memory {
    pub(super) fn new(limit_bytes: usize) -> Self {
        Self { bytes_left: limit_bytes, elements_left: TABLE_ELEMENTS, refused: None, limit_bytes }
    }

    /// Takes memory of the host's for the guest, which counts as its own.
    pub(super) fn lend(&mut self, bytes: usize) -> bool {
        let left = self.bytes_left.checked_sub(bytes);
        self.bytes_left = left.unwrap_or(self.bytes_left);
        left.is_some()
    }

    pub(super) fn give_back(&mut self, bytes: usize) {
        self.bytes_left += bytes;
    }

    pub(super) fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        let fits = more <= self.bytes_left;
        if fits {
            self.bytes_left -= more;
        } else {
            let limit = self.limit_bytes;
            self.refused = Some(format!("the guest's memory may take {limit} bytes, it asked for {desired}"));
        }
        Ok(fits)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        let fits = more <= self.elements_left;
        if fits {
            self.elements_left -= more;
        } else {
            self.refused =
                Some(format!("the guest's tables may have {TABLE_ELEMENTS} elements, it asked for {desired}"));
        }
        Ok(fits)
    }
}
