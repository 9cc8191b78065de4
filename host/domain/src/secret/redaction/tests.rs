//! Values in all the forms in which they leave, and texts that have none.

use super::*;

fn told(name: &str) -> String {
    format!("[{name}]")
}

fn redacted(value: &str, text: &str) -> String {
    Redaction::of([("it", value)]).apply(text, told).into_owned()
}

/// A value with all that is written in another way somewhere.
const VALUE: &str = "pä$$ w/\"o\\rd'&+=?%41<\u{1f511}>";

#[test]
fn a_value_is_found_in_whatever_form_it_is_written() {
    let json = serde_json::to_string(VALUE).unwrap();
    let json_twice = serde_json::to_string(&json).unwrap();
    let ascii: String = VALUE.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
    let percent: String = VALUE.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let some_percent = VALUE.replace('%', "%25").replace('/', "%2F").replace('ä', "%C3%A4").replace(' ', "%20");
    let form = some_percent.replace('+', "%2B").replace("%20", "+");
    let hex: String = VALUE.bytes().map(|byte| format!("{byte:02x}")).collect();
    let signs: Vec<char> = VALUE.chars().collect();
    let wrapped: String = signs.chunks(3).map(|line| format!("{}\n  ", line.iter().collect::<String>())).collect();
    for (how, text) in [
        ("as it is", VALUE.to_owned()),
        ("in JSON", json),
        ("in JSON in JSON", json_twice),
        ("escaped to ASCII", ascii.clone()),
        ("the same in JSON", ascii.replace('\\', "\\\\")),
        ("as Rust shows it", format!("{VALUE:?}")),
        ("with all of it escaped", VALUE.escape_unicode().to_string()),
        ("percent-encoded", percent.clone()),
        ("in part", some_percent.clone()),
        ("as in a form", form),
        ("twice", percent.replace('%', "%25")),
        ("in digits", hex.clone()),
        ("in capital digits", hex.to_uppercase()),
        ("over several lines", wrapped.clone()),
        ("over several lines in JSON", serde_json::to_string(&wrapped).unwrap()),
        ("over lines of other systems", wrapped.replace('\n', "\r\n")),
    ] {
        let redacted = redacted(VALUE, &format!("before {text} after"));
        assert!(
            redacted.starts_with("before ") && redacted.contains("[it]") && redacted.len() < 40,
            "{how}: {redacted}"
        );
        for part in ["w/", "o\\\\rd", "d'&", &hex[..8], "%41<"] {
            assert!(!redacted.contains(part), "{how}: {redacted} has {part}");
        }
    }
}

#[test]
fn a_value_is_found_in_base64_whatever_stands_around_it_and_over_lines() {
    for before in ["", "x", "us", "ann:", "ann@example.org:"] {
        for after in ["", "!", "\n", "#more"] {
            let digits = encode(format!("{before}{VALUE}{after}").as_bytes());
            let broken: String =
                digits.as_bytes().chunks(7).map(|line| format!("{}\n", String::from_utf8_lossy(line))).collect();
            for text in [digits.clone(), digits.replace('+', "-").replace('/', "_"), broken, digits.replace('/', "%2F")]
            {
                let redacted = redacted(VALUE, &format!("Basic {text}"));
                assert!(redacted.contains("[it]") && redacted.len() < 60, "{before:?} {after:?}: {redacted}");
            }
        }
    }
}

/// Base64, written down once more: a test that used the same code could not find its fault.
fn encode(bytes: &[u8]) -> String {
    let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    let alphabet: Vec<char> = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['+', '/']).collect();
    let digit = |bits: &str| alphabet[usize::from_str_radix(&format!("{bits:0<6}"), 2).unwrap()];
    (0..bits.len()).step_by(6).map(|at| digit(&bits[at..bits.len().min(at + 6)])).collect()
}

#[test]
fn of_a_value_with_several_lines_each_is_found_by_itself() {
    let key = "-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n-----END KEY-----\n";
    assert_eq!(redacted(key, "the line MIIEvQIBADANBg, then kqhkiG9w0BAQEF"), "the line [it], then [it]");
    assert_eq!(redacted(key, &format!("{key:?}")), "\"[it]\\n\"");
    assert_eq!(redacted(key, &key.replace('\n', "")), "[it]");
    assert_eq!(redacted("a\nb\nlong enough", "a b long enough"), "a b [it]", "short lines are words");
}

#[test]
fn what_has_no_value_in_it_stays_as_it_is() {
    for text in ["", "nothing here", "abc12", "ABC123", "a%62c", "{\"a\":\"\\n\"}", "\\", "\\u12", "%", "%4"] {
        assert_eq!(redacted("abc123", text), text);
        assert!(matches!(Redaction::default().apply(text, told), Cow::Borrowed(_)));
    }
    assert_eq!(redacted("", "nothing"), "nothing");
    let several = Redaction::of([("one", "abc123"), ("two", "123xyz"), ("none", "")]);
    assert_eq!(several.apply("abc123 123xyz abc123xyz", told), "[one] [two] [one]", "what overlaps is one");
    assert!(several.is_in(b"\xff abc\n123") && !several.is_in(b"\xff abc 123") && !several.is_in(b""));
    assert_eq!(several.apply_to_bytes(b"\xffabc123\xfe", told), Some(b"\xff[one]\xfe".to_vec()));
    assert_eq!(format!("{several:?}"), "Redaction([\"one\", \"two\"])", "no log has a value");
}

#[test]
fn documents_stay_documents() {
    let document = serde_json::json!({ "a": format!("x{VALUE}"), "b": [VALUE, "\n", VALUE], "c\"": "d" }).to_string();
    let redacted = redacted(VALUE, &document);
    let read: serde_json::Value = serde_json::from_str(&redacted).unwrap();
    assert_eq!(read, serde_json::json!({ "a": "x[it]", "b": ["[it]", "\n", "[it]"], "c\"": "d" }));
}
