//! The replay of a step's journal, by the rules of the host: docs/protocol.md, "Journal, checkpoint, replay".
//! A test beside the host's own machine runs the same random programs through
//! both.
//!
//! ```text
//!           entries 0 .. prelude       restore()       entries checkpoint ..       past the end
//!  step ──▶ answered from the journal ──▶ jumps to ──▶ answered from the journal ──▶ live: recorded
//!                                         the checkpoint
//! ```

use std::collections::BTreeMap;

use super::journal::{Call, Checkpoint, Entry, Facts, Key, Sent, Told};
pub(super) use once::OnceStep;
use once::{Finished, OpenOnce};

mod once;

/// One attempt's way through the journal, which it takes along and adds to.
#[derive(Debug)]
pub(super) struct Replay {
    pub(super) journal: Vec<Entry>,
    /// The one to go on from; taken away if it turns out that this step can't ask for it.
    checkpoint: Option<Checkpoint>,
    /// The place of the next entry, replayed or new.
    position: usize,
    /// Where a retry from the checkpoint cuts.
    tail: usize,
    random_position: u64,
    effect_ordinal: u32,
    prelude: Option<usize>,
    facts: Option<Facts>,
    facts_recorded: bool,
    /// Whether the step has waited since, or gone on from a checkpoint: it is told newer ones if it asks again.
    facts_aged: bool,
    once: Option<OpenOnce>,
    /// Results of `once` since the checkpoint, and those that were kept.
    finished: BTreeMap<String, Finished>,
    /// Calls of `checkpoint` in this attempt.
    saves: u32,
}

/// Why the step can't go on.
#[derive(Debug, PartialEq)]
pub(super) enum Fault {
    /// It left its recorded path.
    Diverged { position: usize, expected: String, actual: String, has_restored: bool },
    /// It broke a rule.
    Refused(String),
}

/// What an effect must do.
pub(super) enum EffectStep {
    Recorded(Told),
    Resend(Key),
    Live(Key),
}

