//! A step's past, read after a claim and outside its transaction, in pieces: no statement here reads more than a few
//! pieces' worth, whatever the step has done.

use async_trait::async_trait;
use pawl_domain::attempt::Claim;
use pawl_domain::id::{Fence, StepId, WorkerId};
use pawl_domain::journal::{Checkpoint, Held};
use sqlx::Row as _;

use super::{Postgres, digest_of, maybe_digest_of};
use crate::history::{Histories, Large, PIECE_BYTES, Past, Row, Saved, TRIM_ROWS};
use crate::{Result, verified};

#[async_trait]
impl Histories for Postgres {
    async fn past(&self, claim: &Claim) -> Result<Past> {
        if claim.journal_length == 0 && claim.checkpoint_position.is_none() {
            return Ok(Past::default());
        }
        let row = sqlx::query(
            "select s.recorded_by, k.ordinal, k.position, k.random_position, k.effect_ordinal, k.prelude, k.digest,
                    octet_length(k.state) as size
             from step s left join checkpoint k on k.run_id = s.run_id and k.step_no = s.step_no
             where s.run_id = $1 and s.step_no = $2",
        )
        .bind(claim.id.run.0)
        .bind(claim.id.step.0)
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(Past::default()) };
        let recorded_by = maybe_digest_of(&row, "recorded_by")?;
        let count = |column: &str| -> Result<u32> { Ok(row.try_get::<i32, _>(column)?.cast_unsigned()) };
        let checkpoint = match row.try_get::<Option<i32>, _>("ordinal")? {
            Some(ordinal) if claim.checkpoint_position.is_some() => Some(Saved {
                digest: digest_of(&row, "digest")?,
                size_bytes: count("size")?.into(),
                checkpoint: Checkpoint {
                    ordinal: ordinal.cast_unsigned(),
                    position: count("position")?,
                    random_position: row.try_get::<i64, _>("random_position")?.cast_unsigned(),
                    effect_ordinal: count("effect_ordinal")?,
                    prelude: row.try_get::<Option<i32>, _>("prelude")?.map(i32::cast_unsigned),
                    state: Vec::new(),
                    held: Held::default(),
                },
            }),
            _ => None,
        };
        Ok(Past { checkpoint, recorded_by })
    }

    async fn rows(&self, id: StepId, from: u32, until: u32) -> Result<Vec<Row>> {
        // Sizes are told by what points to the bytes; only those that are sent are fetched.
        let rows = sqlx::query(
            "select first, length, digest, case when octet_length(bytes) <= $5 then bytes end as bytes
             from (select *, sum(octet_length(bytes)) over (order by first) - octet_length(bytes) as before
                   from (select first, length, digest, bytes from journal
                         where run_id = $1 and step_no = $2 and first < $4
                           and first >= coalesce((select max(j.first) from journal j where j.run_id = $1
                                                  and j.step_no = $2 and j.first <= $3), $3)
                         order by first limit 1000) as next) as sized
             where before = 0 or before + octet_length(bytes) <= $5
             order by first",
        )
        .bind(id.run.0)
        .bind(id.step.0)
        .bind(from.cast_signed())
        .bind(until.cast_signed())
        .bind(PIECE_BYTES as i32)
        .fetch_all(&self.pool)
        .await?;
        let read = rows.iter().map(|row| {
            Ok(Row {
                first: row.try_get::<i32, _>("first")?.cast_unsigned(),
                length: row.try_get::<i32, _>("length")?.cast_unsigned(),
                digest: digest_of(row, "digest")?,
                bytes: row.try_get("bytes")?,
            })
        });
        read.collect()
    }

    async fn part(&self, of: Large, offset: usize, most: usize) -> Result<Vec<u8>> {
        let (from, most) =
            (i32::try_from(offset).unwrap_or(i32::MAX).saturating_add(1), i32::try_from(most).unwrap_or(i32::MAX));
        let part: Option<Vec<u8>> = match of {
            Large::Component(digest) => {
                sqlx::query_scalar("select substring(bytes from $2 for $3) from component where digest = $1")
                    .bind(digest.0.to_vec())
                    .bind(from)
                    .bind(most)
                    .fetch_optional(&self.pool)
                    .await?
            }
            Large::State(id, ordinal) => {
                sqlx::query_scalar(
                    "select substring(state from $4 for $5) from checkpoint
                     where run_id = $1 and step_no = $2 and ordinal = $3",
                )
                .bind(id.run.0)
                .bind(id.step.0)
                .bind(ordinal.cast_signed())
                .bind(from)
                .bind(most)
                .fetch_optional(&self.pool)
                .await?
            }
            Large::Row(id, first) => {
                sqlx::query_scalar(
                    "select substring(bytes from $4 for $5) from journal
                     where run_id = $1 and step_no = $2 and first = $3",
                )
                .bind(id.run.0)
                .bind(id.step.0)
                .bind(first.cast_signed())
                .bind(from)
                .bind(most)
                .fetch_optional(&self.pool)
                .await?
            }
        };
        part.ok_or_else(|| of.missing())
    }

    async fn signal_at(&self, id: StepId, position: u32) -> Result<Option<Vec<u8>>> {
        let row =
            sqlx::query("select payload, digest from signal where run_id = $1 and step_no = $2 and position = $3")
                .bind(id.run.0)
                .bind(id.step.0)
                .bind(position.cast_signed())
                .fetch_optional(&self.pool)
                .await?;
        let Some(row) = row else { return Ok(None) };
        let what = || format!("the signal at position {position} of step {id}");
        verified(row.try_get("payload")?, digest_of(&row, "digest")?, what).map(Some)
    }

    async fn trim(&self, worker: WorkerId, id: StepId, fence: Fence, until: u32) -> Result<u32> {
        let dropped: i32 = sqlx::query_scalar("select pawl_trim_v1($1, $2, $3, $4, $5, $6)")
            .bind(worker.0)
            .bind(id.run.0)
            .bind(id.step.0)
            .bind(fence.0)
            .bind(until.cast_signed())
            .bind(TRIM_ROWS.cast_signed())
            .fetch_one(&self.pool)
            .await?;
        Ok(dropped.cast_unsigned())
    }
}
