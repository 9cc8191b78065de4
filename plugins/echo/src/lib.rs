//! The smallest step: returns its input. What a no-op costs is measured with it.

use pawl_sdk::{Context, Failure, step};
use serde_json::value::RawValue;

/// Returns its input.
#[step]
fn echo(_: &mut Context, input: Box<RawValue>) -> Result<Box<RawValue>, Failure> {
    Ok(input)
}
