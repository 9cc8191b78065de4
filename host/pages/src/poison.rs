//! Steps that are parked because their workers died while they executed them: who lets one go on may end another worker, and is
//! told so beside the buttons.

use maud::{Markup, html};
use pawl_api::types::{Step, StepStatus};
use serde_json::Value;

use super::look;
use super::words::count;

/// How the message of such a step begins.
pub(super) const CAUSE: &str = "its worker process died";

/// Whether a step is parked for that.
pub(super) fn is(step: &Step) -> bool {
    let cause = step.error.as_ref().and_then(|error| error.get("cause")).and_then(Value::as_str);
    step.status == StepStatus::Parked && cause == Some("poison")
}

/// What to know before one is let go on; `what` is `this`, or such a step.
pub(super) fn warning(what: &str, workers: Option<u32>) -> Markup {
    let workers = workers.filter(|workers| *workers > 0).map(|workers| count(workers.into(), "worker", "workers"));
    html! {
        p class="note warn" {
            (look::PARKED.icon())
            span {
                "Executing " (what) " has ended " (workers.as_deref().unwrap_or("workers"))
                ": resuming it may end another, and interrupts what that has in hand."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use pawl_domain::suspicion::Suspicion;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_step_that_is_parked_for_the_deaths_of_its_workers_is_warned_of() {
        let step = |status: &str, error: &str| -> Step {
            let error: Value = serde_json::from_str(error).unwrap();
            let step = json!({"name": "s", "status": status, "plugin": "p", "needs": [], "queue": "q", "priority": "normal",
                "attempts": 5, "failures": 0, "crashes": 5, "fence": 5, "journal_length": 0, "error": error});
            serde_json::from_value(step).unwrap()
        };
        let poison = Suspicion::default().poison(5);
        assert!(is(&step("parked", &poison)) && !is(&step("failed", &poison)));
        assert!(!is(&step("parked", "{\"message\": \"its worker process died\"}")), "a step says what it likes");
        assert!(warning("this", Some(1)).into_string().contains("Executing this has ended 1 worker: "));
        assert!(warning("such a step", None).into_string().contains("Executing such a step has ended workers: "));
    }
}
