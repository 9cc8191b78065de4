//! JSON that a person gives to a command.

use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use pawl_api::types::check_idempotency_key;
use pawl_domain::json::BYTE_ORDER_MARK;
use serde_json::value::RawValue;

use super::exit::{End, usage};

/// What was given as `JSON|@FILE|-` after `flag`, as it is: JSON, a file's content, or standard input.
pub(super) fn json(flag: &str, given: &str) -> anyhow::Result<Box<RawValue>> {
    let (text, place) = if given == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("can't read standard input")?;
        (text, "standard input".to_owned())
    } else if let Some(file) = given.strip_prefix('@') {
        let text =
            std::fs::read_to_string(file).with_context(|| End::Usage(format!("can't read the input file {file}")))?;
        (text, file.to_owned())
    } else {
        (given.to_owned(), flag.to_owned())
    };
    let text = text.trim_start_matches(BYTE_ORDER_MARK).trim();
    if text.is_empty() {
        return Err(usage(format!("{place} holds nothing: write JSON, for example {flag} null")));
    }
    RawValue::from_string(text.to_owned())
        .map_err(|error| usage(format!("{place} holds no JSON: {error}{}", meant(flag, given, text))))
}

/// What somebody may have meant by a text that is no JSON.
fn meant(flag: &str, given: &str, text: &str) -> String {
    let is_document = text.starts_with(['{', '[', '"']);
    if Path::new(given).is_file() {
        format!("; for what the file holds, write {flag} @{given}")
    } else if text == given && is_document && !text.contains('"') {
        format!("; a shell takes quotes away that are not in single ones, as in {flag} '{{\"n\": 1}}'")
    } else if is_document {
        String::new()
    } else {
        format!("; a text needs quotes inside, as in {flag} '\"text\"'")
    }
}

/// A key that a header can carry: one that it can't is told before anything is sent.
pub(super) fn idempotency_key(text: &str) -> Result<String, String> {
    check_idempotency_key(text)?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_is_passed_on_byte_by_byte_and_what_is_no_json_says_so() {
        assert_eq!(json("--input", "{\"b\":1.0, \"a\":2}").expect("JSON").get(), "{\"b\":1.0, \"a\":2}");
        let error = json("--input", "seattle").expect_err("no JSON").to_string();
        assert!(error.contains("--input holds no JSON") && error.contains("quotes"), "{error}");
        let error = format!("{:#}", json("--input", "@/nowhere.json").expect_err("no file"));
        assert!(error.contains("/nowhere.json"), "{error}");
        let error = json("--input", " ").expect_err("nothing").to_string();
        assert!(error.contains("--input holds nothing"), "{error}");
        assert_eq!(json("--input", "\u{feff}[1]").expect("JSON").get(), "[1]");
    }

    #[test]
    fn what_is_no_json_is_answered_by_what_was_meant() {
        let said = |given: &str| json("--input", given).expect_err("no JSON").to_string();
        // A test runs in the folder of its crate.
        assert!(said("Cargo.toml").ends_with("; for what the file holds, write --input @Cargo.toml"));
        assert!(said("@Cargo.toml").contains("Cargo.toml holds no JSON: "));
        let eaten = said("{city: seattle}");
        assert!(
            eaten.contains("line 1 column 2; a shell takes quotes away") && eaten.contains("'{\"n\": 1}'"),
            "{eaten}"
        );
        for document in ["{\"a\": 1,}", "[\"a\" 2]", "\"seattle"] {
            let said = said(document);
            assert!(said.rsplit("line 1 column ").next().is_some_and(|rest| rest.parse::<u8>().is_ok()), "{said}");
        }
    }

    #[test]
    fn a_key_is_what_a_header_can_carry() {
        assert_eq!(idempotency_key("order 17").as_deref(), Ok("order 17"));
        for wrong in ["", " a", "a ", "a\nb", "é", &"k".repeat(201)] {
            let rule = idempotency_key(wrong).expect_err("no key");
            assert!(rule.starts_with("an idempotency key has 1 to 200 printable"), "{wrong:?}: {rule}");
        }
    }
}
