//! Finds the values of secrets in texts that leave the host, and puts their names there. A value is found as it is, and as people and
//! programs write it on their way to a log: with line breaks and blanks after them inside, escaped as in JSON (once or several
//! times), percent-encoded, in Base64 of whatever stands around it, and in hexadecimal digits; of one with several lines each
//! long one by itself.
//!
//! The text is looked at through *views*, in which escapes are what they stand for and line breaks are gone; each byte of a view
//! knows where it stands in the text. Who takes a value apart can tell it all the same: this is against carelessness, and what a
//! step must not know it is not given ([`super::grant`]).

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;

use encodings::{base64, hexadecimal};
use view::View;

mod encodings;
mod view;

/// What is shorter is looked for only as it is: its encodings would be found everywhere.
const LEAST_ENCODED: usize = 5;

/// A line of a value that is looked for by itself, bytes; and how many lines of one.
const LEAST_LINE: usize = 8;
const MOST_LINES: usize = 200;

/// What is looked for, by the name of its secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Redaction(Vec<Sought>);

#[derive(Clone, PartialEq, Eq)]
struct Sought {
    name: String,
    /// As it stands in the text itself.
    whole: Vec<u8>,
    /// As it stands in a view.
    parts: BTreeSet<Vec<u8>>,
}

/// Only the name.
impl std::fmt::Debug for Sought {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.name.fmt(f)
    }
}

impl Redaction {
    /// Looks for these values, each with the name of its secret. An empty one is no value.
    pub fn of<'a>(values: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self(
            values
                .into_iter()
                .filter(|(_, value)| !value.is_empty())
                .map(|(name, value)| sought(name, value))
                .collect(),
        )
    }

    /// The text with every value in it replaced by what `told` makes of its name.
    #[must_use]
    pub fn apply<'a>(&self, text: &'a str, told: impl Fn(&str) -> String) -> Cow<'a, str> {
        match self.apply_to_bytes(text.as_bytes(), told) {
            None => Cow::Borrowed(text),
            // What is found begins and ends with signs, as values do.
            Some(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        }
    }

    /// The same of bytes; `None` if there is none in them.
    #[must_use]
    pub fn apply_to_bytes(&self, text: &[u8], told: impl Fn(&str) -> String) -> Option<Vec<u8>> {
        let found = self.found(text);
        if found.is_empty() {
            return None;
        }
        let (mut redacted, mut from) = (Vec::with_capacity(text.len()), 0);
        for (range, name) in found {
            redacted.extend_from_slice(&text[from..range.start]);
            redacted.extend_from_slice(told(name).as_bytes());
            from = range.end;
        }
        redacted.extend_from_slice(&text[from..]);
        Some(redacted)
    }

    /// Whether nothing is looked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a value is part of this.
    #[must_use]
    pub fn is_in(&self, text: &[u8]) -> bool {
        !self.found(text).is_empty()
    }

    /// Where values stand, in their order, and none within another.
    fn found(&self, text: &[u8]) -> Vec<(Range<usize>, &str)> {
        if self.0.is_empty() || text.is_empty() {
            return Vec::new();
        }
        let mut found: Vec<(Range<usize>, &str)> = Vec::new();
        for sought in &self.0 {
            found.extend(all(text, &sought.whole).map(|at| (at..at + sought.whole.len(), sought.name.as_str())));
        }
        let unescaped = View::unescaped(text);
        let decoded = unescaped.percent_decoded();
        // What was encoded twice.
        let twice = decoded.as_ref().and_then(View::percent_decoded);
        for view in [Some(&unescaped), decoded.as_ref(), twice.as_ref()].into_iter().flatten() {
            for sought in &self.0 {
                for part in &sought.parts {
                    let places = all(&view.bytes, part).map(|at| view.place(at..at + part.len()));
                    found.extend(places.map(|place| (place, sought.name.as_str())));
                }
            }
        }
        merged(found)
    }
}

fn sought(name: &str, value: &str) -> Sought {
    let plain = |text: &str| View::unescaped(text.trim().as_bytes()).bytes;
    let mut parts = BTreeSet::from([plain(value)]);
    let lines = value.lines().map(str::trim).filter(|line| line.len() >= LEAST_LINE);
    parts.extend(lines.take(MOST_LINES).map(plain));
    if value.contains(' ') {
        parts.insert(plain(&value.replace(' ', "+")));
    }
    if value.len() >= LEAST_ENCODED {
        for text in [value, value.trim()] {
            parts.extend(base64(text.as_bytes()));
            parts.extend(hexadecimal(text.as_bytes()));
        }
    }
    parts.remove(&Vec::new());
    Sought { name: name.to_owned(), whole: value.as_bytes().to_vec(), parts }
}

/// Where `part` stands.
fn all<'a>(text: &'a [u8], part: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let mut from = 0;
    std::iter::from_fn(move || {
        let first = *part.first()?;
        loop {
            let at = from + text.get(from..)?.iter().position(|byte| *byte == first)?;
            from = at + 1;
            if text[at..].starts_with(part) {
                from = at + part.len();
                return Some(at);
            }
        }
    })
}

fn merged(mut found: Vec<(Range<usize>, &str)>) -> Vec<(Range<usize>, &str)> {
    // Of those that begin together, the longest first.
    found.sort_by(|(one, _), (other, _)| one.start.cmp(&other.start).then(other.end.cmp(&one.end)));
    let mut merged: Vec<(Range<usize>, &str)> = Vec::with_capacity(found.len());
    for (range, name) in found {
        match merged.last_mut() {
            Some((last, _)) if range.start < last.end => last.end = last.end.max(range.end),
            _ => merged.push((range, name)),
        }
    }
    merged
}

#[cfg(test)]
mod tests;
