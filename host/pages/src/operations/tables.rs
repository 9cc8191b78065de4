//! Queues and workers as rows: for the overview, and for pages of their own.

use maud::{Markup, html};
use pawl_api::types::{GoneWorker, QueueDemand, QueueList, Scale, Worker, WorkerList};

use super::queue::path as path_of_queue;
use crate::look::{self, Look};
use crate::pauses::waits;
use crate::rows::columns;
use crate::times::{ago, rough};
use crate::words::{count, figure, name};

const QUEUES: [(&str, &str); 6] = [
    ("Queue", ""),
    ("Waiting", "num"),
    ("Oldest", "num"),
    ("In hand", "num"),
    ("Workers", "num"),
    ("Slots", "num wide"),
];

const WORKERS: [(&str, &str); 6] =
    [("State", ""), ("Machine", ""), ("Version", "wide"), ("Executes", "num"), ("Queues", "wide"), ("Up for", "num")];

pub(crate) fn queues(demand: &Scale, list: Option<&QueueList>, most: usize, now: i64) -> Markup {
    let rest = demand.queues.len().saturating_sub(most);
    html! {
        @if demand.queues.is_empty() { p class="muted" { "Nothing was ever put into one." } } @else {
            table class="rows" {
                (columns(&QUEUES))
                tbody { @for queue in demand.queues.iter().take(most) { (queue_row(queue, list, now)) } }
            }
        }
        @if rest > 0 { p class="muted" { "… and " (rest) " more" } }
        @for remark in list.iter().flat_map(|list| &list.remarks) { p class="muted" { (remark) } }
    }
}

fn queue_row(demand: &QueueDemand, list: Option<&QueueList>, now: i64) -> Markup {
    let paused = list.into_iter().flat_map(|list| &list.paused).find(|paused| paused.queue == demand.queue);
    let is_alone = demand.backlog > 0 && demand.workers == 0;
    let streams = list.into_iter().flat_map(|list| &list.queues).filter(|stream| stream.queue == demand.queue);
    let oldest = streams.filter_map(|stream| stream.oldest_unread_at_ms).min();
    html! {
        tr {
            th scope="row" {
                a class="row" href=(path_of_queue(&demand.queue)) { (name(&demand.queue)) }
                @if let Some(paused) = paused {
                    " " (look::PAUSED.chip())
                    @if let Some(waits) = waits(&paused.pause, now) { " " span class="muted" { (waits) } }
                }
                @if is_alone { " " (Look { word: "nobody serves it", ..look::PARKED }.chip()) }
            }
            td class="num" { (figure(demand.backlog)) }
            td class="num" { @if let Some(oldest) = oldest { (rough((now - oldest).max(0))) } @else { "–" } }
            td class="num" { (figure(demand.running)) }
            td class="num" { (figure(demand.workers.into())) }
            td class="num wide" { (figure(demand.slots)) }
        }
    }
}

pub(crate) fn workers(list: &WorkerList, most: usize, now: i64) -> Markup {
    let rest = list.workers.len().saturating_sub(most);
    html! {
        @if list.workers.is_empty() { p class="muted" { "There is none: " code { "pawl worker" } " starts one." } } @else {
            table class="rows" {
                (columns(&WORKERS))
                tbody { @for worker in list.workers.iter().take(most) { (worker_row(worker, now)) } }
            }
        }
        @if rest > 0 { p class="muted" { "… and " (rest) " more" } }
    }
}

/// That some were lost, if any were.
pub(crate) fn lost(list: &WorkerList, now: i64) -> Markup {
    let lost: Vec<&GoneWorker> = list.gone.iter().filter(|gone| !gone.said_goodbye).collect();
    html! {
        @if let Some(last) = lost.first() {
            p class="muted" {
                (count(lost.len() as u64, "worker was", "workers were")) " lost within the last day, the last one on "
                (last.host) ", " (ago(last.gone_at_ms, now)) "; what they had in hand went on elsewhere."
            }
        }
    }
}

fn worker_row(worker: &Worker, now: i64) -> Markup {
    html! {
        tr {
            td { (state(worker).chip()) }
            th scope="row" {
                a class="row" href={ "/workers/" (worker.id) } { (name(&worker.host)) } " " span class="muted" { (worker.pid) }
            }
            td class="wide" { (worker.version.as_deref().unwrap_or("–")) }
            td class="num" { (worker.running) "/" (worker.slots) }
            td class="wide" { (name(&worker.queues.join(", "))) }
            td class="num" { (rough((now - worker.started_at_ms).max(0))) }
        }
    }
}

/// How a worker looks.
pub(super) fn state(worker: &Worker) -> Look {
    match worker {
        Worker { alive: false, .. } => Look { word: "gone", ..look::BAD },
        Worker { draining: true, .. } | Worker { drain_asked: true, .. } => Look { word: "draining", ..look::PAUSED },
        _ => Look { word: "alive", ..look::GOOD },
    }
}
