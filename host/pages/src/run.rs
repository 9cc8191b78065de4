//! A run: its state in a sentence with what would move it, its graph, its timeline, its steps, what it took and gave,
//! what happened, and what a person can do.

use axum::extract::Path;
use axum::response::Response;
use futures_util::future::{join, join4};
use maud::{Markup, html};
use pawl_api::types::{Because, EventList, Explanation, Problem, Run, RunSummary};

use super::acts;
use super::frame::{Live, Sheet, Tab, part};
use super::look;
use super::pipelines;
use super::query::Query;
use super::runs;
use super::said;
use super::times::{ago, now_ms};
use super::visit::Visit;
use super::words::{prose, prose_without_commands};

mod data;
pub(super) mod divergence;
mod effects;
mod graph;
mod history;
mod inbox;
mod journal;
mod logs;
mod recoveries;
mod replay;
mod spans;
mod step;
mod steps;
mod timeline;

pub(super) use history::events;
pub(super) use logs::logs;
pub(super) use replay::replay;
pub(super) use step::show as show_step;

/// Events of which a timeline is made, the last ones.
const EVENTS: u32 = 1_000;

pub(super) async fn show(visit: Visit, Path(run): Path<String>, query: Query) -> Response {
    visit.answer(sheet(&visit, &run, &said::done(&query, &acts::done())).await)
}

/// The same for somebody who wanted something of it that was refused.
pub(super) async fn refused(visit: &Visit, run: &str, problem: Problem) -> Response {
    let sheet = sheet(visit, run, &said::refused(&problem)).await;
    said::answer(visit, problem, sheet)
}

async fn sheet(visit: &Visit, id: &str, note: &Markup) -> Result<Sheet, Problem> {
    let id = plain(id)?;
    let run: Run = visit.read(&format!("/v1/runs/{id}")).await?;
    let after = run.summary.event_count.saturating_sub(EVENTS);
    let (explain, events) = (format!("/v1/runs/{id}/explain"), format!("/v1/runs/{id}/events?after={after}"));
    let (why, events) = join(visit.read::<Explanation>(&explain), visit.read::<EventList>(&events)).await;
    let (why, EventList { events, .. }) = (why?, events?);
    let (summary, now) = (&run.summary, now_ms());
    let (input, output, inbox, recoveries) = join4(
        data::input(visit, summary),
        data::output(visit, summary),
        inbox::table(visit, summary, now),
        recoveries::list(visit, summary, now),
    )
    .await;
    let versions = acts::Versions::of(visit, &run.steps).await;
    let main = html! {
        (head(&run.summary, Part::Whole, now))
        (note)
        section id="why" data-live aria-label="State" { (state(visit, &run, &why, &versions)) }
        (part("shape", "Graph", &graph::draw(&run)))
        (part("time", "Timeline", &timeline::draw(&run, &events, now)))
        (part("steps", "Steps", &steps::table(&run, now)))
        // There may be some later, for which their place is kept.
        @match inbox { Some(inbox) => (part("inbox", "Signals", &inbox)), None => div id="inbox" data-live {} }
        @match recoveries {
            Some(recoveries) => (part("recoveries", "Recoveries", &recoveries)),
            None => div id="recoveries" data-live {},
        }
        div class="pair" { (part("input", "Input", &input)) (part("output", "Output", &output)) }
        (part("past", "History", &history::last(&run.summary, &events)))
    };
    let live = if run.summary.status.is_ended() { Live::No } else { live(&run.summary, run.steps.len()) };
    Ok(Sheet {
        title: format!("{} {}", look::of_run(&run.summary).word, run.summary.pipeline),
        tab: Tab::Runs,
        live,
        main,
    })
}

/// What is no id of a run is told so by the API; what would make another path of it is none.
pub(super) fn plain(id: &str) -> Result<&str, Problem> {
    let is_plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if is_plain {
        Ok(id)
    } else {
        Err(Problem::not_found(format!("`{}` is no run: its id is a UUID", id.escape_debug())))
    }
}

/// The more a page has, the less often it is made anew.
fn live(run: &RunSummary, steps: usize) -> Live {
    let pace_ms = u32::try_from(steps).unwrap_or(u32::MAX).clamp(1_000, 10_000);
    Live::Events { path: format!("/v1/runs/{}/events?after={}", run.id, run.event_count), pace_ms }
}

/// The pages of a run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole,
    Events,
    Logs,
}

fn head(run: &RunSummary, part: Part, now: i64) -> Markup {
    let id = run.id;
    let parts = [(Part::Whole, "", "Run"), (Part::Events, "/events", "History"), (Part::Logs, "/logs", "Logs")];
    html! {
        p class="crumbs" { a href="/runs" { "Runs" } " / " a href=(pipelines::path(&run.pipeline)) { (run.pipeline) } }
        div class="head" id="head" data-live {
            h1 { (run.pipeline) }
            (look::of_run(run).chip())
            dl class="facts" {
                div { dt { "Begun" } dd { (ago(run.created_at_ms, now)) } }
                div { dt { "Took" } dd { (took(run, now)) } }
                div { dt { "Run" } dd { code class="id" data-copy { (id) } } }
                @if let Some(key) = &run.idempotency_key { div { dt { "Key" } dd { code { (key) } } } }
                @if run.kept { div { dt { "Kept" } dd { "until a person lets it go" } } }
            }
        }
        nav class="tabs" aria-label="Of this run" {
            @for (one, path, name) in parts {
                a href={ "/runs/" (id) (path) } aria-current=[(one == part).then_some("page")] { (name) }
            }
        }
    }
}

fn took(run: &RunSummary, now: i64) -> String {
    if run.started_at_ms.is_some() { runs::took(run, now) } else { "not started".to_owned() }
}

/// Steps whose reasons are told.
const REASONS: usize = 8;

/// Why it is where it is, and what moves it: first what the reasons ask for, then whatever else can be done.
fn state(visit: &Visit, run: &Run, why: &Explanation, versions: &acts::Versions) -> Markup {
    let rest = why.reasons.len().saturating_sub(REASONS);
    let is_open = !run.summary.status.is_ended();
    let look = why
        .reasons
        .first()
        .filter(|_| is_open)
        .map_or(look::of_run(&run.summary), |reason| look::of_reason(reason.because));
    let is_signal_awaited = why.reasons.iter().take(REASONS).any(|reason| reason.because == Because::Signal);
    html! {
        div class={ "state " (look.class) } {
            p class="lead" { (look.icon()) (prose_without_commands(&why.summary)) }
            @for remark in &why.remarks { p class="muted" { (prose(remark)) } }
            @if is_open {
                @for reason in why.reasons.iter().take(REASONS) {
                    div class="reason" {
                        p {
                            a href={ "/runs/" (run.summary.id) "/steps/" (reason.step) } { strong { (reason.step) } }
                            " " (prose_without_commands(&reason.message))
                        }
                        (acts::of_reason(visit, run, reason, versions))
                    }
                }
                @if rest > 0 { p class="muted" { "… and " (rest) " steps more" } }
            }
            div class="acts" { (acts::of_run(visit, run, is_signal_awaited)) }
        }
    }
}
