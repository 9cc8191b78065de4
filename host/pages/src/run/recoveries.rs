//! Takeovers of a run's steps.

use maud::{Markup, html};
use pawl_api::types::{RecoveryList, RunSummary};

use crate::recovered::{Of, records};
use crate::said;
use crate::visit::Visit;

/// Records that are shown, the last ones.
const SHOWN: u32 = 10;

/// Their records, if there are any; or why they can't be had.
pub(super) async fn list(visit: &Visit, run: &RunSummary, now: i64) -> Option<Markup> {
    let list: RecoveryList = match visit.read(&format!("/v1/recoveries?run={}&limit={SHOWN}", run.id)).await {
        Ok(list) => list,
        Err(problem) => return Some(said::unread("Recoveries", &problem, !run.status.is_ended())),
    };
    (!list.recoveries.is_empty()).then(|| {
        html! {
            (records(&list.recoveries, Of::OneRun, now))
            @if list.next.is_some() { p class="muted" { "The last " (SHOWN) "; there are more." } }
        }
    })
}
