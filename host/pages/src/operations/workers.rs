//! Workers: those that are there, by version, and those that went.

use std::collections::BTreeMap;

use axum::response::Response;
use maud::{Markup, html};
use pawl_api::types::{GoneWorker, Problem, Worker, WorkerList};

use super::{row, sheet, tables};
use crate::frame::{Sheet, part};
use crate::look::{self, Look};
use crate::rows::columns;
use crate::times::{ago, now_ms, rough};
use crate::visit::Visit;
use crate::words::{self, name};

/// Workers that are listed.
const LISTED: usize = 500;

pub(crate) async fn show(visit: Visit) -> Response {
    visit.answer(page(&visit).await)
}

async fn page(visit: &Visit) -> Result<Sheet, Problem> {
    let list: WorkerList = visit.read("/v1/workers").await?;
    let now = now_ms();
    let main = html! {
        div class="head" id="head" data-live { h1 { "Workers" } (versions(&list.workers)) }
        (row(visit, "/workers"))
        (part("workers", "There", &tables::workers(&list, LISTED, now)))
        (part("gone", "Gone within a day", &gone(&list.gone, now)))
    };
    Ok(sheet("Workers", main))
}

/// How many there are of each build.
fn versions(workers: &[Worker]) -> Markup {
    let mut counts = BTreeMap::<&str, u64>::new();
    for version in workers.iter().filter(|worker| worker.alive).filter_map(|worker| worker.version.as_deref()) {
        *counts.entry(version).or_default() += 1;
    }
    html! {
        dl class="facts" {
            @for (version, number) in &counts { div { dt { (version) } dd { (words::count(*number, "worker", "workers")) } } }
            @if counts.len() > 1 { div { dd class="muted" { "a rollout is under way, or was left half done" } } }
        }
    }
}

fn gone(all: &[GoneWorker], now: i64) -> Markup {
    html! {
        @if all.is_empty() { p class="muted" { "None." } } @else {
            table class="rows" {
                (columns(&[("How", ""), ("Machine", ""), ("Queues", "wide"), ("Lived for", "num wide"), ("Went", "num")]))
                tbody { @for worker in all { (gone_row(worker, now)) } }
            }
        }
    }
}

/// A link of an incident leads to it.
fn gone_row(worker: &GoneWorker, now: i64) -> Markup {
    let look = match worker.said_goodbye {
        true => Look { word: "ended", ..look::GOOD },
        false => Look { word: "lost", ..look::BAD },
    };
    html! {
        tr id={ "gone-" (worker.id) } {
            td { (look.chip()) }
            th scope="row" { (name(&worker.host)) " " span class="muted" { (worker.pid) } }
            td class="wide" { (name(&worker.queues.join(", "))) }
            td class="num wide" { (rough((worker.gone_at_ms - worker.started_at_ms).max(0))) }
            td class="num" { (ago(worker.gone_at_ms, now)) }
        }
    }
}
