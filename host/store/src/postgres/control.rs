//! What a person may do to a run: the calls to `migrations/0006_control.sql`.

use async_trait::async_trait;
use pawl_domain::id::{Digest, RunId, StepNo};
use pawl_domain::ready::Ready;
use sqlx::Row;

use super::{Postgres, ready_of};
use crate::Result;
use crate::control::{self, Control, Resume, ResumeOn};
use crate::runs::no_run;

#[async_trait]
impl Control for Postgres {
    async fn cancel(&self, run: RunId) -> Result<()> {
        let verdict: String =
            sqlx::query_scalar("select verdict from pawl_cancel_v1($1)").bind(run.0).fetch_one(&self.pool).await?;
        match verdict.as_str() {
            "cancelled" => Ok(()),
            "ended" => Err(control::has_ended(run)),
            _ => Err(no_run(run)),
        }
    }

    async fn retry(&self, run: RunId, step: Option<StepNo>) -> Result<Vec<Ready>> {
        let rows = sqlx::query("select * from pawl_retry_v1($1, $2)")
            .bind(run.0)
            .bind(step.map(|step| step.0))
            .fetch_all(&self.pool)
            .await?;
        let verdict: &str = rows.first().map(|row| row.try_get("verdict")).transpose()?.unwrap_or("reopened");
        match verdict {
            "reopened" => rows.iter().map(ready_of).collect(),
            "nothing" => Err(control::nothing_to_retry(run, step)),
            "cancelled" => Err(control::was_cancelled(run)),
            _ => Err(no_run(run)),
        }
    }

    async fn resume(&self, run: RunId, step: StepNo, how: &Resume) -> Result<Vec<Ready>> {
        let component = match how.on {
            ResumeOn::Pinned => None,
            ResumeOn::Component(digest) => Some(digest.0.to_vec()),
        };
        let forget = how.forget.as_ref();
        let entries = forget.map(|forget| forget.segment.bytes.as_slice());
        let rows = sqlx::query("select * from pawl_resume_v1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)")
            .bind(run.0)
            .bind(step.0)
            .bind(component)
            .bind(how.note())
            .bind(forget.map(|forget| forget.fence.0))
            .bind(forget.map(|forget| forget.kept.cast_signed()))
            .bind(forget.map(|forget| forget.segment.first.cast_signed()))
            .bind(forget.map(|forget| forget.segment.length.cast_signed()))
            .bind(entries.map(|entries| Digest::of(entries).0.to_vec()))
            .bind(entries)
            .fetch_all(&self.pool)
            .await?;
        let verdict: &str = rows.first().map(|row| row.try_get("verdict")).transpose()?.unwrap_or("unknown");
        match verdict {
            "resumed" => rows.iter().map(ready_of).collect(),
            "running" => Err(control::is_running()),
            "awaits" => Err(control::awaits_signal()),
            "blocked" => Err(control::is_blocked()),
            "ended" => Err(control::step_has_ended()),
            "moved" => Err(control::has_moved()),
            _ => Err(no_run(run)),
        }
    }
}
