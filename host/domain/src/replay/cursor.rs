//! The way through the recorded entries: one call, one entry, notes taken in on the way, and the jump to the
//! checkpoint.

use super::call::Call;
use super::once::Finished;
use super::{Called, Facts, Fault, Replay, Step, notice};
use crate::attempt::{Divergence, Restored};
use crate::journal::Entry;

impl Replay {
    /// Answers a call from the journal if the next entry is that call's.
    pub(super) fn next<T>(&mut self, call: Call<'_>, answer: impl FnOnce(Entry) -> Option<T>) -> Called<Step<T>> {
        self.readable()?;
        self.missed_restore(call)?;
        match self.recorded.front() {
            None => Ok(Step::Live),
            Some((_, entry)) if Call::of(entry) == call => {
                let (position, entry) = self.pop().expect("its front was just seen");
                self.position = position + 1;
                self.replayed += 1;
                self.pass_time(&entry);
                self.skip_notes();
                Ok(Step::Recorded(answer(entry).expect("an entry that matches a call holds its answer")))
            }
            Some((_, entry)) => Err(self.diverged(Some(Call::of(entry)), call)),
        }
    }

    /// Takes the next entry; there is one to look at after it, if there is one left.
    pub(super) fn pop(&mut self) -> Option<(u32, Entry)> {
        let taken = self.recorded.pop_front();
        self.fill();
        taken
    }

    /// Reads on where nothing is in memory.
    pub(super) fn fill(&mut self) {
        while self.recorded.wants_piece() {
            let Some((first, entries)) = self.recorded.read() else { return };
            let start = self.tail.start();
            for (position, entry) in (first..).zip(&entries) {
                notice(&mut self.sent, &mut self.tail, start, position, entry);
            }
            self.recorded.take_in(first, entries);
        }
    }

    /// Moves to the checkpoint: what lies before it has been lived through.
    pub(super) fn jump(&mut self) {
        let Some(checkpoint) = &self.checkpoint else { return };
        let position = checkpoint.position;
        self.position = position;
        self.random_position = checkpoint.random_position;
        self.effect_ordinal = checkpoint.effect_ordinal;
        self.resumed_from = Some(position);
        self.replayed_before = self.replayed;
        self.facts_recorded = false;
        self.facts_aged = true;
        self.finished.clear();
        self.elapsed_ns = None;
        while self.recorded.front().is_some_and(|(before, _)| *before < position) {
            self.pop();
        }
        self.skip_notes();
    }

    /// Whether an earlier attempt asked for its state at this very place.
    pub(super) fn must_restore(&self) -> bool {
        let asked_at = self.checkpoint.as_ref().and_then(|checkpoint| checkpoint.prelude);
        self.prelude.is_none() && asked_at == Some(self.position)
    }

    pub(super) fn missed_restore(&self, call: Call<'_>) -> Called<()> {
        if self.must_restore() { Err(self.diverged(Some(Call::Restore), call)) } else { Ok(()) }
    }

    /// Takes in the notes before the next entry. Those at the place where the guest must ask for its state
    /// come after the checkpoint.
    pub(super) fn skip_notes(&mut self) {
        while !self.must_restore() && self.recorded.front().is_some_and(|(_, entry)| Call::of(entry) == Call::Note) {
            let Some((position, note)) = self.pop() else { return };
            self.position = position + 1;
            self.take_in(note);
        }
    }

    /// Remembers what a note says; of other entries, nothing.
    pub(super) fn take_in(&mut self, entry: Entry) {
        match entry {
            Entry::OnceKept { name, value } => drop(self.finished.insert(name, Finished { value, saves: None })),
            Entry::Context { attempt, deadline_ms } => {
                self.facts = Some(Facts { attempt, deadline_ms });
                self.facts_recorded = true;
                self.facts_aged = false;
            }
            Entry::Elapsed { monotonic_ns } => self.elapsed_ns = Some(monotonic_ns),
            Entry::Again { round } => self.round = Some(round),
            Entry::Seeded { seed } => self.seed = Some(seed),
            _ => {}
        }
    }

    /// The facts under which what is still to be replayed was made.
    pub(super) fn facts_ahead(&mut self) -> Option<Facts> {
        if let Some((found_at, facts)) = self.facts_found
            && found_at >= self.position
        {
            return facts;
        }
        let found = self.recorded.find_map(|position, entry| match entry {
            Entry::Context { attempt, deadline_ms } => {
                Some((position, Facts { attempt: *attempt, deadline_ms: *deadline_ms }))
            }
            _ => None,
        });
        self.facts_found = Some(found.map_or((u32::MAX, None), |(position, facts)| (position, Some(facts))));
        found.map(|(_, facts)| facts)
    }

    /// How far the guest has come since it went on from its checkpoint.
    fn restored(&self) -> Option<Restored> {
        let replayed = self.replayed - self.replayed_before;
        self.resumed_from.map(|checkpoint| Restored { checkpoint, replayed, is_other_call: false })
    }

    pub(super) fn diverged(&self, expected: Option<Call<'_>>, actual: Call<'_>) -> Fault {
        let mut divergence = self.divergence(expected, actual.to_string());
        divergence.difference = expected.and_then(|expected| actual.difference_from(expected));
        if let Some(restored) = &mut divergence.restored {
            restored.is_other_call = expected.is_some() && divergence.difference.is_none();
        }
        Fault::Diverged(Box::new(divergence))
    }

    pub(super) fn divergence(&self, expected: Option<Call<'_>>, actual: String) -> Divergence {
        let expected = expected.map(|call| call.to_string());
        Divergence {
            position: self.position,
            expected,
            actual,
            difference: None,
            component: None,
            recorded_by: self.recorded_by,
            backtrace: None,
            restored: self.restored(),
        }
    }
}