impl Replay {
    pub(super) fn new(journal: Vec<Entry>, checkpoint: Option<Checkpoint>) -> Self {
        let tail = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.position);
        let mut replay = Self {
            journal,
            checkpoint,
            position: 0,
            tail,
            random_position: 0,
            effect_ordinal: 0,
            prelude: None,
            facts: None,
            facts_recorded: false,
            facts_aged: false,
            once: None,
            finished: BTreeMap::new(),
            saves: 0,
        };
        replay.skip_notes();
        replay
    }

    /// Whether the step now makes history.
    pub(super) fn is_live(&self) -> bool {
        self.position == self.journal.len() && !self.must_restore()
    }

    /// Adds an entry, after the facts that it could depend on.
    pub(super) fn record(&mut self, entry: Entry) {
        if let Some(facts) = self.facts.filter(|_| !self.facts_recorded) {
            self.facts_recorded = true;
            self.append(Entry::Facts(facts));
        }
        self.append(entry);
    }

    fn append(&mut self, entry: Entry) {
        self.journal.push(entry);
        self.position += 1;
    }

    /// The facts that the step sees: as long as it replays, those of the attempt that it replays.
    pub(super) fn facts(&mut self, current: Facts) -> Facts {
        let facts = match self.facts {
            // It was live here, so it is told no older facts than those under which it went on.
            _ if self.must_restore() => self.facts_ahead().unwrap_or(current),
            Some(facts) if !self.facts_aged && (facts.attempt == current.attempt || !self.is_live()) => facts,
            known if !self.is_live() => self.facts_ahead().or(known).unwrap_or(current),
            _ => current,
        };
        self.facts_aged = false;
        if self.facts != Some(facts) {
            self.facts = Some(facts);
            self.facts_recorded = false;
        }
        facts
    }

    /// Answers a call from the journal if the next entry is that call's; `None` if the step is live.
    pub(super) fn next(&mut self, call: &Call) -> Result<Option<Told>, Fault> {
        if self.must_restore() {
            return Err(self.diverged(&call.to_string()));
        }
        match self.journal.get(self.position) {
            None => Ok(None),
            Some(Entry::Answered(recorded, told)) if recorded == call => {
                let told = told.clone();
                self.position += 1;
                self.skip_notes();
                Ok(Some(told))
            }
            Some(_) => Err(self.diverged(&call.to_string())),
        }
    }

    /// The same for a sleep or a signal.
    pub(super) fn wait(&mut self, call: &Call) -> Result<Option<Told>, Fault> {
        self.refuse_in_once(&call.to_string())?;
        // Before the entry is taken: notes that follow it may hold newer facts.
        self.facts_aged = true;
        self.next(call)
    }

    pub(super) fn effect(&mut self, name: Option<&str>, sent: &Sent) -> Result<EffectStep, Fault> {
        let key = self.next_effect_key(name);
        let call = Call::Effect(key.clone(), sent.clone());
        if let Some(earlier) = self.sent(&key).filter(|earlier| *earlier != sent) {
            let expected = format!("http.send({earlier}) under the key {key}");
            return Err(self.left(expected, call.to_string()));
        }
        if self.next(&call)?.is_none() {
            return Ok(EffectStep::Live(key));
        }
        let answer = self.next(&Call::Answer(key.clone()))?;
        Ok(answer.map_or(EffectStep::Resend(key), EffectStep::Recorded))
    }

    /// The checkpoint to write; `None` while the step replays.
    pub(super) fn checkpoint(&mut self, state: Vec<u8>) -> Result<Option<Checkpoint>, Fault> {
        self.refuse_in_once("checkpoint")?;
        self.saves += 1;
        if !self.is_live() {
            return Ok(None);
        }
        self.tail = self.position;
        self.facts_recorded = false;
        self.finished.retain(|_, finished| finished.saves.is_none());
        let checkpoint = Checkpoint {
            position: self.position,
            random_position: self.random_position,
            effect_ordinal: self.effect_ordinal,
            prelude: self.prelude,
            state,
        };
        self.results_of_once().into_iter().for_each(|note| self.append(note));
        Ok(Some(checkpoint))
    }

    /// The first call moves to the checkpoint; every call of an attempt gets the same answer.
    pub(super) fn restore(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        self.refuse_in_once("restore")?;
        if self.prelude.is_none() {
            match self.checkpoint.as_ref().map(|checkpoint| checkpoint.prelude) {
                Some(Some(asked_at)) if asked_at != self.position => {
                    return Err(self.diverged(&Call::Restore.to_string()));
                }
                // Saved before the step first asked: that first answer was "nothing".
                Some(None) => self.checkpoint = None,
                _ => {}
            }
            self.prelude = Some(self.position);
            self.jump();
        }
        Ok(self.checkpoint.as_ref().map(|checkpoint| checkpoint.state.clone()))
    }

    /// The stream to draw from (the name of a `once`, or none), and where the bytes begin.
    pub(super) fn random(&mut self, len: u32) -> (Option<&str>, u64) {
        let (once, position) = match &mut self.once {
            Some(open) => (Some(open.name.as_str()), &mut open.random_position),
            None => (None, &mut self.random_position),
        };
        let start = *position;
        *position += u64::from(len);
        (once, start)
    }

    /// The key for an effect of that name.
    pub(super) fn key(&self, name: &str) -> Key {
        match &self.once {
            Some(open) => format!("once {:?}, effect {name:?}", open.name),
            None => format!("effect {name:?}"),
        }
    }

    /// The step ended by itself: has it done all that it did before?
    pub(super) fn finish(&self, how: &str) -> Result<(), Fault> {
        if self.is_live() { Ok(()) } else { Err(self.diverged(how)) }
    }

    /// What the next attempt after a failure finds: all up to the last successful effect since the checkpoint,
    /// and notes of what left after it. Returns what was dropped.
    pub(super) fn cut(&mut self, from_checkpoint: bool) -> Vec<Entry> {
        let lasts = |entry: &Entry| match entry {
            Entry::Answered(Call::Answer(_), Told::Http(reply)) => reply.is_success(),
            Entry::Answered(Call::OnceFinish(_), _) | Entry::OnceKept(..) => true,
            _ => false,
        };
        let kept = if from_checkpoint { None } else { self.journal[self.tail..].iter().rposition(lasts) };
        let at = self.tail + kept.map_or(0, |last| last + 1);
        let mut notes: Vec<Entry> = Vec::new();
        for entry in &self.journal[at..] {
            let (Entry::Answered(Call::Effect(key, sent), _) | Entry::Attempted(key, sent)) = entry else { continue };
            if !notes.iter().any(|note| matches!(note, Entry::Attempted(noted, _) if noted == key)) {
                notes.push(Entry::Attempted(key.clone(), sent.clone()));
            }
        }
        if from_checkpoint {
            notes.extend(self.results_of_once());
        }
        let dropped = self.journal.drain(at..).collect();
        self.journal.extend(notes);
        dropped
    }

    fn next_effect_key(&mut self, name: Option<&str>) -> Key {
        let counter = match &mut self.once {
            Some(open) => &mut open.effect_ordinal,
            None => &mut self.effect_ordinal,
        };
        let ordinal = *counter;
        *counter += 1;
        match (name, &self.once) {
            (Some(name), _) => self.key(name),
            (None, Some(open)) => format!("once {:?}, effect {ordinal}", open.name),
            (None, None) => format!("effect {ordinal}"),
        }
    }

    /// The request that left under a key.
    fn sent(&self, key: &str) -> Option<&Sent> {
        self.journal.iter().find_map(|entry| match entry {
            Entry::Answered(Call::Effect(of, sent), _) | Entry::Attempted(of, sent) if of == key => Some(sent),
            _ => None,
        })
    }

    /// Whether an earlier attempt asked for its state at this very place.
    fn must_restore(&self) -> bool {
        let asked_at = self.checkpoint.as_ref().and_then(|checkpoint| checkpoint.prelude);
        self.prelude.is_none() && asked_at == Some(self.position)
    }

    fn jump(&mut self) {
        let Some(checkpoint) = &self.checkpoint else { return };
        self.position = checkpoint.position;
        self.random_position = checkpoint.random_position;
        self.effect_ordinal = checkpoint.effect_ordinal;
        self.facts_recorded = false;
        self.facts_aged = true;
        self.finished.clear();
        self.skip_notes();
    }

    /// Takes in the notes before the next entry. Those at the place of the `restore` come after the checkpoint.
    fn skip_notes(&mut self) {
        while !self.must_restore() && self.journal.get(self.position).is_some_and(|entry| entry.call().is_none()) {
            self.take_in();
        }
    }

    /// Goes past an entry and remembers what it says, if it is a note.
    fn take_in(&mut self) {
        match &self.journal[self.position] {
            Entry::OnceKept(name, value) => {
                self.finished.insert(name.clone(), Finished { value: value.clone(), saves: None });
            }
            Entry::Facts(facts) => {
                (self.facts, self.facts_recorded, self.facts_aged) = (Some(*facts), true, false);
            }
            Entry::Attempted(..) | Entry::Answered(..) => {}
        }
        self.position += 1;
    }

    /// The facts under which what is still to be replayed was made.
    fn facts_ahead(&self) -> Option<Facts> {
        let (until, then) = match &self.checkpoint {
            Some(Checkpoint { prelude: Some(asked_at), position, .. }) if self.prelude.is_none() => {
                (*asked_at, *position)
            }
            _ => (self.journal.len(), self.journal.len()),
        };
        let ahead = self.journal.get(self.position..until).unwrap_or_default().iter();
        ahead.chain(&self.journal[then..]).find_map(|entry| match entry {
            Entry::Facts(facts) => Some(*facts),
            _ => None,
        })
    }

    fn diverged(&self, actual: &str) -> Fault {
        let expected = match self.journal.get(self.position).and_then(Entry::call) {
            _ if self.must_restore() => Call::Restore.to_string(),
            Some(call) => call.to_string(),
            None => "nothing more".to_owned(),
        };
        self.left(expected, actual.to_owned())
    }

    fn left(&self, expected: String, actual: String) -> Fault {
        let has_restored = self.prelude.is_some() && self.checkpoint.is_some();
        Fault::Diverged { position: self.position, expected, actual, has_restored }
    }
}
