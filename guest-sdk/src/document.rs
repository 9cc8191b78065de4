//! JSON in and out: inputs, configs, states, values. A document that does not fit its type is refused with
//! the path of the member that is wrong, because the person who reads it did not write the step.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::Failure;

/// Reads a document; `what` names it in the failure.
pub(crate) fn read<T: DeserializeOwned>(what: &str, json: &[u8]) -> Result<T, Failure> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| misfit(what, &error))?;
    reader.end().map_err(|error| Failure::fatal(format!("the {what} has something after its end: {error}")))?;
    Ok(value)
}

/// Reads a config: for a step without one, `{}` does as well as `null`, so that a struct whose fields all
/// have defaults needs no `Option`.
pub(crate) fn read_config<T: DeserializeOwned>(json: &str) -> Result<T, Failure> {
    if json == "null" {
        return serde_json::from_str(json).or_else(|_| read("config", b"{}"));
    }
    read("config", json.as_bytes())
}

/// Writes a document.
pub(crate) fn write<T: Serialize + ?Sized>(what: &str, value: &T) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(value).map_err(|error| Failure::fatal(format!("the {what} can't be written as JSON: {error}")))
}

#[cold]
fn misfit(what: &str, error: &serde_path_to_error::Error<serde_json::Error>) -> Failure {
    let path = error.path().to_string();
    let message = if path == "." {
        format!("the {what} does not fit: {}", error.inner())
    } else {
        format!("the {what} does not fit at `{path}`: {}", error.inner())
    };
    Failure::fatal(message).with_details(&Misfit { document: what, path })
}

#[derive(Serialize)]
struct Misfit<'a> {
    document: &'a str,
    path: String,
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Debug, Serialize, Deserialize, PartialEq)]
    struct Order {
        lines: Vec<Line>,
    }

    #[derive(Debug, Serialize, Deserialize, PartialEq)]
    struct Line {
        price: f64,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default)]
    struct Config {
        retries: u32,
    }

    #[test]
    fn a_misfit_names_its_path() {
        let failure = read::<Order>("input", br#"{"lines":[{"price":1},{"price":"two"}]}"#).unwrap_err();
        assert!(failure.is_fatal());
        assert!(
            failure.to_string().starts_with("the input does not fit at `lines[1].price`: invalid type"),
            "{failure}"
        );
    }

    #[test]
    fn a_document_of_another_type_has_no_path() {
        let failure = read::<Order>("input", b"7").unwrap_err();
        assert!(failure.to_string().starts_with("the input does not fit: invalid type"), "{failure}");
    }

    #[test]
    fn bytes_after_the_end_are_refused() {
        assert!(read::<u8>("input", b"1 2").unwrap_err().to_string().contains("after its end"));
    }

    #[test]
    fn raw_values_pass_unread() {
        let raw: Box<serde_json::value::RawValue> = read("input", br#" {"a": [1, 2.50]} "#).unwrap();
        assert_eq!(write("output", &raw).unwrap(), br#"{"a": [1, 2.50]}"#);
    }

    #[test]
    fn a_step_without_a_config_gets_the_defaults() {
        assert_eq!(read_config::<Config>("null").unwrap(), Config::default());
        assert_eq!(read_config::<Option<Config>>("null").unwrap(), None);
        assert_eq!(read_config::<Config>(r#"{"retries":2}"#).unwrap(), Config { retries: 2 });
    }

    /// A resumed step must go on from exactly the number that it saved.
    #[test]
    fn floats_come_back_exactly() {
        let mut number = 0.1_f64;
        for _ in 0..2_000 {
            number = (number * 1.000_7 + 0.013).sqrt() * 3.3;
            let bytes = write("state", &number).unwrap();
            assert_eq!(read::<f64>("state", &bytes).unwrap().to_bits(), number.to_bits());
        }
    }
}
