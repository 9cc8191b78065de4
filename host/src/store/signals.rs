//! Signals to runs: the call to `migrations/0007_signals.sql`.

use sqlx::Row;
use uuid::Uuid;

use super::{Error, Result, Store, ready_of};
use crate::domain::id::{Digest, RunId};
use crate::domain::ready::Ready;

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

impl Store {
    /// Sends a signal to a run.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] if the run has ended, or the key was used for another signal.
    pub async fn signal(&self, run: RunId, signal: NewSignal<'_>) -> Result<Sent> {
        let rows = sqlx::query("select * from pawl_signal_v1($1, $2, $3, $4, $5)")
            .bind(run.0)
            .bind(signal.key)
            .bind(signal.name)
            .bind(signal.payload)
            .bind(Digest::of(signal.payload).0.to_vec())
            .fetch_all(&self.pool)
            .await?;
        let verdict: &str = rows.first().map(|row| row.try_get("verdict")).transpose()?.unwrap_or("unknown");
        match verdict {
            "sent" => {
                let delivered =
                    rows.iter().filter(|row| matches!(row.try_get::<Option<Uuid>, _>("run_id"), Ok(Some(_))));
                Ok(Sent::New(delivered.map(ready_of).collect::<Result<_>>()?))
            }
            "same" => Ok(Sent::Same),
            "conflict" => Err(Error::Conflict(format!(
                "the idempotency key {:?} was used before for another signal to run {run}: send what was sent then, \
                 or take a new key",
                signal.key.unwrap_or_default()
            ))),
            "ended" => Err(Error::Conflict(format!("run {run} has ended: nobody would take the signal"))),
            _ => Err(Error::NotFound(format!("there is no run {run}"))),
        }
    }
}
