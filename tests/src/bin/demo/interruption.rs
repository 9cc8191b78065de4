//! The kill in the middle: what the process held, and what of it was saved.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use pawl_api::types::Step;
use pawl_domain::attempt::Claim;
use pawl_domain::id::{Fence, RunId, StepId};
use pawl_store::seal::Seal;
use pawl_tests::runtime::block_on;
use pawl_tests::{Embedded, wait};
use serde_json::Value;

use crate::soon;

/// A process that holds steps in the middle, and its death.
pub(crate) struct Interruption {
    /// When it was killed, in ms since 1970.
    pub(crate) killed_ms: i64,
    /// Rows in the checkpoints of the interrupted steps, as they lie in the dead process' store.
    pub(crate) saved_rows: BTreeMap<String, u64>,
}

impl Interruption {
    /// Waits until a running step has come as far as `middle` and has a checkpoint, then kills the process.
    pub(crate) fn in_the_middle(pawl: &mut Embedded, run: RunId, middle: f32) -> anyhow::Result<Self> {
        let held = soon("a step to be in the middle", || {
            let mut steps: Vec<(usize, Step)> = pawl.client.run(run)?.steps.into_iter().enumerate().collect();
            steps.retain(|(_, step)| step.status.as_str() == "running" && step.checkpoint_position.is_some());
            let most = steps.iter().filter_map(|(_, step)| step.progress).fold(0.0, f32::max);
            let percent = format!("{:.0} %", most * 100.0);
            Ok(if most >= middle { wait::Look::Done((percent, steps)) } else { wait::Look::NotYet(percent) })
        });
        let (percent, steps) = held?;
        let names: Vec<&str> = steps.iter().map(|(_, step)| step.name.as_str()).collect();
        println!("kill -9    the process (pid {}), {percent} through {}", pawl.process()?.pid(), names.join(" and "));
        pawl.process()?.kill9();
        let killed_ms = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
        Ok(Self { killed_ms, saved_rows: saved_rows(pawl, run, &steps)? })
    }
}

/// What the dead process' checkpoints hold: what it had sent may have been committed after we looked at it.
fn saved_rows(pawl: &Embedded, run: RunId, steps: &[(usize, Step)]) -> anyhow::Result<BTreeMap<String, u64>> {
    let store = pawl.store()?;
    let (_, rows) = block_on(store.run(run, None))?;
    let mut saved = BTreeMap::new();
    for (place, step) in steps {
        let row = rows.get(*place).context("a step of the run")?;
        let claim = Claim {
            journal_length: row.journal_length,
            checkpoint_position: row.checkpoint_position,
            ..Claim::bare(StepId { run, step: row.no }, Fence(row.fence))
        };
        let checkpoint = block_on(store.history(&claim, usize::MAX, &Seal::CLEAR))?
            .context("it is not limited")?
            .checkpoint
            .context("it has a checkpoint")?;
        let state: Value = serde_json::from_slice(&checkpoint.state)?;
        saved.insert(step.name.clone(), state["done"].as_u64().context("its state says how many rows are done")?);
    }
    Ok(saved)
}
