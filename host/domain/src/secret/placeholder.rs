//! Placeholders of secrets in a request: `{{secret:NAME}}`, which the host fills in where the request leaves. What a guest has,
//! and a journal keeps, is the placeholder.

use super::{LONGEST, check_secret_name};

const OPEN: &[u8] = b"{{secret:";
const CLOSE: &[u8] = b"}}";

/// The placeholder of a secret.
#[must_use]
pub fn of(name: &str) -> String {
    format!("{{{{secret:{name}}}}}")
}

/// How a value stands in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As it is.
    Plain,
    /// Inside a string of JSON.
    Json,
    /// Percent-encoded, as in forms.
    Urlencoded,
}

impl Form {
    /// That of a body of this `content-type`.
    #[must_use]
    pub fn of(content_type: Option<&str>) -> Self {
        let essence =
            content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/x-www-form-urlencoded" => Self::Urlencoded,
            json if json.ends_with("/json") || json.ends_with("+json") => Self::Json,
            _ => Self::Plain,
        }
    }

    fn write(self, value: &str, into: &mut Vec<u8>) {
        match self {
            Self::Plain => into.extend_from_slice(value.as_bytes()),
            Self::Json => {
                let quoted = serde_json::Value::from(value).to_string();
                into.extend_from_slice(&quoted.as_bytes()[1..quoted.len() - 1]);
            }
            Self::Urlencoded => {
                for byte in value.bytes() {
                    match byte {
                        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => into.push(byte),
                        _ => into.extend_from_slice(format!("%{byte:02X}").as_bytes()),
                    }
                }
            }
        }
    }
}

/// The names that stand in placeholders, in their order, each once. What only looks like one is text.
#[must_use]
pub fn names_in(text: &[u8]) -> Vec<&str> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some((_, name, after)) = next(rest) {
        if !names.contains(&name) {
            names.push(name);
        }
        rest = after;
    }
    names
}

/// The text with what `value` has in place of the placeholders, those of which it has nothing left as they are. Values are put in
/// once: what looks like a placeholder in one is none.
#[must_use]
pub fn filled<'a>(text: &[u8], form: Form, value: impl Fn(&str) -> Option<&'a str>) -> Vec<u8> {
    let mut filled = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, name, after)) = next(rest) {
        filled.extend_from_slice(before);
        match value(name) {
            Some(value) => form.write(value, &mut filled),
            None => filled.extend_from_slice(of(name).as_bytes()),
        }
        rest = after;
    }
    filled.extend_from_slice(rest);
    filled
}

/// What stands before the first placeholder, its name, and what stands after it.
fn next(text: &[u8]) -> Option<(&[u8], &str, &[u8])> {
    let mut from = 0;
    loop {
        let at = from + find(&text[from..], OPEN)?;
        let inside = &text[at + OPEN.len()..];
        // No further than a name is long: a text may have as many beginnings as it likes.
        let near = &inside[..inside.len().min(LONGEST + CLOSE.len())];
        let name = find(near, CLOSE).and_then(|end| std::str::from_utf8(&near[..end]).ok());
        if let Some(name) = name.filter(|name| check_secret_name(name).is_ok()) {
            return Some((&text[..at], name, &inside[name.len() + CLOSE.len()..]));
        }
        from = at + 1;
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(name: &str) -> Option<&'static str> {
        match name {
            "token" => Some("a \"b\"{{secret:key}}"),
            "key" => Some("k"),
            _ => None,
        }
    }

    #[test]
    fn placeholders_are_filled_in_once_and_all_else_is_text() {
        for (text, names, told) in [
            ("Bearer {{secret:key}}", &["key"][..], "Bearer k"),
            ("{{secret:key}}{{secret:key}} {{secret:other}}", &["key", "other"], "kk {{secret:other}}"),
            ("{{secret:token}}", &["token"], "a \"b\"{{secret:key}}"),
            ("{{secret:{{secret:key}}", &["key"], "{{secret:k"),
            ("{{secret:}} {{secret:a-b}} {{ secret:key }} {{secret:key}", &[], ""),
            ("nothing", &[], ""),
            ("", &[], ""),
        ] {
            assert_eq!(names_in(text.as_bytes()), names, "{text}");
            let told = if names.is_empty() { text } else { told };
            assert_eq!(String::from_utf8(filled(text.as_bytes(), Form::Plain, value)).unwrap(), told, "{text}");
        }
        assert_eq!(of("key"), "{{secret:key}}");
        assert_eq!(filled(b"\xff{{secret:key}}\xfe", Form::Plain, value), b"\xffk\xfe");
    }

    #[test]
    fn a_value_stands_in_a_body_as_bodies_of_that_type_are_written() {
        for (content_type, told) in [
            (None, "a \"b\"{{secret:key}}"),
            (Some("text/plain"), "a \"b\"{{secret:key}}"),
            (Some("application/json; charset=utf-8"), r#"a \"b\"{{secret:key}}"#),
            (Some("application/problem+JSON"), r#"a \"b\"{{secret:key}}"#),
            (Some("application/x-www-form-urlencoded"), "a%20%22b%22%7B%7Bsecret%3Akey%7D%7D"),
        ] {
            let filled = filled(b"{{secret:token}}", Form::of(content_type), value);
            assert_eq!(String::from_utf8(filled).unwrap(), told, "{content_type:?}");
        }
    }
}
