//! What a person may do to a run: the calls to `migrations/0006_control.sql`.

use sqlx::Row;

use super::{Error, Result, Store, ready_of};
use crate::domain::id::{Digest, RunId, StepNo};
use crate::domain::ready::Ready;

/// The component that a resumed step goes on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResumeOn {
    /// The one that it has.
    Pinned,
    /// This one.
    Component(Digest),
}

impl Store {
    /// Ends a run now; its running steps lose their fence at once.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] if it has ended already.
    pub async fn cancel(&self, run: RunId) -> Result<()> {
        let verdict: String =
            sqlx::query_scalar("select verdict from pawl_cancel_v1($1)").bind(run.0).fetch_one(&self.pool).await?;
        match verdict.as_str() {
            "cancelled" => Ok(()),
            "ended" => Err(Error::Conflict(format!("run {run} has ended already"))),
            _ => Err(unknown(run)),
        }
    }

    /// Reopens failed and parked steps, all or one, and with them the run. Returns what is to be delivered.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] if nothing failed or the run was cancelled.
    pub async fn retry(&self, run: RunId, step: Option<StepNo>) -> Result<Vec<Ready>> {
        let rows = sqlx::query("select * from pawl_retry_v1($1, $2)")
            .bind(run.0)
            .bind(step.map(|step| step.0))
            .fetch_all(&self.pool)
            .await?;
        let verdict: &str = rows.first().map(|row| row.try_get("verdict")).transpose()?.unwrap_or("reopened");
        match verdict {
            "reopened" => rows.iter().map(ready_of).collect(),
            "nothing" => Err(Error::Conflict(format!(
                "nothing to retry in run {run}: {} has failed or is parked",
                if step.is_some() { "that step neither" } else { "no step" }
            ))),
            "cancelled" => Err(Error::Conflict(format!("run {run} was cancelled: submit it again"))),
            _ => Err(unknown(run)),
        }
    }

    /// Makes a step that is parked, waiting or ready go on, on its component or another one.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] if the step is in another state.
    pub async fn resume(&self, run: RunId, step: StepNo, on: ResumeOn) -> Result<Vec<Ready>> {
        let component = match on {
            ResumeOn::Pinned => None,
            ResumeOn::Component(digest) => Some(digest.0.to_vec()),
        };
        let rows = sqlx::query("select * from pawl_resume_v1($1, $2, $3)")
            .bind(run.0)
            .bind(step.0)
            .bind(component)
            .fetch_all(&self.pool)
            .await?;
        let verdict: &str = rows.first().map(|row| row.try_get("verdict")).transpose()?.unwrap_or("unknown");
        match verdict {
            "resumed" => rows.iter().map(ready_of).collect(),
            "running" => Err(Error::Conflict("the step is running: nothing to resume".into())),
            "awaits" => Err(Error::Conflict(
                "the step waits for a signal: send it with `pawl run signal`; `pawl run explain` names it".into(),
            )),
            "blocked" => Err(Error::Conflict("the step waits for the steps that it needs".into())),
            "ended" => Err(Error::Conflict("the step has ended: use `retry`".into())),
            _ => Err(unknown(run)),
        }
    }
}

fn unknown(run: RunId) -> Error {
    Error::NotFound(format!("no run {run}"))
}
