//! A step's own effects: begun, finished, and skipped with all that is inside when they were finished before.

use super::{Fault, Replay};
use crate::testing::journal::{Call, Entry, Told};

#[derive(Debug)]
pub(super) struct OpenOnce {
    pub(super) name: String,
    pub(super) effect_ordinal: u32,
    pub(super) random_position: u64,
}

#[derive(Debug)]
pub(super) struct Finished {
    pub(super) value: Vec<u8>,
    /// Calls of `checkpoint` before it; `None` if it was kept and the step has not come to it yet.
    pub(super) saves: Option<u32>,
}

/// What the begin of a `once` gets.
pub(in crate::testing) enum OnceStep {
    Finished(Vec<u8>),
    Reopened,
    Live,
}

impl Replay {
    pub(in crate::testing) fn once_begin(&mut self, name: &str) -> Result<OnceStep, Fault> {
        self.refuse_in_once("another once")?;
        let saves = self.saves;
        if let Some(earlier) = self.finished.get_mut(name).filter(|it| it.saves.is_none_or(|then| then == saves)) {
            earlier.saves = Some(saves);
            self.effect_ordinal += 1;
            return Ok(OnceStep::Finished(earlier.value.clone()));
        }
        let begun = self.next(&Call::OnceBegin(name.to_owned()))?;
        self.effect_ordinal += 1;
        if let Some(value) = self.finished_ahead(name) {
            self.finished.insert(name.to_owned(), Finished { value: value.clone(), saves: Some(saves) });
            return Ok(OnceStep::Finished(value));
        }
        self.once = Some(OpenOnce { name: name.to_owned(), effect_ordinal: 0, random_position: 0 });
        Ok(if begun.is_some() { OnceStep::Reopened } else { OnceStep::Live })
    }

    pub(in crate::testing) fn once_finish(&mut self, name: &str, value: &[u8]) -> Result<(), Fault> {
        if self.open_once() != Some(name) {
            return Err(Fault::Refused(format!("once-finish({name:?}) without its once-begin")));
        }
        let call = Call::OnceFinish(name.to_owned());
        if self.position < self.journal.len() {
            return Err(self.diverged(&call.to_string()));
        }
        self.once = None;
        self.finished.insert(name.to_owned(), Finished { value: value.to_vec(), saves: Some(self.saves) });
        self.record(Entry::Answered(call, Told::Value(value.to_vec())));
        Ok(())
    }

    pub(in crate::testing) fn open_once(&self) -> Option<&str> {
        self.once.as_ref().map(|open| open.name.as_str())
    }

    pub(super) fn refuse_in_once(&self, what: &str) -> Result<(), Fault> {
        match &self.once {
            Some(open) => Err(Fault::Refused(format!("{what} is refused inside once({:?})", open.name))),
            None => Ok(()),
        }
    }

    /// The value of a finished `once` that begins right before this place; skips what is inside.
    fn finished_ahead(&mut self, name: &str) -> Option<Vec<u8>> {
        let ends = |entry: &Entry| matches!(entry.call(), Some(Call::OnceBegin(_) | Call::OnceFinish(_)));
        let end = self.position + self.journal[self.position..].iter().position(ends)?;
        match &self.journal[end] {
            Entry::Answered(Call::OnceFinish(finished), Told::Value(value)) if finished == name => {
                let value = value.clone();
                (self.position..=end).for_each(|_| self.take_in());
                self.skip_notes();
                Some(value)
            }
            _ => None,
        }
    }

    pub(super) fn results_of_once(&self) -> Vec<Entry> {
        let note = |(name, finished): (&String, &Finished)| Entry::OnceKept(name.clone(), finished.value.clone());
        self.finished.iter().map(note).collect()
    }
}
