//! Queues and workers as rows: for the overview, and for pages of their own.

use maud::{Markup, html};
use pawl_api::types::{GoneWorker, QueueDemand, QueueList, Scale, Worker, WorkerList};

use super::queue::path as path_of_queue;
use crate::look::{self, Look};
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

pub(crate) fn queues(
    demand: &Scale,
    list: Option<&QueueList>,
    workers: Option<&WorkerList>,
    most: usize,
    now: i64,
) -> Markup {
    let rest = demand.queues.len().saturating_sub(most);
    html! {
        @if demand.queues.is_empty() { p class="muted" { "Nothing was ever put into one." } } @else {
            table class="rows" {
                (columns(&QUEUES))
                tbody { @for queue in demand.queues.iter().take(most) { (queue_row(queue, list, left_behind(queue, workers), now)) } }
            }
        }
        @if rest > 0 { p class="muted" { "… and " (rest) " more" } }
        @for remark in list.iter().flat_map(|list| &list.remarks) { p class="muted" { (remark) } }
    }
}

/// What was delivered to workers that are gone, where no other is there: nobody has it in hand. A worker that drains still has
/// what it has.
fn left_behind(demand: &QueueDemand, workers: Option<&WorkerList>) -> u64 {
    let serves = |worker: &Worker| worker.alive && worker.queues.contains(&demand.queue);
    let is_served = demand.workers > 0 || workers.is_some_and(|list| list.workers.iter().any(serves));
    if is_served { 0 } else { demand.running }
}

fn queue_row(demand: &QueueDemand, list: Option<&QueueList>, left: u64, now: i64) -> Markup {
    let is_paused = list.is_some_and(|list| list.paused.iter().any(|paused| paused.queue == demand.queue));
    let is_alone = demand.backlog > 0 && demand.workers == 0;
    let streams = list.into_iter().flat_map(|list| &list.queues).filter(|stream| stream.queue == demand.queue);
    let oldest = streams.filter_map(|stream| stream.oldest_unread_at_ms).min();
    html! {
        tr {
            th scope="row" {
                a class="row" href=(path_of_queue(&demand.queue)) { (name(&demand.queue)) }
                @if is_paused { " " (look::PAUSED.chip()) }
                @if is_alone { " " (Look { word: "nobody serves it", ..look::PARKED }.chip()) }
                @if left > 0 { " " span class="muted" { (figure(left)) " left by workers that are gone" } }
            }
            td class="num" { (figure(demand.backlog)) }
            td class="num" { @if let Some(oldest) = oldest { (rough((now - oldest).max(0))) } @else { "–" } }
            td class="num" { (figure(demand.running - left)) }
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
            td class="num" {
                @let (executes, waits) = executes(worker);
                (executes) "/" (worker.slots)
                @if waits > 0 { " " span class="muted" title={ (waits) " more wait for their turn, and take no slot" } { "+" (waits) } }
            }
            td class="wide" { (name(&worker.queues.join(", "))) }
            td class="num" { (rough((now - worker.started_at_ms).max(0))) }
        }
    }
}

/// Steps in its slots, and those that it has beyond them: suspects that wait for their turn take none.
pub(crate) fn executes(worker: &Worker) -> (u32, u32) {
    (worker.running.min(worker.slots), worker.running.saturating_sub(worker.slots))
}

/// How a worker looks.
pub(super) fn state(worker: &Worker) -> Look {
    match worker {
        Worker { alive: false, .. } => Look { word: "gone", ..look::BAD },
        Worker { draining: true, .. } | Worker { drain_asked: true, .. } => Look { word: "draining", ..look::PAUSED },
        _ => Look { word: "alive", ..look::GOOD },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn worker(alive: bool, running: u32) -> Worker {
        serde_json::from_value(json!({
            "id": "01890000-0000-7000-8000-000000000000", "host": "h", "pid": 1, "slots": 8, "running": running,
            "queues": ["gpu"], "draining": true, "alive": alive, "started_at_ms": 1, "renewed_at_ms": 1, "expires_at_ms": 1,
        }))
        .unwrap()
    }

    #[test]
    fn what_workers_that_are_gone_were_given_is_in_nobodys_hand() {
        let demand = |queue: &str, workers| QueueDemand {
            queue: queue.to_owned(),
            backlog: 6,
            running: 4,
            steps: 10,
            workers,
            slots: 0,
        };
        let there = |alive| WorkerList { workers: vec![worker(alive, 4)], gone: Vec::new() };
        assert_eq!(left_behind(&demand("gpu", 0), Some(&there(false))), 4);
        assert_eq!(left_behind(&demand("gpu", 0), Some(&there(true))), 0, "one that drains has it");
        assert_eq!(left_behind(&demand("default", 0), Some(&there(true))), 4, "it serves another queue");
        assert_eq!((left_behind(&demand("gpu", 0), None), left_behind(&demand("gpu", 1), None)), (4, 0));
        let row = queue_row(&demand("gpu", 0), None, 4, 0).into_string();
        assert!(row.contains("4 left by workers that are gone") && row.contains("<td class=\"num\">0</td>"), "{row}");
        assert!(!row.contains("<td class=\"num\">4</td>"), "{row}");
    }

    #[test]
    fn steps_that_wait_for_their_turn_are_in_no_slot() {
        assert_eq!([3, 8, 10].map(|running| executes(&worker(true, running))), [(3, 0), (8, 0), (8, 2)]);
    }
}
