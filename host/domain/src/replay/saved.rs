//! A guest's own state: saved as a checkpoint, and asked for to go on from.

use super::call::Call;
use super::tail::Tail;
use super::{Called, Refused, Replay, Save};
use crate::journal::{Checkpoint, Entry, Held};

impl Replay {
    /// The guest saves its state. `Some` is the checkpoint to hand to the writer; `None` means that the
    /// guest is still replaying, so that there is nothing new to save. Never matched with the journal.
    ///
    /// # Errors
    /// [`Fault::Refused`](super::Fault::Refused) inside `once`.
    pub fn checkpoint(&mut self, state: Vec<u8>) -> Called<Option<Save>> {
        self.readable()?;
        if let Some(open) = &self.once {
            return Err(Refused::CheckpointInOnce(open.name.clone()).into());
        }
        self.saves += 1;
        if !self.is_live() {
            return Ok(None);
        }
        self.tail = Tail::new(self.position);
        self.facts_recorded = false;
        self.elapsed_ns = None;
        self.finished.retain(|_, finished| finished.saves.is_none());
        self.checkpoints += 1;
        let checkpoint = Checkpoint {
            ordinal: self.checkpoints,
            position: self.position,
            random_position: self.random_position,
            effect_ordinal: self.effect_ordinal,
            prelude: self.prelude,
            state,
            held: Held::default(),
        };
        let seeded = self.seed.map(|seed| Entry::Seeded { seed });
        Ok(Some(Save { notes: seeded.into_iter().chain(self.results_of_once()).collect(), checkpoint }))
    }

    /// The guest asks for the state to go on from. The first call jumps to the checkpoint; every call of
    /// an attempt gets the same answer.
    ///
    /// # Errors
    /// [`Fault::Diverged`](super::Fault::Diverged) if an earlier attempt asked at another place, [`Fault::Refused`](super::Fault::Refused) inside `once`.
    pub fn restore(&mut self) -> Called<Option<Vec<u8>>> {
        if let Some(open) = &self.once {
            return Err(Refused::RestoreInOnce(open.name.clone()).into());
        }
        self.readable()?;
        if self.prelude.is_none() {
            match self.checkpoint.as_ref().map(|checkpoint| checkpoint.prelude) {
                Some(Some(asked_at)) if asked_at != self.position => {
                    let expected = self.recorded.front().map(|(_, entry)| Call::of(entry));
                    return Err(self.diverged(expected, Call::Restore));
                }
                // It was saved before the guest first asked: then that first answer was "nothing", and
                // the whole journal is there to be replayed.
                Some(None) => self.checkpoint = None,
                _ => {}
            }
            self.prelude = Some(self.position);
            if let Some(checkpoint) = &mut self.checkpoint
                && let Some(state) = self.recorded.ask(|rest| rest.state())
            {
                checkpoint.state = state;
            }
            self.jump();
            self.readable()?;
        }
        Ok(self.checkpoint.as_ref().map(|checkpoint| checkpoint.state.clone()))
    }
}
