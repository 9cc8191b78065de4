//! What waits: for which signal, until which time, for which host; page by page.

use axum::response::Response;
use maud::{Markup, html};
use pawl_api::types::{Problem, Wait, WaitList, WaitsFor};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use url::form_urlencoded::Serializer;

use super::{row, sheet};
use crate::frame::Sheet;
use crate::look::{self, Look};
use crate::query::Query;
use crate::rows::columns;
use crate::times::{ago, now_ms, rough};
use crate::visit::Visit;
use crate::words::{count, name};

/// Steps on a page.
const PAGE: u32 = 50;

/// The lists, by their names in an address.
const KINDS: [(&str, &str); 2] = [("signal", "For a signal"), ("time", "For a time")];

pub(crate) async fn show(visit: Visit, query: Query) -> Response {
    let asked = query.said("kind");
    let kind = KINDS.iter().find(|(kind, _)| asked == Some(*kind)).unwrap_or(&KINDS[0]).0;
    visit.answer(page(&visit, kind, query.said("after")).await)
}

fn path(base: &str, kind: &str, after: Option<&str>) -> String {
    let mut query = Serializer::new(String::new());
    query.append_pair("kind", kind);
    if let Some(after) = after {
        query.append_pair("after", after);
    }
    format!("{base}?{}", query.finish())
}

async fn page(visit: &Visit, kind: &str, after: Option<&str>) -> Result<Sheet, Problem> {
    let asked = path("/v1/waits", kind, after);
    let list: WaitList = visit.read(&format!("{asked}&limit={PAGE}")).await?;
    let now = now_ms();
    let main = html! {
        div class="head" { h1 { "Waits" } }
        (row(visit, "/waits"))
        p class="muted" {
            "Steps that nobody executes until something comes. What somebody has paused is in the list of "
            a href="/runs?status=paused" { "paused runs" } ", and which hosts are down under " a href="/circuits" { "circuits" } "."
        }
        nav class="filter" aria-label="What for" {
            @for (one, words) in KINDS {
                a class="button" href=(path("/waits", one, None)) aria-current=[(one == kind).then_some("page")] { (words) }
            }
        }
        div id="waits" data-live { (table(&list.waits, kind, now)) }
        nav class="pager" aria-label="Pages of the list" {
            @if after.is_some() { a class="button" href=(path("/waits", kind, None)) { "← First" } }
            @if let Some(next) = &list.next { a class="button" rel="next" href=(path("/waits", kind, Some(next))) { "More →" } }
        }
    };
    Ok(sheet("Waits", main))
}

fn table(waits: &[Wait], kind: &str, now: i64) -> Markup {
    html! {
        @if waits.is_empty() {
            div class="empty" {
                p { (look::GOOD.icon()) @if kind == "signal" { " No step waits for a signal." } @else { " No step waits for a time." } }
            }
        } @else {
            table class="rows" {
                (columns(&[("For", ""), ("Step", ""), ("Run", "wide"), ("Goes on", "num")]))
                tbody { @for wait in waits { (wait_row(wait, now)) } }
            }
        }
    }
}

fn wait_row(wait: &Wait, now: i64) -> Markup {
    html! {
        tr {
            td { (what_for(wait)) }
            th scope="row" {
                a class="row" href={ "/runs/" (wait.run) "/steps/" (utf8_percent_encode(&wait.step, NON_ALPHANUMERIC)) } { (name(&wait.step)) }
                " " span class="muted" { (name(&wait.pipeline)) }
            }
            td class="wide" { code class="id" { (wait.run) } }
            td class="num" {
                @match wait.until_ms {
                    None => span class="muted" { "when it comes" },
                    Some(until) if until <= now => { "due " (ago(until, now)) },
                    Some(until) => { "in " (rough(until - now)) },
                }
            }
        }
    }
}

fn what_for(wait: &Wait) -> Markup {
    let look = |word| Look { word, class: "wait", shape: "s-wait" };
    html! {
        span class="stands" {
            @match wait.waits_for {
                WaitsFor::Signal => { (look("signal").chip()) (name(wait.signal.as_deref().unwrap_or_default())) },
                WaitsFor::Time => (look("time").chip()),
                WaitsFor::Retry => { (look("retry").chip()) span class="muted" { "after " (count(wait.failures.into(), "failure", "failures")) } },
                WaitsFor::Circuit => { (look("host down").chip()) (name(wait.origin.as_deref().unwrap_or_default())) },
            }
        }
    }
}
