//! Version 2 of the plugin `batch`, whose author has changed what it asks the host: where version 1 reads the
//! clock for each item, this one begins a `once`. A replay of version 1's journal with it diverges, and the
//! step is parked with its journal intact until version 1 is active again.

use pawl_sdk::{Context, Failure, step};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Deserialize)]
struct Job {
    items: u32,
}

#[derive(Default, Serialize, Deserialize)]
struct State {
    next: u32,
    digest: u64,
}

#[derive(Serialize)]
struct Output {
    items: u32,
    version: u32,
}

/// Goes through `items` items and asks the host other questions than version 1.
#[step(name = "batch", version = "2.0.0")]
fn batch(ctx: &mut Context, input: Value) -> Result<Output, Failure> {
    let mut state: State = ctx.restore()?.unwrap_or_default();
    let job: Job = if input.get("items").is_some() { serde_json::from_value(input)? } else { ctx.config()? };
    while state.next < job.items {
        ctx.once(&format!("item {}", state.next), || Ok::<_, Failure>(()))?;
        state.next += 1;
        ctx.checkpoint(&state)?;
    }
    Ok(Output { items: job.items, version: 2 })
}

#[cfg(test)]
mod tests {
    use pawl_sdk::testing::{crash_everywhere, json};

    use super::*;

    #[test]
    fn a_crash_anywhere_changes_nothing() {
        let run = crash_everywhere(batch, json!({ "items": 6 }));
        assert_eq!((run.output().items, run.onces().len()), (6, 6));
    }
}
