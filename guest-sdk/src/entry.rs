//! What the expansion of `#[step]` calls: the two exports of a component, typed on one side and text on the
//! other. In parts, so that each part's errors can be told at the type that caused them. Must not call the
//! host by itself; the panic hook does when a step panics.

use std::panic::Location;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::document;
use crate::facade;
use crate::failure::Failure;
use crate::logging;
use crate::raw::pawl::step::types::{Failure as WireFailure, Manifest};

/// The first part of `run`: reads the input. It is called where the step stands, which a panic elsewhere tells.
///
/// # Errors
/// A fatal failure that names the member that does not fit.
#[track_caller]
pub fn input<I: StepInput>(json: &str) -> Result<I, WireFailure> {
    if cfg!(target_arch = "wasm32") {
        logging::log_panics(Location::caller());
        facade::install();
    }
    document::read("input", json.as_bytes()).map_err(Failure::into_wire)
}

/// What a step takes.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be what a step takes",
    note = "the input is read from JSON: derive `serde::Deserialize` for it"
)]
pub trait StepInput: DeserializeOwned {}

#[diagnostic::do_not_recommend]
impl<I: DeserializeOwned> StepInput for I {}

/// What the step is called with.
#[must_use]
pub fn context() -> Context {
    Context::new()
}

/// The last part of `run`: writes what the step returned.
///
/// # Errors
/// What the step failed with; a fatal failure if its output can't be written.
pub fn output<R: StepResult>(returned: R) -> Result<String, WireFailure> {
    returned.into_json().map_err(Failure::into_wire)
}

/// What a step returns.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be what a step returns",
    note = "a step returns `Result<Output, Failure>`: derive `serde::Serialize` for the output; the error is `Failure` or \
            converts into it"
)]
pub trait StepResult {
    /// The output as text.
    ///
    /// # Errors
    /// What the step failed with; a fatal failure if its output can't be written.
    fn into_json(self) -> Result<String, Failure>;
}

#[diagnostic::do_not_recommend]
impl<O: Serialize, E: Into<Failure>> StepResult for Result<O, E> {
    fn into_json(self) -> Result<String, Failure> {
        let output = document::write("output", &self.map_err(Into::into)?)?;
        Ok(String::from_utf8(output).expect("serde_json writes UTF-8"))
    }
}

/// `describe`: what the attribute, the crate's manifest and the types say.
#[must_use]
pub fn manifest(
    name: &str,
    version: &str,
    description: &str,
    needs: &[&str],
    input_schema: Option<String>,
    output_schema: Option<String>,
) -> Manifest {
    Manifest {
        name: name.to_owned(),
        version: version.to_owned(),
        description: description.to_owned(),
        input_schema,
        output_schema,
        needs: needs.iter().map(|need| (*need).to_owned()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw::pawl::step::types::FailureKind;

    #[test]
    fn a_step_reads_and_writes_json() {
        assert_eq!(input::<u32>("21").unwrap(), 21);
        assert_eq!(output(Ok::<_, Failure>(42)).unwrap(), "42");
    }

    #[test]
    fn a_wrong_input_is_fatal() {
        let failure = input::<u32>("[]").unwrap_err();
        assert!(matches!(failure.kind, FailureKind::Fatal));
        assert!(failure.message.contains("the input does not fit"), "{}", failure.message);
    }

    #[test]
    fn a_step_may_return_any_error() {
        assert_eq!(output("x".parse::<u8>()).unwrap_err().message, "invalid digit found in string");
    }

    #[test]
    #[should_panic(expected = "durable.now asks the Pawl host, and there is none in a native build")]
    fn a_host_call_in_a_native_build_says_what_is_wrong() {
        context().now_ns();
    }
}
