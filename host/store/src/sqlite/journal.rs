//! The rows of a step's journal: dropped and appended.

use pawl_domain::id::{Digest, StepId};

use super::ledger::Ledger;
use crate::Result;
use crate::write::Segment;

impl Ledger<'_> {
    /// Drops the rows from position `cut` on. Signals that the dropped entries had taken return to the inbox, for
    /// whoever waits for them now: says whether there are any.
    pub(super) fn cut_journal(&self, id: StepId, cut: u32) -> Result<bool> {
        let (run, step) = (id.run.0, id.step.0);
        let mut delete =
            self.conn.prepare_cached("delete from journal where run_id = ?1 and step_no = ?2 and first >= ?3")?;
        delete.execute((run, step, cut))?;
        let mut give_back = self.conn.prepare_cached(
            "update signal set step_no = null, position = null where run_id = ?1 and step_no = ?2 and position >= ?3",
        )?;
        Ok(give_back.execute((run, step, cut))? > 0)
    }

    /// Appends a row.
    pub(super) fn append(&self, id: StepId, Segment { first, length, bytes }: &Segment) -> Result<()> {
        let mut insert = self.conn.prepare_cached(
            "insert into journal (run_id, step_no, first, length, digest, bytes) values (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        insert.execute((id.run.0, id.step.0, first, length, &Digest::of(bytes).0[..], bytes))?;
        Ok(())
    }
}
