//! What happened to a run: the last events on its page, all of them on a page of their own.

use axum::extract::Path;
use axum::response::Response;
use maud::{Markup, html};
use pawl_api::types::{Event, EventList, Problem, Run, RunSummary};

use super::{Part, head, live, plain};
use crate::frame::{Live, Sheet, Tab};
use crate::look::Look;
use crate::query::Query;
use crate::rows::columns;
use crate::times::{at, duration, now_ms};
use crate::visit::Visit;
use crate::words::{count, cut, name, worker_id};

/// Events on the run's own page, and on a page of the history.
const LAST: usize = 12;
const PAGE: u32 = 100;

/// Letters of a note.
const NOTE: usize = 300;

pub(crate) async fn events(visit: Visit, Path(run): Path<String>, query: Query) -> Response {
    visit.answer(sheet(&visit, &run, query.read("to")).await)
}

async fn sheet(visit: &Visit, id: &str, up_to: Option<u32>) -> Result<Sheet, Problem> {
    let id = plain(id)?;
    let run: Run = visit.read(&format!("/v1/runs/{id}?steps=false")).await?;
    let last = run.summary.event_count;
    let to = up_to.unwrap_or(last).min(last);
    let after = to.saturating_sub(PAGE);
    let EventList { events, .. } = visit.read(&format!("/v1/runs/{id}/events?after={after}")).await?;
    let shown: Vec<&Event> =
        events.iter().filter(|event| up_to.is_none() || event.number <= to).rev().take(PAGE as usize).collect();
    let main = html! {
        (head(&run.summary, Part::Events, now_ms()))
        section id="past" aria-label="History" data-live {
            p class="muted" { (count(last.into(), "event", "events")) ", newest first" }
            (table(&run.summary, &shown))
        }
        nav class="pager" aria-label="Pages of the history" {
            @if up_to.is_some() { a class="button" href={ "/runs/" (run.summary.id) "/events" } { "← Newest" } }
            @if after > 0 { a class="button" rel="next" href={ "/runs/" (run.summary.id) "/events?to=" (after) } { "Older →" } }
        }
    };
    let live = if run.summary.status.is_ended() || up_to.is_some() { Live::No } else { live(&run.summary, 0) };
    Ok(Sheet { title: format!("History of {}", run.summary.pipeline), tab: Tab::Runs, live, main })
}

/// The last of them, newest first.
pub(super) fn last(run: &RunSummary, events: &[Event]) -> Markup {
    let shown: Vec<&Event> = events.iter().rev().take(LAST).collect();
    let more = run.event_count.saturating_sub(u32::try_from(shown.len()).unwrap_or(u32::MAX));
    html! {
        (table(run, &shown))
        @if more > 0 {
            p class="more" {
                a href={ "/runs/" (run.id) "/events" } { "All " (count(run.event_count.into(), "event", "events")) }
            }
        }
    }
}

const COLUMNS: [(&str, &str); 7] = [
    ("No.", "num wide"),
    ("After", "num"),
    ("What", ""),
    ("Step", ""),
    ("Worker", "wide"),
    ("Note", ""),
    ("At", "num wide"),
];

fn table(run: &RunSummary, events: &[&Event]) -> Markup {
    html! {
        table class="rows" {
            (columns(&COLUMNS))
            tbody {
                @for event in events {
                    tr {
                        td class="num wide muted" { (event.number) }
                        td class="num" { (duration((event.at_ms - run.created_at_ms).max(0))) }
                        td { (sign(&event.kind)) }
                        td { @if let Some(step) = &event.step { (name(step)) } }
                        td class="wide" { @if let Some(worker) = event.worker { (worker_id(worker)) } }
                        td class="says" { @if let Some(note) = &event.note { (cut(note, NOTE)) } }
                        td class="num wide muted" { (at(event.at_ms)) }
                    }
                }
            }
        }
    }
}

/// An event in words, with the shape of what it leads to.
fn sign(kind: &str) -> Markup {
    let (what, word) = kind.split_once('.').unwrap_or(("", kind));
    let (class, shape) = match word {
        "succeeded" => ("ok", "s-ok"),
        "failed" | "lease_expired" => ("bad", "s-bad"),
        "parked" => ("warn", "s-warn"),
        "started" | "resumed" => ("run", "s-run"),
        "waiting" | "deferred" | "retrying" => ("wait", "s-wait"),
        "paused" => ("wait", "s-pause"),
        "cancelled" => ("idle", "s-bar"),
        "skipped" => ("idle", "s-skip"),
        "ready" | "reopened" | "handed_back" | "unpaused" | "submitted" => ("idle", "s-ring"),
        _ => ("idle", "s-dot"),
    };
    let word = word.replace('_', " ");
    html! {
        span class="event" title=(kind) {
            (Look { class, shape, word: "" }.icon())
            @if what == "run" { strong { "run " (word) } } @else { (word) }
        }
    }
}
