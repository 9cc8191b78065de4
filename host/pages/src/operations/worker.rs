//! A worker: its lease, the steps that it has in hand, and the word that it should drain.

use axum::extract::Path;
use axum::http::Method;
use axum::response::Response;
use maud::{Markup, html};
use pawl_api::types::{HeldStep, Problem, Worker, WorkerDetail};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::queue::path as path_of_queue;
use super::{row, sheet, tables};
use crate::frame::{Sheet, part};
use crate::panel::Panel;
use crate::query::Query;
use crate::rows::columns;
use crate::said;
use crate::times::{ago, duration, now_ms, rough};
use crate::visit::Visit;
use crate::words::{count, name};

const DRAIN: &str = "/v1/workers/{worker}/drain";
const DONE: [(&str, &str); 1] = [("drain", "The worker is asked to drain: it hears of it with its next heartbeat.")];

pub(crate) async fn show(visit: Visit, Path(worker): Path<String>, query: Query) -> Response {
    visit.answer(page(&visit, &worker, &said::done(&query, &DONE)).await)
}

pub(crate) async fn act(visit: Visit, Path(worker): Path<String>) -> Response {
    let path = DRAIN.replace("{worker}", &encoded(&worker));
    match visit.change::<Value>(Method::POST, &path, None).await {
        Ok(_) => said::go(&format!("/workers/{}", encoded(&worker)), "drain"),
        Err(problem) => {
            let sheet = page(&visit, &worker, &said::refused(&problem)).await;
            said::answer(&visit, problem, sheet)
        }
    }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

async fn page(visit: &Visit, worker: &str, note: &Markup) -> Result<Sheet, Problem> {
    let found: WorkerDetail = visit.read(&format!("/v1/workers/{}", encoded(worker))).await?;
    let WorkerDetail { worker, steps, more } = &found;
    let now = now_ms();
    let main = html! {
        p class="crumbs" { a href="/workers" { "Workers" } }
        div class="head" id="head" data-live {
            h1 { (worker.host) " " span class="muted" { (worker.pid) } }
            (tables::state(worker).chip())
            (facts(worker, now))
        }
        (row(visit, "/workers"))
        (note)
        @if may_drain(visit, worker) {
            div class="acts" { (drain(&format!("/workers/{}", worker.id)).with(visit, &html! {})) }
        }
        (part("steps", "In hand", &held(steps, *more)))
    };
    Ok(sheet(format!("Worker on {}", worker.host), main))
}

/// That of `pawl dev` is the process itself.
fn may_drain(visit: &Visit, worker: &Worker) -> bool {
    worker.alive && !worker.draining && !worker.drain_asked && visit.around.builds.is_none()
}

fn drain(action: &str) -> Panel<'_> {
    Panel {
        route: (Method::POST, DRAIN),
        action,
        label: "Drain",
        weight: "danger",
        what: "Asks it to take nothing new, to finish or hand back what it has, and to end. Others go on with its steps.",
    }
}

fn facts(worker: &Worker, now: i64) -> Markup {
    html! {
        dl class="facts" {
            @let (executes, waits) = tables::executes(worker);
            div {
                dt { "Executes" }
                dd { (executes) " of " (worker.slots) " slots" @if waits > 0 { ", " (waits) " more wait for their turn" } }
            }
            @if let Some(version) = &worker.version { div { dt { "Version" } dd { (version) } } }
            div { dt { "Up for" } dd { (rough((now - worker.started_at_ms).max(0))) } }
            div { dt { "Heartbeat" } dd { (ago(worker.renewed_at_ms, now)) } }
            @if let Some(ahead) = worker.clock_ahead_ms { div { dt { "Clock" } dd { (clock(ahead)) } } }
            div { dt { "Worker" } dd { code class="id" data-copy { (worker.id) } } }
            div {
                dt { "Queues" }
                dd { @for (number, queue) in worker.queues.iter().enumerate() {
                    @if number > 0 { ", " } a href=(path_of_queue(queue)) { (queue) }
                } }
            }
        }
    }
}

fn clock(ahead_ms: i64) -> String {
    match ahead_ms {
        -999..=999 => "that of the store".to_owned(),
        ..-999 => format!("{} behind the store’s", duration(-ahead_ms)),
        _ => format!("{} ahead of the store’s", duration(ahead_ms)),
    }
}

fn held(steps: &[HeldStep], more: bool) -> Markup {
    html! {
        @if steps.is_empty() { p class="muted" { "Nothing: it waits for work." } } @else {
            table class="rows" {
                (columns(&[("Step", ""), ("Pipeline", ""), ("Run", "wide")]))
                tbody {
                    @for HeldStep { run, pipeline, step } in steps {
                        tr {
                            th scope="row" { a class="row" href={ "/runs/" (run) "/steps/" (encoded(step)) } { (name(step)) } }
                            td { (name(pipeline)) }
                            td class="wide" { code class="id" { (run) } }
                        }
                    }
                }
            }
            @if more { p class="muted" { "The first " (count(steps.len() as u64, "step is", "steps are")) " listed; there are more." } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_told_by_how_far_it_is_off() {
        assert_eq!(
            [0, -999, -2_500, 3_000].map(clock),
            ["that of the store", "that of the store", "2.5 s behind the store’s", "3.0 s ahead of the store’s"]
        );
    }
}
