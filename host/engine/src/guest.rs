//! One guest during one attempt: everything that its host calls and its limits need. It is the data of the
//! wasmtime store, made anew for every attempt.
//!
//! `host` and `wasi` implement their interfaces for it, and what they remember of a guest lies in it: that each names the
//! other is how a wasmtime host is made.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use pawl_domain::attempt::{Deferral, Divergence};
use pawl_domain::id::StepId;
use pawl_domain::journal::{Entry, Knowledge};
use pawl_domain::limits::Limits;
use pawl_domain::reach;
use pawl_domain::recovery::Stage;
use pawl_domain::replay::{Fault, Refused, Replay, Unread};
use pawl_domain::wait::Wait;
use wasmtime::UpdateDeadline;

use super::clock::Deadline;
use super::host::Log;
use super::host::gate::Gate;
use super::host::way::Way;
use super::limiter::{Charged, MemoryLimiter};
use super::recorder::{Interrupt, Recorder, Stop};
use super::secrets::Secrets;
use super::threads::LifeSign;
use super::trap::Panicked;
use super::wasi::Wasi;

/// The state of a guest.
pub(super) struct Guest {
    pub(super) step: StepId,
    /// Attempts that failed before this one.
    pub(super) failures: u32,
    pub(super) config: String,
    pub(super) deadline: Deadline,
    pub(super) limits: Limits,
    pub(super) replay: Replay,
    /// It executes no code any more: its time is over, or it has returned.
    pub(super) has_ended: Arc<AtomicBool>,
    /// It was ended because the machine had no memory.
    pub(super) lacks_memory: bool,
    /// If somebody awaits them: the stage of its way back that it passes next.
    pub(super) awaited: Option<Stage>,
    /// None while the guest is only asked to describe itself: then every host call is refused.
    pub(super) recorder: Option<Arc<dyn Recorder>>,
    /// To the outside.
    pub(super) way: Arc<Way>,
    pub(super) sign: Arc<LifeSign>,
    pub(super) memory: MemoryLimiter,
    /// What the results of `once` since the checkpoint count as.
    pub(super) results: Charged,
    /// With the names that its lines have and the values that they must not have; also in the hands of the
    /// streams to which the guest prints.
    pub(super) log: Arc<Log>,
    /// What a panic said of itself; a trap follows, which would not say it.
    pub(super) panicked: Option<Panicked>,
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
    #[error("{} is down", .0.origin)]
    Deferred(Deferral),
    #[error("the pipeline names the secret `{name}` for the step, but {why}")]
    NoSecret { name: String, why: String },
    /// Whatever it does, it is not given that.
    #[error("{0}")]
    Withheld(String),
    /// Whatever it does, the grant is not there.
    #[error(transparent)]
    OutOfReach(#[from] reach::Refused),
    #[error("`describe` must not call the host")]
    Describing,
    /// No fault of the guest, and nothing that it may see.
    #[error("this machine has no memory left for the step ({0})")]
    NoMemory(String),
    /// No fault of the guest, either.
    #[error("this machine's system has no randomness for the step: {0}")]
    NoChance(String),
    /// The guest must stop, while its journal was being read.
    #[error("the journal was not read on")]
    Unread,
    #[error("{0}")]
    Unreadable(String),
    /// The journal is that of a newer build.
    #[error("{what}")]
    Newer { needs: Knowledge, what: String },
}

impl From<Interrupt> for Halt {
    fn from(interrupt: Interrupt) -> Self {
        match interrupt {
            Interrupt::Stop(stop) => Self::Stop(stop),
            Interrupt::Timeout => Self::Deadline,
        }
    }
}

impl From<Fault> for Halt {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Diverged(divergence) => Self::Diverged(divergence),
            Fault::Refused(refused) => Self::Refused(refused),
            Fault::Unread(Unread::Stopped) => Self::Unread,
            Fault::Unread(Unread::Damaged(what)) => Self::Unreadable(what),
            Fault::Unread(Unread::Newer { needs, what }) => Self::Newer { needs, what },
        }
    }
}

impl Guest {
    /// What the pipeline names for the step.
    pub(super) fn secrets(&self) -> &Secrets {
        &self.log.secrets
    }

    /// The way to the world outside.
    pub(super) fn recorder(&self) -> Result<&dyn Recorder, Halt> {
        self.recorder.as_deref().ok_or(Halt::Describing)
    }

    /// The guest has its state, or there is none.
    pub(super) fn has_restored(&mut self) {
        if self.awaited == Some(Stage::CheckpointReload) {
            self.pass(Stage::CheckpointReload, Some(Stage::Replay));
        }
    }

    /// Called where the journal has answered, and before the guest begins: that may have been all of it.
    #[inline]
    pub(super) fn has_replayed(&mut self) {
        if self.awaited.is_some_and(|stage| stage <= Stage::Replay) && self.replay.is_live() {
            self.pass(Stage::Replay, Some(Stage::ReadyForDispatch));
        }
    }

