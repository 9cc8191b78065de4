//! The small rules: names, versions, durations, and the guess at what somebody meant.

/// Longest name or version, characters.
const LONGEST: usize = 64;

/// Checks the name of a pipeline, step, plugin or queue.
///
/// # Errors
/// The rule that it breaks, to follow on "the name ".
pub fn check_name(name: &str) -> Result<(), String> {
    let mut letters = name.chars();
    match letters.next() {
        None => Err("is empty".to_owned()),
        Some(first) if !first.is_ascii_alphabetic() => Err(format!("must begin with a letter, not {first:?}")),
        Some(_) if name.chars().count() > LONGEST => Err(format!("is longer than {LONGEST} characters")),
        Some(_) => match letters.find(|letter| !letter.is_ascii_alphanumeric() && !"-_".contains(*letter)) {
            Some(other) => Err(format!("may have letters, digits, - and _, but not {other:?}")),
            None => Ok(()),
        },
    }
}

/// Checks a plugin's version.
///
/// # Errors
/// The rule that it breaks, to follow on "the version ".
pub fn check_version(version: &str) -> Result<(), String> {
    if version.is_empty() {
        return Err("is empty".to_owned());
    }
    if version.chars().count() > LONGEST {
        return Err(format!("is longer than {LONGEST} characters"));
    }
    match version.chars().find(|letter| !letter.is_ascii_alphanumeric() && !".-_+".contains(*letter)) {
        Some(other) => Err(format!("may have letters, digits, `.`, -, _ and +, but not {other:?}")),
        None => Ok(()),
    }
}

const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Reads a duration such as `500ms`, `30s`, `10m`, `2h` or `1d`.
///
/// # Errors
/// What to write in its place.
pub fn parse_duration_ms(text: &str) -> Result<u64, String> {
    let example = || "write a whole number and one of ms, s, m, h, d, for example \"500ms\" or \"2m\"".to_owned();
    let split = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    if number.is_empty() {
        return Err(example());
    }
    match UNITS.iter().find(|(name, _)| *name == unit.trim()) {
        Some((_, ms)) => {
            let value = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*ms));
            value.ok_or_else(|| "that is longer than anything".to_owned())
        }
        None if unit.is_empty() => Err(format!("say the unit, for example \"{text}s\" or \"{text}ms\"")),
        None => Err(example()),
    }
}

/// The one of `known` that somebody who wrote `text` most likely meant.
#[must_use]
pub fn closest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (text.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|word| (distance(&text.to_lowercase(), &word.to_lowercase(), allowed), word))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// Letters to insert, delete, replace or swap with their neighbour ("optimal string alignment"); anything
/// above `enough` if it is more than that.
fn distance(one: &str, other: &str, enough: usize) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    if one.len().abs_diff(other.len()) > enough {
        return enough + 1;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for i in 1..=one.len() {
        let mut row = vec![i];
        for j in 1..=other.len() {
            let same = one[i - 1] == other[j - 1];
            let mut best = (last[j - 1] + usize::from(!same)).min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_begin_with_a_letter_and_stay_simple() {
        for good in ["a", "load-2", "a_b", "Z", &"x".repeat(64)] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in ["", "2load", "-a", "a b", "ä", "a/b", "a@1", "a:b", &"x".repeat(65)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn versions_may_have_dots() {
        assert_eq!(check_version("1.4.0-rc.1+build_7"), Ok(()));
        for bad in ["", "1 0", "1/0", "a@b", &"1".repeat(65)] {
            assert!(check_version(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_need_a_unit() {
        for (text, ms) in
            [("0ms", 0), ("500ms", 500), ("30s", 30_000), ("10m", 600_000), ("2h", 7_200_000), ("1 d", 86_400_000)]
        {
            assert_eq!(parse_duration_ms(text), Ok(ms), "{text}");
        }
        for bad in
            ["", "s", "30", "1.5s", "-1s", "1m30s", "1 fortnight", "99999999999999999999s", "18446744073709551615d"]
        {
            assert!(parse_duration_ms(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_closest_word_is_near() {
        let known = ["load", "clean", "merge", "max_attempts"];
        for (text, meant) in [
            ("laod", Some("load")),
            ("Load", Some("load")),
            ("lod", Some("load")),
            ("max_attempt", Some("max_attempts")),
            ("publish", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(closest(text, known), meant, "{text}");
        }
    }
}
