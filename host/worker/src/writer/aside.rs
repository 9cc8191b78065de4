//! What was set aside: it is sent again by itself, on a connection of its own, after pauses that grow, so that nothing
//! else waits for it.
//!
//! ```text
//!  busy: somebody holds the run ──pause──▶ with all others that are due ──▶ written, or busy still
//!  too much at once ──halved──▶ passes, or is halved again ──▶ one step's, too slow still ──pause──▶ again
//! ```
//!
//! A lock is often short: another worker commits for the same run. What stays aside is told in the log, run by run, as
//! what it is. Its steps are this worker's all the while, as far as it knows; whether they are is judged as ever, by the
//! statement that writes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use pawl_domain::id::RunId;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep_until};

use super::Writing;
use super::collect::BATCH_BYTES;
use super::lane::{Lane, SetAside, Why};
use super::part::{Halved, Part};

/// Pauses after somebody else's lock: the first, and the longest.
const BUSY: [Duration; 2] = [Duration::from_millis(2), Duration::from_millis(500)];

/// Pauses after the writing of one step took too long by itself.
const SLOW: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(30)];

/// Tries of a run after which people are told of it; and again whenever these have doubled.
const TOLD_AFTER: u32 = 8;

/// The loop; ends with its task, or with those who set aside.
pub(super) async fn run(writing: Arc<Writing>, mut arrivals: UnboundedReceiver<SetAside>) {
    let mut aside = Aside { lane: Lane::new(writing, Arc::default()), waiting: Vec::new(), tries: HashMap::new() };
    loop {
        let due = aside.waiting.iter().map(|(due, _)| *due).min();
        tokio::select! {
            arrived = arrivals.recv() => match arrived {
                Some(arrived) => aside.put(arrived),
                None => return,
            },
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => aside.send_due().await,
        }
    }
}

struct Aside {
    lane: Lane,
    waiting: Vec<(Instant, SetAside)>,
    /// How often something of a run was tried since it went through.
    tries: HashMap<RunId, u32>,
}

impl Aside {
    /// Lets it wait for its next try.
    fn put(&mut self, SetAside { part, why }: SetAside) {
        let now = Instant::now();
        match &why {
            Why::Busy => self.wait(SetAside { part, why }, BUSY),
            Why::TooMuch(_) => match part.halve() {
                Halved::Two(halves) => {
                    self.waiting.extend(halves.into_iter().map(|part| (now, SetAside { part, why: why.clone() })));
                }
                Halved::Chain(chain) => {
                    let part = self.lane.first_of(chain);
                    self.waiting.push((now, SetAside { part, why }));
                }
                Halved::One(part) => self.wait(SetAside { part, why }, SLOW),
            },
        }
    }

    fn wait(&mut self, aside: SetAside, [first, longest]: [Duration; 2]) {
        let mut tries = 0;
        for run in aside.part.runs() {
            let tried = self.tries.entry(run).or_default();
            *tried += 1;
            tries = tries.max(*tried);
            if *tried >= TOLD_AFTER && tried.is_power_of_two() {
                aside.tell(run, *tried);
            }
        }
        let pause = first.saturating_mul(1 << tries.saturating_sub(1).min(20)).min(longest);
        self.waiting.push((Instant::now() + pause, aside));
    }

    /// Sends what is due: all that was busy at once, or one that was too much.
    async fn send_due(&mut self) {
        let Some(part) = self.take_due() else { return };
        let runs = part.runs();
        let again = self.lane.send(part).await;
        let still: Vec<RunId> = again.iter().flat_map(|aside| aside.part.runs()).collect();
        for run in runs.iter().filter(|run| !still.contains(run)) {
            self.tries.remove(run);
        }
        again.into_iter().for_each(|aside| self.put(aside));
        if self.waiting.is_empty() {
            self.lane.hang_up();
        }
    }

    fn take_due(&mut self) -> Option<Part> {
        let now = Instant::now();
        let mut bytes = 0;
        let is_due = |(due, aside): &mut (Instant, SetAside)| {
            let fits = *due <= now && matches!(aside.why, Why::Busy) && bytes < BATCH_BYTES;
            bytes += if fits { aside.part.payload_bytes() } else { 0 };
            fits
        };
        let mut busy: Vec<Part> = self.waiting.extract_if(.., is_due).map(|(_, aside)| aside.part).collect();
        if busy.is_empty() {
            let place = self.waiting.iter().position(|(due, _)| *due <= now)?;
            return Some(self.waiting.swap_remove(place).1.part);
        }
        // The order of keys, as in any batch.
        busy.sort_by_key(|part| part.batch.members.first().map(|member| member.id));
        let mut together = Part::default();
        busy.into_iter().for_each(|part| together.join(part));
        Some(together)
    }
}

impl SetAside {
    fn tell(&self, run: RunId, tries: u32) {
        match &self.why {
            Why::Busy => tracing::warn!(run.id = %run, tries,
                "somebody else's transaction holds the run: what its steps write waits, and nothing else"),
            Why::TooMuch(error) => tracing::warn!(run.id = %run, tries, error,
                "what a step of the run writes takes too long by itself: it is tried again, and holds up nothing else"),
        }
    }
}
