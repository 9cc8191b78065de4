//! What the worker is told of a batch: the claims with all that its guests begin with, and what is to be delivered.

use pawl_domain::attempt::{Claim, ClaimedInput, Ingredients};
use pawl_domain::event::EventKind;
use pawl_domain::id::{Fence, RunId, StepId, StepNo};
use pawl_domain::status::StepStatus;

use super::Writing;
use crate::sqlite::ledger::needs_of;
use crate::sqlite::row;
use crate::sqlite::rows::Step;
use crate::write::Written;
use crate::{Error, Result};

/// Bytes of needed outputs that a claim carries at most. What is more is read after it, in pieces.
const MOST_BYTES: u64 = 64 << 10;

impl Writing<'_, '_> {
    /// What is told of steps: claimed ones, those that a first sending has claimed included, and those to be
    /// delivered.
    pub(super) fn answer(&self, claims: &[StepId], written: &mut Written) -> Result<()> {
        let is_own = |step: &Step| step.status == StepStatus::Running && step.worker == Some(self.worker);
        for id in &self.continued {
            if let Some(step) = self.ledger.step(*id)?.filter(is_own) {
                written.claimed.push(self.claim_of(&step)?);
            }
        }
        for id in claims {
            match self.ledger.step(*id)? {
                Some(step) if is_own(&step) => written.claimed.push(self.claim_of(&step)?),
                Some(_) => written.not_ready.push(*id),
                None => {}
            }
        }
        let delivered =
            self.happened.iter().filter(|event| matches!(event.kind, EventKind::StepReady | EventKind::StepHandedBack));
        written.ready = self.ledger.ready_of(delivered.map(|event| event.step))?;
        Ok(())
    }

    fn claim_of(&self, step: &Step) -> Result<Claim> {
        let run = self.ledger.run(step.id.run)?.ok_or_else(|| Error::Damaged(format!("run {}", step.id.run)))?;
        let plan = self.ledger.plan(run.pipeline)?;
        let needs = needs_of(&plan, step.id.step);
        Ok(Claim {
            id: step.id,
            fence: Fence(step.fence),
            pipeline: run.pipeline,
            component: self.ledger.component_for(step)?,
            failures: step.failures,
            crashes: step.crashes,
            journal_length: step.journal_length,
            checkpoint_position: step.checkpoint_position,
            recovers: self.ledger.recovers(step)?,
            input: self.claimed_input(step.id.run, needs)?,
        })
    }

    fn claimed_input(&self, run: RunId, needs: &[StepNo]) -> Result<ClaimedInput> {
        let sizes = needs.iter().map(|need| self.output_bytes(run, *need));
        let bytes = sizes.sum::<Result<u64>>()?;
        if bytes > MOST_BYTES {
            return Ok(ClaimedInput::Apart(bytes));
        }
        Ok(ClaimedInput::Whole(match needs {
            [] => Ingredients::Run(self.input_of(run)?),
            needs => {
                let outputs = needs.iter().map(|need| self.output_of(run, *need));
                Ingredients::Outputs(outputs.collect::<Result<_>>()?)
            }
        }))
    }

    fn output_bytes(&self, run: RunId, step: StepNo) -> Result<u64> {
        let sql = "select length(output) as bytes from step where run_id = ?1 and step_no = ?2";
        let bytes = row(self.ledger.conn, sql, (run.0, step.0), |row| Ok(row.get::<_, Option<i64>>("bytes")?))?;
        Ok(bytes.flatten().map_or(0, i64::cast_unsigned))
    }

    fn input_of(&self, run: RunId) -> Result<Vec<u8>> {
        let input = row(self.ledger.conn, "select input from run where id = ?1", [run.0], |row| Ok(row.get("input")?))?;
        input.ok_or_else(|| Error::Damaged(format!("run {run}")))
    }

    fn output_of(&self, run: RunId, step: StepNo) -> Result<Vec<u8>> {
        let sql = "select output from step where run_id = ?1 and step_no = ?2";
        let output = row(self.ledger.conn, sql, (run.0, step.0), |row| Ok(row.get::<_, Option<Vec<u8>>>("output")?))?;
        output.flatten().ok_or_else(|| Error::Damaged(format!("the output of step {run}/{step}")))
    }
}
