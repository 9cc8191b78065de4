//! The step of this plugin.

use pawl_sdk::{Context, Failure, step};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema)]
struct Input {
    name: String,
    times: usize,
}

#[derive(Serialize, JsonSchema)]
struct Output {
    greetings: Vec<String>,
}

/// Greets as often as it is asked to.
#[step]
fn greet(ctx: &mut Context, input: Input) -> Result<Output, Failure> {
    // After a crash the step goes on from what it saved last.
    let mut greetings: Vec<String> = ctx.restore()?.unwrap_or_default();
    while greetings.len() < input.times {
        greetings.push(greeting(&input.name, greetings.len() + 1));
        ctx.checkpoint(&greetings)?;
    }
    Ok(Output { greetings })
}

fn greeting(name: &str, number: usize) -> String {
    format!("Hello, {name}, for time number {number}!")
}

#[cfg(test)]
mod tests {
    use super::*;
    use pawl_sdk::testing::{crash_everywhere, json};

    #[test]
    fn a_crash_at_any_call_changes_nothing() {
        let run = crash_everywhere(greet, json!({ "name": "Ada", "times": 3 }));
        assert_eq!(run.output().greetings[2], "Hello, Ada, for time number 3!");
    }
}
