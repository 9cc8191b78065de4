//! JSON that every step can read, whatever it is written in. The grammar of JSON allows more than readers agree on: see
//! RFC 7493, section 2 (<https://www.rfc-editor.org/rfc/rfc7493#section-2>). A document that comes from outside, and lies
//! where a run can't get past it, is checked at the door.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Editors of some systems begin a file with it. JSON does not know it, so whoever reads files of people leaves it out.
pub const BYTE_ORDER_MARK: char = '\u{feff}';

/// Checks that a document is JSON in UTF-8, in which
/// - no text has half of a surrogate pair (`"\ud800"`): it is no Unicode, and most languages have no text for it;
/// - no object has a name twice: readers differ on which one counts, or refuse both;
/// - no number is beyond what a 64-bit float holds (`1e400`): some read infinity, which they can't write;
/// - values are nested at most 127 deep.
///
/// # Errors
/// The rule that it breaks, with line and column.
///
/// ```
/// assert!(pawl_domain::json::check(br#"{"by": "Ann"}"#).is_ok());
/// let refused = pawl_domain::json::check(br#"{"by": "\ud800"}"#).unwrap_err();
/// assert!(refused.starts_with("half of a surrogate pair, which is no text, at line 1 column 1"));
/// ```
pub fn check(bytes: &[u8]) -> Result<(), String> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    Readable.deserialize(&mut reader).and_then(|()| reader.end()).map_err(|error| told(&error))
}

/// serde_json names what it was looking for, not what is wrong.
fn told(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.split_once(" at line ") {
        Some((what, place)) if what.ends_with("hex escape") => {
            format!("half of a surrogate pair, which is no text, at line {place}")
        }
        _ => text,
    }
}

/// Reads a value and forgets it.
struct Readable;

impl<'de> DeserializeSeed<'de> for Readable {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Readable {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = object.next_key::<String>()? {
            if names.contains(&name) {
                return Err(Error::custom(format_args!("the name {name:?} is given twice in an object")));
            }
            names.insert(name);
            object.next_value_seed(Self)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_reader_agrees_on_passes() {
        for good in [
            "null",
            " [1, -2.5e3, true, \"\"] ",
            r#"{"a": {"a": "\ud83d\ude00 \u0000"}, "b": [{"a": 1}, {"a": 2}]}"#,
            "18446744073709551616",
            "1e-400",
            &format!("{}1{}", "[".repeat(127), "]".repeat(127)),
        ] {
            assert_eq!(check(good.as_bytes()), Ok(()), "{good}");
        }
    }

    #[test]
    fn what_some_can_not_read_is_refused_with_its_place() {
        for (bad, why) in [
            (r#""\ud800""#, "half of a surrogate pair, which is no text, at line 1 column"),
            ("{\"by\":\n \"a\\udc00b\"}", "half of a surrogate pair, which is no text, at line 2 column"),
            (r#"{"\ud800": 1}"#, "half of a surrogate pair, which is no text, at line 1 column"),
            (r#"[{"by": 1, "b\u0079": 2}]"#, "the name \"by\" is given twice in an object at line 1 column"),
            ("[1e400]", "number out of range at line 1 column"),
            (&format!("{}1{}", "[".repeat(128), "]".repeat(128)), "recursion limit exceeded at line 1 column"),
            ("1 2", "trailing characters at line 1 column 3"),
            ("", "EOF while parsing a value at line 1 column 0"),
        ] {
            let refused = check(bad.as_bytes()).unwrap_err();
            assert!(refused.contains(why), "{bad}: {refused}");
        }
        assert!(check(b"\"\xff\"").is_err());
    }
}
