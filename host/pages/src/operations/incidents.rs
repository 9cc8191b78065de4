//! Incidents: what happened to the whole installation, from when to when.

use axum::response::Response;
use maud::{Markup, html};
use pawl_api::types::{Incident, IncidentKind, IncidentList, Problem};

use super::{row, sheet};
use crate::frame::Sheet;
use crate::look::{self, Look};
use crate::query::Query;
use crate::rows::columns;
use crate::times::{ago, duration, now_ms};
use crate::visit::Visit;
use crate::words::{count, cut, name};

/// Incidents on a page, and letters of what is told of one.
const PAGE: u32 = 50;
const DETAIL: usize = 300;

pub(crate) async fn show(visit: Visit, query: Query) -> Response {
    // What is no number is the first page.
    visit.answer(page(&visit, query.read("before")).await)
}

async fn page(visit: &Visit, before: Option<u64>) -> Result<Sheet, Problem> {
    let before = before.map(|before| format!("&before={before}")).unwrap_or_default();
    let list: IncidentList = visit.read(&format!("/v1/incidents?limit={PAGE}{before}")).await?;
    let now = now_ms();
    let main = html! {
        div class="head" { h1 { "Incidents" } }
        (row(visit, "/incidents"))
        div id="incidents" data-live { (table(&list.incidents, now)) }
        nav class="pager" aria-label="Pages of the list" {
            @if !before.is_empty() { a class="button" href="/incidents" { "← Newest" } }
            @if let Some(next) = list.next { a class="button" rel="next" href={ "/incidents?before=" (next) } { "Older →" } }
        }
    };
    Ok(sheet("Incidents", main))
}

fn table(incidents: &[Incident], now: i64) -> Markup {
    html! {
        @if incidents.is_empty() {
            div class="empty" { p { (look::GOOD.icon()) " Nothing has happened to the installation." } }
        } @else {
            table class="rows" {
                (columns(&[("State", ""), ("What", ""), ("Began", "num"), ("Lasted", "num")]))
                tbody { @for incident in incidents { (incident_row(incident, now)) } }
            }
        }
    }
}

fn incident_row(incident: &Incident, now: i64) -> Markup {
    let look = match incident.ended_at_ms {
        None => Look { word: "lasts", ..look::BAD },
        // Whether somebody has begun with its steps by then, is not told here.
        Some(_) if incident.kind == IncidentKind::WorkerDied => Look { word: "ready again", ..look::GOOD },
        Some(_) => Look { word: "over", ..look::GOOD },
    };
    let until = incident.ended_at_ms.unwrap_or(now);
    html! {
        tr {
            td { (look.chip()) }
            th scope="row" {
                (words(incident.kind)) " "
                @match incident.kind {
                    IncidentKind::WorkersNone => a href=(super::queue::path(&incident.subject)) { (name(&incident.subject)) },
                    // It has no page any more: its row is in the list of those that went.
                    IncidentKind::WorkerDied => a href={ "/workers#gone-" (incident.subject) } { (name(&incident.subject)) },
                    IncidentKind::CircuitOpened => a href="/circuits" { (name(&incident.subject)) },
                    _ => (name(&incident.subject)),
                }
                p class="says muted" {
                    (cut(&incident.detail, DETAIL))
                    @if let Some(steps) = incident.steps { ", with " (count(steps.into(), "step", "steps")) " in hand" @if incident.ended_at_ms.is_some() { ", made ready for other workers" } }
                }
            }
            td class="num" { (ago(incident.began_at_ms, now)) }
            td class="num" { (duration((until - incident.began_at_ms).max(0))) }
        }
    }
}

/// What has happened.
pub(crate) fn words(kind: IncidentKind) -> &'static str {
    match kind {
        IncidentKind::StoreAway => "The store is away",
        IncidentKind::QueueAway => "The queue is away",
        IncidentKind::QueueLost => "The queue has lost what it held",
        IncidentKind::WorkersNone => "No worker serves the queue",
        IncidentKind::WorkerDied => "A worker has died",
        IncidentKind::CircuitOpened => "An outside host is down",
    }
}
