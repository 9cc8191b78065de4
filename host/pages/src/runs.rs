//! The list of runs: what `GET /v1/runs` answers, with its filters as a form and its pages as links.

use axum::extract::RawQuery;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};
use pawl_api::types::{ListedStatus, Problem, RunList, RunSummary};
use pawl_domain::id::RunId;
use url::form_urlencoded::{self, Serializer};

use super::frame::{Live, Sheet, Tab};
use super::look::{self, Look};
use super::rows::columns;
use super::times::{ago, duration, now_ms};
use super::visit::Visit;
use super::words::{name, prose};

/// Runs on a page.
const PAGE: u32 = 40;

/// What is asked for; empty fields of the form are none.
#[derive(Debug, Default)]
struct Filter {
    status: Option<String>,
    pipeline: Option<String>,
    id: Option<String>,
    before: Option<String>,
}

impl Filter {
    fn of(query: &str) -> Self {
        let mut filter = Self::default();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let value = Some(value.trim().to_owned()).filter(|value| !value.is_empty());
            match &*key {
                "status" => filter.status = value,
                "pipeline" => filter.pipeline = value,
                "id" => filter.id = value,
                "before" => filter.before = value,
                _ => {}
            }
        }
        filter
    }

    /// The same as a query, for the API or a page; an id goes with nothing else.
    fn query(&self, status: Option<&str>, before: Option<&str>) -> String {
        let mut query = Serializer::new(String::new());
        if let Some(id) = &self.id {
            query.append_pair("id", id);
            return query.finish();
        }
        for (key, value) in [("status", status), ("pipeline", self.pipeline.as_deref()), ("before", before)] {
            if let Some(value) = value {
                query.append_pair(key, value);
            }
        }
        query.finish()
    }

    fn is_any(&self) -> bool {
        self.status.is_some() || self.pipeline.is_some() || self.id.is_some() || self.before.is_some()
    }

    fn path(&self, status: Option<&str>, before: Option<&str>) -> String {
        let query = self.query(status, before);
        if query.is_empty() { "/runs".to_owned() } else { format!("/runs?{query}") }
    }
}

pub(super) async fn show(visit: Visit, RawQuery(query): RawQuery) -> Response {
    let filter = Filter::of(&query.unwrap_or_default());
    // A whole id is a run's address.
    if let Some(run) = filter.id.as_deref().and_then(|id| id.parse::<RunId>().ok()) {
        return (StatusCode::SEE_OTHER, [(LOCATION, format!("/runs/{run}"))]).into_response();
    }
    visit.answer(sheet(&visit, &filter).await)
}

async fn sheet(visit: &Visit, filter: &Filter) -> Result<Sheet, Problem> {
    let query = filter.query(filter.status.as_deref(), filter.before.as_deref());
    // What the form has wrong is said in its place.
    let list: Result<RunList, Problem> = match visit.read(&format!("/v1/runs?limit={PAGE}&{query}")).await {
        Err(problem) if problem.status != 400 => return Err(problem),
        list => list,
    };
    let now = now_ms();
    let main = html! {
        div class="head" {
            h1 { "Runs" }
            (form(filter))
        }
        (tabs(filter))
        @match &list {
            Err(problem) => p class="note bad" role="alert" { (prose(&problem.detail)) },
            Ok(list) if list.runs.is_empty() => (nothing(filter)),
            Ok(list) => {
                div id="runs" data-live { (table(&list.runs, now)) }
                nav class="pager" aria-label="Pages of the list" {
                    @if filter.before.is_some() {
                        a class="button" href=(filter.path(filter.status.as_deref(), None)) { "← Newest" }
                    }
                    @if let Some(next) = &list.next {
                        a class="button" rel="next" href=(filter.path(filter.status.as_deref(), Some(next))) { "Older →" }
                    }
                }
            }
        }
    };
    let live = if filter.before.is_none() && filter.id.is_none() { Live::Every(2_000) } else { Live::No };
    Ok(Sheet { title: "Runs".to_owned(), tab: Tab::Runs, live, main })
}

