//! The record of changes over HTTP. A run, a namespace and a time are found by the numbers of lines; by whom and for what, no index
//! tells: that is looked for in a bounded number of lines, and the answer says how far that went. However long the record is, a
//! request reads a thousand lines of it, and some to find a time.

use std::sync::LazyLock;

use axum::Json;
use axum::extract::Extension;
use axum::http::HeaderMap;
use pawl_domain::id::RunId;
use pawl_domain::pipeline_file::closest;
use pawl_store::audit::{AuditFilter, AuditRow};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::access::Caller;
use crate::problem::Result;
use crate::request::Params;
use crate::routes;
use crate::types::{Change, ChangeList, Problem};
use crate::whose::{Scoped, named};

/// Lines on a page, unless the client says otherwise, and at most.
const PAGE: u32 = 50;
const LONGEST_PAGE: u32 = 1_000;

/// Lines that one request looks at.
const LOOKED_AT: u32 = 1_000;

/// How far times may be from the order of numbers: lines that are written at the same time are, and after a clock was set.
const SLACK_MS: i64 = 60_000;

/// The names of all operations whose requests leave a line, in their order.
static RECORDED: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let all = routes::all().into_iter().flat_map(|(_, routes)| routes);
    let mut names: Vec<&str> = all.filter(crate::route::Route::is_recorded).map(|route| route.id).collect();
    names.sort_unstable();
    names
});

