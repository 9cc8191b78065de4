//! Queues and workers as rows: for the overview, and for pages of their own.

use maud::{Markup, html};
use pawl_api::types::{GoneWorker, QueueDemand, QueueList, Recovery, RecoveryList, Scale, Worker, WorkerList};

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

/// Those that did not say goodbye, the latest first.
pub(crate) fn lost_of(list: &WorkerList) -> Vec<&GoneWorker> {
    list.gone.iter().filter(|gone| !gone.said_goodbye).collect()
}

/// That some were lost, if any were, and what has become of what they had in hand.
pub(crate) fn lost(list: &WorkerList, taken_over: Option<&RecoveryList>, demand: Option<&Scale>, now: i64) -> Markup {
    let lost = lost_of(list);
    html! {
        @if let Some(last) = lost.first() {
            p class="muted" {
                (count(lost.len() as u64, "worker was", "workers were")) " lost within the last day, the last one on "
                (last.host) ", " (ago(last.gone_at_ms, now)) "; " (became(&lost, taken_over, demand)) "."
            }
        }
    }
}

/// How much of it was made ready for others, and how much of that nobody has begun with, as far as these records tell. A step whose
/// run was ended meanwhile has such a record, too: no more wait than are in queues.
fn became(lost: &[&GoneWorker], taken_over: Option<&RecoveryList>, demand: Option<&Scale>) -> String {
    let theirs = taken_over.into_iter().flat_map(|list| &list.recoveries);
    let theirs = theirs.filter(|record| lost.iter().any(|worker| worker.id == record.worker));
    let (open, begun): (Vec<&Recovery>, Vec<&Recovery>) = theirs
        .filter(|record| record.claimed_at_ms.is_some() || record.outcome.is_none())
        .partition(|record| record.claimed_at_ms.is_none());
    let backlog: u64 = demand.into_iter().flat_map(|demand| &demand.queues).map(|queue| queue.backlog).sum();
    let (all, wait) = ((open.len() + begun.len()) as u64, (open.len() as u64).min(backlog));
    let more = if taken_over.is_some_and(|list| list.next.is_some()) { " or more" } else { "" };
    match (all, wait) {
        (0, _) => "what they had in hand was made ready for other workers".to_owned(),
        (1, 0) => "the step that they had in hand was made ready for other workers".to_owned(),
        (1, _) => "the step that they had in hand was made ready for other workers, and still waits for one".to_owned(),
        (_, 0) => format!("{} steps{more} that they had in hand were made ready for other workers", figure(all)),
        (_, wait) => {
            let wait = count(wait, "of these still waits", "of these still wait");
            format!(
                "{} steps{more} that they had in hand were made ready for other workers, and {wait} for one",
                figure(all)
            )
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
    fn what_a_lost_worker_had_in_hand_is_told_as_far_as_it_has_come() {
        let id = |last: u8| format!("01890000-0000-7000-8000-00000000000{last}");
        let gone: GoneWorker = serde_json::from_value(json!({
            "id": id(1), "host": "h", "pid": 1, "slots": 8, "queues": ["gpu"], "started_at_ms": 1, "gone_at_ms": 9,
            "said_goodbye": false,
        }))
        .unwrap();
        let record = |worker: u8, claimed_at_ms: Option<i64>, outcome: Option<&str>| {
            json!({
                "id": "r", "run": id(2), "pipeline": "p", "step": "s", "worker": id(worker), "lease_ended_at_ms": null,
                "taken_over_at_ms": 9, "checkpoint_position": null, "to_replay": 0, "replacement": null,
                "claimed_at_ms": claimed_at_ms, "reloaded_at_ms": null, "replayed_at_ms": null, "ready_at_ms": null,
                "replayed": null, "outcome": outcome,
            })
        };
        let told = |records: &[serde_json::Value], backlog: u64| {
            let list: RecoveryList = serde_json::from_value(json!({ "recoveries": records })).unwrap();
            let queue = QueueDemand { queue: "gpu".to_owned(), backlog, running: 0, steps: 0, workers: 0, slots: 0 };
            became(&[&gone], Some(&list), Some(&Scale { queues: vec![queue] }))
        };
        let (waits, begun) = (record(1, None, None), record(1, Some(10), Some("recovered")));
        let (parked, of_another) = (record(1, None, Some("failed")), record(3, None, None));
        let all = "steps that they had in hand were made ready for other workers";
        assert_eq!(told(&[of_another, parked], 9), "what they had in hand was made ready for other workers");
        assert_eq!(
            told(&[waits.clone(), waits.clone(), begun.clone()], 9),
            format!("3 {all}, and 2 of these still wait for one")
        );
        assert_eq!(told(&[waits.clone(), begun.clone()], 9), format!("2 {all}, and 1 of these still waits for one"));
        assert_eq!(told(&[waits, begun.clone()], 0), format!("2 {all}"), "nothing waits anywhere");
        assert_eq!(told(&[begun], 9), "the step that they had in hand was made ready for other workers");
    }

    #[test]
    fn steps_that_wait_for_their_turn_are_in_no_slot() {
        assert_eq!([3, 8, 10].map(|running| executes(&worker(true, running))), [(3, 0), (8, 0), (8, 2)]);
    }
}
