//! The port through which an executing guest reaches the world outside the engine: the writer that makes
//! its answers durable, and the worker's trust in its lease. The worker implements it
//! for its sessions. Called on the guest's own thread, so these functions may block.

use std::time::Duration;

use pawl_domain::attempt::Deferral;
use pawl_domain::decision::circuit::{Probe, Sign};
use pawl_domain::journal::{Checkpoint, Entry, Knowledge};
use pawl_domain::log::Level;
use pawl_domain::recovery::Stage;
use pawl_domain::replay::Unread;
use pawl_domain::seed::Seed;
use pawl_domain::trace::TraceContext;

use crate::spoken::Spoken;

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

    /// Whether anything leaves at all; if not, [`Recorder::clear_to_ask`] and [`Recorder::clear_to_leave`] refuse everything.
    fn sends(&self) -> bool {
        true
    }

    /// Right before a request leaves that the journal does not answer, and before anything of it is recorded: whether that host
    /// (scheme, name and port) may be asked, which may take up to `timeout`. A probe is told of with [`Recorder::called`].
    ///
    /// # Errors
    /// [`Deferral`] if the host is down: the attempt ends.
    fn may_call(&self, _origin: &str, _timeout: Duration) -> Result<Option<Probe>, Deferral> {
        Ok(None)
    }

    /// The step is granted a secret of which this process has no value, and why. If its attempt is deferred by that, it ends; if
    /// not, it fails.
    fn lacks_secret(&self, _name: &str, _why: &str) -> Option<Deferral> {
        None
    }

    /// The step's journal can be read only by a build that knows that, and why. If its attempt is deferred by that, it ends; if not, it
    /// fails. May block.
    fn leaves_to_newer(&self, _needs: Knowledge, _why: &str) -> Option<Deferral> {
        None
    }

    /// What a call says of the host that it has asked. If that is down, the attempt is deferred, and the answer not recorded.
    fn called(&self, _origin: &str, _probe: Option<Probe>, _sign: Sign) -> Option<Deferral> {
        None
    }

    /// Hands a checkpoint to the writer and returns at once. A newer one supersedes one that has not been
    /// sent yet.
    ///
    /// # Errors
    /// [`Stop`] if the step's writes are no longer accepted.
    fn checkpoint(&self, checkpoint: Checkpoint) -> Result<(), Stop>;

    /// The time by the clock that all workers share, which decides when waits end: ns since 1970.
    fn unix_ns(&self) -> u64;

    /// What the step's secure random bytes are to be made of from here on; it is recorded before they are.
    ///
    /// # Errors
    /// Why the system has no chance to give.
    fn seed(&self) -> Result<Seed, String> {
        fresh_seed()
    }

    /// Remembers how far the step is; written along with whatever is written next.
    fn progress(&self, fraction: f64, message: String);

    /// Whether the guest must stop now; asked at every epoch.
    fn stop(&self) -> Option<Stop>;

    /// Whether it is to be told which stages the attempt passes on its way back: after a takeover, or for its trace.
    fn awaits_stages(&self) -> bool {
        false
    }

    /// The attempt has passed this stage of its way back, and so many entries were answered from its journal by now.
    fn passed(&self, _stage: Stage, _replayed: u32) {}

    /// The guest has its instance, which took so long.
    fn instantiated(&self, _took: Duration) {}

    /// The context under which the next request leaves, if the attempt is traced.
    fn leaves(&self) -> Option<TraceContext> {
        None
    }

    /// A request that left under a context which is kept was answered, or not.
    fn was_answered(&self, _sent: Sent) {}

    /// A new line of the step's log, none of a replay, for the log of the process: printed as soon as the attempt counts.
    /// Never blocks.
    fn prints(&self, line: Spoken) {
        line.print();
    }

    /// Whether it wants lines that the step says while the journal answers, too, at that position: they were said before.
    fn hears_again(&self, _position: u32) -> bool {
        false
    }

    /// Whether it keeps the lines of the step's log; asked once.
    fn keeps_log(&self) -> bool {
        false
    }

    /// The same line as it is kept, with its fields in their order: within its limits, and without the values of secrets.
    /// Never blocks.
    fn says(&self, _level: Level, _message: String, _fields: &[(&str, String)]) {}
}

/// Chance from the system.
pub(super) fn fresh_seed() -> Result<Seed, String> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| error.to_string())?;
    Ok(Seed(seed))
}

/// A request that has left, as its trace tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// As [`Recorder::leaves`] gave it.
    pub context: TraceContext,
    /// When it left, ns since 1970 by [`Recorder::unix_ns`].
    pub begun_ns: u64,
    /// Upper case.
    pub method: String,
    /// Without the values of secrets.
    pub url: String,
    /// The host that it asks.
    pub host: Option<String>,
    /// Its port.
    pub port: Option<u16>,
    /// The status of the answer, or a word for why there is none.
    pub came_to: Result<u16, &'static str>,
    /// Whether it may have left before, under the same key.
    pub is_again: bool,
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
