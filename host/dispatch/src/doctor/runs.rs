//! Runs: what nobody moves, what waits for a person, what has failed lately; and whether retention keeps pace.

use pawl_base::duration;
use pawl_domain::decision::circuit::{journal_in, key_in, secret_in};
use pawl_store::circuits::CircuitRow;
use pawl_store::doctor::{FAILED_LOOKED_AT, Troubles};
use pawl_store::recoveries::InterruptedRow;

use super::check::Check;
use crate::retention::Standing;

/// Runs that are due for longer than this are not just between two passes.
const BEHIND_MS: u64 = 600_000;

/// Secrets that are named, of those that workers lack.
const NAMED: usize = 5;

/// Runs that nobody moves, those that stand longest first.
pub(super) fn interrupted(rows: &[InterruptedRow], now_ms: i64) -> Check {
    let Some(first) = rows.first() else { return Check::ok("stuck", "every run moves, or has a reason to wait") };
    let stood = duration((now_ms - first.last_activity_ms).max(0));
    Check::fail(
        "stuck",
        format!("nobody moves {}, the first for {stood}: run {} at `{}`", runs(rows.len()), first.run, first.pipeline),
        "see `pawl check-interrupted`; `pawl recover --auto-resume` lets them go on",
    )
    .figure("runs", rows.len())
}

/// What waits for a person, and what has failed within `since_ms`.
pub(super) fn troubles(found: &Troubles, since_ms: i64) -> [Check; 2] {
    let since = duration(since_ms);
    let parked = match found.parked {
        0 => Check::ok("parked", "no step waits for a person"),
        count => Check::warn(
            "parked",
            format!("{} for a person, {} of them for less than {since}", steps_wait(count), found.parked_since),
            "`pawl run explain RUN` tells the ways out of each; `pawl run list` shows which runs are parked",
        ),
    };
    let failed = match found.failed_since {
        0 => Check::ok("failed", format!("no run has failed within {since}")),
        count => Check::warn(
            "failed",
            format!(
                "{}{} failed within {since}",
                runs(count as usize),
                if count >= FAILED_LOOKED_AT { " or more" } else { "" }
            ),
            "see `pawl run list --status failed`, and `pawl run report RUN` for one of them",
        ),
    };
    [parked.figure("parked", found.parked).figure("new", found.parked_since), failed.figure("new", found.failed_since)]
}

/// What steps wait for that is not here: outside hosts that are down, secrets that workers lack, and workers that can read their
/// journals. Somebody may have to mend them.
pub(super) fn circuits(rows: Vec<CircuitRow>, now_ms: i64) -> [Check; 3] {
    let is_lacking = |row: &CircuitRow| secret_in(&row.origin).or_else(|| key_in(&row.origin)).is_some();
    let (secrets, others): (Vec<_>, Vec<_>) = rows.into_iter().partition(is_lacking);
    let (journals, hosts): (Vec<_>, Vec<_>) = others.into_iter().partition(|row| journal_in(&row.origin).is_some());
    [down(&hosts, now_ms), lacking(&secrets, now_ms), unknown(&journals, now_ms)]
}

fn unknown(rows: &[CircuitRow], now_ms: i64) -> Check {
    let check = match rows.iter().min_by_key(|row| row.opened_at_ms) {
        None => Check::ok("journals", "no step waits for a worker of a newer version"),
        Some(first) => Check::warn(
            "journals",
            format!(
                "workers of an older version met what a newer one has written, first {} ago: {}; {} for them",
                since(first, now_ms),
                first.reason,
                steps_wait(deferred(rows)),
            ),
            "upgrade the workers: the steps go on by themselves then",
        ),
    };
    check.figure("steps", deferred(rows))
}

fn down(rows: &[CircuitRow], now_ms: i64) -> Check {
    let check = match rows.iter().min_by_key(|row| row.opened_at_ms) {
        None => Check::ok("circuits", "no outside host is down"),
        Some(first) => Check::warn(
            "circuits",
            format!(
                "{} down, the first for {}: {} ({}); {} for them",
                if rows.len() == 1 {
                    "one outside host is".to_owned()
                } else {
                    format!("{} outside hosts are", rows.len())
                },
                since(first, now_ms),
                first.origin,
                first.reason,
                steps_wait(deferred(rows)),
            ),
            "`pawl circuits` lists them; steps go on by themselves when a probe is answered, and `pawl circuits close` lets \
             them call at once",
        ),
    };
    check.figure("hosts", rows.len()).figure("steps", deferred(rows))
}

fn lacking(rows: &[CircuitRow], now_ms: i64) -> Check {
    let check = match rows.iter().min_by_key(|row| row.opened_at_ms) {
        None => Check::ok("secrets", "no step waits for a secret that its worker lacks"),
        Some(first) => {
            let named: Vec<String> = rows
                .iter()
                .filter_map(|row| {
                    let secret = secret_in(&row.origin).map(|name| format!("`{name}`"));
                    secret.or_else(|| key_in(&row.origin).map(|id| format!("the master key {id}")))
                })
                .take(NAMED)
                .collect();
            Check::warn(
                "secrets",
                format!(
                    "workers lack {}{}, the first for {}; {} for them",
                    named.join(", "),
                    if rows.len() > NAMED { " and others" } else { "" },
                    since(first, now_ms),
                    steps_wait(deferred(rows)),
                ),
                "start workers with PAWL_SECRET_NAME in their environment, the name in capitals, or store them with \
                 `pawl secret set`, or give them the master keys that the API has; `pawl circuits` tells what each lacks, and steps go on \
                 by themselves then",
            )
        }
    };
    check.figure("secrets", rows.len()).figure("steps", deferred(rows))
}

