//! A step: where it stands and what moves it, who has executed it when, what it has recorded, said and given.

use axum::extract::Path;
use axum::response::Response;
use futures_util::future::join3;
use maud::{Markup, html};
use pawl_api::types::{Event, EventList, LogList, Problem, Run, Step, StepDetail};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{EVENTS, divergence, journal, live, logs, plain, spans};
use crate::acts;
use crate::frame::{Live, Sheet, Tab, part};
use crate::json;
use crate::look::of_step;
use crate::plugins;
use crate::rows::columns;
use crate::times::{duration, now_ms, took};
use crate::visit::Visit;
use crate::words::{figure, worker_id};

/// Lines of its log.
const LINES: usize = 60;

/// Claims that are told, the last ones.
const CLAIMS: usize = 30;

pub(crate) async fn show(visit: Visit, Path((run, step)): Path<(String, String)>) -> Response {
    visit.answer(sheet(&visit, &run, &step).await)
}

async fn sheet(visit: &Visit, id: &str, name: &str) -> Result<Sheet, Problem> {
    let id = plain(id)?;
    let run: Run = visit.read(&format!("/v1/runs/{id}?steps=false")).await?;
    let at = format!("/v1/runs/{id}/steps/{}", utf8_percent_encode(name, NON_ALPHANUMERIC));
    let after = run.summary.event_count.saturating_sub(EVENTS);
    let (logged, happened) = (format!("{at}/logs?tail={LINES}"), format!("/v1/runs/{id}/events?after={after}"));
    let detail: StepDetail = visit.read(&at).await?;
    let page = format!("/runs/{id}/steps/{}", utf8_percent_encode(name, NON_ALPHANUMERIC));
    let (lines, events, journal) = join3(
        visit.read::<LogList>(&logged),
        visit.read::<EventList>(&happened),
        journal::parts(visit, &at, &page, &detail.step),
    )
    .await;
    let (lines, events, now) = (lines?.lines, events?.events, now_ms());
    let versions = acts::Versions::of(visit, std::slice::from_ref(&detail.step)).await;
    let summary = &run.summary;
    let main = html! {
        p class="crumbs" {
            a href="/runs" { "Runs" } " / " a href={ "/runs/" (summary.id) } { (summary.pipeline) " " (summary.id) }
        }
        (head(&detail.step, now))
        (part("stands", "State", &state(visit, summary.id, &detail, &versions)))
        (part("claims", "Attempts", &claims(&detail.step, &events, now)))
        (journal)
        (part("lines", "Log", &logs::lines(&lines, LINES)))
    };
    let is_over = summary.status.is_ended() || detail.step.status.is_ended();
    let live = if is_over { Live::No } else { live(summary, 2_000) };
    Ok(Sheet { title: format!("{} of {}", detail.step.name, summary.pipeline), tab: Tab::Runs, live, main })
}

fn head(step: &Step, now: i64) -> Markup {
    let component = step.component.map(|digest| digest.short());
    html! {
        div class="head" id="head" data-live {
            h1 { (step.name) }
            (of_step(step.status).chip())
            dl class="facts" {
                div { dt { "Plugin" } dd { a href=(plugins::path(&step.plugin)) { (step.plugin) } @if let Some(version) = &step.version { "@" (version) } } }
                @if let Some(component) = component {
                    div {
                        dt { "Component" }
                        dd {
                            code class="id" { (component) }
                            @if let Some(version) = &step.component_version {
                                ", " a href=(plugins::path(&step.plugin)) { (step.plugin) " " (version) }
                            }
                        }
                    }
                }
                div { dt { "Queue" } dd { (step.queue) ", " (step.priority.as_str()) } }
                @if step.started_at_ms.is_some() { div { dt { "Took" } dd { (took(step.started_at_ms, step.ended_at_ms, now)) } } }
                div {
                    dt { "Attempts" }
                    dd { (step.attempts) ", failed " (step.failures) ", ended with their worker " (step.crashes) }
                }
                @if let Some(trace) = &step.trace_id { div { dt { "Trace" } dd { code class="id" data-copy { (trace) } } } }
            }
        }
    }
}

fn state(visit: &Visit, run: pawl_domain::id::RunId, detail: &StepDetail, versions: &acts::Versions) -> Markup {
    let StepDetail { step, output, ways_out } = detail;
    let error = step.error.as_ref().map(ToString::to_string);
    html! {
        @if let Some(message) = step.error.as_ref().and_then(|error| error.get("message")?.as_str()) {
            p class={ "note " (of_step(step.status).class) } { (of_step(step.status).icon()) span { (message) } }
        }
        @if !step.needs.is_empty() { p class="muted" { "Needs " (step.needs.join(", ")) } }
        @if let Some(divergence) = divergence::of_step(step) { (divergence::drawn(&divergence)) }
        (acts::of_step(visit, run, step, ways_out, versions))
        @if let Some(folded) = error.as_deref().and_then(|error| json::folded(error.as_bytes())) { h3 { "Error" } (folded) }
        @if let Some(output) = output {
            h3 { "Output" }
            @match json::folded(output.get().as_bytes()) {
                Some(folded) => (folded),
                None => p class="muted" { "It is too large to be shown: " (figure(output.get().len() as u64)) " bytes." },
            }
        }
    }
}

const CLAIM_COLUMNS: [(&str, &str); 5] =
    [("Claim", "num"), ("After", "num"), ("What", ""), ("Worker", "wide"), ("For", "num")];

/// Who had it when, the last first.
fn claims(step: &Step, events: &[Event], now: i64) -> Markup {
    let all = spans::of(events);
    let Some(spans) = all.get(&*step.name).filter(|spans| !spans.is_empty()) else {
        return html! { p class="muted" { "Nobody has had it yet." } };
    };
    let begun = spans[0].from_ms;
    html! {
        table class="rows" {
            (columns(&CLAIM_COLUMNS))
            tbody {
                @for span in spans.iter().rev().take(CLAIMS) {
                    tr {
                        td class="num muted" { @if span.worker.is_some() { (span.claim) } }
                        td class="num" { (duration((span.from_ms - begun).max(0))) }
                        td { (span.doing.told().1) @if span.until_ms.is_none() && !step.status.is_ended() { " so far" } }
                        td class="wide" { @if let Some(worker) = span.worker { (worker_id(worker)) } }
                        td class="num" { (duration((span.until_ms.unwrap_or(now) - span.from_ms).max(0))) }
                    }
                }
            }
        }
    }
}
