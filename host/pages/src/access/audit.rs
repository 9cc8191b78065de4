//! The record of changes: who asked for what, from where, and what came of it.

use axum::response::Response;
use maud::{Markup, html};
use pawl_api::types::{Change, ChangeList, Problem};

use super::{row, sheet};
use crate::export::{Listed, PIECE, answer};
use crate::frame::Sheet;
use crate::look::{self, Look};
use crate::query::Query;
use crate::rows::columns;
use crate::said;
use crate::times::{ago, now_ms};
use crate::visit::Visit;
use crate::words::{count, cut, name};
use filter::Filter;

mod filter;

const PATH: &str = "/access/audit";

/// Lines on a page, and letters of what one was about.
const PAGE: u32 = 50;
const ABOUT: usize = 160;

/// Where lines have to be looked through, the API is asked so often for one page.
const LOOKS: usize = 5;

pub(crate) async fn show(visit: Visit, query: Query) -> Response {
    visit.answer(page(&visit, &Filter::of(&query)).await)
}

pub(crate) async fn export(visit: Visit, query: Query) -> Response {
    // Spans of time end when it began.
    let (filter, since_ms) = (Filter::of(&query), now_ms());
    let question = move |before: Option<&str>| match before {
        Some(_) => filter.going_on(before).question(PIECE, since_ms),
        None => filter.question(PIECE, since_ms),
    };
    answer::<ChangeList>(visit, "audit.jsonl", question).await
}

impl Listed for ChangeList {
    type Item = Change;
    type Place = i64;

    fn items(&self) -> &[Change] {
        &self.changes
    }

    fn next(&self) -> Option<&i64> {
        self.next.as_ref()
    }
}

async fn page(visit: &Visit, filter: &Filter) -> Result<Sheet, Problem> {
    let now = now_ms();
    // What the form has wrong is said in its place.
    let list = match look_for(visit, filter, now).await {
        Err(problem) if problem.status != 400 => return Err(problem),
        list => list,
    };
    let main = html! {
        div class="head" { h1 { "Changes" } }
        (row(visit, PATH))
        div class="tools" {
            (filter.form())
            a class="quiet" href=(filter.going_on(None).path("/access/audit/export")) download="audit.jsonl" { "Export" }
        }
        @match &list {
            Err(problem) => (said::refused(problem)),
            Ok(list) => {
                (shown(filter, list, now))
                (pager(filter, list, now))
            },
        }
        p class="muted" {
            "Each request that wants more than to read leaves a line, but submissions and signals, which runs keep themselves. "
            code { "pawl audit --all -o json" } " prints all of them for programs."
        }
    };
    Ok(sheet("Changes", main))
}

/// A page of changes; where they have to be looked for, what is found in some looks.
async fn look_for(visit: &Visit, filter: &Filter, now: i64) -> Result<ChangeList, Problem> {
    let mut filter = filter.clone();
    let mut found = ChangeList { changes: Vec::new(), next: None, looked_at: None, looked_to_ms: None };
    for _ in 0..LOOKS {
        let left = PAGE - u32::try_from(found.changes.len()).unwrap_or(PAGE).min(PAGE - 1);
        let page: ChangeList = visit.read(&filter.question(left, now)).await?;
        found.changes.extend(page.changes);
        found.looked_at = page.looked_at.map(|looked_at| looked_at + found.looked_at.unwrap_or(0));
        (found.next, found.looked_to_ms) = (page.next, page.looked_to_ms.or(found.looked_to_ms));
        if found.next.is_none() || found.looked_at.is_none() || found.changes.len() >= PAGE as usize {
            break;
        }
        filter.before = found.next.map(|next| next.to_string());
    }
    Ok(found)
}

/// The way to older ones; and how far this page has looked, where it had to.
fn pager(filter: &Filter, list: &ChangeList, now: i64) -> Markup {
    html! {
        @if let Some((looked_at, to_ms)) = list.looked_at.zip(list.looked_to_ms) {
            p class="muted" id="looked" {
                "Picked of " (count(looked_at.into(), "change", "changes")) ", the last of them asked for " (ago(to_ms, now)) "."
            }
        }
        nav class="pager" aria-label="Pages of the list" {
            @if filter.before.is_some() { a class="button" href=(filter.going_on(None).path(PATH)) { "← Newest" } }
            @if let Some(next) = list.next {
                a class="button" rel="next" href=(filter.going_on(Some(&next.to_string())).path(PATH)) {
                    @if list.looked_at.is_some() { "Look further →" } @else { "Older →" }
                }
            }
        }
    }
}

fn shown(filter: &Filter, list: &ChangeList, now: i64) -> Markup {
    html! {
        @if list.changes.is_empty() {
            div class="empty" {
                @if list.next.is_some() { p { "None so far: there are older changes to look at." } }
                @else if filter.is_any() { p { "There is no such change." } }
                @else { p { "Nobody has asked for a change so far." } }
            }
        } @else {
            table class="rows" {
                (columns(&[("Answer", ""), ("What", ""), ("By", ""), ("From", "wide"), ("When", "num")]))
                tbody { @for change in &list.changes { (change_row(change, now)) } }
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
    fn what_is_refused_is_no_failure() {
        assert_eq!(
            [Some(201), Some(409), Some(503), None].map(|status| of_status(status).class),
            ["ok", "warn", "bad", "idle"]
        );
    }
}
