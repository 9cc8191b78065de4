//! What a person says to a verb, for a run's history or for whoever finds something paused: one line, and not too long.

/// Why a run fails, bytes.
const MESSAGE_BYTES: usize = 4 << 10;

/// Why something is paused, bytes.
const REASON_BYTES: usize = 1 << 10;

/// Checks why a person fails a run.
///
/// # Errors
/// The rule that it breaks, to follow on "the message ".
pub fn check_message(message: &str) -> Result<(), String> {
    check(message, MESSAGE_BYTES, "say why the run fails")
}

/// Checks why a person pauses something.
///
/// # Errors
/// The rule that it breaks, to follow on "the reason ".
pub fn check_reason(reason: &str) -> Result<(), String> {
    check(reason, REASON_BYTES, "leave it out, or say why")
}

fn check(words: &str, most_bytes: usize, instead_of_none: &str) -> Result<(), String> {
    if words.trim().is_empty() {
        Err(format!("is empty: {instead_of_none}"))
    } else if words.len() > most_bytes {
        Err(format!("may have {most_bytes} bytes, this one has {}", words.len()))
    } else if words.chars().any(char::is_control) {
        Err("may have no control characters: it is one line".to_owned())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_person_say_something_in_a_line() {
        for (check, most_bytes, fix) in [
            (check_message as fn(&str) -> Result<(), String>, MESSAGE_BYTES, "say why the run fails"),
            (check_reason, REASON_BYTES, "leave it out, or say why"),
        ] {
            assert_eq!(check("the bank is down until 14:00"), Ok(()));
            assert_eq!(check(&"x".repeat(most_bytes)), Ok(()));
            let (long, most) = ("x".repeat(most_bytes + 1), most_bytes.to_string());
            for (bad, rule) in [
                ("", fix),
                (" ", fix),
                ("a\0b", "control characters"),
                ("a\nb", "one line"),
                (long.as_str(), most.as_str()),
            ] {
                let refused = check(bad).expect_err(bad);
                assert!(refused.contains(rule), "{bad:?}: {refused}");
            }
        }
    }
}
