//! Reads the clock n times: n journal entries and nothing else. The load of `pawl bench journal`.

use pawl_sdk::{Context, Failure, step};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema)]
struct Input {
    entries: u32,
}

#[derive(Serialize, JsonSchema)]
struct Output {
    entries: u32,
    /// From the first reading to the last.
    elapsed_ns: u64,
}

/// Reads the clock `entries` times.
#[step]
fn clock(ctx: &mut Context, input: Input) -> Result<Output, Failure> {
    let mut readings = (0..input.entries).map(|_| ctx.now_ns());
    let first = readings.next().unwrap_or_default();
    let last = readings.last().unwrap_or(first);
    Ok(Output { entries: input.entries, elapsed_ns: last.saturating_sub(first) })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pawl_sdk::testing::{Host, json};

    use super::*;

    #[test]
    fn a_crash_anywhere_changes_nothing_but_readings_that_were_lost() {
        let host = Host::new().tick(Duration::from_nanos(10)).ignoring("/elapsed_ns");
        let run = host.crash_everywhere(clock, json!({ "entries": 5 }));
        assert_eq!((run.output().elapsed_ns, run.calls()), (40, ["durable.now"; 5].as_slice()));
    }
}
