//! The inbox of a run, as people see it: the signals that no step has taken, and those that a step has failed by.

use async_trait::async_trait;
use pawl_domain::decision::SignalState;
use pawl_domain::id::{RunId, StepNo};

use super::{Error, Result};

/// A signal without its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignalRow {
    /// Its number in the run, from 1.
    pub number: u32,
    /// Its name.
    pub name: String,
    /// The sender's key.
    pub key: Option<String>,
    /// Bytes that it carries.
    pub size_bytes: u64,
    /// When it was sent.
    pub sent_at_ms: i64,
    /// Where it is: in the inbox, or rejected.
    pub state: SignalState,
    /// Who has rejected it.
    pub rejected_by: Option<StepNo>,
    /// JSON: the failure that it led to, if it was rejected.
    pub error: Option<Vec<u8>>,
}

/// Reading inboxes.
#[async_trait]
pub trait Inboxes {
    /// Up to `limit` signals of a run with numbers after `after`, by number: those that no step has taken, and those that
    /// were rejected.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn inbox(&self, run: RunId, after: u32, limit: u32) -> Result<Vec<SignalRow>>;

    /// Up to `limit` signals of a run that were rejected, by number.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn rejected_signals(&self, run: RunId, limit: u32) -> Result<Vec<SignalRow>>;

    /// One of them, with what it carries: JSON bytes.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Damaged`].
    async fn inbox_signal(&self, run: RunId, number: u32) -> Result<(SignalRow, Vec<u8>)>;
}

pub(super) fn no_signal(run: RunId, number: u32) -> Error {
    pawl_domain::decision::Refusal::NoSignal(run, number).into()
}
