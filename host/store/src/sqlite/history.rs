//! A step's past, read after a claim: the checkpoint, and of the journal only what a replay will touch.

use async_trait::async_trait;
use pawl_domain::attempt::Claim;
use pawl_domain::id::StepId;
use pawl_domain::journal::{Checkpoint, Entry, History};
use rusqlite::Connection;

use super::rows::Step;
use super::signals::given_to;
use super::{Sqlite, digest_of, row, rows};
use crate::history::{Histories, awaited, verified_entries};
use crate::{Result, verified};

#[async_trait]
impl Histories for Sqlite {
    async fn history(&self, claim: &Claim) -> Result<History> {
        let (id, length, position) = (claim.id, claim.journal_length, claim.checkpoint_position);
        if length == 0 && position.is_none() {
            return Ok(History::default());
        }
        self.read(move |conn| {
            let checkpoint = if position.is_some() { checkpoint(conn, id)? } else { None };
            // Without a prelude the guest never asks for the checkpoint: it replays everything.
            let (prelude, after) = match &checkpoint {
                Some(Checkpoint { prelude: Some(prelude), position, .. }) => (*prelude, *position),
                _ => (0, 0),
            };
            let sql = "select first, digest, bytes from journal
                       where run_id = ?1 and step_no = ?2 and (first < ?3 or first + length > ?4) order by first";
            let segments = rows(conn, sql, (id.run.0, id.step.0, prelude, after), |row| segment(id, row))?;
            let signals = given_to(conn, id, &awaited(&segments))?;
            let recorded_by = Step::read(conn, id)?.and_then(|step| step.recorded_by);
            Ok(History { checkpoint, segments, length, signals, recorded_by })
        })
        .await
    }

    async fn entries_before_cut(&self, id: StepId, at: u32) -> Result<Option<(u32, Vec<Entry>)>> {
        self.read(move |conn| {
            let sql = "select first, digest, bytes from journal
                       where run_id = ?1 and step_no = ?2 and first < ?3 and first + length > ?3";
            let cut = row(conn, sql, (id.run.0, id.step.0, at), |row| segment(id, row))?;
            Ok(cut.map(|(first, mut entries)| {
                entries.truncate((at - first) as usize);
                (first, entries)
            }))
        })
        .await
    }
}

fn segment(id: StepId, row: &rusqlite::Row<'_>) -> Result<(u32, Vec<Entry>)> {
    let first = row.get("first")?;
    let bytes = row.get_ref("bytes")?.as_blob().unwrap_or_default();
    Ok((first, verified_entries(id, first, bytes, digest_of(row, "digest")?)?))
}

fn checkpoint(conn: &Connection, id: StepId) -> Result<Option<Checkpoint>> {
    let sql = "select ordinal, position, random_position, effect_ordinal, prelude, digest, state
               from checkpoint where run_id = ?1 and step_no = ?2";
    row(conn, sql, (id.run.0, id.step.0), |row| {
        Ok(Checkpoint {
            ordinal: row.get("ordinal")?,
            position: row.get("position")?,
            random_position: row.get::<_, i64>("random_position")?.cast_unsigned(),
            effect_ordinal: row.get("effect_ordinal")?,
            prelude: row.get("prelude")?,
            state: verified(row.get("state")?, digest_of(row, "digest")?, || format!("the checkpoint of step {id}"))?,
        })
    })
}
