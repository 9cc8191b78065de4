//! The record of changes: who asked for what, from where, and what came of it.

use axum::response::Response;
use maud::{Markup, html};
use pawl_api::types::{Change, ChangeList, Problem};
use url::form_urlencoded::Serializer;

use super::{row, sheet};
use crate::frame::Sheet;
use crate::look::{self, Look};
use crate::query::Query;
use crate::rows::columns;
use crate::said;
use crate::times::{ago, now_ms};
use crate::visit::Visit;
use crate::words::{cut, name};

const PATH: &str = "/access/audit";

/// Lines on a page, and letters of what one was about.
const PAGE: u32 = 50;
const ABOUT: usize = 160;

/// What is asked for.
struct Filter {
    run: Option<String>,
    before: Option<String>,
}

impl Filter {
    fn of(query: &Query) -> Self {
        let said = |name: &str| query.said(name).map(str::to_owned);
        Self { run: said("run"), before: said("before") }
    }

    /// The same from another line on, for the API or a page.
    fn path(&self, base: &str, before: Option<&str>) -> String {
        let mut query = Serializer::new(String::new());
        for (key, value) in [("run", self.run.as_deref()), ("before", before)] {
            if let Some(value) = value {
                query.append_pair(key, value);
            }
        }
        let query = query.finish();
        let parted = if base.contains('?') { '&' } else { '?' };
        if query.is_empty() { base.to_owned() } else { format!("{base}{parted}{query}") }
    }
}

pub(crate) async fn show(visit: Visit, query: Query) -> Response {
    visit.answer(page(&visit, &Filter::of(&query)).await)
}

async fn page(visit: &Visit, filter: &Filter) -> Result<Sheet, Problem> {
    let asked = filter.path(&format!("/v1/audit?limit={PAGE}"), filter.before.as_deref());
    // What the form has wrong is said in its place.
    let list: Result<ChangeList, Problem> = match visit.read(&asked).await {
        Err(problem) if problem.status != 400 => return Err(problem),
        list => list,
    };
    let now = now_ms();
    let main = html! {
        div class="head" { h1 { "Changes" } (form(filter)) }
        (row(visit, PATH))
        @match &list {
            Err(problem) => (said::refused(problem)),
            Ok(list) => {
                (table(&list.changes, now))
                nav class="pager" aria-label="Pages of the list" {
                    @if filter.before.is_some() { a class="button" href=(filter.path(PATH, None)) { "← Newest" } }
                    @if let Some(next) = list.next {
                        a class="button" rel="next" href=(filter.path(PATH, Some(&next.to_string()))) { "Older →" }
                    }
                }
            },
        }
        p class="muted" {
            "Each request that wants more than to read leaves a line, but submissions and signals, which runs keep themselves. "
            code { "pawl audit -o json" } " prints them for programs."
        }
    };
    Ok(sheet("Changes", main))
}

fn form(filter: &Filter) -> Markup {
    html! {
        form class="filter" action=(PATH) {
            input name="run" value=[filter.run.as_deref()] placeholder="Of one run: its id" aria-label="Of one run: its id"
                autocomplete="off" spellcheck="false" maxlength="36";
            button class="button" { "Filter" }
        }
    }
}

fn table(changes: &[Change], now: i64) -> Markup {
    html! {
        @if changes.is_empty() {
            div class="empty" { p { "Nobody has asked for a change so far." } }
        } @else {
            table class="rows" {
                (columns(&[("Answer", ""), ("What", ""), ("By", ""), ("From", "wide"), ("When", "num")]))
                tbody { @for change in changes { (change_row(change, now)) } }
            }
        }
    }
}

fn change_row(change: &Change, now: i64) -> Markup {
    html! {
        tr {
            td {
                span class="stands" {
                    (of_status(change.status).chip())
                    @if let Some(status) = change.status { span class="muted" { (status) } }
                }
            }
            th scope="row" {
                (change.what)
                @if let Some(namespace) = &change.namespace { " " span class="muted" { "in " (name(namespace.as_str())) } }
                p class="says muted" title=(change.target) {
                    @match (&change.subject, change.run) {
                        (Some(subject), _) => (cut(subject, ABOUT)),
                        (None, Some(run)) => a href={ "/runs/" (run) } { code class="id" { (run) } },
                        (None, None) => (cut(&change.target, ABOUT)),
                    }
                }
            }
            td { (name(change.who.as_deref().unwrap_or("nobody: no token was wanted"))) }
            td class="wide" { (change.source) }
            td class="num" { (ago(change.at_ms, now)) }
        }
    }
}

fn of_status(status: Option<u16>) -> Look {
    match status {
        Some(..400) => Look { word: "done", ..look::GOOD },
        Some(400..500) => Look { word: "refused", ..look::PARKED },
        Some(_) => look::FAILED,
        None => Look { word: "not known", class: "idle", shape: "s-ring" },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_goes_on_with_its_pages() {
        let filter = Filter::of(&Query::of("run=+01ab+&before=&other=1"));
        assert_eq!(filter.path(PATH, None), "/access/audit?run=01ab");
        assert_eq!(filter.path("/v1/audit?limit=50", Some("7")), "/v1/audit?limit=50&run=01ab&before=7");
        assert_eq!(Filter::of(&Query::of("")).path(PATH, None), PATH);
        assert_eq!(
            [Some(201), Some(409), Some(503), None].map(|status| of_status(status).class),
            ["ok", "warn", "bad", "idle"]
        );
    }
}
