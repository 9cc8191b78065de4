//! A recorder that keeps everything in memory and can lose the world at any write: for trying a component
//! without a server, and for the engine's own tests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use pawl_base::lock;
use pawl_domain::attempt::Cut;
use pawl_domain::journal::{Checkpoint, Entry, History};
use pawl_domain::log::{self, Level, Line};
use pawl_domain::seed::Seed;
use pawl_domain::wait::Wait;

use super::clock::local_unix_ns;
use super::recorder::{Interrupt, Recorder, Stop, fresh_seed};

/// What a database would hold of one step.
#[derive(Debug)]
pub struct InMemory {
    kept: Mutex<Kept>,
    /// Writes that succeed before the worker "dies".
    writes_left: AtomicU32,
    stop: Mutex<Option<Stop>>,
    barriers: AtomicUsize,
    progress: Mutex<Vec<(f64, String)>>,
    log: Mutex<Vec<Line>>,
    /// In place of one from the system.
    seed: Option<Seed>,
}

#[derive(Debug, Default, Clone)]
struct Kept {
    entries: Vec<Entry>,
    checkpoint: Option<Checkpoint>,
    /// Signals that nobody has taken, oldest first, and those that were given to a position.
    inbox: Vec<Signal>,
    given: BTreeMap<u32, Signal>,
    /// Names of signals that the step has waited for, whatever became of that.
    awaited: BTreeSet<String>,
    /// Attempts that ended in a failure, after which another one comes.
    failures: u32,
}

impl Kept {
    /// The journal ends earlier, and what was given to what is dropped returns.
    fn cut(&mut self, Cut { at, notes, .. }: Cut) {
        self.entries.truncate(at as usize);
        self.entries.extend(notes);
        let mut inbox: Vec<Signal> = self.given.split_off(&at).into_values().collect();
        inbox.append(&mut self.inbox);
        self.inbox = inbox;
    }
}

/// A signal's name and the JSON bytes that it carries.
type Signal = (String, Vec<u8>);

/// A step that would wait for ever: nobody sends the signal of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the step waits for the signal {0:?}, which nobody sends")]
pub struct NeverSent(pub String);

impl Default for InMemory {
    fn default() -> Self {
        Self::crashing_after(u32::MAX)
    }
}

impl InMemory {
    /// The write after so many, and all others, find the lease lost.
    #[must_use]
    pub fn crashing_after(writes: u32) -> Self {
        Self {
            kept: Mutex::default(),
            writes_left: AtomicU32::new(writes),
            stop: Mutex::default(),
            barriers: AtomicUsize::new(0),
            progress: Mutex::default(),
            log: Mutex::default(),
            seed: None,
        }
    }

    /// The same, with secure random bytes that are the same every time.
    #[must_use]
    pub fn seeded(self, seed: Seed) -> Self {
        Self { seed: Some(seed), ..self }
    }

    /// Sends the step a signal, before it waits for it.
    pub fn signal(&self, name: &str, payload: &[u8]) {
        self.kept().inbox.push((name.to_owned(), payload.to_vec()));
    }

    /// The commit of a suspension, and what ends the wait: a sleep is over at once, a signal that was sent is
    /// there, and a timeout passes.
    ///
    /// # Errors
    /// [`Stop`] if the worker is dead by then; inside it [`NeverSent`].
    pub fn suspend(&self, wait: &Wait) -> Result<Result<(), NeverSent>, Stop> {
        let mut kept = self.write()?;
        let position = u32::try_from(kept.entries.len()).unwrap_or(u32::MAX);
        if let Wait::Signal { name, timeout_ms } = wait {
            kept.awaited.insert(name.clone());
            match kept.inbox.iter().position(|(sent, _)| sent == name) {
                Some(place) => {
                    let signal = kept.inbox.remove(place);
                    kept.given.insert(position, signal);
                }
                None if timeout_ms.is_none() => return Ok(Err(NeverSent(name.clone()))),
                None => {}
            }
        }
        kept.entries.push(wait.entry());
        Ok(Ok(()))
    }

    /// The same database with another worker.
    #[must_use]
    pub fn survived(&self) -> Self {
        Self { kept: Mutex::new(self.kept().clone()), seed: self.seed, ..Self::default() }
    }

    /// From now on the guest is told to stop.
    pub fn stop_with(&self, stop: Stop) {
        *lock(&self.stop) = Some(stop);
    }

    /// Whether no write succeeds any more.
    #[must_use]
    pub fn has_crashed(&self) -> bool {
        self.writes_left.load(Ordering::SeqCst) == 0
    }

