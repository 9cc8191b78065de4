//! Deletes runs whose retention has ended, and versions that nothing names: one worker of an installation, the one whose turn it
//! is; the others ask now and then whether it has gone. Beside the flow: nothing waits for it, nothing on a step's way knows it.

use std::time::{Duration, Instant};

use pawl_dispatch::retention::{Pace, Sweeper, Swept};
use pawl_domain::id::WorkerId;
use pawl_domain::retention::Policy;
use pawl_store::{SharedStore, within};

/// Who deletes.
pub struct Retaining {
    /// This start of the worker.
    pub worker: WorkerId,
    /// Where the runs are.
    pub store: SharedStore,
    /// How long a short answer of it is waited for.
    pub patience: Duration,
    /// What it deletes by.
    pub policy: Policy,
}

/// How long a turn lasts at least, should its holder say no more; otherwise some passes.
const TURN: Duration = Duration::from_secs(30);
const PASSES: u32 = 3;

/// Does so for ever.
pub async fn run(retaining: Retaining) {
    let mut sweeper = Sweeper::default();
    let mut outage = false;
    let mut pause = sweeper.interval(&retaining.policy);
    loop {
        tokio::time::sleep(pause).await;
        let swept = run_once(&retaining, &mut sweeper).await;
        pause = sweeper.interval(&retaining.policy);
        match swept {
            Ok(swept) => {
                outage = false;
                // Time was up, and the turn is to be kept.
                if swept.is_some_and(|swept| swept.more) {
                    pause = Duration::ZERO;
                }
            }
            Err(error) if !std::mem::replace(&mut outage, true) => {
                tracing::warn!(error = error.chain(), "what has ended is deleted later");
            }
            Err(_) => {}
        }
    }
}

/// A pass, if it is this worker's turn; none if it is another's.
///
/// # Errors
/// If the store is away.
pub async fn run_once(retaining: &Retaining, sweeper: &mut Sweeper) -> pawl_store::Result<Option<Swept>> {
    let Retaining { worker, store, patience, policy } = retaining;
    let turn = TURN.max(sweeper.interval(policy) * PASSES);
    if !within(*patience, store.take_turn(*worker, turn, policy)).await? {
        return Ok(None);
    }
    let swept = sweeper.sweep(&**store, policy, Pace::Beside, Instant::now() + turn / PASSES).await?;
    if swept.runs > 0 || swept.versions != Default::default() {
        let gone = swept.versions;
        tracing::debug!(
            runs = swept.runs,
            pipeline_versions = gone.pipelines,
            plugin_versions = gone.plugins,
            components = gone.components,
            "what had ended, or was named no more, is deleted"
        );
    }
    Ok(Some(swept))
}
