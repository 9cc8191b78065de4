//! The replay machine: decides for every host call of a guest whether the journal answers it, whether it
//! is new, or whether the guest has left its recorded path. It does no I/O; the engine asks it, does what
//! it says, and tells it what was recorded.
//!
//! ```text
//!            entries 0 .. prelude        restore()        entries checkpoint ..        past the end
//!  guest ──▶ replayed from the journal ──▶ jumps to ──▶ replayed from the journal ──▶ live: recorded
//!                                          the checkpoint
//! ```
//!
//! What is recorded may come in pieces, which something outside reads for it as the guest comes to them ([`Rest`]): then
//! nearly every call may find that it can't go on ([`Fault::Unread`]).
//!
//! Matching is exact: kind of call and its arguments. Anything else is a divergence.
//!
//! Some entries are notes, which no call asks for by its place; the machine takes them in as it passes
//! them: requests that left and results of `once` that were kept when an earlier attempt's journal was
//! cut, and the facts of the attempt (number, deadline). Facts are not matched by place because a resumed
//! guest asks for them at other places than before: its code after `restore` runs again, that before the
//! checkpoint does not. They are recorded lazily, before the first entry after a checkpoint that could
//! depend on them, so that whoever replays that entry has the facts too.

use std::collections::{HashMap, HashSet};

use super::id::{Digest, StepId};
use super::journal::{Checkpoint, Entry, History, RequestSummary};
use super::seed::Seed;
pub use answer::{Called, EffectStep, Facts, Fault, OnceStep, Refused, Save, Step};
use call::Call;
use keys::KeyOf;
use once::{Finished, OpenOnce};
use recorded::Recorded;
pub use recorded::{Rest, Unread};
use tail::Tail;
pub use told::{Told, is_open_wait, tell};
pub use unseen::Unseen;

#[cfg(test)]
mod again;
mod answer;
mod call;
mod cursor;
mod ending;
mod keys;
mod once;
#[cfg(test)]
mod pieces;
#[cfg(test)]
mod random_programs;
mod recorded;
mod requests;
mod saved;
#[cfg(test)]
mod seeds;
mod tail;
#[cfg(test)]
mod tests;
mod told;
mod unseen;
mod waiting;

/// The state of one attempt's path through the journal.
#[derive(Debug)]
pub struct Replay {
    step: StepId,
    /// Which time the step is done, if a person had it done again.
    round: Option<i64>,
    /// The component that made the journal, if it is known to be another one.
    recorded_by: Option<Digest>,
    /// The state to go on from; taken away if it turns out that this guest can't ask for it.
    checkpoint: Option<Checkpoint>,
    /// What is left to be replayed, with positions; empty once the guest is live.
    recorded: Recorded,
    /// The first facts of the attempt that are left to be replayed, with their position, or the journal's end and none:
    /// what was found when somebody last looked.
    facts_found: Option<(u32, Option<Facts>)>,
    /// Requests that left under a key: a key is bound to its request.
    sent: HashMap<Digest, RequestSummary>,
    /// Keys under which the guest has sent in this attempt, replayed or not.
    called: HashSet<Digest>,
    /// Results of `once` since the checkpoint, and those that were kept for this attempt.
    finished: HashMap<String, Finished>,
    tail: Tail,
    /// What the guest knows of its attempt.
    facts: Option<Facts>,
    /// Whether the entries since the checkpoint hold them.
    facts_recorded: bool,
    /// Whether the guest has waited since, or gone on from a checkpoint: whoever asks again is told newer ones.
    facts_aged: bool,
    /// What is left of the signals that were given to the step, by position.
    signals: HashMap<u32, Vec<u8>>,
    /// Where the guest was last given one.
    signalled_at: Option<u32>,
    /// Position of the next entry, replayed or new.
    position: u32,
    random_position: u64,
    /// What secure random bytes are made of from here on, if the guest has drawn some.
    seed: Option<Seed>,
    effect_ordinal: u32,
    /// What the guest's own clock showed at the checkpoint, if it has one.
    elapsed_ns: Option<u64>,
    /// What the next reading of the wall clock shows at least, ns since 1970.
    earliest_ns: u64,
    /// Where the guest first asked for its state.
    prelude: Option<u32>,
    once: Option<OpenOnce>,
    /// The ordinal of the last checkpoint.
    checkpoints: u32,
    /// Calls of `checkpoint` in this attempt, replayed ones included.
    saves: u32,
    /// Entries that were answered from the journal.
    replayed: u32,
    resumed_from: Option<u32>,
    /// Of those that were answered, the ones before the checkpoint.
    replayed_before: u32,
}

