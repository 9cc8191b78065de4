//! What no index tells of runs is looked for in those that one does tell: in so many of them at a time. What is found may be less
//! than a page, or nothing; where the next look begins, and how far this one went, is part of the answer.

use std::ops::RangeInclusive;

use pawl_store::runs::RunRow;

use super::ListParams;
use crate::problem::Result;
use crate::types::{Problem, RunList, RunSummary};

/// Runs that one request looks at.
pub(super) const LOOKED_AT: u32 = 1_000;

/// Their steps, of which each is read where errors are looked for; one run is looked at, however many it has.
const STEPS: u32 = 20_000;

/// Digits of a digest that say which version is meant.
const DIGITS: RangeInclusive<usize> = 6..=64;

/// What is wanted of a run besides what the store was asked for.
pub(super) struct Picked {
    version: Option<String>,
    key_prefix: Option<String>,
    error: Option<String>,
    since_ms: Option<i64>,
    until_ms: Option<i64>,
}

impl Picked {
    pub(super) fn of(params: &ListParams) -> Result<Self> {
        if let Some(digits) = &params.version
            && !(DIGITS.contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
        {
            // Nothing would be found, after a look through all runs.
            return Err(Problem::bad_request(format!(
                "`version` is how the digest of a pipeline's version begins, with {} hexadecimal digits at least, not {digits:?}",
                DIGITS.start()
            )));
        }
        // By time, the store lists runs of a state; those that somebody may look after it lists by other keys.
        let by_time = params.status.is_some_and(|status| status.plain().is_none());
        Ok(Self {
            version: params.version.as_ref().map(|digits| digits.to_ascii_lowercase()),
            key_prefix: params.key_prefix.clone().filter(|prefix| !prefix.is_empty()),
            error: params.error.clone().filter(|text| !text.is_empty()),
            since_ms: params.since_ms.filter(|_| by_time),
            until_ms: params.until_ms.filter(|_| by_time),
        })
    }

    /// Whether runs have to be looked through.
    pub(super) fn is_any(&self) -> bool {
        let Self { version, key_prefix, error, since_ms, until_ms } = self;
        version.is_some() || key_prefix.is_some() || error.is_some() || since_ms.is_some() || until_ms.is_some()
    }

    /// What is looked for in errors, as it stands in their JSON.
    pub(super) fn error(&self) -> Option<Vec<u8>> {
        let text = serde_json::to_string(self.error.as_ref()?).unwrap_or_default();
        Some(text.get(1..text.len().saturating_sub(1)).unwrap_or_default().as_bytes().to_vec())
    }

    /// Whether a run may be one, its errors aside.
    pub(super) fn means(&self, row: &RunRow) -> bool {
        let key = row.idempotency_key.as_deref();
        self.version.as_ref().is_none_or(|digits| row.pipeline_digest.to_string().starts_with(digits))
            && self.key_prefix.as_ref().is_none_or(|prefix| key.is_some_and(|key| key.starts_with(prefix)))
            && self.since_ms.is_none_or(|since| row.created_at_ms >= since)
            && self.until_ms.is_none_or(|until| row.created_at_ms < until)
    }
}

/// A run that is looked at, and what `before` is for those after it.
pub(super) struct Looked {
    pub(super) row: RunRow,
    pub(super) place: String,
}

/// Those that are looked at where errors are looked for: as many as have so many steps together. And whether they are all.
pub(super) fn within_steps(picked: &Picked, mut looked: Vec<Looked>, are_all: bool) -> (Vec<Looked>, bool) {
    if picked.error.is_none() {
        return (looked, are_all);
    }
    let mut steps = 0_u32;
    let over = looked.iter().position(|it| {
        steps = steps.saturating_add(it.row.step_count);
        steps > STEPS
    });
    // One at least.
    let most = over.unwrap_or(looked.len()).max(1);
    let are_all = are_all && looked.len() <= most;
    looked.truncate(most);
    (looked, are_all)
}

/// A page of those that are meant.
pub(super) fn page(looked: Vec<Looked>, are_all: bool, limit: usize, is_meant: impl Fn(&RunRow) -> bool) -> RunList {
    let mut list = RunList { runs: Vec::new(), next: None, looked_at: Some(0), looked_to_ms: None };
    let (mut last, mut are_more) = (None, !are_all);
    let mut seen = 0;
    for Looked { row, place } in looked {
        if list.runs.len() == limit {
            are_more = true;
            break;
        }
        seen += 1;
        (last, list.looked_to_ms) = (Some(place), Some(row.created_at_ms));
        if is_meant(&row) {
            list.runs.push(RunSummary::from(row));
        }
    }
    RunList { next: last.filter(|_| are_more), looked_at: Some(seen), ..list }
}

#[cfg(test)]
mod tests {
    use pawl_domain::id::{Digest, RunId};
    use pawl_domain::status::RunStatus;

