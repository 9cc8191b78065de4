//! The smallest step: returns its input. What a no-op costs is measured with it.

use pawl_sdk::{Context, Failure, step};
use serde_json::value::RawValue;

/// Returns its input.
#[step]
fn echo(_: &mut Context, input: Box<RawValue>) -> Result<Box<RawValue>, Failure> {
    Ok(input)
}

#[cfg(test)]
mod tests {
    use pawl_sdk::testing::{Host, json};

    use super::*;

    #[test]
    fn the_input_comes_back_and_the_host_is_not_asked() {
        let run = Host::new().crash_everywhere(echo, json!({ "a": [1, 2.5] }));
        assert_eq!((run.output().get(), run.calls().len()), (r#"{"a":[1,2.5]}"#, 0));
    }
}
