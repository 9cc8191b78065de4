//! The database, as only this command looks at it: whether it answers at all, and the invariants.

use pawl_dispatch::doctor::Check;
use pawl_store as store;
use pawl_store::doctor::Violation;

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

    #[test]
    fn a_database_that_lets_nobody_in_is_not_brought_back_but_named_right() {
        let denied = store::Error::Denied("Postgres", "database \"pawn\" does not exist".into());
        let fix = |error: store::Error| away(&error.into()).fix.unwrap_or_default();
        assert!(fix(denied).contains("database_url"));
        assert!(fix(store::Error::Silent).contains("bring it back"));
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
