//! A step's past, read after a claim and outside its transaction: the checkpoint, and of the journal only
//! what a replay will touch, so that resuming takes as long as there is to replay, not as the step is old.

use async_trait::async_trait;
use pawl_domain::attempt::Claim;
use pawl_domain::id::{Digest, StepId};
use pawl_domain::journal::{Checkpoint, Entry, History};
use sqlx::Row;

use super::{Postgres, digest_of};
use crate::history::{Histories, awaited, verified_entries};
use crate::{Result, verified};

#[async_trait]
impl Histories for Postgres {
    async fn history(&self, claim: &Claim) -> Result<History> {
        if claim.journal_length == 0 && claim.checkpoint_position.is_none() {
            return Ok(History::default());
        }
        let checkpoint = match claim.checkpoint_position {
            Some(_) => self.checkpoint(claim.id).await?,
            None => None,
        };
        // Without a prelude the guest never asks for the checkpoint: it replays everything.
        let (prelude, after) = match &checkpoint {
            Some(Checkpoint { prelude: Some(prelude), position, .. }) => (*prelude, *position),
            _ => (0, 0),
        };
        let rows = sqlx::query(
            "select first, length, digest, bytes from journal
             where run_id = $1 and step_no = $2 and (first < $3 or first + length > $4)
             order by first",
        )
        .bind(claim.id.run.0)
        .bind(claim.id.step.0)
        .bind(prelude.cast_signed())
        .bind(after.cast_signed())
        .fetch_all(&self.pool)
        .await?;
        let mut segments = Vec::with_capacity(rows.len());
        for row in rows {
            let first = row.try_get::<i32, _>("first")?.cast_unsigned();
            let bytes: Vec<u8> = row.try_get("bytes")?;
            let entries = verified_entries(claim.id, first, &bytes, digest_of(&row, "digest")?)?;
            segments.push((first, entries));
        }
        let signals = self.signals_given_to(claim.id, &awaited(&segments)).await?;
        let recorded_by = self.recorded_by(claim.id).await?;
        Ok(History { checkpoint, segments, length: claim.journal_length, signals, recorded_by })
    }

    async fn entries_before_cut(&self, id: StepId, at: u32) -> Result<Option<(u32, Vec<Entry>)>> {
        let row = sqlx::query(
            "select first, digest, bytes from journal
             where run_id = $1 and step_no = $2 and first < $3 and first + length > $3",
        )
        .bind(id.run.0)
        .bind(id.step.0)
        .bind(at.cast_signed())
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let first = row.try_get::<i32, _>("first")?.cast_unsigned();
        let bytes: Vec<u8> = row.try_get("bytes")?;
        let mut entries = verified_entries(id, first, &bytes, digest_of(&row, "digest")?)?;
        entries.truncate((at - first) as usize);
        Ok(Some((first, entries)))
    }
}

impl Postgres {
    /// The signals that were given to a step at these positions of its journal.
    async fn signals_given_to(&self, id: StepId, positions: &[u32]) -> Result<Vec<(u32, Vec<u8>)>> {
        if positions.is_empty() {
            return Ok(Vec::new());
        }
        let rows = sqlx::query(
            "select position, payload, digest from signal where run_id = $1 and step_no = $2 and position = any ($3)",
        )
        .bind(id.run.0)
        .bind(id.step.0)
        .bind(positions.iter().map(|position| position.cast_signed()).collect::<Vec<_>>())
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                let position = row.try_get::<i32, _>("position")?.cast_unsigned();
                let what = || format!("the signal at position {position} of step {id}");
                Ok((position, verified(row.try_get("payload")?, digest_of(row, "digest")?, what)?))
            })
            .collect()
    }

    async fn recorded_by(&self, id: StepId) -> Result<Option<Digest>> {
        let row =
            sqlx::query("select recorded_by from step where run_id = $1 and step_no = $2 and recorded_by is not null")
                .bind(id.run.0)
                .bind(id.step.0)
                .fetch_optional(&self.pool)
                .await?;
        row.map(|row| digest_of(&row, "recorded_by")).transpose()
    }

    async fn checkpoint(&self, id: StepId) -> Result<Option<Checkpoint>> {
        let row = sqlx::query(
            "select ordinal, position, random_position, effect_ordinal, prelude, digest, state
             from checkpoint where run_id = $1 and step_no = $2",
        )
        .bind(id.run.0)
        .bind(id.step.0)
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let state =
            verified(row.try_get("state")?, digest_of(&row, "digest")?, || format!("the checkpoint of step {id}"))?;
        let count = |column: &str| -> Result<u32> { Ok(row.try_get::<i32, _>(column)?.cast_unsigned()) };
        Ok(Some(Checkpoint {
            ordinal: count("ordinal")?,
            position: count("position")?,
            random_position: row.try_get::<i64, _>("random_position")?.cast_unsigned(),
            effect_ordinal: count("effect_ordinal")?,
            prelude: row.try_get::<Option<i32>, _>("prelude")?.map(i32::cast_unsigned),
            state,
        }))
    }
}
