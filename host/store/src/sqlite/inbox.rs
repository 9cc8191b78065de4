//! The inbox of a run, as people see it, and what a person changes of it. A signal that is set aside has a position below
//! 0, as in Postgres (`migrations/0017_inbox.sql`).

use async_trait::async_trait;
use pawl_domain::decision::{InboxChange, SignalChange, SignalState};
use pawl_domain::id::{Digest, RunId, StepId, StepNo};
use rusqlite::Row;

use super::ledger::Ledger;
use super::{Sqlite, digest_of, row, rows};
use crate::inbox::{Inboxes, SignalRow, no_signal};
use crate::{Result, verified};

/// What is read of a signal; a macro, so that statements stay constants.
macro_rules! signals_where {
    ($which:literal) => {
        concat!(
            "select id, name, key, length(payload) as size, created_at, step_no, position, rejection, payload, digest
             from signal where run_id = ?1 and (step_no is null or rejection is not null) and ",
            $which
        )
    };
}

#[async_trait]
impl Inboxes for Sqlite {
    async fn inbox(&self, run: RunId, after: u32, limit: u32) -> Result<Vec<SignalRow>> {
        let sql = signals_where!("id > ?2 order by id limit ?3");
        self.read(move |conn| rows(conn, sql, (run.0, after, limit), signal_row)).await
    }

    async fn rejected_signals(&self, run: RunId, limit: u32) -> Result<Vec<SignalRow>> {
        let sql = signals_where!("rejection is not null order by id limit ?2");
        self.read(move |conn| rows(conn, sql, (run.0, limit), signal_row)).await
    }

    async fn inbox_signal(&self, run: RunId, number: u32) -> Result<(SignalRow, Vec<u8>)> {
        let found = self.read(move |conn| {
            row(conn, signals_where!("id = ?2"), (run.0, number), |row| {
                let what = || format!("signal {number} of run {run}");
                Ok((signal_row(row)?, verified(row.get("payload")?, digest_of(row, "digest")?, what)?))
            })
        });
        found.await?.ok_or_else(|| no_signal(run, number))
    }
}

fn signal_row(row: &Row<'_>) -> Result<SignalRow> {
    let step: Option<i32> = row.get("step_no")?;
    Ok(SignalRow {
        number: row.get("id")?,
        name: row.get("name")?,
        key: row.get("key")?,
        size_bytes: row.get::<_, i64>("size")?.cast_unsigned(),
        sent_at_ms: row.get("created_at")?,
        state: SignalState::of(step, row.get("position")?),
        rejected_by: step.map(StepNo),
        error: row.get("rejection")?,
    })
}

impl Ledger<'_> {
    /// A person changes a signal.
    pub(super) fn change_signal(&self, run: RunId, InboxChange { signal, how }: &InboxChange) -> Result<()> {
        let mut change = self.conn.prepare_cached(
            "update signal set step_no = ?3, position = ?4, rejection = null, changes = changes + 1,
                 sent_digest = case when ?5 is null then sent_digest else coalesce(sent_digest, digest) end,
                 payload = coalesce(?5, payload), digest = coalesce(?6, digest)
             where run_id = ?1 and id = ?2",
        )?;
        let aside = (*how == SignalChange::Remove).then_some((SignalState::A_PERSON, -i64::from(*signal)));
        let (payload, digest) = how.payload().map(|payload| (payload, Digest::of(payload).0)).unzip();
        change.execute((run.0, signal, aside.map(|(step, _)| step), aside.map(|(_, at)| at), payload, digest))?;
        Ok(())
    }

    /// A step has failed by the last signal that it took from position `cut` on.
    pub(super) fn reject_signal(&self, id: StepId, cut: u32, error: &[u8]) -> Result<()> {
        let mut reject = self.conn.prepare_cached(
            "update signal set position = -id, rejection = ?4
             where run_id = ?1 and id = (select id from signal where run_id = ?1 and step_no = ?2 and position >= ?3
                                         order by position desc limit 1)",
        )?;
        reject.execute((id.run.0, id.step.0, cut, error))?;
        Ok(())
    }
}
