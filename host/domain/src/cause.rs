//! What a step was left by, so that dead letters of one cause stand together: the first line of its error's message, without
//! what differs from one run to the next. `pawl_cause_v1` (`migrations/0029_dead_letters.sql`) says the same in SQL, held
//! against this by a test.

use serde::Deserialize;

use super::id::Digest;

/// The cause where no message can be read.
pub const NO_REASON: &str = "no reason is recorded";

/// Characters of a cause.
const LONGEST: usize = 200;

/// Hexadecimal digits of a group's id.
const ID_DIGITS: usize = 12;

/// The cause in an error as it is recorded: JSON with a `message`.
///
/// ```
/// use pawl_domain::cause::cause_of;
/// let error = br#"{"message": "order 17 of 2026-11-28 is unknown\nsee the log"}"#;
/// assert_eq!(cause_of(error), "order # of #-#-# is unknown");
/// ```
#[must_use]
pub fn cause_of(error: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Said {
        message: String,
    }
    // Else a list would do, of the members' values in their order.
    if !error.trim_ascii_start().starts_with(b"{") {
        return NO_REASON.to_owned();
    }
    let Ok(Said { message }) = serde_json::from_slice(error) else { return NO_REASON.to_owned() };
    // No text of a database holds it.
    if message.contains('\0') {
        return NO_REASON.to_owned();
    }
    let line = message.split(['\n', '\r']).find(|line| !line.is_empty()).unwrap_or_default();
    let cause: String = spaced(&numberless(&idless(line))).chars().take(LONGEST).collect();
    let cause = cause.trim_matches(' ');
    if cause.is_empty() { NO_REASON.to_owned() } else { cause.to_owned() }
}

/// What letters of one group have in common: a cause in which a URL is its host alone. An outside service that is down is one
/// cause, whatever was asked of it.
///
/// ```
/// use pawl_domain::cause::shared;
/// assert_eq!(shared("http://pay.example.org:#/orders/a-b?dry=#: connection refused"), "http://pay.example.org:#/#: connection refused");
/// ```
#[must_use]
pub fn shared(cause: &str) -> String {
    let (mut told, mut rest) = (String::with_capacity(cause.len()), cause);
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        told.push_str(before);
        let host_ends = after.find(|c: char| "/?".contains(c) || ends_url(c)).unwrap_or(after.len());
        let (host, after) = after.split_at(host_ends);
        // Whoever it was asked as is not the cause.
        told.push_str(host.rsplit_once('@').map_or(host, |(_, host)| host));
        let path = &after[..after.find(ends_url).unwrap_or(after.len())];
        // The sentence goes on with what stands behind it.
        let path = path.trim_end_matches(['.', ',', ':', ';', '!']);
        if !path.is_empty() {
            told.push_str("/#");
        }
        rest = &after[path.len()..];
    }
    told.push_str(rest);
    told
}

/// No URL has it, as it stands in a text.
fn ends_url(c: char) -> bool {
    c.is_whitespace() || "\"'`<>()[]{}|\\".contains(c)
}

/// The id of a group: what died of one cause at one step of one pipeline, in whatever version.
#[must_use]
pub fn group_of(pipeline: &str, step: &str, cause: &str) -> String {
    let mut id = Digest::of(format!("{pipeline}\n{step}\n{}", shared(cause)).as_bytes()).to_string();
    id.truncate(ID_DIGITS);
    id
}

