//! A span of time in the fields of a form: the last hour or so, or from one time on and before another.

use maud::{Markup, html};

use super::times::from_utc;

/// Spans to choose from: what stands in the address, what is read, ms.
const WITHIN: [(&str, &str, i64); 6] = [
    ("15m", "the last 15 minutes", 900_000),
    ("1h", "the last hour", 3_600_000),
    ("6h", "the last 6 hours", 21_600_000),
    ("1d", "the last day", 86_400_000),
    ("7d", "the last 7 days", 604_800_000),
    ("30d", "the last 30 days", 2_592_000_000),
];

/// What the fields say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span<'a> {
    pub(super) within: Option<&'a str>,
    pub(super) from: Option<&'a str>,
    pub(super) to: Option<&'a str>,
}

impl Span<'_> {
    /// From when on, and before when. What is no time is none.
    pub(super) fn times(&self, now_ms: i64) -> (Option<i64>, Option<i64>) {
        let within = WITHIN.iter().find(|(word, ..)| self.within == Some(*word));
        let from = self.from.and_then(from_utc).or_else(|| Some(now_ms - within?.2));
        (from, self.to.and_then(from_utc))
    }

    /// The fields, of when something was done: “Submitted”.
    pub(super) fn fields(&self, done: &str) -> Markup {
        html! {
            label { (done) " within"
                select name="within" {
                    option value="" { "any time" }
                    @for (word, said, _) in WITHIN {
                        option value=(word) selected[self.within == Some(word)] { (said) }
                    }
                }
            }
            label { "From, UTC" input type="datetime-local" name="from" value=[self.from] max="9999-12-31T23:59"; }
            label { "Before, UTC" input type="datetime-local" name="to" value=[self.to] max="9999-12-31T23:59"; }
        }
    }
}
