//! What a worker's log says of ends of attempts that somebody may have to look after. Told after their commit, once, by the
//! flow; successes and waits are in the histories of their runs, and would drown the rest.

use pawl_domain::recovery::{Outcome, Recovered};
use pawl_store::write::{Member, Settlement};

/// Tells how a step has ended, or that it goes on after somebody else has raised its fence: a takeover, or a person. `name` is asked for its name, as far as that is known
/// here, if there is something to tell.
pub fn tell(member: &Member, name: impl FnOnce() -> Option<String>) {
    let is_over = |it: &&Settlement| !matches!(it, Settlement::Succeeded { .. } | Settlement::Suspended { .. });
    let settlement = member.settlement.as_ref().filter(is_over);
    let recovered = member.recovered.as_ref().filter(|it| it.outcome == Outcome::Recovered);
    if settlement.is_none() && recovered.is_none() {
        return;
    }
    let (run, step) = (member.id.run, name().unwrap_or_else(|| member.id.step.to_string()));
    if let Some(Recovered { replayed, .. }) = recovered {
        tracing::info!(run.id = %run, step.name = step, replayed, "a step goes on that was taken over, or opened again");
    }
    let Some(settlement) = settlement else { return };
    let reason = settlement.reason().unwrap_or_default();
    match settlement {
        Settlement::Succeeded { .. } | Settlement::Suspended { .. } => {}
        // The circuit itself is told when it opens, and when it closes.
        Settlement::Deferred { .. } => {}
        Settlement::Released => tracing::info!(run.id = %run, step.name = step, "the step is handed back"),
        Settlement::Retry { delay_ms, .. } => {
            tracing::warn!(run.id = %run, step.name = step, reason, delay_ms, "an attempt has failed, another one follows");
        }
        Settlement::Failed { .. } => tracing::warn!(run.id = %run, step.name = step, reason, "the step has failed"),
        Settlement::Parked(_) => tracing::warn!(run.id = %run, step.name = step, reason,
            "the step is parked until a person decides: `pawl run explain {run}` says how"),
    }
}
