//! Once per lease a worker compares the steps that the database says it runs with those that it runs. A
//! lost answer, a fault of ours or a decision made elsewhere (cancel, takeover) can make the two differ. It reads its own
//! running steps; were that dear, it would come less often.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pawl_domain::attempt::Claim;
use pawl_domain::id::{Fence, StepId, WorkerId};
use pawl_engine::recorder::Stop;
use pawl_store::write::Settlement;
use pawl_store::{SharedStore, within};

use crate::desk::Desk;
use crate::outbox::Outboxes;
use crate::scheduler::edge::paced;
use crate::session::Session;
use crate::trust::Trust;

/// Who compares.
pub struct Reconciling {
    /// This start of the worker.
    pub worker: WorkerId,
    /// What the database says.
    pub store: SharedStore,
    /// How long an answer of it is waited for.
    pub patience: Duration,
    /// What the worker runs.
    pub desk: Arc<Desk>,
    /// Where a step is handed back.
    pub outboxes: Outboxes<Session>,
    /// The worker's lease.
    pub trust: Arc<Trust>,
}

/// Compares every `interval`, for ever.
pub async fn run(reconciling: Reconciling, interval: Duration) {
    let mut suspects = HashMap::new();
    let mut pause = interval;
    loop {
        tokio::time::sleep(pause).await;
        let begun = Instant::now();
        pause = match run_once(&reconciling, &suspects).await {
            Ok(unknown) => {
                suspects = unknown;
                paced(interval, begun.elapsed())
            }
            Err(error) => {
                tracing::debug!(error = error.chain(), "not reconciled");
                interval
            }
        };
    }
}

/// One comparison. A step that is unknown here twice in a row (`suspects` are those of the last time) is
/// handed back; one that the database no longer counts as this worker's is stopped. Returns the unknown.
///
/// # Errors
/// If the database can't be read.
pub async fn run_once(
    reconciling: &Reconciling,
    suspects: &HashMap<StepId, Fence>,
) -> pawl_store::Result<HashMap<StepId, Fence>> {
    let Reconciling { worker, store, patience, desk, .. } = reconciling;
    // Read before the database is: what is claimed in between is no difference.
    let before = desk.running();
    let claimed: HashMap<StepId, Fence> = within(*patience, store.running_of(*worker)).await?.into_iter().collect();
    for session in before {
        let claim = &session.claim;
        if claimed.get(&claim.id) != Some(&claim.fence) && !session.has_ended() {
            tracing::info!(step.id = %claim.id, fence = %claim.fence, "the step is no longer this worker's: it is stopped");
            session.stop_with(Stop::LeaseLost);
        }
    }
    let unknown: HashMap<StepId, Fence> = claimed.into_iter().filter(|(id, _)| !desk.knows(*id)).collect();
    for (id, fence) in unknown.iter().filter(|(id, fence)| suspects.get(id) == Some(fence)) {
        tracing::warn!(step.id = %id, %fence, "the database says that this worker runs the step, it does not: handed back");
        reconciling.hand_back(Claim::bare(*id, *fence));
    }
    Ok(unknown)
}

impl Reconciling {
    fn hand_back(&self, claim: Claim) {
        let outbox = Arc::clone(self.outboxes.of(claim.run()));
        Session::new(claim, 0, outbox, Arc::clone(&self.trust)).hand_over(Settlement::Released, None);
    }
}
