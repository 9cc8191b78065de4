//! The database: whether it answers and has the schema, its sessions and transactions, and the invariants.

use pawl_store as store;
use pawl_store::doctor::{Condition, Violation};

use super::check::Check;
use crate::output::{duration, size};

/// Of the sessions that the server has.
const NEARLY_ALL: f64 = 0.80;
const ALL: f64 = 0.97;

/// A transaction that is open for longer keeps what is deleted meanwhile.
const LONG_MS: u64 = 3_600_000;

/// How many violations are told one by one.
const TOLD: usize = 20;

/// It does not answer, or answers that it lets nobody in.
pub(super) fn away(error: &anyhow::Error) -> Check {
    let fix = match error.downcast_ref::<store::Error>() {
        Some(store::Error::Unsafe(_, fix, _)) => *fix,
        Some(error) if error.is_denied() => {
            "correct user, password or name of the database in database_url; `pawl config client` tells where that comes from"
        }
        _ => "bring it back: without it nothing is accepted, and nothing moves; nothing is lost",
    };
    Check::fail("database", format!("{error:#}"), fix)
}

pub(super) fn schema(checked: store::Result<()>) -> Check {
    match checked {
        Ok(()) => Check::ok("schema", "this build works with it"),
        Err(store::Error::Schema { found, needed }) if found > needed => Check::warn(
            "schema",
            format!("it is newer ({found}) than what this build works with ({needed})"),
            "look with the newer build; processes of this one do not start on it",
        )
        .figure("found", found)
        .figure("needed", needed),
        Err(error) => Check::fail("schema", error.chain(), "run `pawl migrate` of the build that you want to run"),
    }
}

pub(super) fn condition(found: &Condition) -> Vec<Check> {
    let mut checks = vec![
        Check::ok("database", format!("it answers; {} on its disk", size(found.size_bytes)))
            .figure("size_bytes", found.size_bytes),
    ];
    if let Some((used, most)) = found.sessions {
        let told = format!("{used} of {most} are in use");
        let fix = "raise max_connections of the server, or lower database_connections of the roles";
        let check = match f64::from(used) / f64::from(most.max(1)) {
            ALL.. => Check::fail("connections", told, fix),
            NEARLY_ALL.. => Check::warn("connections", told, fix),
            _ => Check::ok("connections", told),
        };
        checks.push(check.figure("used", used).figure("most", most));
    }
    if let Some(open_ms) = found.oldest_transaction_ms.filter(|open_ms| *open_ms >= LONG_MS) {
        let open = duration(i64::try_from(open_ms).unwrap_or(i64::MAX));
        let check = Check::warn(
            "transactions",
            format!("one has been open for {open}: what is deleted meanwhile stays on the disk, and is walked over"),
            "find it in pg_stat_activity by xact_start, and end it",
        );
        checks.push(check.figure("oldest_ms", open_ms));
    }
    checks
}

pub(super) fn invariants(violations: &[Violation]) -> Vec<Check> {
    if violations.is_empty() {
        return vec![Check::ok("invariants", "all invariants hold")];
    }
    let told = violations.iter().take(TOLD).map(|violation| {
        let fix = "this is a bug, or a hand in the tables: keep a dump, and tell it with `pawl run report RUN`";
        Check::fail("invariants", violation.what.clone(), fix).of(violation.invariant.to_string())
    });
    let mut checks: Vec<Check> = told.collect();
    if violations.len() > TOLD {
        let found = format!("{} more are broken", violations.len() - TOLD);
        checks.push(Check::fail("invariants", found, "-o json lists all of them"));
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::check::Status;

    #[test]
    fn sessions_that_run_out_are_told_before_they_have() {
        let with = |used| Condition { sessions: Some((used, 100)), size_bytes: 5 << 20, ..Condition::default() };
        for (used, expected) in [(79, Status::Ok), (80, Status::Warn), (97, Status::Fail)] {
            let checks = condition(&with(used));
            assert_eq!((checks[0].found.as_str(), checks[1].status), ("it answers; 5.0 MiB on its disk", expected));
        }
        assert_eq!(condition(&Condition::default()).len(), 1, "a file has no sessions");
        let held = Condition { oldest_transaction_ms: Some(LONG_MS), ..with(1) };
        assert_eq!(condition(&held)[2].status, Status::Warn);
    }

    #[test]
    fn a_database_that_lets_nobody_in_is_not_brought_back_but_named_right() {
        let denied = store::Error::Denied("Postgres", "database \"pawn\" does not exist".into());
        let fix = |error: store::Error| away(&error.into()).fix.unwrap_or_default();
        assert!(fix(denied).contains("database_url"));
        assert!(fix(store::Error::Silent).contains("bring it back"));
    }

    #[test]
    fn a_database_without_a_schema_says_so_and_what_makes_one() {
        let check = schema(Err(store::Error::Schema { found: 0, needed: 4 }));
        assert_eq!(
            (check.status, check.found.as_str()),
            (Status::Fail, "the database has no schema yet: run `pawl migrate`")
        );
    }

    #[test]
    fn a_schema_that_is_older_fails_and_a_newer_one_is_looked_at() {
        assert_eq!(schema(Ok(())).status, Status::Ok);
        let other = |found, needed| schema(Err(store::Error::Schema { found, needed })).status;
        assert_eq!((other(3, 4), other(5, 4)), (Status::Fail, Status::Warn));
    }

    #[test]
    fn broken_invariants_are_told_one_by_one_up_to_a_page() {
        assert_eq!(invariants(&[])[0].found, "all invariants hold");
        let broken: Vec<Violation> =
            (0..25).map(|number| Violation { invariant: 4, what: format!("step {number}") }).collect();
        let checks = invariants(&broken);
        assert_eq!((checks.len(), checks[0].name().as_str()), (TOLD + 1, "invariants 4"));
        assert_eq!(checks[TOLD].found, "5 more are broken");
    }
}
