//! A recorder that ends the guest where its journal ends: nothing is written, nothing leaves. For replays that only
//! look; it remembers what the guest has said on its way.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use pawl_base::lock;
use pawl_domain::journal::{Checkpoint, Entry};
use pawl_domain::log::{self, Level};
use pawl_domain::replay::tell;
use serde_json::value::RawValue;

use super::clock::local_unix_ns;
use super::recorder::{Interrupt, Recorder, Stop};
use super::spoken::Spoken;

/// A line that the guest has said.
#[derive(Debug, Clone)]
pub struct Said {
    /// How many entries of the journal stand before it.
    pub position: u32,
    /// How much it matters.
    pub level: Level,
    /// The text.
    pub message: String,
    /// Its named values, see [`log::fields`].
    pub fields: Option<Box<RawValue>>,
}

/// What went past the end of the journal first, if anything has, and what was said until there.
#[derive(Debug, Default)]
pub struct ReadOnly {
    live: OnceLock<String>,
    /// Where in the journal the guest was when it was asked last.
    at: AtomicU32,
    said: Mutex<Vec<Said>>,
}

impl ReadOnly {
    /// The call that ended the guest, in words.
    #[must_use]
    pub fn live(&self) -> Option<&str> {
        self.live.get().map(String::as_str)
    }

    /// Takes the lines of its log, within the limits of an attempt.
    #[must_use]
    pub fn take_said(&self) -> Vec<Said> {
        std::mem::take(&mut *lock(&self.said))
    }

    fn end(&self, call: String) -> Result<(), Stop> {
        // The first one counts.
        let _ = self.live.set(call);
        Err(Stop::LeaseLost)
    }
}

impl Recorder for ReadOnly {
    fn record(&self, entry: &Entry) -> Result<bool, Stop> {
        match entry {
            // Recorded before what depends on it, which follows.
            Entry::Context { .. } | Entry::Seeded { .. } => Ok(true),
            entry => self.end(tell(entry, None).call).map(|()| true),
        }
    }

    fn room(&self, _: Duration) -> Result<(), Interrupt> {
        Ok(())
    }

    /// All that is recorded is durable.
    fn barrier(&self, _: Duration) -> Result<(), Interrupt> {
        Ok(())
    }

    fn clear_to_ask(&self, at_most: Duration) -> Result<(), Interrupt> {
        self.clear_to_leave(at_most)
    }

    fn clear_to_leave(&self, _: Duration) -> Result<(), Interrupt> {
        Ok(self.end("http.send()".to_owned())?)
    }

    fn may_leave(&self) -> bool {
        false
    }

    fn sends(&self) -> bool {
        false
    }

    fn checkpoint(&self, _: Checkpoint) -> Result<(), Stop> {
        self.end("durable.checkpoint()".to_owned())
    }

    fn unix_ns(&self) -> u64 {
        local_unix_ns()
    }

    fn progress(&self, _: f64, _: String) {}

    fn stop(&self) -> Option<Stop> {
        None
    }

    /// What was kept is told with the rest.
    fn prints(&self, _: Spoken) {}

    fn hears_again(&self, position: u32) -> bool {
        self.at.store(position, Ordering::Relaxed);
        true
    }

    fn keeps_log(&self) -> bool {
        true
    }

    fn says(&self, level: Level, message: String, fields: &[(&str, String)]) {
        let (position, fields) = (self.at.load(Ordering::Relaxed), log::fields(fields));
        lock(&self.said).push(Said { position, level, message, fields });
    }
}
