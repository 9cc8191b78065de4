//! Goes through n items and saves a checkpoint on the way. Its output is a digest over all items in their
//! order, so that an item that was left out or done twice after a resume is seen. Takes its job from the
//! input, or from the step's config where the input is none.

use pawl_sdk::{Context, Failure, step};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Deserialize)]
struct Job {
    items: u32,
    /// Items between two checkpoints; 0 for none at all.
    #[serde(default = "one")]
    checkpoint_every: u32,
    /// Rounds of computing for each item.
    #[serde(default)]
    work: u64,
    /// Computes for about so many milliseconds more for each item; unlike a sleep, that keeps the worker busy.
    #[serde(default)]
    pause_ms: u64,
    /// Clock readings for each item, each an entry in the journal.
    #[serde(default)]
    readings: u32,
}

fn one() -> u32 {
    1
}

/// What is done so far.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
struct State {
    next: u32,
    digest: u64,
}

#[derive(Serialize)]
struct Output {
    items: u32,
    /// Depends on every item and on their order, and on nothing else.
    digest: String,
    /// Where this attempt went on.
    resumed_at: u32,
    /// How many items this attempt did.
    done_here: u32,
}

/// Goes through `items` items, with a checkpoint after each.
#[step]
fn batch(ctx: &mut Context, input: Value) -> Result<Output, Failure> {
    let mut state: State = ctx.restore()?.unwrap_or_default();
    let job: Job = if input.get("items").is_some() { serde_json::from_value(input)? } else { ctx.config()? };
    let resumed_at = state.next;
    while state.next < job.items {
        for _ in 0..job.readings {
            ctx.now_ns();
        }
        spin(job.work + job.pause_ms * ROUNDS_PER_MS);
        state = state.with(state.next);
        if job.checkpoint_every != 0 && state.next.is_multiple_of(job.checkpoint_every) {
            ctx.checkpoint(&state)?;
        }
        if state.next.is_multiple_of(job.items.div_ceil(100)) {
            ctx.progress(f64::from(state.next) / f64::from(job.items), "");
        }
    }
    Ok(Output {
        items: job.items,
        digest: format!("{:016x}", state.digest),
        resumed_at,
        done_here: job.items.saturating_sub(resumed_at),
    })
}

impl State {
    fn with(self, item: u32) -> Self {
        Self { next: item + 1, digest: mix(self.digest ^ u64::from(item)) }
    }
}

/// A round is one dependent multiplication and shift: about a nanosecond.
const ROUNDS_PER_MS: u64 = 600_000;

fn spin(rounds: u64) {
    let mut value = rounds;
    for _ in 0..rounds {
        value = mix(std::hint::black_box(value));
    }
    std::hint::black_box(value);
}

/// The finalizer of splitmix64, <https://prng.di.unimi.it/splitmix64.c>.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use pawl_sdk::testing::{Host, json};

    use super::*;

    #[test]
    fn a_crash_anywhere_changes_nothing_but_where_it_went_on() {
        let host = Host::new().ignoring("/resumed_at").ignoring("/done_here");
        let run = host.crash_everywhere(batch, json!({ "items": 12, "checkpoint_every": 3, "readings": 2 }));
        assert_eq!((run.output().done_here, run.checkpoints()), (12, 4));
        let config = json!({ "items": 5, "readings": 1 });
        let run = host.config(config).crash_everywhere(batch, json!(null));
        assert_eq!((run.output().items, run.checkpoints()), (5, 5));
    }

    fn digest(items: impl IntoIterator<Item = u32>) -> u64 {
        items.into_iter().fold(State::default(), State::with).digest
    }

    #[test]
    fn the_digest_shows_an_item_left_out_doubled_or_swapped() {
        let right = digest([0, 1, 2, 3]);
        for wrong in [vec![0, 1, 3], vec![0, 1, 2, 2, 3], vec![0, 2, 1, 3]] {
            assert_ne!(digest(wrong), right);
        }
    }

    #[test]
    fn the_digest_does_not_depend_on_where_it_was_resumed() {
        let half = (0..50).fold(State::default(), State::with);
        let saved: State = serde_json::from_str(&serde_json::to_string(&half).unwrap()).unwrap();
        assert_eq!((50..100).fold(saved, State::with).digest, digest(0..100));
    }
}
