//! Retention: how long the history of a run that has ended is kept. A pipeline's own words go before what holds for all;
//! what has not ended, and what a person keeps, never goes. Pure.
//!
//! ```text
//!   submitted ───── ended ────────────── due ──▶ gone
//!                     └── a term, by outcome ──┘
//! ```

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::pipeline_file::parse_duration_ms;
use super::status::RunStatus;

/// The word for what is kept for ever, in settings and pipelines.
pub const KEEP: &str = "keep";

/// The longest term, ms: a hundred years, so that no time that it is taken from goes below any clock's.
pub const LONGEST_MS: u64 = 100 * 365 * DAY_MS;

const DAY_MS: u64 = 86_400_000;

/// How long after its end a run is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Term {
    /// So many ms.
    #[serde(rename = "ms")]
    Ms(u64),
    /// For ever.
    #[serde(rename = "keep")]
    Keep,
}

impl Term {
    /// So many days.
    #[must_use]
    pub const fn days(days: u64) -> Self {
        Self::Ms(days * DAY_MS)
    }

    /// In ms; none if it has no end.
    #[must_use]
    pub fn ms(self) -> Option<u64> {
        match self {
            Self::Ms(ms) => Some(ms),
            Self::Keep => None,
        }
    }
}

/// As somebody writes it: a duration such as `12h` or `30d`, or `keep`.
impl std::str::FromStr for Term {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == KEEP {
            return Ok(Self::Keep);
        }
        match parse_duration_ms(text) {
            Ok(ms) if ms <= LONGEST_MS => Ok(Self::Ms(ms)),
            Ok(_) => Err("that is longer than a hundred years; write `keep` for what is never deleted".to_owned()),
            Err(rule) => Err(format!("{rule}; or `keep` for what is never deleted")),
        }
    }
}

/// In the largest unit that has it whole.
impl std::fmt::Display for Term {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self::Ms(ms) = *self else { return f.write_str(KEEP) };
        let units = [("d", DAY_MS), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
        match units.into_iter().find(|(_, size)| ms > 0 && ms % size == 0) {
            Some((unit, size)) => write!(f, "{}{unit}", ms / size),
            None => write!(f, "{ms}ms"),
        }
    }
}

/// What a pipeline says of its own runs; what it leaves out is as for all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// Of runs that have succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succeeded: Option<Term>,
    /// Of those that have failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Term>,
    /// Of those that were cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled: Option<Term>,
}

impl Retention {
    /// One term for all outcomes.
    #[must_use]
    pub fn of_all(term: Term) -> Self {
        Self { succeeded: Some(term), failed: Some(term), cancelled: Some(term) }
    }

    /// Whether it says nothing.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What holds for all pipelines that say nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Of runs that have succeeded.
    pub succeeded: Term,
    /// Of those that have failed.
    pub failed: Term,
    /// Of those that were cancelled.
    pub cancelled: Term,
    /// How long a version that nothing names stays.
    pub grace: Duration,
    /// Of lines of the record of changes, after they were written.
    pub audit: Term,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            succeeded: Term::days(7),
            failed: Term::days(30),
            cancelled: Term::days(30),
            grace: Duration::from_millis(7 * DAY_MS),
            audit: Term::days(365),
        }
    }
}

/// How a run may have ended.
pub const OUTCOMES: [RunStatus; 3] = [RunStatus::Succeeded, RunStatus::Failed, RunStatus::Cancelled];

impl Policy {
    /// How long a run is kept that has ended so; none has a term that has not ended.
    #[must_use]
    pub fn term(&self, of_pipeline: &Retention, status: RunStatus) -> Term {
        let (said, usual) = match status {
            RunStatus::Succeeded => (of_pipeline.succeeded, self.succeeded),
            RunStatus::Failed => (of_pipeline.failed, self.failed),
            RunStatus::Cancelled => (of_pipeline.cancelled, self.cancelled),
            RunStatus::Pending | RunStatus::Running => (None, Term::Keep),
        };
        said.unwrap_or(usual)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_is_read_and_told_as_people_write_it() {
        for (text, term, told) in [
            ("7d", Term::days(7), "7d"),
            ("36h", Term::Ms(36 * 3_600_000), "36h"),
            ("48h", Term::days(2), "2d"),
            ("1500ms", Term::Ms(1_500), "1500ms"),
            ("0s", Term::Ms(0), "0ms"),
            ("keep", Term::Keep, "keep"),
        ] {
            assert_eq!(text.parse(), Ok(term), "{text}");
            assert_eq!(term.to_string(), told);
        }
        for (text, rule) in
            [("7", "say the unit"), ("", "`keep`"), ("forever", "`keep`"), ("99999d", "a hundred years")]
        {
            let error = text.parse::<Term>().expect_err(text);
            assert!(error.contains(rule), "{text}: {error}");
        }
    }

    #[test]
    fn a_pipelines_own_word_goes_first_and_what_has_not_ended_stays() {
        let policy = Policy::default();
        let said = Retention { succeeded: Some(Term::Ms(1)), failed: Some(Term::Keep), cancelled: None };
        for (retention, status, term) in [
            (Retention::default(), RunStatus::Succeeded, Term::days(7)),
            (Retention::default(), RunStatus::Failed, Term::days(30)),
            (Retention::default(), RunStatus::Cancelled, Term::days(30)),
            (said, RunStatus::Succeeded, Term::Ms(1)),
            (said, RunStatus::Failed, Term::Keep),
            (said, RunStatus::Cancelled, Term::days(30)),
            (Retention::of_all(Term::Ms(0)), RunStatus::Pending, Term::Keep),
            (Retention::of_all(Term::Ms(0)), RunStatus::Running, Term::Keep),
        ] {
            assert_eq!(policy.term(&retention, status), term, "{status}");
        }
        assert!(Term::Ms(u64::MAX) < Term::Keep, "the shortest comes first");
    }

    #[test]
    fn what_a_pipeline_says_is_kept_as_it_was_said() {
        let said = Retention { succeeded: Some(Term::days(1)), failed: Some(Term::Keep), cancelled: None };
        let json = serde_json::to_string(&said).expect("JSON");
        assert_eq!(json, r#"{"succeeded":{"ms":86400000},"failed":"keep"}"#);
        assert_eq!(serde_json::from_str::<Retention>(&json).expect("read"), said);
    }
}
