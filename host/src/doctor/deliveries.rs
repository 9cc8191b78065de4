//! The server that delivers: whether it takes deliveries, and what it would lose. Nothing that counts is in it: its streams are
//! made again from the store. So what is at risk here is time, and that is what the lines say.

use std::time::Duration;

use pawl_dispatch::doctor::{Check, Status, bounded};
use pawl_dispatch::elsewhere;
use pawl_queue::{Queue, ServerState, StreamState};
use pawl_store::workers::WorkerRow;

use crate::output::{counted, short, size};

/// Of the memory that it may take.
const NEARLY_FULL: f64 = 0.80;
const FULL: f64 = 0.95;

pub(super) async fn look(queue: &dyn Queue, limit: Duration) -> Vec<Check> {
    let mut checks = bounded("redis", limit, async {
        Ok(vec![match queue.ping().await {
            Ok(()) => Check::ok("redis", "it takes deliveries"),
            Err(error) => away(&error.chain()),
        }])
    })
    .await;
    if checks.iter().all(|check| check.status == Status::Ok) {
        let about = bounded("redis_server", limit, async {
            Ok(queue.server().await?.map(|server| judge(&server)).unwrap_or_default())
        });
        checks.extend(about.await);
    }
    checks
}

fn away(why: &str) -> Check {
    let fix =
        "runs are accepted and wait, nothing is lost: bring it back, and what was not delivered is found in seconds";
    Check::fail("redis", why, fix)
}

/// Whether the workers that live read here: one that was given another server, database or prefix is well by the store, and
/// does nothing.
pub(super) fn readers(workers: &[WorkerRow], streams: &[StreamState]) -> Check {
    const NAME: &str = "redis_readers";
    let away = elsewhere(workers, streams);
    let alive = workers.iter().filter(|worker| worker.alive).count();
    let check = match away.first() {
        None => Check::ok(NAME, "the live workers read here"),
        Some(first) => {
            let WorkerRow { id, host, pid, .. } = first;
            let read = if away.len() == 1 { "reads" } else { "read" };
            let who = format!("{} (pid {pid} on {host}){}", short(id), more(away.len()));
            let found =
                format!("{} of {} {read} nothing here: {who}", away.len(), counted(alive as u64, "live worker"));
            let fix = "compare redis_url (host, port, number of the database) and redis_prefix of the workers, of the API and of \
                       this command: `pawl config worker` shows them";
            if away.len() == alive { Check::fail(NAME, found, fix) } else { Check::warn(NAME, found, fix) }
        }
    };
    check.figure("elsewhere", away.len())
}

fn more(workers: usize) -> String {
    if workers > 1 { format!(" and {} more", workers - 1) } else { String::new() }
}

pub(super) fn judge(server: &ServerState) -> Vec<Check> {
    vec![memory(server), eviction(server), persistence(server)]
}

fn memory(server: &ServerState) -> Check {
    const NAME: &str = "redis_memory";
    let (Some(used), Some(limit)) = (server.used_bytes, server.limit_bytes) else {
        return Check::unknown(NAME, "INFO is forbidden to Pawl's user");
    };
    let check = if limit == 0 {
        Check::ok(NAME, format!("{} in use, without a limit of its own", size(used)))
    } else {
        let found = format!("{} of {} in use", size(used), size(limit));
        let fix = "raise its maxmemory, or see with `pawl queue list` what waits in it; full, it takes no deliveries";
        match used as f64 / limit as f64 {
            FULL.. => Check::fail(NAME, found, fix),
            NEARLY_FULL.. => Check::warn(NAME, found, fix),
            _ => Check::ok(NAME, found),
        }
    };
    check.figure("used_bytes", used).figure("limit_bytes", limit)
}

fn eviction(server: &ServerState) -> Check {
    const NAME: &str = "redis_eviction";
    let Some(policy) = &server.eviction else {
        return Check::unknown(NAME, "INFO is forbidden to Pawl's user; its maxmemory-policy should be noeviction");
    };
    let evicted = server.evicted.unwrap_or(0);
    // Pawl's keys have no time to live: policies for those that have one pass them over.
    let check = if policy.starts_with("allkeys-") {
        let had =
            if evicted > 0 { format!(", and has thrown away {}", counted(evicted, "key")) } else { String::new() };
        Check::warn(
            NAME,
            format!("{policy}: full, it throws whole streams away{had}; no run is lost, but its steps come late"),
            "set maxmemory-policy noeviction",
        )
    } else {
        Check::ok(NAME, format!("{policy}: no stream is thrown away"))
    };
    check.figure("evicted", evicted)
}