/// What a line of the record of changes may be about: the names of operations, in their order.
#[must_use]
pub fn recorded_operations() -> &'static [&'static str] {
    &RECORDED
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListParams {
    /// Only changes of this run.
    run: Option<RunId>,
    /// Only changes that were asked for with the token of this name, as the list tells it: a token of one namespace with that before
    /// it, as in `team-a/ci`. They are looked for, see `looked_at`.
    who: Option<String>,
    /// Only changes of this kind, by the name of the operation in this document; they are looked for, see `looked_at`.
    #[schemars(extend("enum" = recorded_operations()))]
    what: Option<String>,
    /// Only changes that were asked for at this time or later, ms since 1970.
    since_ms: Option<i64>,
    /// Only changes that were asked for before this time, ms since 1970.
    until_ms: Option<i64>,
    /// Only changes before this one: `next` of the page before.
    before: Option<u64>,
    /// How many: 50 if nothing is said, and 1,000 at most, whatever is said.
    limit: Option<u32>,
}

/// With a token of one namespace those of it; with one of all, those of the namespace that it names, or all.
pub(crate) async fn list(
    Scoped(state): Scoped,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Params(params): Params<ListParams>,
) -> Result<Json<ChangeList>> {
    let limit = params.limit.unwrap_or(PAGE).clamp(1, LONGEST_PAGE);
    let picked = Picked::of(&params)?;
    let mut before = params.before.map_or(i64::MAX, |before| i64::try_from(before).unwrap_or(i64::MAX));
    if let Some(until_ms) = picked.until_ms {
        before = before.min(state.store.change_since(until_ms.saturating_add(SLACK_MS)).await?);
    }
    let most = if picked.is_any() { LOOKED_AT } else { limit + 1 };
    let namespace = caller.namespace.or(named(&headers)?);
    let filter = AuditFilter { namespace: namespace.as_ref(), run: params.run, before: Some(before), limit: most };
    let rows = state.store.audit(filter).await?;
    let are_all = rows.len() < most as usize;
    Ok(Json(picked.page(rows, are_all, limit as usize)))
}

/// What is wanted of a line besides what the store was asked for.
#[derive(Debug, Default)]
struct Picked {
    who: Option<String>,
    what: Option<String>,
    since_ms: Option<i64>,
    until_ms: Option<i64>,
}

impl Picked {
    fn of(params: &ListParams) -> Result<Self> {
        let said = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let ListParams { since_ms, until_ms, .. } = *params;
        let what = said(&params.what);
        match what.as_deref().filter(|what| !RECORDED.contains(what)) {
            // To find nothing after a look through all of the record would tell nobody of the slip.
            Some(wrong) => Err(Problem::bad_request(unknown(wrong))),
            None => Ok(Self { who: said(&params.who), what, since_ms, until_ms }),
        }
    }

    /// Whether any lines that the store gives may be left out.
    fn is_any(&self) -> bool {
        self.is_looked_for() || self.since_ms.is_some() || self.until_ms.is_some()
    }

    /// Whether lines have to be looked through.
    fn is_looked_for(&self) -> bool {
        self.who.is_some() || self.what.is_some()
    }

    fn means(&self, row: &AuditRow) -> bool {
        self.who.as_ref().is_none_or(|who| row.asked.who.as_ref() == Some(who))
            && self.what.as_ref().is_none_or(|what| row.asked.what == *what)
            && self.since_ms.is_none_or(|since_ms| row.at_ms >= since_ms)
            && self.until_ms.is_none_or(|until_ms| row.at_ms < until_ms)
    }

    /// Whether this line, and so each before it, is too old.
    fn is_past(&self, row: &AuditRow) -> bool {
        self.since_ms.is_some_and(|since_ms| row.at_ms < since_ms.saturating_sub(SLACK_MS))
    }

    /// A page of those that are meant, of lines from the newest on.
    fn page(&self, rows: Vec<AuditRow>, are_all: bool, limit: usize) -> ChangeList {
        let (mut changes, mut last, mut looked_at, mut are_more) = (Vec::new(), None, 0, !are_all);
        for row in rows {
            if self.is_past(&row) {
                are_more = false;
                break;
            }
            if changes.len() == limit {
                are_more = true;
                break;
            }
            looked_at += 1;
            last = Some((row.id, row.at_ms));
            if self.means(&row) {
                changes.push(Change::from(row));
            }
        }
        let is_told = self.is_looked_for();
        ChangeList {
            changes,
            next: last.filter(|_| are_more).map(|(id, _)| id),
            looked_at: is_told.then_some(looked_at),
            looked_to_ms: last.filter(|_| is_told).map(|(_, at_ms)| at_ms),
        }
    }
}

/// Why a kind of change is none.
fn unknown(what: &str) -> String {
    let meant = closest(what, RECORDED.iter().copied());
    let meant = meant.map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
    format!("`what` is the name of an operation that leaves a line, like `cancelRun`, not {what:?}{meant}")
}

#[cfg(test)]
mod tests {
    use pawl_store::audit::Asked;

    use super::*;

    /// Ten lines, a second apart, of two people in turn; each third is a cancellation.
    fn lines() -> Vec<AuditRow> {
        let line = |number: i64| AuditRow {
            id: 100 - number,
            at_ms: 1_000_000 - number * 1_000,
            asked: Asked {
                who: Some(if number % 2 == 0 { "ada" } else { "team-a/ci" }.to_owned()),
                source: "::1".to_owned(),
                what: if number % 3 == 0 { "cancelRun" } else { "retryRun" }.to_owned(),
                target: "/".to_owned(),
                run: None,
                namespace: None,
            },
            subject: None,
            status: Some(200),
        };
        (0..10).map(line).collect()
    }

    fn found(picked: &Picked, are_all: bool, limit: usize) -> (Vec<i64>, Option<i64>, Option<u32>, Option<i64>) {
        let list = picked.page(lines(), are_all, limit);
        let changes = list.changes.iter().map(|change| 100 - change.id).collect();
        (changes, list.next.map(|next| 100 - next), list.looked_at, list.looked_to_ms)
    }

    #[test]
    fn a_page_says_how_far_it_has_looked_and_where_the_next_look_begins() {
        let cancelled = Picked { what: Some("cancelRun".to_owned()), ..Picked::default() };
        assert_eq!(found(&cancelled, true, 9), (vec![0, 3, 6, 9], None, Some(10), Some(991_000)));
        assert_eq!(found(&cancelled, false, 9), (vec![0, 3, 6, 9], Some(9), Some(10), Some(991_000)));
        assert_eq!(found(&cancelled, true, 2), (vec![0, 3], Some(3), Some(4), Some(997_000)), "it is full");
        let both = Picked { who: Some("team-a/ci".to_owned()), ..cancelled };
        assert_eq!(found(&both, true, 9).0, [3, 9]);
        let nobody = Picked { who: Some("ci".to_owned()), ..Picked::default() };
        assert_eq!(found(&nobody, false, 9), (vec![], Some(9), Some(10), Some(991_000)), "older ones may be");
        assert_eq!(
            found(&Picked::default(), true, 10),
            ((0..10).collect(), None, None, None),
            "as many as fit are all"
        );
        assert_eq!(found(&Picked::default(), true, 9), ((0..9).collect(), Some(8), None, None));
    }

    #[test]
    fn times_are_meant_as_they_are_told_and_what_is_much_older_ends_the_look() {
        let between = Picked { since_ms: Some(996_000), until_ms: Some(999_000), ..Picked::default() };
        assert_eq!(found(&between, false, 9), (vec![2, 3, 4], Some(9), None, None), "an order may be another");
        let much_later = Picked { since_ms: Some(995_000 + SLACK_MS), ..Picked::default() };
        assert_eq!(found(&much_later, false, 9), (vec![], None, None, None), "none is left");
        let extremes = Picked { since_ms: Some(i64::MIN), until_ms: Some(i64::MAX), ..Picked::default() };
        assert_eq!(found(&extremes, true, 99).0.len(), 10);
    }

    #[test]
    fn a_slip_in_an_operations_name_is_told() {
        let of = |what: &str| Picked::of(&ListParams { what: Some(what.to_owned()), ..ListParams::default() });
        assert_eq!(of("cancelRun").expect("it is one").what.as_deref(), Some("cancelRun"));
        assert!(!of("").expect("nothing is said").is_any());
        for (wrong, says) in [("canselRun", "did you mean `cancelRun`?"), ("listRuns", "not \"listRuns\"")] {
            let problem = of(wrong).expect_err("it leaves none");
            assert!(problem.status == 400 && problem.detail.contains(says), "{}", problem.detail);
        }
    }
}
