//! What another build has written: what is older is read, what is newer is known to be that, and what is damaged is not taken for
//! either.

use serde::Deserializer;
use serde::de::{Error as _, Visitor};

use super::*;

/// A segment of this format that holds one entry of this kind, whose parts are all nothing.
fn segment(format: u8, kind: u32) -> Vec<u8> {
    let mut bytes = vec![format];
    postcard::to_io(&kind, &mut bytes).unwrap();
    bytes.extend([0; 200]);
    bytes
}

/// Reads nothing, and fails with how many kinds there are of what it is asked for.
struct Kinds;

impl<'de> Deserializer<'de> for Kinds {
    type Error = serde::de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(Self::Error::custom("no enum"))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        kinds: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Self::Error> {
        Err(Self::Error::custom(kinds.len()))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

#[test]
fn the_kinds_that_are_known_are_those_of_the_entries() {
    let kinds = Entry::deserialize(Kinds).unwrap_err().to_string();
    assert_eq!(kinds, KNOWN.kinds.to_string(), "a new kind of entry raises `KNOWN.kinds`");
}

#[test]
fn what_a_newer_build_has_written_is_told_from_what_is_damaged() {
    let needs = |bytes: &[u8]| match unpack(bytes) {
        Err(Unreadable::Newer(needs)) => Some(needs),
        _ => None,
    };
    let next = Knowledge { kinds: KNOWN.kinds + 1, ..KNOWN };
    assert_eq!(needs(&segment(KNOWN.format, KNOWN.kinds)), Some(next));
    let mut behind = pack(&[Entry::Now { unix_ns: 7 }]);
    behind.extend(&segment(KNOWN.format, 300)[1..]);
    assert_eq!(needs(&behind), Some(Knowledge { kinds: 301, ..KNOWN }), "behind entries that are known");
    assert_eq!(needs(&segment(KNOWN.format + 1, 0)), Some(Knowledge { format: KNOWN.format + 1, kinds: 0 }));

    let whole = pack(&[Entry::OnceBegun { name: "pay".into() }]);
    assert!(matches!(unpack(&whole[..3]), Err(Unreadable::Damaged(_))));
    assert!(matches!(unpack(&[]), Err(Unreadable::Empty)));
    assert!(matches!(unpack(&segment(0, 0)), Err(Unreadable::NoFormat(0))));
}

#[test]
fn who_knows_more_reads_all_that_needs_less() {
    let knowledge = |text: &str| text.parse::<Knowledge>().unwrap();
    assert_eq!(knowledge(&KNOWN.to_string()), KNOWN);
    assert!(knowledge("1.15") > knowledge("1.14") && knowledge("2.0") > knowledge("1.300"));
    for text in ["", "1", "1.", "1.x", "300.1", "-1.2"] {
        assert!(text.parse::<Knowledge>().is_err(), "{text:?}");
    }
}
