//! What is done about several runs: they are picked from the list, counted, and each becomes a request of its own to the route
//! that does it to one. What is refused is said, run by run.

use axum::extract::RawForm;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use maud::{Markup, html};
use pawl_api::types::{Problem, RunSummary};
use pawl_domain::id::RunId;
use serde_json::Value;
use url::form_urlencoded;

use super::filter::Filter;
use super::{sheet, table};
use crate::acts::{self, Act};
use crate::look;
use crate::query::Query;
use crate::said;
use crate::times::now_ms;
use crate::visit::Visit;
use crate::words::{count, prose};

/// What can be done about several at once.
const ACTS: [&Act; 4] = [&acts::RETRY, &acts::CANCEL, &acts::PAUSE, &acts::UNPAUSE];

/// Runs in one go.
const MOST: usize = 200;

/// Refusals that are told.
const REFUSED: usize = 10;

/// Whether the visitor may do any of it.
pub(super) fn offered(visit: &Visit) -> bool {
    ACTS.iter().any(|act| visit.may(&Method::POST, act.route))
}

/// The list, to pick from.
pub(super) fn picking(visit: &Visit, filter: &Filter, runs: &[RunSummary]) -> Markup {
    html! {
        form method="post" action=(filter.path("/runs")) {
            div class="acts picking" {
                span class="muted" { "With those that are picked:" }
                @for act in ACTS.into_iter().filter(|act| visit.may(&Method::POST, act.route)) {
                    button class="button" name="act" value=(act.name) { (act.label) "…" }
                }
                a class="quiet" href=(Filter { pick: None, ..filter.clone() }.path("/runs")) { "Leave it" }
            }
            (table::to_pick(runs, now_ms()))
        }
    }
}

/// What a form asks for.
struct Asked {
    act: &'static Act,
    runs: Vec<RunId>,
    is_sure: bool,
}

impl Asked {
    fn of(form: &[u8]) -> Result<Self, Problem> {
        let (mut act, mut runs, mut is_sure) = (None, Vec::new(), false);
        for (name, value) in form_urlencoded::parse(form) {
            match &*name {
                "act" => act = ACTS.into_iter().find(|act| act.name == value),
                "sure" => is_sure = true,
                "run" => runs.push(value.parse().map_err(|_| Problem::bad_request(format!("{value:?} is no run")))?),
                _ => {}
            }
        }
        let act = act.ok_or_else(|| Problem::bad_request("say what is to be done with them"))?;
        match runs.len() {
            0 => Err(Problem::bad_request("no run is picked")),
            1..=MOST => Ok(Self { act, runs, is_sure }),
            _ => Err(Problem::bad_request(format!("at most {MOST} runs go at once"))),
        }
    }
}

/// Counts, and does what was counted when it is asked again.
pub(crate) async fn act(visit: Visit, query: Query, RawForm(form): RawForm) -> Response {
    let filter = Filter::of(&query);
    let (note, status) = match Asked::of(&form) {
        Ok(asked) if asked.is_sure => (go_on(&visit, &asked).await, StatusCode::OK),
        Ok(asked) => (count_first(&asked, &filter), StatusCode::OK),
        Err(problem) => (said::refused(&problem), StatusCode::BAD_REQUEST),
    };
    let mut response = visit.answer(sheet(&visit, &filter, &note).await);
    if status != StatusCode::OK && response.status() == StatusCode::OK {
        *response.status_mut() = status;
    }
    response
}

fn count_first(asked: &Asked, filter: &Filter) -> Markup {
    let Asked { act, runs, .. } = asked;
    html! {
        form class="note warn" method="post" action=(Filter { pick: None, ..filter.clone() }.path("/runs")) {
            (look::PARKED.icon())
            span { strong { (act.label) " " (count(runs.len() as u64, "run", "runs")) "? " } (act.what) }
            input type="hidden" name="act" value=(act.name);
            input type="hidden" name="sure" value="true";
            @for run in runs { input type="hidden" name="run" value=(run); }
            button class="button danger" { (act.label) }
            a class="quiet" href=(filter.path("/runs")) { "Leave it" }
        }
    }
}

async fn go_on(visit: &Visit, asked: &Asked) -> Markup {
    let mut refused: Vec<(RunId, Problem)> = Vec::new();
    for run in &asked.runs {
        let path = asked.act.route.replace("{run}", &run.to_string());
        if let Err(problem) = visit.pages.inside.change::<Value>(&visit.who, Method::POST, &path, None).await {
            refused.push((*run, problem));
        }
    }
    let done = asked.runs.len() - refused.len();
    let look = if refused.is_empty() { look::GOOD } else { look::PARKED };
    html! {
        p class={ "note " (look.class) } role="status" {
            (look.icon())
            span {
                strong { (asked.act.label) } ": done for " (count(done as u64, "run", "runs")) "."
                @if !refused.is_empty() { " Refused for " (count(refused.len() as u64, "run", "runs")) ", see below." }
            }
        }
        @if !refused.is_empty() {
            ul {
                @for (run, problem) in refused.iter().take(REFUSED) {
                    li { a href={ "/runs/" (run) } { code class="id" { (run) } } ": " (prose(&problem.detail)) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_names_what_is_done_and_about_which_runs() {
        let run = "01890000-0000-7000-8000-000000000000";
        let asked = |form: &str| Asked::of(form.as_bytes());
        let two = asked(&format!("act=cancel&run={run}&run={run}")).unwrap();
        assert_eq!((two.act.name, two.runs.len(), two.is_sure), ("cancel", 2, false));
        assert!(asked(&format!("act=cancel&run={run}&sure=true")).unwrap().is_sure);
        for wrong in ["act=cancel", "act=signal&run=1", &format!("run={run}"), "act=cancel&run=x"] {
            assert_eq!(asked(wrong).map(|_| ()).unwrap_err().status, 400, "{wrong}");
        }
        let many = format!("act=retry{}", format!("&run={run}").repeat(MOST + 1));
        assert!(asked(&many).is_err());
    }
}
