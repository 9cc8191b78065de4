//! The inbox of a run, as people see it. A signal that is set aside has a position below 0: `migrations/0017_inbox.sql`.

use async_trait::async_trait;
use pawl_domain::decision::SignalState;
use pawl_domain::id::{RunId, StepNo};
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::{Postgres, digest_of};
use crate::inbox::{Inboxes, SignalRow, no_signal};
use crate::{Result, verified};

/// What is read of a signal; a macro, so that statements stay constants.
macro_rules! signal_columns {
    () => {
        "g.id, g.name, g.key, octet_length(g.payload) as size, (extract(epoch from g.created_at) * 1000)::bigint as at_ms,
         g.step_no, g.position, g.rejection"
    };
}

#[async_trait]
impl Inboxes for Postgres {
    async fn inbox(&self, run: RunId, after: u32, limit: u32) -> Result<Vec<SignalRow>> {
        // Each part by an index of its own: what steps have taken may be far more.
        let rows = sqlx::query(concat!(
            "with page as (
                 (select o.id from signal o where o.run_id = $1 and o.step_no is null and o.id > $2 order by o.id limit $3)
                 union all
                 (select o.id from signal o where o.run_id = $1 and o.rejection is not null and o.id > $2
                  order by o.id limit $3)
             ) select ",
            signal_columns!(),
            " from page join signal g on g.run_id = $1 and g.id = page.id order by g.id limit $3"
        ))
        .bind(run.0)
        .bind(after.min(i32::MAX as u32).cast_signed())
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(signal_row).collect()
    }

    async fn rejected_signals(&self, run: RunId, limit: u32) -> Result<Vec<SignalRow>> {
        let rows = sqlx::query(concat!(
            "select ",
            signal_columns!(),
            " from signal g where g.run_id = $1 and g.rejection is not null order by g.id limit $2"
        ))
        .bind(run.0)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(signal_row).collect()
    }

    async fn inbox_signal(&self, run: RunId, number: u32) -> Result<(SignalRow, Vec<u8>)> {
        let row = sqlx::query(concat!(
            "select ",
            signal_columns!(),
            ", g.payload, g.digest from signal g
             where g.run_id = $1 and g.id = $2 and (g.step_no is null or g.rejection is not null)"
        ))
        .bind(run.0)
        .bind(number.min(i32::MAX as u32).cast_signed())
        .fetch_optional(&self.pool)
        .await?;
        let row = row.ok_or_else(|| no_signal(run, number))?;
        let what = || format!("signal {number} of run {run}");
        let payload = verified(row.try_get("payload")?, digest_of(&row, "digest")?, what)?;
        Ok((signal_row(&row)?, payload))
    }
}

fn signal_row(row: &PgRow) -> Result<SignalRow> {
    let step: Option<i32> = row.try_get("step_no")?;
    Ok(SignalRow {
        number: row.try_get::<i32, _>("id")?.cast_unsigned(),
        name: row.try_get("name")?,
        key: row.try_get("key")?,
        size_bytes: u64::from(row.try_get::<i32, _>("size")?.cast_unsigned()),
        sent_at_ms: row.try_get("at_ms")?,
        state: SignalState::of(step, row.try_get("position")?),
        rejected_by: step.map(StepNo),
        error: row.try_get("rejection")?,
    })
}
