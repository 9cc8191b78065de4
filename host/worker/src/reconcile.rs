//! Once per lease a worker compares the steps that the database says it runs with those that it runs. A
//! lost answer, a fault of ours or a decision made elsewhere (cancel, takeover) can make the two differ.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use pawl_base::lock;
use pawl_domain::attempt::Claim;
use pawl_domain::id::{Fence, StepId};
use pawl_engine::recorder::Stop;
use pawl_store::within;
use pawl_store::write::Settlement;

use super::flow::Flow;
use super::session::Session;

/// Compares every `interval`, for ever.
pub async fn run(flow: Arc<Flow>, interval: Duration) {
    let mut suspects = HashMap::new();
    loop {
        tokio::time::sleep(interval).await;
        match run_once(&flow, &suspects).await {
            Ok(unknown) => suspects = unknown,
            Err(error) => tracing::debug!(error = error.chain(), "not reconciled"),
        }
    }
}

/// One comparison. A step that is unknown here twice in a row (`suspects` are those of the last time) is
/// handed back; one that the database no longer counts as this worker's is stopped. Returns the unknown.
///
/// # Errors
/// If the database can't be read.
pub async fn run_once(
    flow: &Arc<Flow>,
    suspects: &HashMap<StepId, Fence>,
) -> pawl_store::Result<HashMap<StepId, Fence>> {
    let before: Vec<Arc<Session>> = lock(&flow.sessions).values().cloned().collect();
    let claimed: HashMap<StepId, Fence> =
        within(flow.patience, flow.store.running_of(flow.worker)).await?.into_iter().collect();
    for session in before {
        let claim = &session.claim;
        if claimed.get(&claim.id) != Some(&claim.fence) && !session.is_settling() {
            tracing::info!(step.id = %claim.id, fence = %claim.fence, "the step is no longer this worker's: it is stopped");
            session.stop_with(Stop::LeaseLost);
        }
    }
    let unknown: HashMap<StepId, Fence> = {
        let sessions = lock(&flow.sessions);
        let asked = lock(&flow.asked);
        claimed.into_iter().filter(|(id, _)| !sessions.contains_key(id) && !asked.contains_key(id)).collect()
    };
    for (id, fence) in unknown.iter().filter(|(id, fence)| suspects.get(id) == Some(fence)) {
        tracing::warn!(step.id = %id, %fence, "the database says that this worker runs the step, it does not: handed back");
        flow.hand_back(Claim::bare(*id, *fence));
    }
    Ok(unknown)
}

impl Flow {
    fn hand_back(&self, claim: Claim) {
        let lane = Arc::clone(self.lane(claim.run()));
        let session = Session::new(claim, Vec::new(), 0, lane, Arc::clone(&self.trust));
        session.settle(Settlement::Released, None);
    }
}
