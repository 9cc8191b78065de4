//! Queues: what waits in each and for how long, and who serves it.

use axum::response::Response;
use futures_util::future::join3;
use maud::html;
use pawl_api::types::{Problem, QueueList, Scale, WorkerList};

use super::{row, sheet, tables};
use crate::frame::{Sheet, part};
use crate::pauses::waits;
use crate::times::{ago, now_ms};
use crate::visit::Visit;
use crate::words::name;

/// Queues that are listed.
const LISTED: usize = 300;

pub(crate) async fn show(visit: Visit) -> Response {
    visit.answer(page(&visit).await)
}

async fn page(visit: &Visit) -> Result<Sheet, Problem> {
    let (demand, list, workers) = join3(
        visit.read::<Scale>("/v1/scale"),
        visit.read::<QueueList>("/v1/queues"),
        visit.read::<WorkerList>("/v1/workers"),
    )
    .await;
    let (demand, list, now) = (demand?, list?, now_ms());
    let main = html! {
        div class="head" { h1 { "Queues" } }
        (row(visit, "/queues"))
        (part("queues", "What waits", &tables::queues(&demand, Some(&list), workers.ok().as_ref(), LISTED, now)))
        (part("paused", "Paused", &html! {
            @if list.paused.is_empty() { p class="muted" { "None: what is ready starts as soon as a worker has room." } }
            @for paused in &list.paused {
                p {
                    a href=(super::queue::path(&paused.queue)) { (name(&paused.queue)) } " "
                    span class="muted" { (ago(paused.pause.since_ms, now)) }
                    @if let Some(reason) = &paused.pause.reason { ": " span class="says" { (reason) } }
                    @if let Some(waits) = waits(&paused.pause, now) { "; " (waits) }
                }
            }
        }))
    };
    Ok(sheet("Queues", main))
}
