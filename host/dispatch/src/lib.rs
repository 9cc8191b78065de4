//! What is committed to the store first and told to the queue after it, for everybody who does so: [`submissions`] (HTTP,
//! schedules, `pawl dev`, tests), [`requeue`], the sweeps as a person asks for them, [`pauses`], for what goes on after one, and [`recovery`], for what is interrupted. And [`retention`],
//! which takes what has ended away, [`incidents`], what a process sees of the whole installation, [`doctor`], the checklist after one, [`secrets`], sealed and opened, [`seals`], which do so with payloads, and
//! [`elsewhere()`], who has another queue: they have nothing to tell the queue.
//!
//! A crash between the commit and the telling loses nothing: steps that were not delivered are found as lost.

use pawl_queue::SharedQueue;
use pawl_store::SharedStore;

pub mod doctor;
mod elsewhere;
pub mod incidents;
pub mod pauses;
pub mod recovery;
pub mod requeue;
pub mod retention;
pub mod seals;
pub mod secrets;
pub mod submissions;
pub mod whose;

pub use elsewhere::elsewhere;

/// Rows that one sweep moves at most; what is left comes with the next.
pub const SWEEP: usize = 1_000;

/// Why something that takes both ports was not done, or not to its end: asked for again, it goes on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] pawl_store::Error),
    /// The queue did not do it.
    #[error(transparent)]
    Queue(#[from] pawl_queue::Error),
}

impl Error {
    /// The error with all its causes, for a log line.
    #[must_use]
    pub fn chain(&self) -> String {
        pawl_base::chain(self)
    }
}

/// A result of both ports.
pub type Result<T> = std::result::Result<T, Error>;

/// The two ports of a process, chosen and set up by whoever starts it; cheap to clone. Roles of one process share them.
#[derive(Clone)]
pub struct Ports {
    /// The truth.
    pub store: SharedStore,
    /// The delivery.
    pub queue: SharedQueue,
}
