//! The invariants, checked over the whole database.

use std::time::Duration;

use async_trait::async_trait;
use pawl_domain::id::RunId;
use pawl_domain::status::StepStatus;
use pawl_domain::succession::Plan;
use rusqlite::Connection;

use super::ledger::{needs_of, now_ms, read_pipeline};
use super::rows::{Run, Step};
use super::{Sqlite, rows};
use crate::doctor::{Invariants, Violation};
use crate::{Result, ms};

#[async_trait]
impl Invariants for Sqlite {
    async fn doctor(&self, grace: Duration, quiet: bool) -> Result<Vec<Violation>> {
        self.read(move |conn| {
            let grace_ms = ms(grace);
            let mut violations = rows(conn, include_str!("doctor.sql"), (grace_ms, now_ms(), quiet), |row| {
                let run = row.get::<_, Option<_>>(1)?.map(|run| format!("run {}: ", RunId(run))).unwrap_or_default();
                Ok(Violation { invariant: row.get(0)?, what: format!("{run}{}", row.get::<_, String>(2)?) })
            })?;
            for run in rows(conn, "select id from run", [], |row| Ok(RunId(row.get("id")?)))? {
                miscounted_needs(conn, run, &mut violations)?;
            }
            Ok(violations)
        })
        .await
    }
}

/// Invariant 4: counters of unmet needs.
fn miscounted_needs(conn: &Connection, run: RunId, violations: &mut Vec<Violation>) -> Result<()> {
    let Some(Run { pipeline, .. }) = Run::read(conn, run)? else { return Ok(()) };
    let plan = Plan::new(pipeline, read_pipeline(conn, pipeline)?);
    let steps = Step::all_of(conn, run)?;
    for step in steps.iter().filter(|step| step.status != StepStatus::Cancelled) {
        let is_unmet = |need: &usize| steps.get(*need).is_none_or(|need| !need.status.is_met());
        let needs = needs_of(&plan, step.id.step).iter().map(|need| need.0 as usize);
        let unmet = needs.filter(is_unmet).count();
        if unmet != step.unmet as usize {
            let what = format!("step {} counts {} unmet needs, there are {unmet}", step.id, step.unmet);
            violations.push(Violation { invariant: 4, what });
        }
    }
    Ok(())
}
