//! A version becomes active when every worker that lives has compiled its component, or it does not, and the answer
//! says who refused. Nothing is drained for it: steps in flight, and runs submitted before, stay on the components
//! that their submission fixed.

use std::time::{Duration, Instant};

use pawl_domain::id::Digest;
use pawl_store::readiness::LiveWorker;

use super::problem::Result;
use super::state::AppState;
use super::types::Problem;

/// How long workers may take. One that has died is waited for until its lease has ended.
const PATIENCE: Duration = Duration::from_secs(60);

/// Pauses between looks.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// Waits until all workers can load a component. Without workers there is nobody to ask: those that come compile
/// it before anything else.
pub(super) async fn until_all_can_load(state: &AppState, digest: Digest) -> Result<()> {
    let mut workers = state.store.live_workers_and(digest).await?;
    if workers.iter().any(|worker| worker.report.is_none()) {
        state.store.want(digest).await?;
        if let Err(error) = state.queue.tell_plugins().await {
            tracing::debug!(error = error.chain(), "workers hear of a component from the store");
        }
    }
    let end = Instant::now() + PATIENCE;
    let mut pause = FIRST_PAUSE;
    loop {
        if let Some(refused) = refusals(&workers) {
            return Err(Problem::refused_by_workers(refused));
        }
        let silent = workers.iter().filter(|worker| worker.report.is_none());
        let silent: Vec<String> = silent.map(name).collect();
        if silent.is_empty() {
            return Ok(());
        }
        if Instant::now() > end {
            return Err(Problem::workers_not_ready(&silent.join(", "), PATIENCE));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        workers = state.store.live_workers_and(digest).await?;
    }
}

/// Who can't load the component, and why; a reason that several have is told once.
fn refusals(workers: &[LiveWorker]) -> Option<String> {
    let refused: Vec<(&LiveWorker, &str)> =
        workers.iter().filter_map(|worker| Some((worker, worker.report.as_ref()?.as_deref()?))).collect();
    let (first, reason) = refused.first()?;
    let others = if refused.len() == 1 { String::new() } else { format!(" and {} more", refused.len() - 1) };
    Some(format!("{}{others}: {reason}", name(first)))
}

fn name(worker: &LiveWorker) -> String {
    format!("worker {} (pid {} on {})", worker.id, worker.pid, worker.host)
}
