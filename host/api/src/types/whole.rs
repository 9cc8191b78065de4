//! Whole numbers in bodies. To JSON Schema `3.0` is an integer, and to some who write JSON: it is read as what it means.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Number;

/// 2^63: whole numbers that no word holds are read as floats, and are as large or larger.
const LARGEST: f64 = 9_223_372_036_854_775_808.0;

/// For `deserialize_with`: a member that may be missing, or `null`.
pub(super) fn whole<'de, D: Deserializer<'de>, T: TryFrom<i128>>(from: D) -> Result<Option<T>, D::Error> {
    let Some(number) = Option::<Number>::deserialize(from)? else { return Ok(None) };
    let fits = read(&number).and_then(|whole| T::try_from(whole).ok());
    fits.map(Some).ok_or_else(|| D::Error::custom(format!("{number} is no whole number, or none that fits here")))
}

fn read(number: &Number) -> Option<i128> {
    let of_float = |float: f64| (float.fract() == 0.0 && float.abs() < LARGEST).then_some(float as i128);
    let whole = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
    whole.or_else(|| number.as_f64().and_then(of_float))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Body {
        #[serde(default, deserialize_with = "whole")]
        count: Option<u32>,
    }

    #[test]
    fn what_is_whole_is_read_however_it_is_written() {
        for (text, expected) in [
            ("{}", Ok(None)),
            (r#"{"count": null}"#, Ok(None)),
            (r#"{"count": 3}"#, Ok(Some(3))),
            (r#"{"count": 3.0}"#, Ok(Some(3))),
            (r#"{"count": 2e3}"#, Ok(Some(2_000))),
            (r#"{"count": 3.5}"#, Err(())),
            (r#"{"count": -1}"#, Err(())),
            (r#"{"count": 4294967296}"#, Err(())),
            (r#"{"count": 1e300}"#, Err(())),
            (r#"{"count": -9223372036854775809}"#, Err(())),
            (r#"{"count": "3"}"#, Err(())),
        ] {
            let read = serde_json::from_str::<Body>(text).map(|body| body.count).map_err(|_| ());
            assert_eq!(read, expected, "{text}");
        }
    }
}