    /// A request goes out that the journal does not answer. Other calls are told by what they record.
    pub(super) fn dispatches(&mut self) {
        if self.awaited.is_some() {
            self.pass(Stage::ReadyForDispatch, None);
        }
    }

    fn pass(&mut self, stage: Stage, next: Option<Stage>) {
        self.awaited = next;
        if let Some(recorder) = &self.recorder {
            recorder.passed(stage, self.replay.replayed());
        }
    }

    /// Adds an answer of the world to the journal.
    pub(super) fn record(&mut self, entry: &Entry) -> Result<(), Halt> {
        self.make_room_for_entry()?;
        self.hand_over(entry)
    }

    /// A new reading of the wall clock, which never goes back.
    pub(super) fn read_clock(&mut self) -> Result<u64, Halt> {
        let unix_ns = self.recorder()?.unix_ns().max(self.replay.earliest_ns());
        self.record(&Entry::Now { unix_ns })?;
        Ok(unix_ns)
    }

    /// All that must precede a new entry: the limit, and the facts that the guest knows.
    pub(super) fn make_room_for_entry(&mut self) -> Result<(), Halt> {
        let limit = self.limits.journal_entries;
        if self.replay.entries_since_checkpoint() >= limit {
            return Err(Halt::Limit(format!(
                "the step made more than {limit} journal entries since its last checkpoint: save checkpoints more often, or raise \
                 `limit_entries`"
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
        let has_room = self.sign.waiting(|| recorder.record(entry))?;
        self.replay.record(entry);
        if !has_room {
            let recorder = self.recorder()?;
            self.sign.away(|| recorder.room(self.time_left()))?;
        }
        Ok(())
    }

    /// Waits until everything recorded is durable.
    pub(super) fn barrier(&self) -> Result<(), Halt> {
        let recorder = self.recorder()?;
        Ok(self.sign.away(|| recorder.barrier(self.time_left()))?)
    }

    /// The same after the attempt, whose time may be over.
    pub(super) fn last_barrier(&self) -> Result<(), Halt> {
        let recorder = self.recorder()?;
        Ok(self.sign.away(|| recorder.barrier(Duration::MAX))?)
    }

    /// The last check before a request leaves that only reads.
    pub(super) fn clear_to_ask(&self) -> Result<(), Halt> {
        let recorder = self.recorder()?;
        Ok(self.sign.away(|| recorder.clear_to_ask(self.time_left()))?)
    }

    /// The last check before an effect leaves.
    pub(super) fn clear_to_leave(&self) -> Result<(), Halt> {
        let recorder = self.recorder()?;
        Ok(self.sign.away(|| recorder.clear_to_leave(self.time_left()))?)
    }

    /// The way out of an effect.
    pub(super) fn gate(&self) -> Result<Arc<Gate>, Halt> {
        let recorder = self.recorder.clone().ok_or(Halt::Describing)?;
        Ok(Gate::new(recorder, self.time_left()))
    }

    /// Whether the guest must not go on.
    pub(super) fn halt(&self) -> Option<Halt> {
        let stop = self.recorder.as_ref().and_then(|recorder| recorder.stop());
        stop.map(Halt::Stop).or_else(|| self.time_left().is_zero().then_some(Halt::Deadline))
    }

    /// What is left of the attempt's time.
    fn time_left(&self) -> Duration {
        self.deadline.left_after(self.memory.budget().waited())
    }

    /// Why it was stopped, if it was: by who has stopped it, or because its step is another worker's.
    pub(super) fn stopped(&self) -> Stop {
        self.recorder.as_ref().and_then(|recorder| recorder.stop()).unwrap_or(Stop::LeaseLost)
    }

    /// Charges what the host holds for the guest to its memory, until it is given back.
    pub(super) fn charge(&self, bytes: usize) -> Result<Charged, Halt> {
        self.memory.budget().charge(bytes)
    }

    /// For what the host computes for the guest and may take long: whether it is still to go on. To ask is a sign of life.
    pub(super) fn is_wanted(&self) -> impl Fn() -> bool + use<> {
        let (recorder, deadline, sign) = (self.recorder.clone(), self.deadline, Arc::clone(&self.sign));
        let stood_still = self.memory.budget().waited();
        move || {
            sign.beat();
            !deadline.is_over_after(stood_still) && recorder.as_ref().is_none_or(|recorder| recorder.stop().is_none())
        }
    }

    /// Called by the guest's own code whenever the epoch has been raised.
    pub(super) fn at_epoch(&self) -> wasmtime::Result<UpdateDeadline> {
        self.sign.beat();
        match self.halt() {
            Some(halt) => Err(halt.into()),
            None => Ok(UpdateDeadline::Continue(1)),
        }
    }
}
