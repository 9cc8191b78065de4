//! A step's past, read after a claim and outside its transaction: the checkpoint, and of the journal only
//! what a replay will touch, so that resuming takes as long as there is to replay, not as the step is old.

use sqlx::Row;

use super::{Error, Result, Store, digest_of};
use crate::domain::attempt::Claim;
use crate::domain::id::{Digest, StepId};
use crate::domain::journal::{Checkpoint, Entry, History, unpack};

impl Store {
    /// What the step of this claim did before.
    ///
    /// # Errors
    /// [`Error::Damaged`] if stored bytes do not match their digest or can't be read.
    pub async fn history(&self, claim: &Claim) -> Result<History> {
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
        Ok(History { checkpoint, segments, length: claim.journal_length, signals })
    }

    /// The signals that were given to a step at these positions of its journal.
    async fn signals_given_to(&self, id: StepId, positions: &[i32]) -> Result<Vec<(u32, Vec<u8>)>> {
        if positions.is_empty() {
            return Ok(Vec::new());
        }
        let rows = sqlx::query(
            "select position, payload, digest from signal where run_id = $1 and step_no = $2 and position = any ($3)",
        )
        .bind(id.run.0)
        .bind(id.step.0)
        .bind(positions)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                let (position, payload): (i32, Vec<u8>) = (row.try_get("position")?, row.try_get("payload")?);
                if Digest::of(&payload) != digest_of(row, "digest")? {
                    return Err(Error::Damaged(format!("the signal at position {position} of step {id}")));
                }
                Ok((position.cast_unsigned(), payload))
            })
            .collect()
    }

    /// The entries of the row that holds position `at` but does not start there, up to `at`; with the row's
    /// start. What a cut at that position must put back.
    ///
    /// # Errors
    /// As [`Store::history`].
    pub async fn entries_before_cut(&self, id: StepId, at: u32) -> Result<Option<(u32, Vec<Entry>)>> {
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
        let state: Vec<u8> = row.try_get("state")?;
        if Digest::of(&state) != digest_of(&row, "digest")? {
            return Err(Error::Damaged(format!("the checkpoint of step {id}")));
        }
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

/// Where a step waited for a signal.
fn awaited(segments: &[(u32, Vec<Entry>)]) -> Vec<i32> {
    let numbered = segments.iter().flat_map(|(first, entries)| (*first..).zip(entries));
    let awaited = numbered.filter(|(_, entry)| matches!(entry, Entry::Awaited { .. }));
    awaited.map(|(position, _)| position.cast_signed()).collect()
}

fn verified_entries(id: StepId, first: u32, bytes: &[u8], digest: Digest) -> Result<Vec<Entry>> {
    let damaged = |what: &str| Error::Damaged(format!("the journal of step {id} at position {first}{what}"));
    if Digest::of(bytes) != digest {
        return Err(damaged(""));
    }
    unpack(bytes).map_err(|error| damaged(&format!(" ({error})")))
}
