//! Names of secrets: what a pipeline may grant, and where a worker finds the value.

/// Longest name, characters.
const LONGEST: usize = 64;

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
}
