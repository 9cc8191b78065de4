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
