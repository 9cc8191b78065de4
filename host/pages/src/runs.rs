//! The list of runs: what `GET /v1/runs` answers, with its filters as a form and its pages as links.

use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse as _, Response};
use futures_util::future::join;
use maud::{Markup, html};
use pawl_api::types::{ListedStatus, PipelineList, Problem, RunList};
use pawl_domain::id::RunId;

use super::frame::{Live, Sheet, Tab};
use super::look;
use super::query::Query;
use super::said;
use super::times::{ago, now_ms};
use super::visit::Visit;
use super::words::count;
use filter::Filter;

mod act;
mod export;
mod filter;
mod form;
mod table;

pub(super) use act::act;
pub(super) use export::export;
pub(super) use table::{table, took};

/// Runs on a page: with a key each, these are as many as a page may weigh.
const PAGE: u32 = 28;

/// Where runs have to be looked through, the API is asked so often for one page.
const LOOKS: usize = 5;

pub(super) async fn show(visit: Visit, query: Query) -> Response {
    let filter = Filter::of(&query);
    // A whole id is a run's address.
    if let Some(run) = filter.id.as_deref().and_then(|id| id.parse::<RunId>().ok()) {
        return (StatusCode::SEE_OTHER, [(LOCATION, format!("/runs/{run}"))]).into_response();
    }
    visit.answer(sheet(&visit, &filter, &html! {}).await)
}

async fn sheet(visit: &Visit, filter: &Filter, note: &Markup) -> Result<Sheet, Problem> {
    let (list, pipelines) = join(look_for(visit, filter), pipelines(visit)).await;
    // What the form has wrong is said in its place.
    let list = match list {
        Err(problem) if problem.status != 400 => return Err(problem),
        list => list,
    };
    let is_picking = filter.pick.is_some() && act::offered(visit);
    let main = html! {
        div class="head" { h1 { "Runs" } (form::fields(filter, &pipelines)) }
        (form::tabs(filter))
        (note)
        (form::tools(visit, filter))
        @match &list {
            Err(problem) => (said::refused(problem)),
            Ok(list) => {
                @if is_picking && !list.runs.is_empty() { (act::picking(visit, filter, &list.runs)) } @else { (shown(filter, list)) }
                (pager(filter, list))
            }
        }
    };
    let is_newest = filter.before.is_none() && !filter.goes_alone() && !is_picking;
    let live = if is_newest { Live::Every(2_000) } else { Live::No };
    Ok(Sheet { title: "Runs".to_owned(), tab: Tab::Runs, live, main })
}

/// A page of runs; where they have to be looked for, what is found in some looks.
async fn look_for(visit: &Visit, filter: &Filter) -> Result<RunList, Problem> {
    let mut filter = filter.clone();
    let mut found = RunList { runs: Vec::new(), next: None, looked_at: None, looked_to_ms: None };
    for _ in 0..LOOKS {
        let left = PAGE - u32::try_from(found.runs.len()).unwrap_or(PAGE).min(PAGE - 1);
        let page: RunList = visit.read(&filter.question(left, now_ms())).await?;
        found.runs.extend(page.runs);
        found.looked_at = page.looked_at.map(|looked_at| looked_at + found.looked_at.unwrap_or(0));
        (found.next, found.looked_to_ms) = (page.next, page.looked_to_ms.or(found.looked_to_ms));
        if found.next.is_none() || found.looked_at.is_none() || found.runs.len() >= PAGE as usize {
            break;
        }
        filter.before.clone_from(&found.next);
    }
    Ok(found)
}

/// The names that the form offers; without them it is as good.
async fn pipelines(visit: &Visit) -> Vec<String> {
    if visit.is_part {
        return Vec::new();
    }
    let list = visit.read::<PipelineList>("/v1/pipelines").await;
    list.map_or_else(|_| Vec::new(), |list| list.pipelines.into_iter().map(|pipeline| pipeline.name).collect())
}

fn shown(filter: &Filter, list: &RunList) -> Markup {
    html! {
        @if list.runs.is_empty() { (nothing(filter, list)) } @else { div id="runs" data-live { (table(&list.runs, now_ms())) } }
    }
}

/// The way to older ones; and how far this page has looked, where it had to.
fn pager(filter: &Filter, list: &RunList) -> Markup {
    html! {
        @if let Some((looked_at, to_ms)) = list.looked_at.zip(list.looked_to_ms) {
            p class="muted" id="looked" data-live {
                "Picked of " (count(looked_at.into(), "run", "runs")) ", the last of them submitted " (ago(to_ms, now_ms())) "."
            }
        }
        nav class="pager" id="pager" data-live aria-label="Pages of the list" {
            @if filter.before.is_some() {
                a class="button" href=(filter.going_on(None).path("/runs")) { "← Newest" }
            }
            @if let Some(next) = &list.next {
                a class="button" rel="next" href=(filter.going_on(Some(next)).path("/runs")) {
                    @if list.looked_at.is_some() { "Look further →" } @else { "Older →" }
                }
            }
        }
    }
}

/// Why there is nothing, and what would make something.
fn nothing(filter: &Filter, list: &RunList) -> Markup {
    let of_pipeline =
        filter.pipeline.as_ref().map(|pipeline| format!(" of the pipeline “{pipeline}”")).unwrap_or_default();
    html! {
        div class="empty" id="runs" data-live {
            @match filter.status.as_deref().and_then(|status| status.parse::<ListedStatus>().ok()) {
                _ if filter.id.is_some() => p { "No run’s id begins with these digits." },
                _ if filter.goes_alone() => p { "No run was submitted under this key. A " code { "*" } " behind it finds keys that begin so." },
                _ if list.next.is_some() => p { "None so far: there are older runs to look at." },
                _ if filter.has_more() => p { "There is no such run." },
                Some(ListedStatus::Failed | ListedStatus::Parked | ListedStatus::Stuck) => p {
                    (look::GOOD.icon()) " None" (of_pipeline) ": nothing of this kind needs you."
                },
                Some(status) => p { "No run" (of_pipeline) " is " (status.as_str()) " now." },
                None if filter.before.is_some() => p { "There are no older ones." },
                None if filter.pipeline.is_some() => p { "There are no runs" (of_pipeline) "." },
                None => {
                    p { "There are no runs yet. This begins one:" }
                    pre { code { "pawl run submit PIPELINE --input '{}'" } }
                    p class="muted" { code { "pawl pipeline list" } " names the pipelines." }
                }
            }
        }
    }
}