    /// The journal, from entry 0.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.kept().entries.clone()
    }

    /// Where the last checkpoint stands.
    #[must_use]
    pub fn checkpoint_position(&self) -> Option<u32> {
        self.kept().checkpoint.as_ref().map(|checkpoint| checkpoint.position)
    }

    /// How often the guest has waited for durability.
    #[must_use]
    pub fn barriers(&self) -> usize {
        self.barriers.load(Ordering::SeqCst)
    }

    /// What the guest told about its progress.
    #[must_use]
    pub fn progress(&self) -> Vec<(f64, String)> {
        lock(&self.progress).clone()
    }

    /// The lines of its log.
    #[must_use]
    pub fn log(&self) -> Vec<Line> {
        lock(&self.log).clone()
    }

    /// Names of the signals that the step has waited for.
    #[must_use]
    pub fn awaited(&self) -> Vec<String> {
        self.kept().awaited.iter().cloned().collect()
    }

    /// Names of the signals that it has not taken, each once.
    #[must_use]
    pub fn not_taken(&self) -> Vec<String> {
        let names: BTreeSet<String> = self.kept().inbox.iter().map(|(name, _)| name.clone()).collect();
        names.into_iter().collect()
    }

    /// Attempts that have failed, after which another one came.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.kept().failures
    }

    /// The commit of a failure after which another attempt comes.
    ///
    /// # Errors
    /// [`Stop`] if the worker is dead by then: the failure does not count, and nothing of the journal is dropped.
    pub fn retry(&self, cut: Option<Cut>) -> Result<(), Stop> {
        let mut kept = self.write()?;
        kept.failures += 1;
        if let Some(cut) = cut {
            kept.cut(cut);
        }
        Ok(())
    }

    /// What the commit of a failure leaves.
    pub fn cut(&self, cut: Cut) {
        self.kept().cut(cut);
    }

    /// What is read before an attempt: nothing that a replay will not touch.
    #[must_use]
    pub fn history(&self) -> History {
        let Kept { entries, checkpoint, given, .. } = self.kept().clone();
        let length = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        let part = |from: u32, to: u32| (from, entries[from as usize..to as usize].to_vec());
        let segments = match &checkpoint {
            Some(Checkpoint { prelude: Some(prelude), position, .. }) => {
                vec![part(0, *prelude), part(*position, length)]
            }
            _ => vec![part(0, length)],
        };
        let signals = given.into_iter().map(|(position, (_, payload))| (position, payload)).collect();
        History { checkpoint, segments, length, signals, recorded_by: None }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        lock(&self.kept)
    }

    fn write(&self) -> Result<MutexGuard<'_, Kept>, Stop> {
        let one_less = |left: u32| left.checked_sub(1);
        match self.writes_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less) {
            Ok(_) => Ok(self.kept()),
            Err(_) => Err(Stop::LeaseLost),
        }
    }
}

impl Recorder for InMemory {
    fn record(&self, entry: &Entry) -> Result<bool, Stop> {
        self.write()?.entries.push(entry.clone());
        Ok(true)
    }

    fn room(&self, _: Duration) -> Result<(), Interrupt> {
        Ok(())
    }

    fn barrier(&self, _: Duration) -> Result<(), Interrupt> {
        self.barriers.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn clear_to_ask(&self, _: Duration) -> Result<(), Interrupt> {
        Ok(())
    }

    fn clear_to_leave(&self, _: Duration) -> Result<(), Interrupt> {
        Ok(())
    }

    fn may_leave(&self) -> bool {
        self.stop().is_none()
    }

    fn checkpoint(&self, checkpoint: Checkpoint) -> Result<(), Stop> {
        self.write()?.checkpoint = Some(checkpoint);
        Ok(())
    }

    fn unix_ns(&self) -> u64 {
        local_unix_ns()
    }

    fn seed(&self) -> Result<Seed, String> {
        self.seed.map_or_else(fresh_seed, Ok)
    }

    fn progress(&self, fraction: f64, message: String) {
        lock(&self.progress).push((fraction, message));
    }

    fn keeps_log(&self) -> bool {
        true
    }

    fn says(&self, level: Level, message: String, fields: &[(&str, String)]) {
        let at_ms = i64::try_from(self.unix_ns() / 1_000_000).unwrap_or(i64::MAX);
        lock(&self.log).push(Line { at_ms, level, message, fields: log::fields(fields) });
    }

    fn stop(&self) -> Option<Stop> {
        *lock(&self.stop)
    }
}
