//! The database: whether it has the schema, its sessions and transactions.

use pawl_base::{duration, size};
use pawl_store as store;
use pawl_store::doctor::Condition;

use super::check::Check;

/// Of the sessions that the server has.
const NEARLY_ALL: f64 = 0.80;
const ALL: f64 = 0.97;

/// A transaction that is open for longer keeps what is deleted meanwhile.
const LONG_MS: u64 = 3_600_000;

/// Whether this build works with it.
#[must_use]
pub fn schema(checked: store::Result<()>) -> Check {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;

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
}
