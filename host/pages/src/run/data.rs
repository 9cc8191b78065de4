//! What a run was given, and has given: foldable; the bytes themselves are a link to the API.

use axum::http::Method;
use maud::{Markup, html};
use pawl_api::types::{RunStatus, RunSummary};

use crate::json;
use crate::visit::Visit;
use crate::words::{figure, prose};

/// What it was given.
pub(super) async fn input(visit: &Visit, run: &RunSummary) -> Markup {
    document(visit, run, "input").await
}

/// What it has given.
pub(super) async fn output(visit: &Visit, run: &RunSummary) -> Markup {
    match run.status {
        RunStatus::Succeeded => {}
        RunStatus::Pending | RunStatus::Running => {
            return html! { p class="muted" { "There is none until the run has succeeded." } };
        }
        RunStatus::Failed | RunStatus::Cancelled => {
            return html! { p class="muted" { "There is none: the run has not succeeded." } };
        }
    }
    document(visit, run, "output").await
}

async fn document(visit: &Visit, run: &RunSummary, what: &str) -> Markup {
    let path = format!("/v1/runs/{}/{what}", run.id);
    match visit.pages.inside.ask(&visit.who, Method::GET, &path, None).await {
        Ok(bytes) => html! {
            @match json::folded(&bytes) {
                Some(folded) => (folded),
                None => p class="muted" { "It is too large to be shown." },
            }
            p {
                a class="button" href=(path) data-copy=(path) download={ "run-" (run.id) "-" (what) ".json" } { "Download" }
                " " span class="muted" { (figure(bytes.len() as u64)) " bytes" }
            }
        },
        Err(problem) => html! { p class="muted" { (prose(&problem.detail)) } },
    }
}