impl Replay {
    /// Starts an attempt at entry 0, with all of its past in memory.
    #[must_use]
    pub fn new(step: StepId, history: History) -> Self {
        Self::begin(step, history, None)
    }

    /// The same, with nothing of the journal and of the checkpoint's state in memory: they are read as the guest comes
    /// to them.
    #[must_use]
    pub fn reading(step: StepId, history: History, rest: Box<dyn Rest>) -> Self {
        Self::begin(step, history, Some(rest))
    }

    fn begin(step: StepId, mut history: History, rest: Option<Box<dyn Rest>>) -> Self {
        let (start, checkpoints) = match &history.checkpoint {
            Some(checkpoint) => (checkpoint.position, checkpoint.ordinal),
            None => (0, 0),
        };
        let mut replay = Self {
            step,
            round: None,
            recorded: Recorded::new(&mut history, rest),
            recorded_by: history.recorded_by,
            checkpoint: history.checkpoint,
            facts_found: None,
            sent: HashMap::new(),
            called: HashSet::new(),
            finished: HashMap::new(),
            tail: Tail::new(start),
            facts: None,
            facts_recorded: false,
            facts_aged: false,
            signals: history.signals.into_iter().collect(),
            signalled_at: None,
            position: 0,
            random_position: 0,
            seed: None,
            effect_ordinal: 0,
            elapsed_ns: None,
            earliest_ns: 0,
            prelude: None,
            once: None,
            checkpoints,
            saves: 0,
            replayed: 0,
            resumed_from: None,
            replayed_before: 0,
        };
        for (position, entry) in replay.recorded.in_memory() {
            notice(&mut replay.sent, &mut replay.tail, start, *position, entry);
        }
        replay.fill();
        replay.skip_notes();
        replay
    }

    /// Whether all that was needed of the journal could be read. What was answered since is worth nothing if not.
    ///
    /// # Errors
    /// [`Fault::Unread`].
    #[inline]
    pub fn readable(&self) -> Called<()> {
        self.recorded.unread().map_or(Ok(()), |unread| Err(Fault::Unread(unread.clone())))
    }

    /// Whether all that is recorded has been replayed, so that the guest now makes history.
    #[must_use]
    #[inline]
    pub fn is_live(&self) -> bool {
        self.recorded.is_empty() && !self.must_restore()
    }

    /// The position of the next entry.
    #[must_use]
    #[inline]
    pub fn position(&self) -> u32 {
        self.position
    }

    /// Entries since the last checkpoint, replayed or new.
    #[must_use]
    #[inline]
    pub fn entries_since_checkpoint(&self) -> usize {
        self.tail.len()
    }

    /// Entries that this attempt was answered from the journal.
    #[must_use]
    pub fn replayed(&self) -> u32 {
        self.replayed
    }

    /// The position of the checkpoint from which this attempt went on.
    #[must_use]
    pub fn resumed_from(&self) -> Option<u32> {
        self.resumed_from
    }

    /// Whether there is a state to go on from that the guest has not asked for.
    #[must_use]
    pub fn has_checkpoint(&self) -> bool {
        self.checkpoint.is_some() && self.prelude.is_none()
    }

    /// What the guest's own clock showed at the checkpoint from which it went on, or that it has made: ns.
    #[must_use]
    pub fn elapsed_ns(&self) -> Option<u64> {
        self.elapsed_ns
    }

