//! The port through which an executing guest reaches the world outside the engine: the writer that makes
//! its answers durable, and the worker's trust in its lease. The worker implements it
//! for its sessions. Called on the guest's own thread, so these functions may block.

use std::time::Duration;

use pawl_domain::journal::{Checkpoint, Entry};
use pawl_domain::log::Level;
use pawl_domain::recovery::Stage;
use pawl_domain::replay::Unread;

/// Why a guest must stop at once. It is not the guest's fault; nothing more of it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// The fence was raised, the lease ran out, the step was cancelled or taken over.
    #[error("the step is no longer this worker's")]
    LeaseLost,
    /// The worker is draining: hand the step back.
    #[error("the worker is draining")]
    Draining,
}

/// Why a wait of a guest ended without what it waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Interrupt {
    /// The guest must stop.
    #[error(transparent)]
    Stop(#[from] Stop),
    /// It took longer than it may.
    #[error("the attempt's time is over")]
    Timeout,
}

/// What an executing guest needs from its worker. A wait takes `at_most` so long: what is left of the attempt's time.
pub trait Recorder: Send + Sync {
    /// Hands an entry to the writer and returns at once. Entries are numbered from the journal's length at
    /// the claim on. False if so much is not durable by now that the guest is to wait for [`Recorder::room`] before it
    /// goes on: no guest outruns the writer.
    ///
    /// # Errors
    /// [`Stop`] if the step's writes are no longer accepted.
    fn record(&self, entry: &Entry) -> Result<bool, Stop>;

    /// Waits until the writer has caught up.
    ///
    /// # Errors
    /// [`Interrupt`].
    fn room(&self, at_most: Duration) -> Result<(), Interrupt>;

    /// A barrier: waits until everything recorded is durable.
    ///
    /// # Errors
    /// [`Interrupt`]; what was recorded stays so.
    fn barrier(&self, at_most: Duration) -> Result<(), Interrupt>;

    /// Right before a request leaves that only reads: waits until the step's claim is durable, and checks that the worker
    /// may still act for the step.
    ///
    /// # Errors
    /// [`Interrupt`] if it may not.
    fn clear_to_ask(&self, at_most: Duration) -> Result<(), Interrupt>;

    /// The same right before an effect leaves: that the step is still the worker's was confirmed a moment ago, or is now.
    ///
    /// # Errors
    /// [`Interrupt`] if it is not.
    fn clear_to_leave(&self, at_most: Duration) -> Result<(), Interrupt>;

    /// Whether it may still leave, as [`Recorder::clear_to_leave`] has found a moment ago. Never blocks.
    fn may_leave(&self) -> bool;

    /// Hands a checkpoint to the writer and returns at once. A newer one supersedes one that has not been
    /// sent yet.
    ///
    /// # Errors
    /// [`Stop`] if the step's writes are no longer accepted.
    fn checkpoint(&self, checkpoint: Checkpoint) -> Result<(), Stop>;

    /// The time by the clock that all workers share, which decides when waits end: ns since 1970.
    fn unix_ns(&self) -> u64;

    /// Remembers how far the step is; written along with whatever is written next.
    fn progress(&self, fraction: f64, message: String);

    /// Whether the guest must stop now; asked at every epoch.
    fn stop(&self) -> Option<Stop>;

    /// Whether the attempt follows a takeover, so that it is to be told which stages it passes.
    fn recovers(&self) -> bool {
        false
    }

    /// The attempt has passed this stage of its recovery, and so many entries were answered from its journal by now.
    fn passed(&self, _stage: Stage, _replayed: u32) {}

    /// Whether it keeps the lines of the step's log; asked once.
    fn keeps_log(&self) -> bool {
        false
    }

    /// A new line of the step's log, none of a replay, with its fields in their order: within its limits, and without the
    /// values of secrets. Never blocks.
    fn says(&self, _level: Level, _message: String, _fields: &[(&str, String)]) {}
}

/// Where a resumed guest's past is read from, a piece at a time. Called on the guest's own thread, so it may block: each
/// call tries until it has an answer, or is told that it is given up.
pub trait Past: std::fmt::Debug + Send + Sync {
    /// Entries from position `from` on, in order: at least one, and none from `until` on.
    ///
    /// # Errors
    /// [`Unread`].
    fn entries(&self, from: u32, until: u32, given_up: &dyn Fn() -> bool) -> Result<Vec<Entry>, Unread>;

    /// What the checkpoint's state takes.
    fn state_bytes(&self) -> u64;

    /// The checkpoint's state.
    ///
    /// # Errors
    /// [`Unread`].
    fn state(&self, given_up: &dyn Fn() -> bool) -> Result<Vec<u8>, Unread>;

    /// The signal that was given to the entry at this position.
    ///
    /// # Errors
    /// [`Unread`].
    fn signal(&self, position: u32, given_up: &dyn Fn() -> bool) -> Result<Option<Vec<u8>>, Unread>;
}
