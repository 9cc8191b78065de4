//! A guest's own effects: begun, finished, and skipped with all that is inside when they were finished
//! before.
//!
//! ```text
//!  recorded    OnceBegun  …inside…  OnceFinished     skipped, the value is the answer
//!              OnceBegun  …inside…                   done again, what is inside is replayed
//!  kept        OnceKept                              the answer, wherever the guest begins it
//! ```

use super::call::Call;
use super::keys::{self, KeyOf};
use super::{Called, OnceStep, Refused, Replay, Step};
use crate::id::Digest;
use crate::journal::Entry;

/// An effect that the guest has begun and not finished.
#[derive(Debug)]
pub(super) struct OpenOnce {
    pub(super) name: String,
    pub(super) key: Digest,
    pub(super) effect_ordinal: u32,
    pub(super) random_position: u64,
}

/// An effect that is done, and the value it gave.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) value: Vec<u8>,
    /// Calls of `checkpoint` before it; `None` if it was kept from an earlier attempt and the guest has not
    /// come to it yet.
    pub(super) saves: Option<u32>,
}

impl Replay {
    /// The guest begins an effect of its own. A finished one is skipped with all that was done inside.
    ///
    /// # Errors
    /// [`Fault`](super::Fault) if the journal holds another call here, or an effect is open.
    pub fn once_begin(&mut self, name: &str) -> Called<OnceStep> {
        if let Some(open) = &self.once {
            return Err(Refused::NestedOnce { outer: open.name.clone(), inner: name.to_owned() }.into());
        }
        self.readable()?;
        let saves = self.saves;
        if let Some(earlier) = self.finished.get_mut(name).filter(|it| it.saves.is_none_or(|then| then == saves)) {
            earlier.saves = Some(saves);
            self.effect_ordinal += 1;
            return Ok(OnceStep::Finished(earlier.value.clone()));
        }
        let begun = self.next(Call::OnceBegin(name), |_| Some(()))?;
        self.effect_ordinal += 1;
        let finished = self.finished_ahead(name);
        self.readable()?;
        if let Some(value) = finished {
            self.finished.insert(name.to_owned(), Finished { value: value.clone(), saves: Some(saves) });
            return Ok(OnceStep::Finished(value));
        }
        let key = keys::key(self.step, self.round, KeyOf::Once(name));
        self.once = Some(OpenOnce { name: name.to_owned(), key, effect_ordinal: 0, random_position: 0 });
        Ok(if begun == Step::Live { OnceStep::Live } else { OnceStep::Reopened })
    }

    /// The guest finishes the effect that it began last: record [`Entry::OnceFinished`] and wait until it
    /// is durable. (A finished one in the journal is skipped at its begin, so this is always live.)
    ///
    /// # Errors
    /// [`Fault`](super::Fault) if no such effect is open, or entries inside it are left.
    pub fn once_finish(&mut self, name: &str, value: &[u8]) -> Called<()> {
        if self.once.as_ref().is_none_or(|open| open.name != name) {
            return Err(Refused::NotBegun(name.to_owned()).into());
        }
        self.readable()?;
        if let Some((_, entry)) = self.recorded.front() {
            return Err(self.diverged(Some(Call::of(entry)), Call::OnceFinish(name)));
        }
        self.once = None;
        self.finished.insert(name.to_owned(), Finished { value: value.to_vec(), saves: Some(self.saves) });
        Ok(())
    }

    /// The effect that the guest has begun and not finished.
    #[must_use]
    pub fn open_once(&self) -> Option<&str> {
        self.once.as_ref().map(|open| open.name.as_str())
    }

    /// What the results of `once` take that must be kept: they stay if the guest fails and asks to go on from its
    /// checkpoint, and a newer checkpoint lets go of them.
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        self.finished.iter().map(|(name, finished)| name.len() + finished.value.len()).sum()
    }

    /// As notes, in the order of their names.
    pub(super) fn results_of_once(&self) -> Vec<Entry> {
        let mut finished: Vec<_> = self.finished.iter().collect();
        finished.sort_unstable_by_key(|(name, _)| *name);
        let note = |(name, finished): (&String, &Finished)| Entry::OnceKept {
            name: name.clone(),
            value: finished.value.clone(),
        };
        finished.into_iter().map(note).collect()
    }

    /// The value of a finished `once` that begins right before the cursor; drops what is inside.
    fn finished_ahead(&mut self, name: &str) -> Option<Vec<u8>> {
        let (end, value) = self.recorded.find_map(|position, entry| match entry {
            Entry::OnceBegun { .. } => Some((position, None)),
            Entry::OnceFinished { name: recorded, value } => {
                Some((position, (recorded == name).then(|| value.clone())))
            }
            _ => None,
        })?;
        let value = value?;
        while self.recorded.front().is_some_and(|(position, _)| *position <= end) {
            let (position, entry) = self.pop()?;
            // What follows may depend on facts that the guest asked for inside.
            self.take_in(entry);
            self.replayed = self.replayed.saturating_add(1);
            self.position = position + 1;
        }
        self.skip_notes();
        Some(value)
    }
}
