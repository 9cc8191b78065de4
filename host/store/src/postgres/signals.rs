//! Signals to runs: the call to `migrations/0007_signals.sql`.

use async_trait::async_trait;
use pawl_domain::id::{Digest, RunId};
use sqlx::Row;
use uuid::Uuid;

use super::{Postgres, ready_of};
use crate::Result;
use crate::runs::no_run;
use crate::signals::{NewSignal, Sent, Signals, key_reused, nobody_takes};

#[async_trait]
impl Signals for Postgres {
    async fn signal(&self, run: RunId, signal: NewSignal<'_>) -> Result<Sent> {
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
            "conflict" => Err(key_reused(run, signal.key.unwrap_or_default())),
            "ended" => Err(nobody_takes(run)),
            _ => Err(no_run(run)),
        }
    }
}
