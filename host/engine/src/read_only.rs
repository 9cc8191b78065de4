//! A recorder that ends the guest where its journal ends: nothing is written, nothing leaves. For replays that only
//! look.

use std::sync::OnceLock;
use std::time::Duration;

use pawl_domain::journal::{Checkpoint, Entry};
use pawl_domain::replay::tell;

use super::clock::local_unix_ns;
use super::recorder::{Interrupt, Recorder, Stop};

/// What went past the end of the journal first, if anything has.
#[derive(Debug, Default)]
pub struct ReadOnly {
    live: OnceLock<String>,
}

impl ReadOnly {
    /// The call that ended the guest, in words.
    #[must_use]
    pub fn live(&self) -> Option<&str> {
        self.live.get().map(String::as_str)
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
}
