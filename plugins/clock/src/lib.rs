//! Reads the clock n times: n journal entries and nothing else. The load of `pawl bench journal`.

use pawl_sdk::{Context, Failure, step};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Input {
    entries: u32,
}

#[derive(Serialize)]
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
