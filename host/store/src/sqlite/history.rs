//! A step's past, read after a claim, in pieces as from Postgres: a reader that takes its time holds up others.

use async_trait::async_trait;
use pawl_domain::attempt::Claim;
use pawl_domain::id::{Fence, StepId, WorkerId};
use pawl_domain::journal::{Checkpoint, Held};

use super::rows::Step;
use super::signals::given_to;
use super::{Sqlite, digest_of, row, rows};
use crate::Result;
use crate::history::{Histories, Large, PIECE_BYTES, Past, Row, Saved, TRIM_ROWS};

#[async_trait]
impl Histories for Sqlite {
    async fn past(&self, claim: &Claim) -> Result<Past> {
        let (id, length, position) = (claim.id, claim.journal_length, claim.checkpoint_position);
        if length == 0 && position.is_none() {
            return Ok(Past::default());
        }
        self.read(move |conn| {
            let recorded_by = Step::read(conn, id)?.and_then(|step| step.recorded_by);
            let sql =
                "select ordinal, position, random_position, effect_ordinal, prelude, digest, length(state) as size
                       from checkpoint where run_id = ?1 and step_no = ?2";
            let saved = |row: &rusqlite::Row<'_>| {
                Ok(Saved {
                    digest: digest_of(row, "digest")?,
                    size_bytes: row.get::<_, i64>("size")?.cast_unsigned(),
                    checkpoint: Checkpoint {
                        ordinal: row.get("ordinal")?,
                        position: row.get("position")?,
                        random_position: row.get::<_, i64>("random_position")?.cast_unsigned(),
                        effect_ordinal: row.get("effect_ordinal")?,
                        prelude: row.get("prelude")?,
                        state: Vec::new(),
                        held: Held::default(),
                    },
                })
            };
            let checkpoint = match position {
                Some(_) => row(conn, sql, (id.run.0, id.step.0), saved)?,
                None => None,
            };
            Ok(Past { checkpoint, recorded_by })
        })
        .await
    }

    async fn rows(&self, id: StepId, from: u32, until: u32) -> Result<Vec<Row>> {
        self.read(move |conn| {
            let sql = "select first, length, digest, case when length(bytes) <= ?5 then bytes end as bytes
                       from (select *, sum(length(bytes)) over (order by first) - length(bytes) as before
                             from (select first, length, digest, bytes from journal
                                   where run_id = ?1 and step_no = ?2 and first < ?4
                                     and first >= coalesce((select max(first) from journal where run_id = ?1
                                                            and step_no = ?2 and first <= ?3), ?3)
                                   order by first limit 1000))
                       where before = 0 or before + length(bytes) <= ?5
                       order by first";
            rows(conn, sql, (id.run.0, id.step.0, from, until, PIECE_BYTES as i64), |row| {
                Ok(Row {
                    first: row.get("first")?,
                    length: row.get("length")?,
                    digest: digest_of(row, "digest")?,
                    bytes: row.get("bytes")?,
                })
            })
        })
        .await
    }

    async fn part(&self, of: Large, offset: usize, most: usize) -> Result<Vec<u8>> {
        let (from, most) = (offset as i64 + 1, most as i64);
        self.read(move |conn| {
            let part = |row: &rusqlite::Row<'_>| Ok(row.get::<_, Vec<u8>>(0)?);
            let found = match of {
                Large::Component(digest) => {
                    let sql = "select substr(bytes, ?2, ?3) from component where digest = ?1";
                    row(conn, sql, (&digest.0[..], from, most), part)?
                }
                Large::State(id, ordinal) => {
                    let sql = "select substr(state, ?4, ?5) from checkpoint
                               where run_id = ?1 and step_no = ?2 and ordinal = ?3";
                    row(conn, sql, (id.run.0, id.step.0, ordinal, from, most), part)?
                }
                Large::Row(id, first) => {
                    let sql = "select substr(bytes, ?4, ?5) from journal
                               where run_id = ?1 and step_no = ?2 and first = ?3";
                    row(conn, sql, (id.run.0, id.step.0, first, from, most), part)?
                }
            };
            found.ok_or_else(|| of.missing())
        })
        .await
    }

    async fn signal_at(&self, id: StepId, position: u32) -> Result<Option<Vec<u8>>> {
        self.read(move |conn| Ok(given_to(conn, id, &[position])?.pop().map(|(_, payload)| payload))).await
    }

    async fn trim(&self, worker: WorkerId, id: StepId, fence: Fence, until: u32) -> Result<u32> {
        self.change(move |ledger| {
            let held = Step::read(ledger.conn, id)?.is_some_and(|step| step.is_held(worker, fence.0));
            if !held {
                return Ok(0);
            }
            let sql = "delete from journal where run_id = ?1 and step_no = ?2 and first in (
                           select j.first from checkpoint k
                           join journal j on j.run_id = k.run_id and j.step_no = k.step_no
                           where k.run_id = ?1 and k.step_no = ?2 and j.first >= k.prelude
                             and j.first + j.length <= min(k.position, ?3)
                           order by j.first limit ?4)";
            let dropped = ledger.conn.prepare_cached(sql)?.execute((id.run.0, id.step.0, until, TRIM_ROWS))?;
            Ok(u32::try_from(dropped).unwrap_or(u32::MAX))
        })
        .await
    }
}
