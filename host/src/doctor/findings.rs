//! All that was found, as people and programs read it.

use pawl_dispatch::doctor::{Check, Status, worst};
use pawl_store::doctor::Violation;
use serde::Serialize;

use crate::output::{Answer, Table};

/// What `pawl doctor` found.
#[derive(Debug, Serialize)]
pub(super) struct Findings {
    /// The worst of all.
    pub(super) status: Status,
    /// In the order in which they are told.
    pub(super) checks: Vec<Check>,
    /// Invariants that are broken, all of them.
    violations: Vec<Violation>,
    /// Queues with ready steps and without a live worker.
    unserved_queues: Vec<String>,
}

impl Findings {
    pub(super) fn new(checks: Vec<Check>, violations: Vec<Violation>, unserved_queues: Vec<String>) -> Self {
        Self { status: worst(&checks), checks, violations, unserved_queues }
    }

    fn summary(&self) -> String {
        let counted = [Status::Fail, Status::Warn, Status::Unknown, Status::Ok].map(|status| {
            let count = self.checks.iter().filter(|check| check.status == status).count();
            (count > 0).then(|| format!("{count} {}", status.as_str()))
        });
        counted.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

impl Answer for Findings {
    /// The checks that are not as they should be.
    fn ids(&self) -> Vec<String> {
        self.checks.iter().filter(|check| check.status >= Status::Warn).map(Check::name).collect()
    }

    fn text(&self) -> String {
        let mut table = Table::new(["", "CHECK", "FOUND"]);
        for check in &self.checks {
            table.row([check.status.as_str().to_owned(), check.name(), check.found.clone()]);
            if let Some(fix) = &check.fix {
                table.row([String::new(), String::new(), format!("-> {fix}")]);
            }
        }
        format!("{table}\n{}\n", self.summary())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_is_what_it_comes_to_and_what_is_unknown_is_not_wrong() {
        let of = |checks: Vec<Check>| Findings::new(checks, Vec::new(), Vec::new());
        let unknown = of(vec![Check::ok("a", "well"), Check::unknown("b", "forbidden")]);
        assert_eq!((unknown.status, unknown.summary().as_str()), (Status::Ok, "1 unknown, 1 ok"));
        let failed =
            of(vec![Check::fail("a", "stands", "do").of("x"), Check::warn("b", "slow", "see"), Check::ok("c", "ok")]);
        assert_eq!((failed.status, failed.ids()), (Status::Fail, vec!["a x".to_owned(), "b".to_owned()]));
        assert_eq!(failed.summary(), "1 fail, 1 warn, 1 ok");
    }

    #[test]
    fn a_line_has_its_fix_below_it() {
        let findings = Findings::new(
            vec![Check::ok("schema", "it fits"), Check::fail("queue", "stands", "start one").of("gpu")],
            Vec::new(),
            Vec::new(),
        );
        assert_eq!(
            findings.text(),
            "      CHECK      FOUND\nok    schema     it fits\nfail  queue gpu  stands\n                 -> start one\n\n1 fail, 1 ok\n"
        );
    }
}
