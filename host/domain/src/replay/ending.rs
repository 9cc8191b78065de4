//! How an attempt ends: whether the guest has done all that it did before, and what of the journal remains for the next
//! attempt.

use super::call::Call;
use super::{Called, Fault, Replay, notice};
use crate::attempt::Cut;
use crate::journal::Entry;

impl Replay {
    /// Takes in what is left of the journal: an attempt that ends in the middle of its replay is cut by all of it.
    ///
    /// # Errors
    /// [`Fault::Unread`].
    pub fn read_to_end(&mut self) -> Called<()> {
        self.recorded.try_again();
        let start = self.tail.start();
        while let Some((first, entries)) = self.recorded.read() {
            for (position, entry) in (first..).zip(entries) {
                notice(&mut self.sent, &mut self.tail, start, position, &entry);
            }
        }
        self.readable()
    }

    /// The guest ended by itself, in the way that `how` says.
    ///
    /// # Errors
    /// [`Fault::Diverged`] if entries are left: the guest did less than before.
    pub fn finish(&mut self, how: &str) -> Called<()> {
        self.readable()?;
        let expected = match self.recorded.front() {
            _ if self.must_restore() => Call::Restore,
            Some((_, entry)) => Call::of(entry),
            None => return Ok(()),
        };
        Err(Fault::Diverged(Box::new(self.divergence(Some(expected), how.to_owned()))))
    }

    /// What remains of the journal when this attempt's failure is retried: the next attempt replays from
    /// the last checkpoint up to and including the last successful effect; what follows is dropped. What
    /// left under a key can't be taken back and what a `once` gave stays, both as notes.
    ///
    /// A signal is what the guest failed by if it was given it, and asked the world for nothing else since but the time:
    /// whatever it did with it, nothing but the signal has led there, and the same signal would again.
    #[must_use]
    pub fn cut(&self, from_checkpoint: bool) -> Cut {
        let at = self.tail.cut_at(from_checkpoint);
        let left = self.tail.left_since(at).into_iter();
        let mut notes: Vec<Entry> = left
            .filter_map(|key| self.sent.get(&key).map(|request| Entry::Attempted { key, request: request.clone() }))
            .collect();
        notes.splice(0..0, self.tail.seed_since(at));
        // Before the journal's first entry: whoever goes on makes the same keys.
        notes.splice(0..0, self.round.filter(|_| at == 0).map(|round| Entry::Again { round }));
        if from_checkpoint {
            notes.extend(self.elapsed_ns.map(|monotonic_ns| Entry::Elapsed { monotonic_ns }));
            notes.extend(self.results_of_once());
        }
        let failed_by = self.signalled_at.filter(|given| *given >= at && self.tail.ends_with(*given));
        Cut { at, notes, failed_by }
    }
}
