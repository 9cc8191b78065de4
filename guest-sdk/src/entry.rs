//! What the expansion of `#[step]` calls: the two exports of a component, typed on one side and text on the
//! other. Must not call the host by itself; the panic hook does when a step panics.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::document;
use crate::failure::Failure;
use crate::raw::pawl::step::types::{Failure as WireFailure, Manifest};
use crate::logging;

/// `run`: reads the input, calls the step, writes its output.
///
/// # Errors
/// What the step failed with; a fatal failure if the input or the output does not fit its type.
pub fn run<I, O, E>(input: String, step: impl FnOnce(&mut Context, I) -> Result<O, E>) -> Result<String, WireFailure>
where
    I: DeserializeOwned,
    O: Serialize,
    E: Into<Failure>,
{
    if cfg!(target_arch = "wasm32") {
        logging::log_panics();
    }
    execute(&input, step).map_err(Failure::into_wire)
}

fn execute<I, O, E>(input: &str, step: impl FnOnce(&mut Context, I) -> Result<O, E>) -> Result<String, Failure>
where
    I: DeserializeOwned,
    O: Serialize,
    E: Into<Failure>,
{
    let input = document::read("input", input.as_bytes())?;
    let output = step(&mut Context::new(), input).map_err(Into::into)?;
    let output = document::write("output", &output)?;
    Ok(String::from_utf8(output).expect("serde_json writes UTF-8"))
}

/// `describe`: what the attribute and the crate's manifest say.
#[must_use]
pub fn manifest(name: &str, version: &str, description: &str, needs: &[&str]) -> Manifest {
    Manifest {
        name: name.to_owned(),
        version: version.to_owned(),
        description: description.to_owned(),
        input_schema: None,
        output_schema: None,
        needs: needs.iter().map(|need| (*need).to_owned()).collect(),
    }
}

/// Makes the compiler point at the input's type if serde can't read it.
pub const fn assert_input<I: DeserializeOwned>() {}

/// Makes the compiler point at the return type if it is no `Result` of an output and an error.
pub const fn assert_step<R: StepResult>() {}

/// What a step returns.
#[diagnostic::on_unimplemented(
    message = "a step returns `Result<Output, Failure>`, not `{Self}`",
    note = "the output must implement `serde::Serialize`; the error must be `Failure` or convert into it"
)]
pub trait StepResult {}

impl<O: Serialize, E: Into<Failure>> StepResult for Result<O, E> {}

#[cfg(test)]
mod tests {
    use super::*;

    fn double(_: &mut Context, number: u32) -> Result<u32, Failure> {
        number.checked_mul(2).ok_or_else(|| Failure::fatal("too large to double"))
    }

    #[test]
    fn a_step_reads_and_writes_json() {
        assert_eq!(run("21".to_owned(), double).unwrap(), "42");
    }

    #[test]
    fn a_wrong_input_never_reaches_the_step() {
        let failure = run::<u32, u32, Failure>("[]".to_owned(), |_, _| unreachable!()).unwrap_err();
        assert!(failure.message.contains("the input does not fit"), "{}", failure.message);
    }

    #[test]
    fn a_step_may_return_any_error() {
        let failure = run::<String, u8, _>("\"x\"".to_owned(), |_, text| text.parse::<u8>()).unwrap_err();
        assert_eq!(failure.message, "invalid digit found in string");
    }

    #[test]
    #[should_panic(expected = "durable.now asks the Pawl host, and there is none in a native build")]
    fn a_host_call_in_a_native_build_says_what_is_wrong() {
        let _ = run::<(), u64, Failure>("null".to_owned(), |ctx, ()| Ok(ctx.now_ns()));
    }
}
