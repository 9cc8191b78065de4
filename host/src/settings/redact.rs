//! What of a setting must not be seen: tokens, and passwords inside URLs. In doubt, more is hidden.

/// In place of what is hidden.
pub(super) const HIDDEN: &str = "***";

/// Words in the name of a parameter whose value is hidden.
const SECRET_WORDS: [&str; 4] = ["pass", "secret", "token", "key"];

/// A URL without its password. What does not look like a URL is hidden whole.
pub(super) fn url(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return HIDDEN.to_owned() };
    // A password that was not escaped may hold any sign, `@`, `/` and `?` too: the last `@` ends it.
    let (user, rest) = match rest.rsplit_once('@') {
        Some((user, rest)) => (Some(user), rest),
        None => (None, rest),
    };
    let user = user.map_or_else(String::new, |user| match user.split_once(':') {
        Some((name, _)) => format!("{name}:{HIDDEN}@"),
        None => format!("{user}@"),
    });
    let (place, parameters) = match rest.split_once('?') {
        Some((place, parameters)) => {
            (place, format!("?{}", parameters.split('&').map(parameter).collect::<Vec<_>>().join("&")))
        }
        None => (rest, String::new()),
    };
    format!("{scheme}://{user}{place}{parameters}")
}

fn parameter(text: &str) -> String {
    match text.split_once('=') {
        Some((name, _)) if SECRET_WORDS.iter().any(|word| name.to_lowercase().contains(word)) => {
            format!("{name}={HIDDEN}")
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_in_a_url_is_shown() {
        for (given, shown) in [
            ("postgres://pawl@127.0.0.1/pawl", "postgres://pawl@127.0.0.1/pawl"),
            (
                "postgres://pawl:hunter2@db:5432/pawl?sslmode=require",
                "postgres://pawl:***@db:5432/pawl?sslmode=require",
            ),
            ("postgres://db/pawl?user=pawl&password=hunter2", "postgres://db/pawl?user=pawl&password=***"),
            ("postgres://pawl:hun@ter/2?@db/pawl", "postgres://pawl:***@db/pawl"),
            ("redis://:hunter2@redis/0", "redis://:***@redis/0"),
            ("http://127.0.0.1:7340", "http://127.0.0.1:7340"),
            ("host=db password=hunter2", "***"),
        ] {
            assert_eq!(url(given), shown);
        }
    }
}