/// Without ids like `01997e0c-…`.
fn idless(line: &str) -> String {
    const DASHES: [usize; 4] = [8, 13, 18, 23];
    let is_id = |text: &[u8]| {
        text.iter().enumerate().all(|(place, byte)| match DASHES.contains(&place) {
            true => *byte == b'-',
            false => byte.is_ascii_hexdigit(),
        })
    };
    let (mut left, mut rest) = (String::with_capacity(line.len()), line);
    while let Some(first) = rest.chars().next() {
        if rest.as_bytes().get(..36).is_some_and(is_id) {
            left.push('#');
            rest = &rest[36..];
        } else {
            left.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    left
}

/// Words with a digit in them are numbers, of whatever base.
fn numberless(line: &str) -> String {
    let mut left = String::with_capacity(line.len());
    let mut rest = line;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        left.push_str(if word.contains(|c: char| c.is_ascii_digit()) { "#" } else { word });
        let others = after.find(|c: char| c.is_ascii_alphanumeric()).unwrap_or(after.len());
        left.push_str(&after[..others]);
        rest = &after[others..];
    }
    left
}

/// With one space where there were several, or tabs.
fn spaced(line: &str) -> String {
    let mut left = String::with_capacity(line.len());
    for character in line.chars() {
        match character {
            ' ' | '\t' if left.ends_with(' ') => {}
            ' ' | '\t' => left.push(' '),
            other => left.push(other),
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASES: &[(&str, &str)] = &[
        (r#"{"message":"no such city: Atlantis"}"#, "no such city: Atlantis"),
        (r#"{"message":"row 17 of 18\nand more"}"#, "row # of #"),
        (r#"{"message":"\r\n\n  at   entry\t\t4"}"#, "at entry #"),
        (r#"{"message":"run 01997e0c-aaaa-bbbb-cccc-ddddeeeeffff, step 3f9a0c11d2e4"}"#, "run #, step #"),
        (r#"{"message":"x1y2-z 0x7f 1.5e3 \u00e92\u00e9"}"#, "#-z # #.# \u{e9}#\u{e9}"),
        (r#"{"cause":"trap"}"#, NO_REASON),
        (r#"{"message":7}"#, NO_REASON),
        (r#"{"message":" \t"}"#, NO_REASON),
        (r#"{"message":"a\u0000b"}"#, NO_REASON),
        (r#"["message"]"#, NO_REASON),
        ("no JSON", NO_REASON),
    ];

    #[test]
    fn errors_that_differ_in_numbers_and_ids_have_one_cause() {
        for (error, cause) in CASES {
            assert_eq!(cause_of(error.as_bytes()), *cause, "{error}");
        }
        let long = format!(r#"{{"message":"{}"}}"#, "\u{e9}".repeat(LONGEST + 9));
        assert_eq!(cause_of(long.as_bytes()).chars().count(), LONGEST);
    }

    #[test]
    fn one_outside_host_that_is_down_is_one_cause_whatever_was_asked_of_it() {
        let of = |message: &str| shared(&cause_of(serde_json::json!({ "message": message }).to_string().as_bytes()));
        let down = "GET http://pay.example.org/#: connection refused";
        for url in
            ["/orders/a-b/lines?dry=true", "/", "/o/x.y;z=1", "?q=a", "/orders/01997e0c-aaaa-bbbb-cccc-ddddeeeeffff"]
        {
            assert_eq!(of(&format!("GET http://pay.example.org{url}: connection refused")), down, "{url}");
        }
        assert_ne!(of("GET http://mail.example.org/orders: connection refused"), down, "the host stays");
        for (message, told) in [
            ("no answer of (https://ann:secret@a/b c) or `ftp://d/e`.", "no answer of (https://a/# c) or `ftp://d/#`."),
            ("http://127.0.0.1:8080/weather/seattle", "http://#.#.#.#:#/#"),
            ("http://[::1]/a, http://b", "http://[::#]/a, http://b"),
            ("no URL: a/b", "no URL: a/b"),
            ("://", "://"),
        ] {
            assert_eq!(of(message), told);
        }
        let group =
            |message: &str| group_of("load", "read", &cause_of(format!(r#"{{"message":"{message}"}}"#).as_bytes()));
        assert_eq!(group("http://a/b: 503"), group("http://a/c/d: 503"));
        assert_ne!(group("http://a/b: 503"), group("http://c/b: 503"));
    }

    #[test]
    fn groups_differ_by_pipeline_step_and_cause() {
        let all = [("a", "b", "c"), ("a", "c", "b"), ("b", "a", "c")].map(|(p, s, c)| group_of(p, s, c));
        assert!(all[0] != all[1] && all[1] != all[2] && all[0] != all[2] && all[0].len() == ID_DIGITS, "{all:?}");
    }
}
