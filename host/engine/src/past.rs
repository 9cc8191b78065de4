//! What a resumed guest reads of its past, as it comes to it: on the guest's thread, which another guest may use
//! meanwhile. What it takes is charged before it is read.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pawl_domain::journal::Entry;
use pawl_domain::replay::{Rest, Unread};

use super::clock::Deadline;
use super::limiter::Budget;
use super::recorder::{Past, Recorder};
use super::threads::LifeSign;

/// What a piece of a journal takes while it is read and replayed, bytes: as it is stored, and as entries.
pub(super) const PIECE_BYTES: usize = 4 << 20;

/// A past that is read for one attempt.
pub(super) struct Reading {
    past: Arc<dyn Past>,
    budget: Budget,
    sign: Arc<LifeSign>,
    recorder: Arc<dyn Recorder>,
    deadline: Deadline,
    /// The guest has ended, perhaps because its time is over: what is read now is needed for what remains of it.
    has_ended: Arc<AtomicBool>,
}

impl Reading {
    pub(super) fn new(
        past: Arc<dyn Past>,
        budget: Budget,
        sign: Arc<LifeSign>,
        recorder: Arc<dyn Recorder>,
        deadline: Deadline,
        has_ended: Arc<AtomicBool>,
    ) -> Self {
        Self { past, budget, sign, recorder, deadline, has_ended }
    }

    fn is_given_up(&self) -> bool {
        let is_over = || self.deadline.is_over_after(self.budget.waited()) && !self.has_ended.load(Ordering::Relaxed);
        self.recorder.stop().is_some() || is_over()
    }

    fn read<T>(&self, read: impl FnOnce(&dyn Past, &dyn Fn() -> bool) -> Result<T, Unread>) -> Result<T, Unread> {
        self.sign.away(|| read(&*self.past, &|| self.is_given_up()))
    }
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading").finish_non_exhaustive()
    }
}

impl Rest for Reading {
    fn entries(&mut self, from: u32, until: u32) -> Result<Vec<Entry>, Unread> {
        self.read(|past, given_up| past.entries(from, until, given_up))
    }

    fn state(&mut self) -> Result<Vec<u8>, Unread> {
        // Twice: it is kept for whoever asks again, and a copy is handed to the guest.
        let size = usize::try_from(self.past.state_bytes()).unwrap_or(usize::MAX);
        self.budget.take_share(size.saturating_mul(2)).map_err(|_| Unread::Stopped)?;
        self.read(|past, given_up| past.state(given_up))
    }

    fn signal(&mut self, position: u32) -> Result<Option<Vec<u8>>, Unread> {
        self.read(|past, given_up| past.signal(position, given_up))
    }
}
