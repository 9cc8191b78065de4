//! Reading what a decision is made from.

use std::collections::BTreeMap;

use pawl_domain::decision::{Known, Look, RunState, SentBefore, SignalState, StepState, TakenBy, Unread, Which};
use pawl_domain::id::{Fence, RunId, StepId, StepNo};
use rusqlite::Row;

use crate::Result;
use crate::runs::no_run;
use crate::sqlite::ledger::{Ledger, needs_of};
use crate::sqlite::rows::Step;
use crate::sqlite::{digest_of, row, rows};

/// What a verb looks at.
pub(super) fn read(ledger: &Ledger<'_>, id: RunId, look: &Look<'_>) -> Result<Known> {
    let run = ledger.run(id)?.ok_or_else(|| no_run(id))?;
    let plan = ledger.plan(run.pipeline)?;
    let mut steps = BTreeMap::new();
    for which in &look.steps {
        for step in steps_of(ledger, id, *which)? {
            let needs = needs_of(&plan, step.id.step).to_vec();
            steps.insert(step.id.step, state_of(step, needs));
        }
    }
    let state = RunState {
        id,
        status: run.status,
        live: run.live,
        running: run.running,
        failing: run.failing,
        started: run.started_at.is_some(),
        paused: run.paused,
        event_count: run.event_count,
        signal_count: run.signal_count,
    };
    let sent = look.key.map(|key| sent_under(ledger, id, key)).transpose()?.flatten();
    let mut known = Known { run: state, steps, inbox: Vec::new(), taken: Vec::new(), unread: 0, sent, signal: None };
    if let Some(number) = look.signal {
        let sql = "select name, step_no, position from signal where run_id = ?1 and id = ?2";
        let state = |row: &Row<'_>| Ok((row.get("name")?, SignalState::of(row.get("step_no")?, row.get("position")?)));
        known.signal = row(ledger.conn, sql, (id.0, number), state)?;
    }
    if look.inbox {
        known.inbox = ledger.inbox(id, &known.awaited())?;
    }
    if let Some(limit) = look.unread.filter(|limit| state.signal_count >= *limit) {
        let sql =
            "select count(*) as unread from (select 1 from signal where run_id = ?1 and step_no is null limit ?2)";
        known.unread = row(ledger.conn, sql, (id.0, limit), |row| Ok(row.get("unread")?))?.unwrap_or_default();
    }
    if let Some((step, from)) = look.returning {
        let sql = "select id, name from signal where run_id = ?1 and step_no = ?2 and position >= ?3";
        let taken = rows(ledger.conn, sql, (id.0, step.0, from), |row| {
            Ok(Unread { number: row.get("id")?, name: row.get("name")? })
        });
        known.inbox.extend(taken?);
    }
    if look.taken {
        let sql = "select id, name, step_no from signal where run_id = ?1 and step_no is not null and position >= 0";
        known.taken = rows(ledger.conn, sql, [id.0], |row| {
            let signal = Unread { number: row.get("id")?, name: row.get("name")? };
            Ok(TakenBy { step: StepNo(row.get("step_no")?), signal })
        })?;
    }
    Ok(known)
}

fn steps_of(ledger: &Ledger<'_>, id: RunId, which: Which<'_>) -> Result<Vec<Step>> {
    match which {
        Which::All => Step::all_of(ledger.conn, id),
        Which::One(step) => Ok(ledger.step(StepId { run: id, step })?.into_iter().collect()),
        Which::Awaiting(signal) => Step::awaiting(ledger.conn, id, signal),
    }
}

fn state_of(step: Step, needs: Vec<StepNo>) -> StepState {
    StepState {
        status: step.status,
        needs,
        unmet: step.unmet,
        fence: Fence(step.fence),
        component: step.component,
        recorded_by: step.recorded_by,
        waits: step.waits(),
    }
}

fn sent_under(ledger: &Ledger<'_>, id: RunId, key: &str) -> Result<Option<SentBefore>> {
    let sql = "select name, coalesce(sent_digest, digest) as digest from signal where run_id = ?1 and key = ?2";
    row(ledger.conn, sql, (id.0, key), |row| {
        Ok(SentBefore { name: row.get("name")?, payload: digest_of(row, "digest")? })
    })
}