fn form(filter: &Filter) -> Markup {
    html! {
        form class="filter" action="/runs" {
            @if let Some(status) = &filter.status { input type="hidden" name="status" value=(status); }
            label class="unseen" for="pipeline" { "Pipeline" }
            input id="pipeline" name="pipeline" placeholder="Pipeline" value=[&filter.pipeline]
                autocomplete="off" spellcheck="false";
            button class="button" { "Filter" }
            @if filter.is_any() { a class="quiet" href="/runs" { "Clear" } }
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

fn tabs(filter: &Filter) -> Markup {
    let of_pipeline = Filter { pipeline: filter.pipeline.clone(), ..Filter::default() };
    let current = |status: Option<&str>| (filter.id.is_none() && filter.status.as_deref() == status).then_some("page");
    html! {
        nav class="tabs" aria-label="By state" {
            a href=(of_pipeline.path(None, None)) aria-current=[current(None)] { "All" }
            @for (status, look) in TABS {
                a href=(of_pipeline.path(Some(status), None)) aria-current=[current(Some(status))] {
                    (look.icon()) (look.word)
                }
            }
        }
    }
}

/// Why there is nothing, and what would make something.
fn nothing(filter: &Filter) -> Markup {
    let of_pipeline =
        filter.pipeline.as_ref().map(|pipeline| format!(" of the pipeline “{pipeline}”")).unwrap_or_default();
    html! {
        div class="empty" id="runs" data-live {
            @match filter.status.as_deref().and_then(|status| status.parse::<ListedStatus>().ok()) {
                _ if filter.id.is_some() => p { "No run’s id begins with these digits." },
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

const COLUMNS: [(&str, &str); 6] =
    [("State", ""), ("Pipeline", ""), ("Run", "wide"), ("Steps", "wide"), ("Begun", "num"), ("Took", "num")];

/// Runs as rows, each a link.
pub(super) fn table(runs: &[RunSummary], now: i64) -> Markup {
    html! {
        table class="rows" {
            (columns(&COLUMNS))
            tbody { @for run in runs { (row(run, now)) } }
        }
    }
}

fn row(run: &RunSummary, now: i64) -> Markup {
    let until = run.ended_at_ms.unwrap_or(now);
    html! {
        tr {
            td { (look::of_run(run).chip()) }
            th scope="row" {
                a class="row" href={ "/runs/" (run.id) } { (name(&run.pipeline)) }
                @if let Some(key) = &run.idempotency_key { " " span class="muted" { (name(key)) } }
            }
            td class="wide" { code class="id" { (run.id) } }
            td class="wide" { (steps(run)) }
            td class="num" { (ago(run.created_at_ms, now)) }
            td class="num" {
                @if let Some(started) = run.started_at_ms { (duration((until - started).max(0))) } @else { "–" }
            }
        }
    }
}

/// How many have ended, as words and as a bar.
pub(super) fn steps(run: &RunSummary) -> Markup {
    let (ended, all) = (run.step_count.saturating_sub(run.live_steps), run.step_count);
    html! {
        span class="steps" {
            progress max=(all.max(1)) value=(ended) aria-hidden="true" {}
            (ended) "/" (all)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_fields_ask_for_nothing_and_others_go_on_with_the_page() {
        let filter = Filter::of("status=failed&pipeline=a%26b&id=&before=+&other=1");
        assert_eq!(filter.query(filter.status.as_deref(), None), "status=failed&pipeline=a%26b");
        assert_eq!(filter.path(None, Some("x/1")), "/runs?pipeline=a%26b&before=x%2F1");
        assert_eq!(Filter::of("id=01ab&status=failed").query(Some("failed"), None), "id=01ab");
        assert_eq!(Filter::of("").path(None, None), "/runs");
    }
}
