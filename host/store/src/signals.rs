//! Signals to runs.

use async_trait::async_trait;
use pawl_domain::id::RunId;
use pawl_domain::ready::Ready;

use super::{Error, Result};

/// A signal to be sent.
#[derive(Debug, Clone, Copy)]
pub struct NewSignal<'a> {
    /// What a step waits for.
    pub name: &'a str,
    /// What it is told: JSON bytes.
    pub payload: &'a [u8],
    /// Makes it safe to send again.
    pub key: Option<&'a str>,
}

/// What became of a signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// It is stored. With the step to be delivered, if one has waited for it.
    New(Vec<Ready>),
    /// It was sent before under its key.
    Same,
}

/// Sending signals.
#[async_trait]
pub trait Signals {
    /// Sends a signal to a run.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] if the run has ended, or the key was used for another signal.
    async fn signal(&self, run: RunId, signal: NewSignal<'_>) -> Result<Sent>;
}

pub(super) fn key_reused(run: RunId, key: &str) -> Error {
    Error::Conflict(format!(
        "the idempotency key {key:?} was used before for another signal to run {run}: send what was sent then, or take \
         a new key"
    ))
}

pub(super) fn nobody_takes(run: RunId) -> Error {
    Error::Conflict(format!("run {run} has ended: nobody would take the signal"))
}