fn since(row: &CircuitRow, now_ms: i64) -> String {
    duration((now_ms - row.opened_at_ms).max(0))
}

fn deferred(rows: &[CircuitRow]) -> u32 {
    rows.iter().map(|row| row.deferred).sum()
}

pub(super) fn retention(standing: Option<&Standing>) -> Check {
    let Some(standing) = standing else {
        return Check::ok("retention", "no worker has looked after it so far, and nothing is deleted");
    };
    let late_ms = standing.late_ms.unwrap_or(0);
    let late = duration(i64::try_from(late_ms).unwrap_or(i64::MAX));
    let more = if standing.more { " or more" } else { "" };
    let behind = format!(
        "{}{more} should have gone, the first of them {late} ago",
        runs(usize::try_from(standing.due).unwrap_or(usize::MAX))
    );
    let check = match (late_ms >= BEHIND_MS, standing.turn.holds) {
        (true, true) => {
            Check::warn("retention", behind, "`pawl retention run` deletes now, and shows how fast it goes")
        }
        (true, false) => Check::warn("retention", format!("{behind}, and no worker looks after it"), "start a worker"),
        (false, false) => Check::ok("retention", "no worker looks after it now, and little is due"),
        (false, true) => Check::ok(
            "retention",
            format!("it keeps pace; {} due", runs(usize::try_from(standing.due).unwrap_or(usize::MAX))),
        ),
    };
    check.figure("due", standing.due).figure("late_ms", late_ms)
}

fn runs(count: usize) -> String {
    if count == 1 { "one run".to_owned() } else { format!("{count} runs") }
}

fn steps_wait(count: u32) -> String {
    if count == 1 { "one step waits".to_owned() } else { format!("{count} steps wait") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;
    use pawl_domain::id::{Digest, RunId, StepNo, WorkerId};
    use pawl_domain::retention::Policy;
    use pawl_domain::status::StepStatus;
    use pawl_store::retention::Turn;

    #[test]
    fn a_run_that_nobody_moves_is_a_failure_that_names_it() {
        assert_eq!(interrupted(&[], 0).status, Status::Ok);
        let run = RunId::new();
        let row = InterruptedRow {
            run,
            pipeline: "orders".into(),
            pipeline_digest: Digest::of(b""),
            started_ms: Some(0),
            last_activity_ms: 1_000,
            steps: 3,
            completed: 1,
            failed: 0,
            next: StepNo(1),
            next_status: StepStatus::Running,
        };
        let check = interrupted(&[row.clone(), row], 701_000);
        assert_eq!(check.status, Status::Fail);
        assert_eq!(check.found, format!("nobody moves 2 runs, the first for 11 min 40 s: run {run} at `orders`"));
    }

    #[test]
    fn what_waits_for_a_person_and_what_failed_lately_is_counted() {
        let none = troubles(&Troubles::default(), 3_600_000);
        assert!(none.iter().all(|check| check.status == Status::Ok), "{none:?}");
        let [parked, failed] =
            troubles(&Troubles { parked: 3, parked_since: 1, failed_since: FAILED_LOOKED_AT }, 3_600_000);
        assert_eq!(parked.found, "3 steps wait for a person, 1 of them for less than 1 h");
        assert_eq!(failed.found, "1000 runs or more failed within 1 h");
        assert_eq!((parked.status, failed.status), (Status::Warn, Status::Warn));
    }

    #[test]
    fn an_outside_host_that_is_down_is_a_warning_that_names_it() {
        assert!(circuits(Vec::new(), 0).iter().all(|check| check.status == Status::Ok));
        let row = CircuitRow {
            namespace: Default::default(),
            origin: "http://pay:80".into(),
            reason: "it answered 503".into(),
            failures: 5,
            opened_at_ms: 1_000,
            opened_by: None,
            retry_at_ms: 6_000,
            probed_by: None,
            deferred: 1,
        };
        let later = CircuitRow { origin: "http://mail:25".into(), opened_at_ms: 2_000, ..row.clone() };
        let secret = CircuitRow { origin: "secret:token".into(), opened_at_ms: 500, ..row.clone() };
        let journal = CircuitRow { origin: "journal:1.15".into(), reason: "it is newer".into(), ..row.clone() };
        let [check, lacking, unknown] = circuits(vec![later, secret, journal, row], 3_000);
        assert_eq!(
            unknown.found,
            "workers of an older version met what a newer one has written, first 2.0 s ago: it is newer; one step waits for them"
        );
        assert_eq!(lacking.found, "workers lack `token`, the first for 2.5 s; one step waits for them");
        assert_eq!(check.status, Status::Warn);
        assert_eq!(
            check.found,
            "2 outside hosts are down, the first for 2.0 s: http://pay:80 (it answered 503); 2 steps wait for them"
        );
    }

    #[test]
    fn retention_is_behind_only_once_what_is_due_stays() {
        let standing = |holds, due, late_ms| Standing {
            turn: Turn { holder: WorkerId::new(), holds, policy: Policy::default() },
            pipelines: Vec::new(),
            due,
            more: false,
            late_ms,
        };
        for (standing, expected) in [
            (None, Status::Ok),
            (Some(standing(true, 0, None)), Status::Ok),
            (Some(standing(true, 9, Some(BEHIND_MS - 1))), Status::Ok),
            (Some(standing(true, 9, Some(BEHIND_MS))), Status::Warn),
            (Some(standing(false, 9, Some(BEHIND_MS))), Status::Warn),
            (Some(standing(false, 0, None)), Status::Ok),
        ] {
            assert_eq!(retention(standing.as_ref()).status, expected, "{standing:?}");
        }
    }
}
