//! A pipeline: its graph, what its runs do and how long they take, its versions and what changed between two; and the form that
//! submits a run.

use axum::extract::Path;
use axum::response::Response;
use futures_util::future::join4;
use maud::{Markup, html};
use pawl_api::types::{PipelineDetail, PipelineInput, PipelineTimes, PipelineVersionList, Problem, RunList};

use super::{act, path, steps, versions};
use crate::charts;
use crate::frame::{Live, Sheet, Tab, part};
use crate::graph::{Drawn, HEIGHT, WIDTH, picture};
use crate::look;
use crate::pauses::waits;
use crate::query::Query;
use crate::runs;
use crate::said;
use crate::times::{ago, duration, now_ms};
use crate::visit::Visit;
use crate::words::{count, cut, figure};

/// Runs that the pictures are made of, those that are listed, and those whose steps are timed.
const RUNS: u32 = 500;
const NEWEST: usize = 8;
const TIMED: u32 = 100;

/// Letters that a box of the graph has room for.
const LETTERS: usize = 22;

pub(crate) async fn show(visit: Visit, Path(pipeline): Path<String>, query: Query) -> Response {
    let note = said::done(&query, &act::DONE);
    visit.answer(sheet(&visit, &pipeline, &query, &note, &act::Typed::nothing()).await)
}

/// The page; what somebody has typed that was refused stands in its form again, with why.
pub(super) async fn sheet(
    visit: &Visit,
    name: &str,
    query: &Query,
    note: &Markup,
    typed: &act::Typed,
) -> Result<Sheet, Problem> {
    let at = format!("/v1{}", path(name));
    let pipeline: PipelineDetail = visit.read(&at).await?;
    let listed = format!("/v1/runs?limit={RUNS}&pipeline={}", pipeline.summary.name);
    let (takes, timed, all) = (format!("{at}/schema"), format!("{at}/times?runs={TIMED}"), format!("{at}/versions"));
    let (runs, input, times, all) = join4(
        visit.read::<RunList>(&listed),
        visit.read::<PipelineInput>(&takes),
        visit.read::<PipelineTimes>(&timed),
        visit.read::<PipelineVersionList>(&all),
    )
    .await;
    let (runs, times, all, now) = (runs?, times?, all?.versions, now_ms());
    let changed = versions::changed(visit, &at, &all, query).await;
    let lately = charts::Lately::of(&runs.runs, runs.next.is_some(), now);
    let main = html! {
        (head(&pipeline, now))
        (note)
        (act::forms(visit, &pipeline, input.as_ref(), typed))
        (part("shape", "Graph", &graph(&pipeline)))
        (part("lately", "Runs", &html! {
            @if runs.runs.is_empty() { p class="muted" { "There are no runs of it yet." } } @else {
                (figures(&lately))
                div class="charts" { (lately.throughput()) (lately.times()) }
                div class="more" { (runs::table(&runs.runs[..runs.runs.len().min(NEWEST)], now)) }
                p class="more" { a href={ "/runs?pipeline=" (pipeline.summary.name) } { "All runs" } }
            }
        }))
        (part("steps", "Steps", &steps::table(&pipeline, &times)))
        (part("versions", "Versions", &versions::table(&pipeline, &all, now)))
        @if let Some(changed) = changed { (part("changes", "What changed", &changed)) }
    };
    let title = format!("{} · pipeline", pipeline.summary.name);
    Ok(Sheet { title, tab: Tab::Pipelines, live: Live::Every(10_000), main })
}

fn head(pipeline: &PipelineDetail, now: i64) -> Markup {
    let PipelineDetail { summary, versions, retention, .. } = pipeline;
    let kept =
        [("succeeded", &retention.succeeded), ("failed", &retention.failed), ("cancelled", &retention.cancelled)];
    let kept = kept.into_iter().filter_map(|(what, term)| Some(format!("{what} {}", term.as_deref()?)));
    let kept: Vec<String> = kept.collect();
    html! {
        p class="crumbs" { a href="/pipelines" { "Pipelines" } }
        div class="head" id="head" data-live {
            h1 { (summary.name) }
            @if summary.paused.is_some() { (look::PAUSED.chip()) }
            dl class="facts" {
                div { dt { "Steps" } dd { (figure(summary.step_count.into())) } }
                div { dt { "Version" } dd { code class="id" { (summary.digest.short()) } } }
                div { dt { "Applied" } dd { (ago(summary.updated_at_ms, now)) } }
                div { dt { "Plugins" } dd { "those active at the " (versions.as_str()) } }
                @if !kept.is_empty() { div { dt { "Runs are kept" } dd { (kept.join(", ")) } } }
                @if let Some(pause) = &summary.paused {
                    div { dt { "Paused" } dd { (ago(pause.since_ms, now)) @if let Some(reason) = &pause.reason { " (" (cut(reason, 200)) ")" } } }
                    @if let Some(waits) = waits(pause, now) { div { dt { "Behind the pause" } dd { (waits) } } }
                }
            }
        }
    }
}

fn graph(pipeline: &PipelineDetail) -> Markup {
    let steps: Vec<Drawn<'_>> =
        pipeline.steps.iter().map(|step| Drawn { name: &step.name, kind: &step.plugin, needs: &step.needs }).collect();
    let said = format!("Graph of {}", count(steps.len() as u64, "step", "steps"));
    picture(&steps, &said, |numbers, (x, y)| {
        let Some(step) = numbers.first().map(|number| &pipeline.steps[*number]) else { return html! {} };
        let is_folded = numbers.len() > 1;
        let all = figure(numbers.len() as u64);
        let name = if is_folded { format!("{} ×{all}", cut(&step.plugin, 14)) } else { cut(&step.name, LETTERS) };
        let title =
            if is_folded { format!("{all} of {}", step.plugin) } else { format!("{}: {}", step.name, step.plugin) };
        html! {
            a href=(crate::plugins::path(&step.plugin)) class="node idle" {
                title { (title) }
                @if is_folded { rect x=(x + 4) y=(y + 4) width=(WIDTH) height=(HEIGHT) rx="8" {} }
                rect x=(x) y=(y) width=(WIDTH) height=(HEIGHT) rx="8" {}
                text x=(x + 12) y=(y + 22) { (name) }
            }
        }
    })
}

fn figures(lately: &charts::Lately) -> Markup {
    let (good, bad) = lately.ended();
    html! {
        dl class="figures" {
            div { dt { "Succeeded" } dd { (figure(good as u64)) small { " in " (lately.when()) } } }
            div {
                dt { "Failed" }
                dd class=[(bad > 0).then_some("bad")] { (figure(bad as u64)) small { " in " (lately.when()) } }
            }
            @if let Some((half, most)) = lately.took() {
                div { dt { "Took" } dd { (duration(half)) small { " median, 95 % within " (duration(most)) } } }
            }
        }
    }
}
