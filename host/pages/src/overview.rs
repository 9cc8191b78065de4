//! The first page: what needs a person, then what runs, waits and fails. Of the installation's own things it tells
//! those who may see them.

use axum::response::Response;
use futures_util::future::{join, join3, join4};
use maud::{Markup, html};
use pawl_api::types::{
    DeadLetterGroupList, IncidentList, PipelineList, Problem, QueueList, RunList, Scale, WorkerList,
};
use serde::de::DeserializeOwned;

use super::charts::Lately;
use super::first;
use super::frame::{Live, Sheet, Tab, part};
use super::operations::tables;
use super::runs;
use super::times::{duration, now_ms};
use super::visit::Visit;
use super::words::figure;
use paused::AllPaused;

mod needs;
mod paused;

/// Runs that the pictures are made of, and those that are listed.
const LISTED: u32 = 1_000;
const NEWEST: usize = 8;

/// Queues and workers that are told; all have pages of their own.
const ROWS: usize = 20;

/// All that the page is made of beside runs; what is not for the visitor, or can't be had now, is none.
struct Known {
    groups: Option<DeadLetterGroupList>,
    stuck: Option<RunList>,
    incidents: Option<IncidentList>,
    demand: Option<Scale>,
    queues: Option<QueueList>,
    workers: Option<WorkerList>,
    paused: AllPaused,
}

pub(super) async fn show(visit: Visit) -> Response {
    visit.answer(sheet(&visit).await)
}

async fn maybe<T: DeserializeOwned>(visit: &Visit, path: &str) -> Option<T> {
    visit.read(path).await.ok()
}

async fn known(visit: &Visit) -> Known {
    let ((groups, stuck, incidents), (demand, queues, workers, pipelines)) = join(
        join3(
            maybe(visit, "/v1/dead-letters/groups?limit=50"),
            maybe(visit, "/v1/runs?status=stuck&limit=20"),
            maybe(visit, "/v1/incidents?within_ms=0&limit=20"),
        ),
        join4(
            maybe(visit, "/v1/scale"),
            maybe(visit, "/v1/queues"),
            maybe(visit, "/v1/workers"),
            maybe::<PipelineList>(visit, "/v1/pipelines?paused=true"),
        ),
    )
    .await;
    let paused = AllPaused::of(visit, queues.as_ref(), pipelines.as_ref()).await;
    Known { groups, stuck, incidents, demand, queues, workers, paused }
}

async fn sheet(visit: &Visit) -> Result<Sheet, Problem> {
    let listed = format!("/v1/runs?limit={LISTED}");
    let (runs, known) = join(visit.read::<RunList>(&listed), known(visit)).await;
    let (runs, now) = (runs?, now_ms());
    let first = if runs.runs.is_empty() {
        first::steps(visit).await
    } else {
        html! {}
    };
    let lately = Lately::of(&runs.runs, runs.next.is_some(), now);
    let main = html! {
        h1 class="unseen" { "Overview" }
        (part("needs", "Needs you", &needs::list(&known, now)))
        section id="now" aria-label="Now" data-live {
            (figures(&known, &lately))
            div class="charts" { (lately.throughput()) (lately.times()) }
        }
        @if let Some(demand) = &known.demand {
            (part("queues", "Queues", &tables::queues(demand, known.queues.as_ref(), ROWS, now)))
        }
        @if let Some(workers) = &known.workers {
            (part("workers", "Workers", &html! { (tables::workers(workers, ROWS, now)) (tables::lost(workers, now)) }))
        }
        @if runs.runs.is_empty() { (first) } @else { (part("newest", "Newest runs", &newest(&runs, now))) }
    };
    Ok(Sheet { title: "Overview".to_owned(), tab: Tab::Overview, live: Live::Every(4_000), main })
}

fn figures(known: &Known, lately: &Lately) -> Markup {
    let (good, bad) = lately.ended();
    let workers = known.workers.iter().flat_map(|list| &list.workers).filter(|worker| worker.alive);
    let (running, slots) =
        workers.fold((0, 0), |(running, slots), worker| (running + worker.running, slots + worker.slots));
    html! {
        dl class="figures" {
            @if known.workers.is_some() {
                div { dt { "Executed now" } dd { (figure(running.into())) small { " of " (figure(slots.into())) " slots" } } }
            }
            @if let Some(demand) = &known.demand {
                @let waits: u64 = demand.queues.iter().map(|queue| queue.backlog).sum();
                @let paused = known.queues.iter().flat_map(|list| &list.paused);
                @let held: u64 = paused.filter_map(|it| it.pause.waiting.as_ref()).map(|it| u64::from(it.steps)).sum();
                div {
                    dt { "Waiting in queues" }
                    dd { (figure(waits)) small { " steps" @if held > 0 { ", and " (figure(held)) " behind a pause" } } }
                }
            }
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

fn newest(list: &RunList, now: i64) -> Markup {
    html! {
        (runs::table(&list.runs[..list.runs.len().min(NEWEST)], now))
        p class="more" { a href="/runs" { "All runs" } }
    }
}
