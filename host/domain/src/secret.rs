//! Secrets: how they are named, where a worker finds a value, who is given which ([`grant`]), how requests carry them
//! ([`placeholder`]), and how they are kept out of texts ([`redaction`]).

use std::ops::RangeInclusive;

use crate::namespace::Namespace;

pub mod grant;
pub mod placeholder;
pub mod redaction;

/// Longest name, characters.
const LONGEST: usize = 64;

/// Bytes of a value that a store keeps. What is shorter can't be kept out of texts without blacking out others, and is guessed.
pub const VALUE_BYTES: RangeInclusive<usize> = 8..=64 << 10;

/// Checks the name of a secret.
///
/// # Errors
/// The rule that it breaks, to follow on "the name of a secret ".
pub fn check_secret_name(name: &str) -> Result<(), String> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    match name.chars().next() {
        None => Err("is empty".to_owned()),
        Some(first) if first.is_ascii_digit() || !allowed(first) => {
            Err(format!("must begin with a letter or _, not {first:?}"))
        }
        Some(_) if name.chars().count() > LONGEST => Err(format!("is longer than {LONGEST} characters")),
        Some(_) => match name.chars().find(|letter| !allowed(*letter)) {
            Some(other) => Err(format!("may have letters, digits and _, but not {other:?}")),
            None => Ok(()),
        },
    }
}

/// The worker's environment variable that holds the value.
#[must_use]
pub fn variable_of(name: &str) -> String {
    format!("PAWL_SECRET_{}", name.to_ascii_uppercase())
}

/// Why a worker has no value of a secret, and what gives it one.
#[must_use]
pub fn nowhere(name: &str) -> String {
    format!(
        "a worker has no value for it: start workers with {}, or store one with `pawl secret set {name}`",
        variable_of(name)
    )
}

/// The same of a namespace: the environment of workers is `default`'s alone.
#[must_use]
pub fn nowhere_in(namespace: &Namespace, name: &str) -> String {
    match namespace.as_str() {
        Namespace::DEFAULT => nowhere(name),
        other => format!("a worker has no value for it: store one with `pawl secret set {name} --namespace {other}`"),
    }
}

/// Checks a value that a store is to keep. The error does not have it.
///
/// # Errors
/// The rule that it breaks.
pub fn check_value(value: &[u8]) -> Result<&str, String> {
    let (least, most) = (VALUE_BYTES.start(), VALUE_BYTES.end());
    if !VALUE_BYTES.contains(&value.len()) {
        let length = value.len();
        return Err(format!("a secret's value has from {least} to {most} bytes, this one has {length}"));
    }
    match std::str::from_utf8(value) {
        Ok(text) if !text.contains('\0') && text.trim().len() >= *least => Ok(text),
        Ok(_) => Err(format!("a secret's value has no NUL, and {least} bytes beside the blanks around it")),
        Err(_) => Err("a secret's value is text in UTF-8: write bytes in Base64".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secrets_name_is_that_of_a_variable() {
        for good in ["token", "_x", "API_KEY_2"] {
            assert_eq!(check_secret_name(good), Ok(()), "{good}");
        }
        for bad in ["", "2nd", "a-b", "a b", "ä", "a.b", &"x".repeat(65)] {
            assert!(check_secret_name(bad).is_err(), "{bad:?}");
        }
        assert_eq!(variable_of("api_Key"), "PAWL_SECRET_API_KEY");
    }

    #[test]
    fn a_value_is_text_of_a_length_that_can_be_kept_secret_and_its_refusal_does_not_have_it() {
        for good in ["12345678", "a b c d e", "-----BEGIN-----\nabc\n-----END-----\n"] {
            assert_eq!(check_value(good.as_bytes()), Ok(good));
        }
        for bad in [&b"1234567"[..], b"", b"123        ", b"12345678\0", b"\xff\xfe345678", &[b'x'; (64 << 10) + 1]] {
            let rule = check_value(bad).unwrap_err();
            assert!(rule.starts_with("a secret's value") && !rule.contains("345678"), "{rule}");
        }
    }
}
