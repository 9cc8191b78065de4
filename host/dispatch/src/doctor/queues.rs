//! Queues: whether each one drains. By what the store says of ready steps, so that a delivery that was lost counts, too.

use std::collections::BTreeMap;

use pawl_base::{counted, duration};
use pawl_domain::pipeline::Priority;
use pawl_store::workers::WorkerRow;

use super::check::Check;

/// How long the oldest ready step of a queue may wait before somebody should look.
const SLOW_MS: u64 = 60_000;

/// `oldest_ready_ms` is each stream with a ready step, and how long its oldest one has been ready; `unserved` are the queues of
/// those that no live worker serves.
pub(super) fn judge(
    oldest_ready_ms: &[(String, Priority, u64)],
    unserved: &[String],
    workers: &[WorkerRow],
) -> Vec<Check> {
    let mut queues = BTreeMap::<&str, u64>::new();
    for (queue, _, age_ms) in oldest_ready_ms {
        let oldest = queues.entry(queue).or_default();
        *oldest = (*oldest).max(*age_ms);
    }
    // One that was seen a moment later than the ages.
    for queue in unserved {
        queues.entry(queue).or_default();
    }
    let oldest = queues.values().copied().max();
    let mut checks: Vec<Check> = queues
        .iter()
        .filter_map(|(queue, age_ms)| {
            let check = match unserved.iter().any(|unserved| unserved == queue) {
                true => Some(stands(queue, *age_ms)),
                false => (*age_ms >= SLOW_MS).then(|| slow(queue, *age_ms, workers)),
            };
            check.map(|check| check.of(*queue).figure("oldest_ready_ms", *age_ms))
        })
        .collect();
    if checks.is_empty() {
        checks.push(match oldest {
            None => Check::ok("queues", "no step waits in any"),
            Some(oldest_ms) => {
                let found = format!("all of them drain; the oldest ready step has waited for {}", told(oldest_ms));
                Check::ok("queues", found).figure("oldest_ready_ms", oldest_ms)
            }
        });
    }
    checks
}

fn stands(queue: &str, age_ms: u64) -> Check {
    Check::fail(
        "queue",
        format!("a step has been ready for {}, and no live worker serves the queue", told(age_ms)),
        format!("start one with `pawl worker --queues {queue}`"),
    )
}

fn slow(queue: &str, age_ms: u64, workers: &[WorkerRow]) -> Check {
    let serving = workers
        .iter()
        .filter(|worker| worker.alive && !worker.draining && worker.queues.iter().any(|served| served == queue));
    let serving: Vec<&WorkerRow> = serving.collect();
    let free: u64 = serving.iter().map(|worker| u64::from(worker.slots.saturating_sub(worker.running))).sum();
    let found = format!("its oldest ready step has waited for {}; {}", told(age_ms), serve(serving.len()));
    let fix = match free {
        0 => "all their slots are taken: start more workers; `pawl queue watch` shows how it drains".to_owned(),
        _ => format!("they have {} free: `pawl queue show {queue}` tells whether they read it", counted(free, "slot")),
    };
    Check::warn("queue", found, fix).figure("workers", serving.len()).figure("free_slots", free)
}

fn serve(workers: usize) -> String {
    if workers == 1 { "one worker serves it".to_owned() } else { format!("{workers} workers serve it") }
}

fn told(ms: u64) -> String {
    duration(i64::try_from(ms).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;

    fn worker(queue: &str, running: u32) -> WorkerRow {
        WorkerRow { slots: 4, running, ..WorkerRow::idle(&[queue]) }
    }

    fn ready(queue: &str, priority: Priority, age_ms: u64) -> (String, Priority, u64) {
        (queue.to_owned(), priority, age_ms)
    }

    #[test]
    fn a_queue_that_nobody_serves_fails_and_names_the_command() {
        let waits = [ready("gpu", Priority::Low, 5_000), ready("gpu", Priority::High, 70_000)];
        let checks = judge(&waits, &["gpu".to_owned()], &[worker("default", 0)]);
        let [gpu] = &checks[..] else { panic!("{checks:?}") };
        assert_eq!((gpu.status, gpu.subject.as_deref()), (Status::Fail, Some("gpu")));
        assert_eq!(gpu.found, "a step has been ready for 1 min 10 s, and no live worker serves the queue");
        assert_eq!(gpu.fix.as_deref(), Some("start one with `pawl worker --queues gpu`"));
        assert_eq!(gpu.figures["oldest_ready_ms"], 70_000);
    }

    #[test]
    fn a_queue_that_drains_slowly_is_warned_of_and_says_whether_workers_have_room() {
        let waits = [
            ready("a", Priority::Normal, 61_000),
            ready("b", Priority::Normal, 61_000),
            ready("c", Priority::Normal, 9),
        ];
        let checks = judge(&waits, &[], &[worker("a", 4), worker("b", 1), worker("b", 1)]);
        let told: Vec<_> =
            checks.iter().map(|check| (check.name(), check.status, check.figures["free_slots"])).collect();
        assert_eq!(told, [("queue a".to_owned(), Status::Warn, 0), ("queue b".to_owned(), Status::Warn, 6)]);
        assert!(checks[0].fix.as_deref().unwrap().contains("start more workers"), "{checks:?}");
        assert!(checks[1].fix.as_deref().unwrap().contains("6 slots free"), "{checks:?}");
    }

    #[test]
    fn queues_that_drain_are_one_line() {
        let checks =
            judge(&[ready("a", Priority::Normal, 1_200), ready("b", Priority::Low, 300)], &[], &[worker("a", 0)]);
        let [all] = &checks[..] else { panic!("{checks:?}") };
        assert_eq!(
            (all.status, all.found.as_str()),
            (Status::Ok, "all of them drain; the oldest ready step has waited for 1.2 s")
        );
        assert_eq!(judge(&[], &[], &[])[0].found, "no step waits in any");
    }
}
