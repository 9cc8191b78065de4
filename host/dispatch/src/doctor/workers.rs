//! Workers: who is there, of which builds, who was lost, and whose clock is off.

use std::collections::BTreeSet;

use pawl_base::{self as base, duration, short};
use pawl_store::workers::{GoneWorker, WorkerRow};

use super::check::Check;

/// How long a lease may have ended before its steps should be others'.
const TAKEN_OVER_WITHIN_MS: i64 = 30_000;

/// How far a machine's clock may be off, ms. What a heartbeat takes on its way counts as such.
const CLOCK_OFF_MS: i64 = 2_000;

/// What is known of workers. `now_ms` is the store's clock.
pub(super) struct Known<'a> {
    pub(super) workers: &'a [WorkerRow],
    pub(super) gone: &'a [GoneWorker],
    pub(super) since_ms: i64,
    pub(super) now_ms: i64,
}

pub(super) fn judge(known: &Known<'_>) -> Vec<Check> {
    let alive: Vec<&WorkerRow> = known.workers.iter().filter(|worker| worker.alive).collect();
    let mut checks = vec![there(&alive)];
    checks.extend(leases(known, alive.is_empty()));
    if !alive.is_empty() {
        checks.extend([versions(&alive), clocks(&alive)].into_iter().flatten());
    }
    checks
}

fn there(alive: &[&WorkerRow]) -> Check {
    let draining = alive.iter().filter(|worker| worker.draining || worker.drain_asked).count();
    let (running, slots) = (sum(alive, |worker| worker.running), sum(alive, |worker| worker.slots));
    let check = match alive.len() - draining {
        0 if alive.is_empty() => {
            Check::warn("workers", "there is none, and nothing is executed", "start one with `pawl worker`")
        }
        0 => Check::warn(
            "workers",
            format!("{}, and all of them drain", counted(alive.len(), "is there", "are there")),
            "start others before these have ended",
        ),
        _ => {
            let drain = if draining > 0 { format!(", {draining} of them draining") } else { String::new() };
            Check::ok("workers", format!("{} alive{drain}; {running} of {slots} slots are taken", alive.len()))
        }
    };
    check.figure("alive", alive.len()).figure("draining", draining).figure("running", running).figure("slots", slots)
}

/// Leases that have ended: those of which the steps are not others' yet, and workers that were lost.
fn leases(known: &Known<'_>, nobody_is_left: bool) -> Vec<Check> {
    let mut checks = Vec::new();
    for worker in known.workers.iter().filter(|worker| !worker.alive) {
        let ago_ms = (known.now_ms - worker.expires_at_ms).max(0);
        let who = format!("{} (pid {} on {})", short(worker.id), worker.pid, worker.host);
        let found = format!("the lease of {who} ended {} ago", duration(ago_ms));
        let check = match (worker.running, nobody_is_left) {
            (0, _) => {
                Check::warn("worker_lease", format!("{found}; it executed nothing"), "the next worker forgets it")
            }
            (_, true) => Check::fail(
                "worker_lease",
                format!(
                    "{found}, and nobody is left to take over its {}",
                    base::counted(worker.running.into(), "step")
                ),
                "start a worker: it takes them over at once",
            ),
            _ if ago_ms > TAKEN_OVER_WITHIN_MS => Check::fail(
                "worker_lease",
                format!("{found}; not taken over so far: {}", base::counted(worker.running.into(), "step")),
                "see the logs of the live workers; `pawl admin requeue-processing` does it now",
            ),
            _ => Check::warn("worker_lease", found, "its steps are being taken over: look again in a moment"),
        };
        checks.push(check.of(short(worker.id)).figure("ended_ms_ago", ago_ms));
    }
    let lost = known.gone.iter().filter(|gone| !gone.said_goodbye && gone.gone_at_ms >= known.now_ms - known.since_ms);
    let lost: Vec<&GoneWorker> = lost.collect();
    let check = match lost.iter().max_by_key(|gone| gone.gone_at_ms) {
        None => Check::ok("workers_lost", format!("none within {}", duration(known.since_ms))),
        Some(last) => Check::warn(
            "workers_lost",
            format!(
                "{} within {}, the last {} ago: pid {} on {}",
                counted(lost.len(), "was lost", "were lost"),
                duration(known.since_ms),
                duration((known.now_ms - last.gone_at_ms).max(0)),
                last.pid,
                last.host,
            ),
            if is_there(known.workers, last) {
                "a worker lives there under that pid: it has lost its lease to an outage, or was started again; its log says which"
            } else {
                "its log says why it died; `pawl recoveries` says how its steps went on"
            },
        ),
    };
    checks.push(check.figure("lost", lost.len()));
    checks
}

/// Whether a worker lives where this one did, by the pid that it had.
fn is_there(workers: &[WorkerRow], gone: &GoneWorker) -> bool {
    workers.iter().any(|worker| worker.alive && worker.pid == gone.pid && worker.host == gone.host)
}

fn versions(alive: &[&WorkerRow]) -> Option<Check> {
    let versions: BTreeSet<Option<&str>> = alive.iter().map(|worker| worker.version.as_deref()).collect();
    let names: Vec<&str> = versions.iter().map(|version| version.unwrap_or("an older build")).collect();
    match versions.len() {
        1 if versions.contains(&None) => None,
        1 => Some(Check::ok("worker_versions", format!("all are {}", names.join("")))),
        _ => Some(Check::warn(
            "worker_versions",
            format!("workers of several builds are alive: {}", names.join(", ")),
            "finish the rollout, or take it back; `pawl worker list` tells which is which",
        )),
    }
}

