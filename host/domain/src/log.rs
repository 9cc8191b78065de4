//! Lines of a step's log: what its guest says while it runs, as the store keeps them and people read them. They are told for
//! people, and decide nothing.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

/// How much a line matters, from what matters least on; the words of JSON.
///
/// ```
/// use pawl_domain::log::Level;
/// assert!(Level::ALL.is_sorted() && Level::Warn < Level::Error);
/// assert!(Level::ALL.iter().all(|level| level.as_str().parse() == Ok(*level)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "LogLevel")]
pub enum Level {
    /// Every move.
    Trace,
    /// For the author of the step.
    Debug,
    /// For whoever watches the run.
    Info,
    /// Something is odd, and the step goes on.
    Warn,
    /// Something is wrong.
    Error,
}

impl Level {
    /// All of them, in their order.
    pub const ALL: [Self; 5] = [Self::Trace, Self::Debug, Self::Info, Self::Warn, Self::Error];

    /// The word in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }

    /// The number in the store, from 0.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }
}

impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// A level of another name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no level; there are trace, debug, info, warn, error")]
pub struct UnknownLevel(String);

impl std::str::FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(text: &str) -> Result<Self, UnknownLevel> {
        Self::ALL.into_iter().find(|level| level.as_str() == text).ok_or_else(|| UnknownLevel(text.to_owned()))
    }
}

/// What one line takes besides its text, about, bytes: a flood of short lines is one, too.
const LINE_BYTES: usize = 64;

/// One line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Line {
    /// When it was said, by the clock of the store: ms since 1970.
    #[serde(rename = "at")]
    pub at_ms: i64,
    /// How much it matters.
    pub level: Level,
    /// The text, as the guest gave it.
    pub message: String,
    /// Its named values, see [`fields`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<Box<RawValue>>,
}

impl Line {
    /// What it takes in memory, about, bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        LINE_BYTES + self.message.len() + self.fields.as_ref().map_or(0, |fields| fields.get().len())
    }
}

/// Named values as an object of JSON, in the order in which the guest gave them: each is a text, or a list of texts if the name
/// was given more than once. None if there are none.
#[must_use]
pub fn fields(given: &[(impl AsRef<str>, impl AsRef<str>)]) -> Option<Box<RawValue>> {
    let mut named: Vec<(&str, Vec<&str>)> = Vec::with_capacity(given.len());
    let mut places = HashMap::new();
    for (name, value) in given {
        let place = *places.entry(name.as_ref()).or_insert(named.len());
        match named.get_mut(place) {
            Some((_, values)) => values.push(value.as_ref()),
            None => named.push((name.as_ref(), vec![value.as_ref()])),
        }
    }
    if named.is_empty() { None } else { to_raw_value(&Object(named)).ok() }
}

struct Object<'a>(Vec<(&'a str, Vec<&'a str>)>);

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(self.0.len()))?;
        for (name, values) in &self.0 {
            match values.as_slice() {
                [one] => object.serialize_entry(name, one)?,
                several => object.serialize_entry(name, several)?,
            }
        }
        object.end()
    }
}

/// Lines as the store keeps them: one list of JSON.
#[must_use]
pub fn pack(lines: &[Line]) -> Vec<u8> {
    serde_json::to_vec(lines).expect("lines have only text for names")
}

/// The lines that were packed.
///
/// # Errors
/// If the bytes are not what [`pack`] makes.
pub fn unpack(bytes: &[u8]) -> Result<Vec<Line>, serde_json::Error> {
    serde_json::from_slice(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(given: &[(&str, &str)]) -> Option<String> {
        fields(given).map(|fields| fields.get().to_owned())
    }

    #[test]
    fn fields_keep_their_order_and_every_value() {
        assert_eq!(text(&[]), None);
        assert_eq!(text(&[("row", "7"), ("city", "a\"b\n")]).as_deref(), Some(r#"{"row":"7","city":"a\"b\n"}"#));
        let twice = [("b", "1"), ("a", "2"), ("b", "3")];
        assert_eq!(text(&twice).as_deref(), Some(r#"{"b":["1","3"],"a":"2"}"#));
    }

    #[test]
    fn what_was_packed_comes_back_byte_by_byte() {
        let line = |message: &str, fields: Option<Box<RawValue>>| Line {
            at_ms: 1_760_000_000_000,
            level: Level::Warn,
            message: message.to_owned(),
            fields,
        };
        let lines = [line("\u{1b}[2J\0", fields(&[("é", "\u{202e}")])), line("", None)];
        let read = unpack(&pack(&lines)).expect("it was packed");
        let told = |lines: &[Line]| lines.iter().map(|line| format!("{line:?}")).collect::<Vec<_>>();
        assert_eq!(told(&read), told(&lines));
        assert!(unpack(b"[{}]").is_err());
    }
}
