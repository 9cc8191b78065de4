//! Tells other systems of dead letters: the stream that [`pawl_queue::Queue::tell_dead_letters`] describes. It looks when this
//! process has seen a step die, once at its start, and otherwise not at all: what another process was killed over is told with
//! the next one. A letter is told at least once, unless the queue loses it: it is noted after it was told.

use std::sync::Arc;
use std::time::Duration;

use pawl_domain::cause::group_of;
use pawl_queue::SharedQueue;
use pawl_store::dead_letters::DeadLetter;
use pawl_store::{SharedStore, within};
use serde_json::json;
use tokio::sync::Notify;

/// Letters that are told at once.
const PIECE: u32 = 100;

/// Between two attempts while a server is away.
const PAUSE: Duration = Duration::from_secs(5);

/// Who tells.
pub struct Mirroring {
    /// Where letters are.
    pub store: SharedStore,
    /// Who tells of them.
    pub queue: SharedQueue,
    /// How long a short answer of the store is waited for.
    pub patience: Duration,
    /// A step has died.
    pub died: Arc<Notify>,
}

/// Does so for ever.
pub async fn run(mirroring: Mirroring) {
    let mut outage = false;
    loop {
        match run_once(&mirroring).await {
            Ok(told) => {
                outage = false;
                if told < PIECE as usize {
                    mirroring.died.notified().await;
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut outage, true) {
                    tracing::warn!(error = error.chain(), "other systems are told of dead letters later");
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Tells some; returns how many.
///
/// # Errors
/// If the store or the queue is away.
pub async fn run_once(mirroring: &Mirroring) -> pawl_dispatch::Result<usize> {
    let Mirroring { store, queue, patience, .. } = mirroring;
    let letters = within(*patience, store.untold_dead_letters(PIECE)).await?;
    if letters.is_empty() {
        return Ok(0);
    }
    let mut told = Vec::with_capacity(letters.len());
    for letter in &letters {
        told.push(letter_json(&**store, letter, *patience).await?);
    }
    queue.tell_dead_letters(&told).await?;
    let steps: Vec<_> = letters.iter().map(|letter| letter.place.step).collect();
    within(*patience, store.dead_letters_told(&steps)).await?;
    Ok(letters.len())
}

async fn letter_json(
    store: &dyn pawl_store::Store,
    letter: &DeadLetter,
    patience: Duration,
) -> pawl_store::Result<String> {
    let pipeline = within(patience, store.pipeline_version(letter.pipeline_digest)).await?;
    let no = letter.place.step.step;
    let step = pipeline.step(no).map_or_else(|| no.to_string(), |spec| spec.name.clone());
    Ok(json!({
        "run": letter.place.step.run,
        "step": step,
        "pipeline": letter.pipeline,
        "state": letter.state.as_str(),
        "cause": letter.cause,
        "group": group_of(&letter.pipeline, &step, &letter.cause),
        "at_ms": letter.place.at_us / 1_000,
    })
    .to_string())
}