    /// The entry that must be recorded before any other: the facts that the guest knows.
    #[must_use]
    #[inline]
    pub fn unrecorded_facts(&self) -> Option<Entry> {
        let Facts { attempt, deadline_ms } = self.facts.filter(|_| !self.facts_recorded)?;
        Some(Entry::Context { attempt, deadline_ms })
    }

    /// Takes in an entry that the caller has handed to the writer.
    #[inline]
    pub fn record(&mut self, entry: &Entry) {
        debug_assert!(self.is_live(), "entries are added only at the end");
        match entry {
            Entry::Intent { key, request } => drop(self.sent.insert(*key, request.clone())),
            Entry::Context { .. } => self.facts_recorded = true,
            Entry::Elapsed { monotonic_ns } => self.elapsed_ns = Some(*monotonic_ns),
            Entry::Seeded { seed } => self.seed = Some(*seed),
            _ => {}
        }
        self.pass_time(entry);
        self.tail.push(self.position, entry);
        self.position += 1;
    }

    /// The guest asks for the facts of its attempt, which by the host's count are `current`. As long as it
    /// replays, it sees those of the attempt that it replays.
    pub fn context(&mut self, current: Facts) -> Facts {
        let facts = match self.facts {
            // Whoever comes by here a second time has no entries left before its state, but code that asks: it was
            // live then, so it is told no older facts than those under which it went on.
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

    /// The guest reads the clock.
    ///
    /// # Errors
    /// [`Fault`] if the journal holds another call here.
    #[inline]
    pub fn now(&mut self) -> Called<Step<u64>> {
        self.next(Call::Now, |entry| match entry {
            Entry::Now { unix_ns } => Some(unix_ns),
            _ => None,
        })
    }

    /// The guest draws `len` random bytes, which whoever knows the step's id can compute.
    pub fn random(&mut self, len: u32) -> Vec<u8> {
        let (once, position) = self.draw(len);
        keys::random(self.step, once, position, len)
    }

    /// Whether a seed is to be made and recorded ([`Entry::Seeded`]) before secure random bytes are drawn.
    #[must_use]
    pub fn wants_seed(&self) -> bool {
        self.seed.is_none() && self.is_live()
    }

    /// The guest draws `len` random bytes that nobody can compute who does not read its journal.
    ///
    /// A journal of which a part was recorded before there were seeds is replayed as it was made: up to the first seed, or to
    /// the journal's end, these bytes come from the step's id.
    ///
    /// # Errors
    /// [`Fault::Unread`].
    pub fn secure_random(&mut self, len: u32) -> Called<Vec<u8>> {
        self.readable()?;
        let Some(seed) = self.seed else { return Ok(self.random(len)) };
        let (once, position) = self.draw(len);
        Ok(seed.bytes(self.step, once, position, len))
    }

    /// The stream that is drawn from, and the place in it.
    fn draw(&mut self, len: u32) -> (Option<Digest>, u64) {
        let (once, position) = match &mut self.once {
            Some(open) => (Some(open.key), &mut open.random_position),
            None => (None, &mut self.random_position),
        };
        let drawn_at = *position;
        *position += u64::from(len);
        (once, drawn_at)
    }

    /// Two numbers that are the step's own, and not secret: the same at every place and in every attempt.
    #[must_use]
    pub fn seed(&self) -> (u64, u64) {
        keys::seed(self.step)
    }

    /// The key for an effect of that name: the one that [`Replay::effect`] would use for it now.
    #[must_use]
    pub fn idempotency_key(&self, name: &str) -> Digest {
        keys::key(
            self.step,
            self.round,
            match &self.once {
                Some(open) => KeyOf::NameInOnce(open.key, name),
                None => KeyOf::Name(name),
            },
        )
    }
}

/// What is remembered of an entry that has been read, whether the guest comes to it or not.
fn notice(sent: &mut HashMap<Digest, RequestSummary>, tail: &mut Tail, start: u32, position: u32, entry: &Entry) {
    if let Entry::Attempted { key, request } | Entry::Intent { key, request } = entry {
        sent.insert(*key, request.clone());
    }
    if position >= start {
        tail.push(position, entry);
    }
}
