//! First steps, where there is no run: a run of what is there, at a click; and how a plugin is made, where there is nothing.
//!
//! No demo is built in: its components would be compiled into each program, for the first minute of its life. What
//! `pawl plugin new` writes is a plugin with its pipeline, which `pawl dev` builds with the compiler of whoever wants one.

use axum::extract::RawForm;
use axum::http::header::LOCATION;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};
use pawl_api::types::{PipelineList, PipelineSummary, Problem, SubmittedRun};
use serde_json::json;

use super::forms::{Fields, JSON};
use super::frame::{Live, Sheet, Tab, part};
use super::panel::{Panel, hidden};
use super::rows::columns;
use super::said;
use super::visit::Visit;
use super::words::{count, name};

const SUBMIT: &str = "/v1/runs";

/// Pipelines that are offered.
const OFFERED: usize = 10;

const IN_DEV: &str = "pawl plugin new hello";
const ELSEWHERE: &str = "pawl plugin new hello\npawl plugin build hello -o hello.wasm\npawl plugin push hello.wasm\n\
                         pawl pipeline apply hello/pipeline.toml";

/// What to do first.
pub(super) async fn steps(visit: &Visit) -> Markup {
    let inside = match visit.read::<PipelineList>("/v1/pipelines").await {
        Ok(list) if list.pipelines.is_empty() => none(visit),
        Ok(list) => some(visit, &list.pipelines),
        Err(problem) => said::unread("Pipelines", &problem, true),
    };
    part("first", "First steps", &inside)
}

fn none(visit: &Visit) -> Markup {
    let is_dev = visit.around.builds.is_some();
    html! {
        div class="empty" {
            p { "There is no pipeline yet. This makes a plugin, with a pipeline of it:" }
            pre { code data-copy { (if is_dev { IN_DEV } else { ELSEWHERE }) } }
            @if is_dev {
                p { "In the folder of a project, where " code { "pawl dev" } " looks for " code { "plugins" } " and " code { "pipelines" } ", it is built at once; else start " code { "pawl dev" } " in the plugin’s folder." }
            }
            p class="muted" { "When it is there, it is run from here." }
        }
    }
}

fn some(visit: &Visit, pipelines: &[PipelineSummary]) -> Markup {
    let rest = pipelines.len().saturating_sub(OFFERED);
    html! {
        p { "Nothing has run yet. " @if visit.may(&Method::POST, SUBMIT) { "Run one of the pipelines that are there:" } }
        table class="rows" {
            (columns(&[("Pipeline", ""), ("Steps", "num")]))
            tbody {
                @for pipeline in pipelines.iter().take(OFFERED) {
                    tr {
                        th scope="row" {
                            (name(&pipeline.name))
                            div class="acts" { (run().with(visit, &html! {
                                (hidden("pipeline", &pipeline.name))
                                label { "Input, as JSON" textarea name="input" rows="3" required spellcheck="false" { "null" } }
                            })) }
                        }
                        td class="num" { (count(pipeline.step_count.into(), "step", "steps")) }
                    }
                }
            }
        }
        @if rest > 0 { p class="muted" { "… and " (rest) " more" } }
    }
}

fn run() -> Panel<'static> {
    Panel {
        route: (Method::POST, SUBMIT),
        action: "/",
        label: "Run",
        weight: "primary",
        what: "Submits a run of this pipeline, and opens its page.",
    }
}

/// Submits one.
pub(super) async fn begin(visit: Visit, RawForm(form): RawForm) -> Response {
    match submit(&visit, &Fields::of(&form)).await {
        Ok(run) => (StatusCode::SEE_OTHER, [(LOCATION, format!("/runs/{}", run.id))]).into_response(),
        Err(problem) => {
            let main = html! { h1 class="unseen" { "Overview" } (said::refused(&problem)) (steps(&visit).await) };
            let sheet = Sheet { title: "Overview".to_owned(), tab: Tab::Overview, live: Live::No, main };
            said::answer(&visit, problem, Ok(sheet))
        }
    }
}

async fn submit(visit: &Visit, fields: &Fields) -> Result<SubmittedRun, Problem> {
    // The input goes on as it was typed.
    let body = format!(
        "{{\"pipeline\":{},\"input\":{}}}",
        json!(fields.said("pipeline").unwrap_or_default()),
        fields.json("input")?.get()
    );
    visit.pages.inside.change(&visit.who, Method::POST, SUBMIT, Some((JSON, body.into_bytes()))).await
}