fn persistence(server: &ServerState) -> Check {
    const NAME: &str = "redis_persistence";
    if server.disk_failed == Some(true) {
        return Check::warn(
            NAME,
            "its last write to its disk has failed, by which it may come to refuse deliveries",
            "see its log and its disk; Pawl itself needs none of its files",
        );
    }
    let after = "what a restart loses is delivered again from the store, seconds later";
    match (server.logs_changes, server.snapshots.as_deref()) {
        (None, _) => Check::unknown(NAME, format!("INFO is forbidden to Pawl's user; {after}")),
        (Some(true), _) => Check::ok(NAME, "a log of changes on its disk"),
        (Some(false), Some("")) => Check::ok(NAME, format!("none: {after}")),
        (Some(false), Some(_)) => Check::ok(NAME, format!("snapshots: {after}")),
        (Some(false), None) => Check::unknown(
            NAME,
            format!("no log of changes; CONFIG GET is forbidden, which tells of snapshots; {after}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pawl_domain::pipeline::Priority;
    use pawl_queue::{Consumer, Stream};

    fn server() -> ServerState {
        ServerState {
            version: Some("7.2.4".into()),
            used_bytes: Some(50 << 20),
            limit_bytes: Some(100 << 20),
            eviction: Some("noeviction".into()),
            evicted: Some(0),
            logs_changes: Some(false),
            snapshots: Some("3600 1".into()),
            disk_failed: Some(false),
        }
    }

    fn statuses(server: &ServerState) -> Vec<Status> {
        judge(server).iter().map(|check| check.status).collect()
    }

    #[test]
    fn what_is_at_risk_is_time_and_memory() {
        use Status::{Fail, Ok, Unknown, Warn};
        let with = |used: u64| ServerState { used_bytes: Some(used << 20), ..server() };
        for (server, expected) in [
            (server(), [Ok, Ok, Ok]),
            (with(80), [Warn, Ok, Ok]),
            (with(95), [Fail, Ok, Ok]),
            (ServerState { limit_bytes: Some(0), ..with(9_000) }, [Ok, Ok, Ok]),
            (ServerState { eviction: Some("allkeys-lru".into()), ..server() }, [Ok, Warn, Ok]),
            (ServerState { eviction: Some("volatile-lru".into()), ..server() }, [Ok, Ok, Ok]),
            (ServerState { snapshots: Some(String::new()), ..server() }, [Ok, Ok, Ok]),
            (ServerState { snapshots: None, ..server() }, [Ok, Ok, Unknown]),
            (ServerState { disk_failed: Some(true), ..server() }, [Ok, Ok, Warn]),
            (ServerState::default(), [Unknown, Unknown, Unknown]),
        ] {
            assert_eq!(statuses(&server), expected, "{server:?}");
        }
    }

    #[test]
    fn workers_that_read_elsewhere_are_counted_and_the_first_is_named() {
        let worker = || WorkerRow { renewed_at_ms: 60_000, expires_at_ms: 65_000, ..WorkerRow::idle(&["default"]) };
        let workers = [worker(), worker()];
        let read_by = |reader: &WorkerRow| StreamState {
            stream: Stream { queue: "default".into(), priority: Priority::Normal },
            length: 0,
            pending: 0,
            added: 0,
            oldest_unread_ms: None,
            consumers: vec![Consumer { name: reader.id.to_string(), pending: 0, idle_ms: 1 }],
        };
        let both: Vec<StreamState> = workers.iter().map(read_by).collect();
        assert_eq!(readers(&workers, &both).status, Status::Ok);
        let one = readers(&workers, &both[..1]);
        let named = format!("1 of 2 live workers reads nothing here: {} (pid 7 on node-1)", short(workers[1].id));
        assert_eq!((one.status, one.found), (Status::Warn, named));
        let none = readers(&workers, &[]);
        assert!(none.status == Status::Fail && none.found.ends_with("(pid 7 on node-1) and 1 more"), "{none:?}");
        assert_eq!(none.figures["elsewhere"], 2);
    }

    #[test]
    fn a_server_that_throws_streams_away_says_how_often_it_has() {
        let check = eviction(&ServerState { eviction: Some("allkeys-lru".into()), evicted: Some(3), ..server() });
        assert!(check.found.contains("has thrown away 3 keys"), "{check:?}");
        assert_eq!(check.fix.as_deref(), Some("set maxmemory-policy noeviction"));
    }
}
