//! Signals: sent to a run, taken by its steps; as `migrations/0007_signals.sql` does it for Postgres.

use async_trait::async_trait;
use pawl_domain::event::EventKind;
use pawl_domain::id::{Digest, RunId, StepId, StepNo};
use pawl_domain::transition::StepChange;

use super::ledger::{Happened, Ledger};
use super::{Sqlite, digest_of, row, rows};
use crate::Result;
use crate::runs::no_run;
use crate::signals::{NewSignal, Sent, Signals, key_reused, nobody_takes};

#[async_trait]
impl Signals for Sqlite {
    async fn signal(&self, run: RunId, signal: NewSignal<'_>) -> Result<Sent> {
        let (name, payload, key) = (signal.name.to_owned(), signal.payload.to_vec(), signal.key.map(str::to_owned));
        self.change(move |ledger| send(ledger, run, &NewSignal { name: &name, payload: &payload, key: key.as_deref() }))
            .await
    }
}

fn send(ledger: &Ledger<'_>, id: RunId, signal: &NewSignal<'_>) -> Result<Sent> {
    let run = ledger.run(id)?.ok_or_else(|| no_run(id))?;
    let digest = Digest::of(signal.payload);
    // Before the run's end is looked at: what was sent before it is answered as then.
    if let Some(key) = signal.key {
        let sql = "select name, digest from signal where run_id = ?1 and key = ?2";
        let known = row(ledger.conn, sql, (id.0, key), |row| {
            Ok(row.get::<_, String>("name")? == signal.name && digest_of(row, "digest")? == digest)
        });
        match known? {
            Some(true) => return Ok(Sent::Same),
            Some(false) => return Err(key_reused(id, key)),
            None => {}
        }
    }
    if run.ended_at.is_some() {
        return Err(nobody_takes(id));
    }
    ledger.conn.prepare_cached("update run set signal_count = signal_count + 1 where id = ?1")?.execute([id.0])?;
    let mut insert = ledger.conn.prepare_cached(
        "insert into signal (run_id, id, name, key, payload, digest, created_at)
         select ?1, signal_count, ?2, ?3, ?4, ?5, ?6 from run where id = ?1",
    )?;
    insert.execute((id.0, signal.name, signal.key, signal.payload, &digest.0[..], ledger.now_ms))?;
    let given = ledger.give_signals(id)?;
    ledger.record(&given)?;
    Ok(Sent::New(ledger.ready_of(given.iter().map(|event| event.step))?))
}

impl Ledger<'_> {
    /// Gives what lies in a run's inbox to the steps that wait for it: the oldest of a name to the first step.
    pub(super) fn give_signals(&self, run: RunId) -> Result<Vec<Happened>> {
        let waiting =
            "select step_no from step where run_id = ?1 and awaits is not null and status = 'waiting' order by step_no";
        let mut given = Vec::new();
        for step in rows(self.conn, waiting, [run.0], |row| Ok(StepNo(row.get("step_no")?)))? {
            let Some(mut step) = self.step(StepId { run, step })? else { continue };
            let Some(name) = step.awaits.clone() else { continue };
            let mut take = self.conn.prepare_cached(
                "update signal set step_no = ?3, position = ?4 where run_id = ?1 and id =
                     (select min(id) from signal where run_id = ?1 and name = ?2 and step_no is null)",
            )?;
            if take.execute((run.0, &name, step.id.step.0, step.awaits_position))? == 0 {
                continue;
            }
            step.change(StepChange::Signalled, self.now_ms)?;
            step.write(self.conn)?;
            given.push(Happened::to(&step, EventKind::StepReady).noting(format!("signal {name}")));
        }
        Ok(given)
    }
}

/// The signals that were given to a step at these positions of its journal.
pub(super) fn given_to(conn: &rusqlite::Connection, id: StepId, positions: &[u32]) -> Result<Vec<(u32, Vec<u8>)>> {
    let mut given = Vec::new();
    for position in positions {
        let sql = "select payload, digest from signal where run_id = ?1 and step_no = ?2 and position = ?3";
        let found = row(conn, sql, (id.run.0, id.step.0, position), |row| {
            let what = || format!("the signal at position {position} of step {id}");
            crate::verified(row.get("payload")?, digest_of(row, "digest")?, what)
        });
        given.extend(found?.map(|payload| (*position, payload)));
    }
    Ok(given)
}
