//! The inbox of a run: what lies in it, who takes it, what was taken.

use std::collections::BTreeMap;

use pawl_domain::decision::{Given, Unread, Waits, give};
use pawl_domain::event::EventKind;
use pawl_domain::id::{RunId, StepId, StepNo};
use pawl_domain::status::StepStatus;
use pawl_domain::transition::StepChange;

use super::ledger::{Happened, Ledger};
use super::rows::Step;
use super::{digest_of, row, rows};
use crate::Result;

impl Ledger<'_> {
    /// The oldest signals of each name, as many as there are steps for them.
    pub(super) fn inbox(&self, run: RunId, awaited: &BTreeMap<&str, u32>) -> Result<Vec<Unread>> {
        let mut inbox = Vec::new();
        for (name, steps) in awaited {
            let sql = "select id, name from signal where run_id = ?1 and name = ?2 and step_no is null
                       order by id limit ?3";
            inbox.extend(rows(self.conn, sql, (run.0, name, steps), |row| {
                Ok(Unread { number: row.get("id")?, name: row.get("name")? })
            })?);
        }
        Ok(inbox)
    }

    /// Gives what lies in a run's inbox to the steps that wait for it.
    pub(super) fn give_signals(&self, run: RunId) -> Result<Vec<Happened>> {
        let steps = Step::awaiting(self.conn, run, None)?;
        let waiting: Vec<(StepNo, Waits)> = steps
            .into_iter()
            .filter(|step| step.status == StepStatus::Waiting)
            .filter_map(|step| Some((step.id.step, step.waits()?)))
            .collect();
        let mut awaited = BTreeMap::new();
        for name in waiting.iter().filter_map(|(_, waits)| waits.signal.as_deref()) {
            *awaited.entry(name).or_default() += 1;
        }
        let inbox = self.inbox(run, &awaited)?;
        let mut happened = Vec::new();
        for (given, name) in give(waiting.iter().map(|(no, waits)| (*no, waits)), &inbox) {
            let Some(mut step) = self.step(StepId { run, step: given.step })? else { continue };
            self.take_signal(run, &given)?;
            step.change(StepChange::Signalled, self.now_ms)?;
            step.write(self.conn)?;
            happened.push(Happened::to(&step, EventKind::StepReady).noting(format!("signal {name}")));
        }
        Ok(happened)
    }

    /// A step takes a signal.
    pub(super) fn take_signal(&self, run: RunId, given: &Given) -> Result<()> {
        let mut take =
            self.conn.prepare_cached("update signal set step_no = ?3, position = ?4 where run_id = ?1 and id = ?2")?;
        take.execute((run.0, given.signal, given.step.0, given.position))?;
        Ok(())
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
