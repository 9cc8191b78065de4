//! Takeovers of a run's steps.

use maud::{Markup, html};
use pawl_api::types::{RecoveryList, RunSummary};

use crate::recovered::records;
use crate::visit::Visit;

/// Records that are shown, the last ones.
const SHOWN: u32 = 10;

/// Their records, if there are any.
pub(super) async fn list(visit: &Visit, run: &RunSummary, now: i64) -> Option<Markup> {
    let list: RecoveryList = visit.read(&format!("/v1/recoveries?run={}&limit={SHOWN}", run.id)).await.ok()?;
    (!list.recoveries.is_empty()).then(|| {
        html! {
            (records(&list.recoveries, now))
            @if list.next.is_some() { p class="muted" { "The last " (SHOWN) "; there are more." } }
        }
    })
}
