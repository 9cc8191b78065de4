//! Incidents: what lasts now, and how much has happened within a day.

use std::collections::BTreeMap;
use std::time::Duration;

use pawl_base::duration;
use pawl_domain::incident::Kind;
use pawl_store::incidents::IncidentRow;

use super::check::Check;

/// What is counted.
pub(super) const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Those that last, or have ended within [`DAY`], newest first.
pub(super) fn judge(rows: &[IncidentRow], now_ms: i64) -> Check {
    let lasts = |row: &&IncidentRow| row.span.lapsed(row.kind, now_ms).ended_ms.is_none();
    let lasting: Vec<&IncidentRow> = rows.iter().filter(lasts).collect();
    let check = match lasting.last() {
        None if rows.is_empty() => Check::ok("incidents", "none within a day"),
        None => Check::ok("incidents", format!("none lasts; within a day: {}", by_kind(rows))),
        Some(first) => Check::warn(
            "incidents",
            format!(
                "{}, the first for {}: {} ({})",
                if lasting.len() == 1 { "one lasts".to_owned() } else { format!("{} last", lasting.len()) },
                duration((now_ms - first.span.began_ms).max(0)),
                first.kind,
                first.subject
            ),
            "`pawl incidents` lists them; the other lines here say what to do",
        ),
    };
    check.figure("lasting", lasting.len()).figure("day", rows.len())
}

/// How many of each kind: `2 worker.died, 1 store.away`.
fn by_kind(rows: &[IncidentRow]) -> String {
    let mut counts = BTreeMap::<Kind, usize>::new();
    for row in rows {
        *counts.entry(row.kind).or_default() += 1;
    }
    counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;
    use pawl_domain::incident::{LAPSES_AFTER_MS, Span};

    fn row(kind: Kind, began_ms: i64, ended_ms: Option<i64>) -> IncidentRow {
        let span = Span { began_ms, seen_ms: ended_ms.unwrap_or(began_ms), ended_ms };
        IncidentRow { id: 1, kind, subject: "it".to_owned(), detail: String::new(), steps: None, span }
    }

    #[test]
    fn one_that_lasts_is_warned_of_and_those_of_a_day_are_counted() {
        let (died, away) = (row(Kind::WorkerDied, 1_000, Some(2_000)), row(Kind::StoreAway, 500, Some(900)));
        let open = row(Kind::CircuitOpened, 3_000, None);
        for (rows, status, found) in [
            (vec![], Status::Ok, "none within a day"),
            (
                vec![died.clone(), died.clone(), away.clone()],
                Status::Ok,
                "none lasts; within a day: 1 store.away, 2 worker.died",
            ),
            (vec![open.clone(), died], Status::Warn, "one lasts, the first for 1.0 s: circuit.opened (it)"),
            (
                vec![open, row(Kind::QueueAway, 2_000, None)],
                Status::Warn,
                "2 last, the first for 2.0 s: queue.away (it)",
            ),
        ] {
            let check = judge(&rows, 4_000);
            assert_eq!((check.status, check.found.as_str()), (status, found), "{rows:?}");
        }
        let unseen = row(Kind::WorkersNone, 0, None);
        assert_eq!(judge(&[unseen], LAPSES_AFTER_MS + 1).status, Status::Ok, "nobody has seen it for long");
    }
}
