//! Pipelines: all of them, and how many runs of each the last hour saw. What one of them is, has been and can do: below.

use std::collections::HashMap;

use axum::response::Response;
use futures_util::future::join;
use maud::{Markup, html};
use pawl_api::types::{PipelineList, PipelineSummary, Problem, RunList};

use super::frame::{Live, Sheet, Tab};
use super::look;
use super::rows::columns;
use super::times::{ago, now_ms};
use super::visit::Visit;
use super::words::{figure, in_path, name};

mod act;
mod one;
mod steps;
mod versions;

pub(super) use act::act;
pub(super) use one::show;

/// Runs that are counted, the newest, and how far back, ms.
const COUNTED: u32 = 1_000;
const HOUR: i64 = 3_600_000;

/// Where a pipeline's page is.
pub(super) fn path(pipeline: &str) -> String {
    format!("/pipelines/{}", in_path(pipeline))
}

pub(super) async fn list(visit: Visit) -> Response {
    visit.answer(sheet(&visit).await)
}

async fn sheet(visit: &Visit) -> Result<Sheet, Problem> {
    let counted = format!("/v1/runs?limit={COUNTED}");
    let (list, runs) = join(visit.read::<PipelineList>("/v1/pipelines"), visit.read::<RunList>(&counted)).await;
    let (list, runs, now) = (list?.pipelines, runs?, now_ms());
    let lately = Lately::of(&runs, now);
    let main = html! {
        div class="head" { h1 { "Pipelines" } }
        div id="pipelines" data-live {
            @if list.is_empty() {
                div class="empty" {
                    p { "There are no pipelines yet. This makes one of a file:" }
                    pre { code { "pawl pipeline apply pipelines/orders.toml" } }
                }
            } @else {
                table class="rows" {
                    (columns(&[("Pipeline", ""), ("Steps", "num"), ("Version", "wide"), ("Runs of the last hour", "num wide"), ("Applied", "num")]))
                    tbody { @for pipeline in &list { (row(pipeline, &lately, now)) } }
                }
                @if lately.is_cut {
                    p class="muted" { "Counted are the newest " (figure(COUNTED.into())) " runs, which do not go back an hour." }
                }
            }
        }
    };
    Ok(Sheet { title: "Pipelines".to_owned(), tab: Tab::Pipelines, live: Live::Every(4_000), main })
}

/// How many runs of each were submitted within the last hour.
struct Lately<'a> {
    counts: HashMap<&'a str, u64>,
    /// There are older ones that would count.
    is_cut: bool,
}

impl<'a> Lately<'a> {
    fn of(list: &'a RunList, now: i64) -> Self {
        let mut counts: HashMap<&str, u64> = HashMap::new();
        for run in list.runs.iter().filter(|run| run.created_at_ms > now - HOUR) {
            *counts.entry(&*run.pipeline).or_default() += 1;
        }
        let goes_back = list.runs.last().is_none_or(|oldest| oldest.created_at_ms <= now - HOUR);
        Self { counts, is_cut: list.next.is_some() && !goes_back }
    }
}

fn row(pipeline: &PipelineSummary, lately: &Lately<'_>, now: i64) -> Markup {
    let runs = lately.counts.get(&*pipeline.name).copied().unwrap_or(0);
    html! {
        tr {
            th scope="row" {
                a class="row" href=(path(&pipeline.name)) { (name(&pipeline.name)) }
                @if pipeline.paused.is_some() { " " (look::PAUSED.chip()) }
            }
            td class="num" { (figure(pipeline.step_count.into())) }
            td class="wide" { code class="id" { (pipeline.digest.short()) } }
            td class="num wide" { (figure(runs)) @if lately.is_cut { "+" } }
            td class="num" { (ago(pipeline.updated_at_ms, now)) }
        }
    }
}
