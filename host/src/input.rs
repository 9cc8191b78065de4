//! JSON that a person gives to a command.

use std::io::Read as _;

use anyhow::Context as _;
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
    RawValue::from_string(text.trim().to_owned()).map_err(|error| {
        usage(format!("{place} holds no JSON: {error}; a text needs quotes inside, as in {flag} '\"text\"'"))
    })
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
    }
}
