//! The fields by which runs are looked for: the usual ones in sight, the others folded; and the tabs of states.

use maud::{Markup, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::filter::Filter;
use crate::look::Look;
use crate::visit::Visit;

/// Names of pipelines that are offered.
const NAMES: usize = 200;

pub(super) fn fields(filter: &Filter, pipelines: &[String]) -> Markup {
    html! {
        form class="filter" action="/runs" {
            @if let Some(status) = &filter.status { input type="hidden" name="status" value=(status); }
            label class="unseen" for="pipeline" { "Pipeline" }
            input id="pipeline" name="pipeline" placeholder="Pipeline" value=[&filter.pipeline] list="pipelines"
                autocomplete="off" spellcheck="false";
            datalist id="pipelines" { @for name in pipelines.iter().take(NAMES) { option value=(name) {} } }
            button class="button" { "Filter" }
            @if filter.is_any() { a class="quiet" href="/runs" { "Clear" } }
            details class="act more-fields" open[filter.has_more()] {
                summary class="quiet" { "More filters" }
                div class="panel fields" {
                    (filter.span().fields("Submitted"))
                    label { "Key, or its beginning and *"
                        input name="key" value=[&filter.key] maxlength="200" placeholder="order-17, order-*" autocomplete="off" spellcheck="false";
                    }
                    label { "Version, its first digits"
                        input name="version" value=[&filter.version] pattern="[0-9A-Fa-f]{6,64}" title="6 to 64 hexadecimal digits"
                            autocomplete="off" spellcheck="false";
                    }
                    label { "Text in an error"
                        input name="error" value=[&filter.error] maxlength="400" autocomplete="off" spellcheck="false";
                    }
                    button class="button primary" { "Filter" }
                }
            }
        }
    }
}

/// The states that are looked for most come first.
const TABS: [(&str, Look); 8] = [
    ("running", Look { class: "run", shape: "s-run", word: "Running" }),
    ("failed", Look { class: "bad", shape: "s-bad", word: "Failed" }),
    ("parked", Look { class: "warn", shape: "s-warn", word: "Parked" }),
    ("stuck", Look { class: "warn", shape: "s-warn", word: "Stuck" }),
    ("paused", Look { class: "wait", shape: "s-pause", word: "Paused" }),
    ("pending", Look { class: "idle", shape: "s-ring", word: "Pending" }),
    ("succeeded", Look { class: "ok", shape: "s-ok", word: "Succeeded" }),
    ("cancelled", Look { class: "idle", shape: "s-bar", word: "Cancelled" }),
];

pub(super) fn tabs(filter: &Filter) -> Markup {
    let current = |status: Option<&str>| (!filter.goes_alone() && filter.status.as_deref() == status).then_some("page");
    html! {
        nav class="tabs" aria-label="By state" {
            a href=(filter.of_state(None).path("/runs")) aria-current=[current(None)] { "All" }
            @for (status, look) in TABS {
                a href=(filter.of_state(Some(status)).path("/runs")) aria-current=[current(Some(status))] {
                    (look.icon()) (look.word)
                }
            }
        }
    }
}

/// What has died, by its cause; or all that has of a pipeline.
fn letters(filter: &Filter) -> String {
    let of = |pipeline: &String| format!("?pipeline={}", utf8_percent_encode(pipeline, NON_ALPHANUMERIC));
    format!("/dead-letters{}", filter.pipeline.as_ref().map(of).unwrap_or_default())
}

/// What can be done with the list itself: save what it is of in this browser, take it along, pick from it.
pub(super) fn tools(visit: &Visit, filter: &Filter) -> Markup {
    let picked = Filter { pick: Some("yes".to_owned()), ..filter.clone() };
    let list = Filter { before: None, pick: None, ..filter.clone() };
    html! {
        div class="tools" {
            span data-saved="/runs" data-offer=[list.is_any().then(|| list.path("/runs"))] {}
            @if matches!(filter.status.as_deref(), Some("failed" | "parked")) { a class="quiet" href=(letters(filter)) { "By cause" } }
            @if super::act::offered(visit) && filter.pick.is_none() { a class="quiet" href=(picked.path("/runs")) { "Pick runs…" } }
            a class="quiet" href=(list.path("/runs/export")) download="runs.jsonl" { "Export" }
        }
    }
}