fn clocks(alive: &[&WorkerRow]) -> Option<Check> {
    let told = alive.iter().filter_map(|worker| Some((worker.clock_ahead_ms?, worker)));
    let (ahead_ms, worst) = told.max_by_key(|(ahead_ms, _)| ahead_ms.abs())?;
    let off = duration(ahead_ms.abs());
    let check = if ahead_ms.abs() < CLOCK_OFF_MS {
        Check::ok("worker_clocks", format!("within {off} of the store's"))
    } else {
        let side = if ahead_ms > 0 { "ahead of" } else { "behind" };
        Check::warn(
            "worker_clocks",
            format!("the clock of {} is {off} {side} the store's", worst.host),
            "steps and leases go by the store's clock; but certificates and log lines go by the machine's: set it right",
        )
    };
    Some(check.figure("most_ms", ahead_ms))
}

fn sum(workers: &[&WorkerRow], of: impl Fn(&WorkerRow) -> u32) -> u64 {
    workers.iter().map(|worker| u64::from(of(worker))).sum()
}

fn counted(count: usize, one: &str, more: &str) -> String {
    if count == 1 { format!("one {one}") } else { format!("{count} {more}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;

    fn worker() -> WorkerRow {
        let (version, clock_ahead_ms) = (Some("1.0.0".into()), Some(-40));
        WorkerRow { running: 2, version, clock_ahead_ms, expires_at_ms: 100_000, ..WorkerRow::idle(&["default"]) }
    }

    fn lost(gone_at_ms: i64, said_goodbye: bool) -> GoneWorker {
        let WorkerRow { id, host, pid, slots, queues, .. } = worker();
        GoneWorker { id, host, pid, slots, queues, started_at_ms: 0, gone_at_ms, said_goodbye }
    }

    fn judged(workers: &[WorkerRow], gone: &[GoneWorker]) -> Vec<(&'static str, Status, String)> {
        let known = Known { workers, gone, since_ms: 3_600_000, now_ms: 100_000 };
        judge(&known).into_iter().map(|check| (check.check, check.status, check.found)).collect()
    }

    fn status(found: &[(&'static str, Status, String)], check: &str) -> Option<Status> {
        found.iter().find(|(name, ..)| *name == check).map(|(_, status, _)| *status)
    }

    #[test]
    fn workers_that_are_well_are_told_in_a_line_each() {
        let found = judged(&[worker(), worker()], &[lost(50_000, true)]);
        let told: Vec<(&str, &str)> = found.iter().map(|(check, _, found)| (*check, found.as_str())).collect();
        assert_eq!(
            told,
            [
                ("workers", "2 alive; 4 of 16 slots are taken"),
                ("workers_lost", "none within 1 h"),
                ("worker_versions", "all are 1.0.0"),
                ("worker_clocks", "within 40 ms of the store's"),
            ]
        );
        assert!(found.iter().all(|(_, status, _)| *status == Status::Ok), "{found:?}");
    }

    #[test]
    fn a_worker_that_was_lost_is_told_and_one_that_said_goodbye_is_not() {
        let found = judged(&[worker()], &[lost(90_000, false), lost(95_000, true), lost(-9_000_000, false)]);
        let (_, status, said) = found.iter().find(|(check, ..)| *check == "workers_lost").unwrap();
        assert_eq!(*status, Status::Warn);
        assert_eq!(said, "one was lost within 1 h, the last 10.0 s ago: pid 7 on node-1");
        let elsewhere = GoneWorker { host: "node-2".to_owned(), ..lost(90_000, false) };
        assert!(is_there(&[worker()], &lost(90_000, false)) && !is_there(&[worker()], &elsewhere));
    }

    #[test]
    fn steps_of_a_dead_worker_are_a_failure_once_nobody_takes_them_over() {
        let dead = |expires_at_ms, running| WorkerRow { alive: false, expires_at_ms, running, ..worker() };
        for (workers, expected) in [
            (vec![dead(99_000, 2)], Status::Fail),
            (vec![dead(99_000, 0)], Status::Warn),
            (vec![dead(99_000, 2), worker()], Status::Warn),
            (vec![dead(60_000, 2), worker()], Status::Fail),
        ] {
            assert_eq!(status(&judged(&workers, &[]), "worker_lease"), Some(expected), "{workers:?}");
        }
    }

    #[test]
    fn several_builds_a_wrong_clock_and_nobody_are_warned_of() {
        let newer = WorkerRow { version: Some("1.1.0".into()), clock_ahead_ms: Some(5_200), ..worker() };
        let found = judged(&[worker(), newer, WorkerRow { version: None, clock_ahead_ms: None, ..worker() }], &[]);
        let said = |check: &str| found.iter().find(|(name, ..)| *name == check).unwrap().2.as_str();
        assert_eq!(said("worker_versions"), "workers of several builds are alive: an older build, 1.0.0, 1.1.0");
        assert_eq!(said("worker_clocks"), "the clock of node-1 is 5.2 s ahead of the store's");
        for check in ["worker_versions", "worker_clocks"] {
            assert_eq!(status(&found, check), Some(Status::Warn));
        }
        assert_eq!(status(&judged(&[], &[]), "workers"), Some(Status::Warn));
        let drains = WorkerRow { drain_asked: true, ..worker() };
        assert_eq!(status(&judged(&[drains], &[]), "workers"), Some(Status::Warn));
    }
}
