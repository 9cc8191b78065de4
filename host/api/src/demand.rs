//! What each queue asks of workers: the figure that autoscaling goes by. Made of what store and queue are asked anyway, and
//! nothing of it is counted step by step. Pure; `/v1/scale` tells it, and so does `/metrics`.

use std::collections::BTreeMap;

use pawl_queue::StreamState;
use pawl_store::live::Backlog;
use pawl_store::workers::WorkerRow;

use super::types::QueueDemand;

/// Of each queue that has a message, a ready step or a live worker, by name; none of another name than `only`, if that is
/// given, and that one in any case.
pub(super) fn of(
    backlog: &Backlog,
    workers: &[WorkerRow],
    streams: &[StreamState],
    only: Option<&str>,
) -> Vec<QueueDemand> {
    let mut all = Demands { only, queues: only.map(|queue| (queue, QueueDemand::none(queue))).into_iter().collect() };
    let mut messages = BTreeMap::<&str, (usize, usize)>::new();
    for StreamState { stream, length, pending, .. } in streams {
        let (all_of_it, read) = messages.entry(&stream.queue).or_default();
        (*all_of_it, *read) = (*all_of_it + length, *read + pending);
        if let Some(queue) = all.at(&stream.queue) {
            queue.backlog += length.saturating_sub(*pending) as u64;
        }
    }
    // A message may be lost, and is found by workers alone: with none of them, the step must be seen all the same.
    for (ready, _, _) in &backlog.oldest_ready_ms {
        let is_told = messages.get(ready.as_str()).is_some_and(|(all_of_it, _)| *all_of_it > 0);
        if let Some(queue) = all.at(ready).filter(|_| !is_told) {
            queue.backlog = queue.backlog.max(1);
        }
    }
    for worker in workers.iter().filter(|worker| worker.alive) {
        for served in &worker.queues {
            let Some(queue) = all.at(served) else { continue };
            queue.running += u64::from(worker.running);
            if !worker.draining {
                queue.workers += 1;
                queue.slots += u64::from(worker.slots);
            }
        }
    }
    // What a worker has read it executes, or will say so with its next sign of life; what it goes on with has no message.
    let whole = |queue: QueueDemand| {
        let read = messages.get(queue.queue.as_str()).map_or(0, |(_, read)| *read as u64);
        let running = queue.running.max(read);
        QueueDemand { running, steps: queue.backlog + running, ..queue }
    };
    all.queues.into_values().map(whole).collect()
}

struct Demands<'a> {
    only: Option<&'a str>,
    queues: BTreeMap<&'a str, QueueDemand>,
}

impl<'a> Demands<'a> {
    fn at(&mut self, name: &'a str) -> Option<&mut QueueDemand> {
        if self.only.is_some_and(|only| only != name) {
            return None;
        }
        Some(self.queues.entry(name).or_insert_with(|| QueueDemand::none(name)))
    }
}

impl QueueDemand {
    fn none(queue: &str) -> Self {
        Self { queue: queue.to_owned(), backlog: 0, running: 0, steps: 0, workers: 0, slots: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pawl_domain::pipeline::Priority;
    use pawl_queue::Stream;

    fn stream(queue: &str, priority: Priority, length: usize, pending: usize) -> StreamState {
        let stream = Stream { queue: queue.to_owned(), priority };
        StreamState { stream, length, pending, added: 0, oldest_unread_ms: None, consumers: Vec::new() }
    }

    fn worker(queues: &[&str], running: u32, alive: bool, draining: bool) -> WorkerRow {
        WorkerRow { running, draining, alive, ..WorkerRow::idle(queues) }
    }

    fn told(all: &[QueueDemand]) -> Vec<(&str, u64, u64, u64, u32, u64)> {
        all.iter().map(|it| (it.queue.as_str(), it.backlog, it.running, it.steps, it.workers, it.slots)).collect()
    }

    #[test]
    fn a_queue_asks_for_what_nobody_has_read_and_what_is_executed() {
        let streams = [
            stream("gpu", Priority::High, 7, 2),
            stream("gpu", Priority::Low, 3, 0),
            stream("default", Priority::Normal, 1, 1),
        ];
        let workers = [
            worker(&["default"], 1, true, false),
            worker(&["gpu", "default"], 2, true, false),
            // It takes no more, and what it has is still executed.
            worker(&["gpu"], 4, true, true),
            // What it had is ready again, or will be.
            worker(&["gpu"], 8, false, false),
        ];
        let all = of(&Backlog::default(), &workers, &streams, None);
        assert_eq!(told(&all), [("default", 0, 3, 3, 2, 16), ("gpu", 8, 6, 14, 1, 8)]);
        assert_eq!(told(&of(&Backlog::default(), &workers, &streams, Some("gpu"))), [("gpu", 8, 6, 14, 1, 8)]);
    }

    #[test]
    fn a_ready_step_without_a_message_is_seen_and_one_with_a_message_counts_once() {
        let ready = |queue: &str| (queue.to_owned(), Priority::Normal, 5_000);
        let backlog =
            Backlog { oldest_ready_ms: vec![ready("lost"), ready("read"), ready("told")], ..Backlog::default() };
        let streams = [stream("told", Priority::Normal, 2, 0), stream("read", Priority::Normal, 1, 1)];
        let all = of(&backlog, &[], &streams, None);
        assert_eq!(told(&all), [("lost", 1, 0, 1, 0, 0), ("read", 0, 1, 1, 0, 0), ("told", 2, 0, 2, 0, 0)]);
    }

    #[test]
    fn a_queue_that_is_asked_for_and_has_nothing_asks_for_nothing() {
        assert_eq!(told(&of(&Backlog::default(), &[], &[], Some("idle"))), [("idle", 0, 0, 0, 0, 0)]);
        assert!(of(&Backlog::default(), &[], &[], None).is_empty());
    }
}
