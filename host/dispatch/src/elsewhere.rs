//! Workers that live and read nothing of the queue that one looks at: they were given another server than whoever delivers, or
//! another prefix of its keys. By the store alone such a worker is well, and it does nothing but what is found as lost. Pure.

use pawl_queue::StreamState;
use pawl_store::workers::WorkerRow;

/// A reader says who it is with its first read; after a loss of the queue, with its next one.
const SETTLED_MS: i64 = 10_000;

/// Those of `workers` that are no reader of any of `streams`, which are all that there are. One that takes nothing now, since it
/// is full or drains, may be none for that.
#[must_use]
pub fn elsewhere<'a>(workers: &'a [WorkerRow], streams: &[StreamState]) -> Vec<&'a WorkerRow> {
    let reads_here = |worker: &WorkerRow| {
        let name = worker.id.to_string();
        streams.iter().any(|stream| stream.consumers.iter().any(|consumer| consumer.name == name))
    };
    let takes_steps =
        |worker: &WorkerRow| worker.alive && !worker.draining && !worker.drain_asked && worker.running < worker.slots;
    let has_settled = |worker: &WorkerRow| worker.renewed_at_ms - worker.started_at_ms >= SETTLED_MS;
    workers.iter().filter(|worker| takes_steps(worker) && has_settled(worker) && !reads_here(worker)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pawl_domain::pipeline::Priority;
    use pawl_queue::{Consumer, Stream};

    fn worker() -> WorkerRow {
        let (renewed_at_ms, expires_at_ms) = (SETTLED_MS, SETTLED_MS + 5_000);
        WorkerRow { slots: 4, running: 3, renewed_at_ms, expires_at_ms, ..WorkerRow::idle(&["default"]) }
    }

    fn read_by(worker: &WorkerRow) -> StreamState {
        StreamState {
            stream: Stream { queue: "default".into(), priority: Priority::Normal },
            length: 0,
            pending: 0,
            added: 0,
            oldest_unread_ms: None,
            consumers: vec![Consumer { name: worker.id.to_string(), pending: 0, idle_ms: 5 }],
        }
    }

    #[test]
    fn a_worker_that_should_read_here_and_does_not_is_elsewhere() {
        let (here, away) = (worker(), worker());
        let workers = [
            here.clone(),
            away.clone(),
            WorkerRow { renewed_at_ms: SETTLED_MS - 1, ..worker() },
            WorkerRow { running: 4, ..worker() },
            WorkerRow { draining: true, ..worker() },
            WorkerRow { drain_asked: true, ..worker() },
            WorkerRow { alive: false, ..worker() },
        ];
        assert_eq!(elsewhere(&workers, &[read_by(&here)]), [&away]);
        assert_eq!(elsewhere(&workers, &[]), [&here, &away]);
    }
}