    use super::*;

    fn looked(number: u32) -> Looked {
        let row = RunRow {
            id: RunId(uuid::Uuid::from_u128(number.into())),
            pipeline_digest: Digest::of(&[u8::try_from(number % 2).unwrap()]),
            step_count: 9_000,
            idempotency_key: number.is_multiple_of(3).then(|| format!("order-{number}")),
            created_at_ms: 1_000 - i64::from(number),
            ..RunRow::example(RunStatus::Failed)
        };
        Looked { place: number.to_string(), row }
    }

    fn any() -> Picked {
        Picked { version: None, key_prefix: None, error: None, since_ms: None, until_ms: None }
    }

    fn found(picked: &Picked, are_all: bool, limit: usize) -> (Vec<i64>, Option<String>, Option<u32>, Option<i64>) {
        let list = page((0..10).map(looked).collect(), are_all, limit, |row| picked.means(row));
        let runs = list.runs.iter().map(|run| 1_000 - run.created_at_ms).collect();
        (runs, list.next, list.looked_at, list.looked_to_ms)
    }

    #[test]
    fn a_page_says_how_far_it_has_looked_and_where_the_next_look_begins() {
        let keyed = Picked { key_prefix: Some("order-".to_owned()), ..any() };
        assert!(keyed.is_any() && !any().is_any());
        assert_eq!(found(&keyed, true, 9), (vec![0, 3, 6, 9], None, Some(10), Some(991)));
        assert_eq!(found(&keyed, false, 9), (vec![0, 3, 6, 9], Some("9".into()), Some(10), Some(991)));
        assert_eq!(found(&keyed, true, 2), (vec![0, 3], Some("3".into()), Some(4), Some(997)), "it is full");
        let none = Picked { key_prefix: Some("bill-".to_owned()), ..any() };
        assert_eq!(found(&none, false, 9), (vec![], Some("9".into()), Some(10), Some(991)), "older ones may be");
        assert_eq!(found(&any(), true, 10).1, None, "as many as fit are all");
    }

    #[test]
    fn versions_are_meant_by_their_first_digits_and_times_as_they_are_told() {
        let digits = Digest::of(&[1]).to_string()[..8].to_owned();
        let odd = Picked { version: Some(digits), ..any() };
        assert_eq!(found(&odd, true, 9).0, [1, 3, 5, 7, 9]);
        let between = Picked { since_ms: Some(996), until_ms: Some(999), ..any() };
        assert_eq!(found(&between, true, 9).0, [2, 3, 4]);
    }

    #[test]
    fn errors_are_looked_for_as_they_are_written_and_in_so_many_steps() {
        let quoted = Picked { error: Some("no \"row\"\n".to_owned()), ..any() };
        assert_eq!(quoted.error().as_deref(), Some(&br#"no \"row\"\n"#[..]));
        let (two, are_all) = within_steps(&quoted, (0..10).map(looked).collect(), true);
        assert_eq!((two.len(), are_all), (2, false), "18,000 steps");
        let (one, are_all) = within_steps(&quoted, vec![looked(1)], true);
        assert_eq!((one.len(), are_all), (1, true));
        assert_eq!(within_steps(&any(), (0..10).map(looked).collect(), true).0.len(), 10);
    }
}
