//! Whether a number survives being read. What a step is given must be what was written: a number that no 64-bit integer
//! or float holds exactly would be rounded on the way, and nobody told.

use serde_json::Number;

use super::{Report, Span};

/// Reports a number of which something else was read than was written.
pub(super) fn check_kept(literal: &str, read: &Number, span: &Span, report: &mut Report<'_>) {
    if decimal(literal) != decimal(&read.to_string()) {
        let help = format!("write it as a text, \"{literal}\", or as a number that is kept: {read}");
        report.problem(span, format!("{literal} would be changed to {read}: it does not fit into 64 bits"), help);
    }
}

/// A number's sign, digits and exponent, the same for all ways to write it: `1.50e3` is 15 times 10 to the 2. None if the
/// exponent is beyond all that can be read.
fn decimal(literal: &str) -> Option<(bool, String, i64)> {
    let (is_negative, rest) = literal.strip_prefix('-').map_or((false, literal), |rest| (true, rest));
    let rest = rest.strip_prefix('+').unwrap_or(rest);
    let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let kept = digits.trim_end_matches('0');
    if kept.is_empty() {
        // Zero has one way, but for its sign.
        return Some((is_negative, String::new(), 0));
    }
    let shift = (digits.len() - kept.len()) as i64 - fraction.len() as i64;
    Some((is_negative, kept.to_owned(), exponent.parse::<i64>().ok()?.checked_add(shift)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_same_however_they_are_written() {
        for (one, other) in
            [("1.50e3", "1500"), ("0.10", "1e-1"), ("-0.0", "-0"), ("100", "1E+2"), ("+7", "7.0"), ("00.5", "0.5")]
        {
            assert_eq!(decimal(one), decimal(other), "{one} and {other}");
        }
        for (one, other) in [("1", "-1"), ("0.1", "0.01"), ("123", "1230"), ("1e400", "0"), ("12", "21")] {
            assert_ne!(decimal(one), decimal(other), "{one} and {other}");
        }
    }
}
