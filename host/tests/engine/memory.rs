//! A recorder that keeps everything in memory and can lose the world at any write.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use pawl::domain::attempt::Cut;
use pawl::domain::journal::{Checkpoint, Entry, History};
use pawl::engine::recorder::{Recorder, Stop};

/// What a database would hold.
#[derive(Debug)]
pub struct Memory {
    state: Mutex<State>,
    /// Writes that succeed before the worker "dies".
    writes_left: AtomicU32,
    stop: Mutex<Option<Stop>>,
    barriers: AtomicUsize,
    progress: Mutex<Vec<(f64, String)>>,
}

#[derive(Debug, Default, Clone)]
struct State {
    entries: Vec<Entry>,
    checkpoint: Option<Checkpoint>,
}

impl Default for Memory {
    fn default() -> Self {
        Self::crashing_after(u32::MAX)
    }
}

#[allow(dead_code, reason = "each test binary uses a part of it")]
impl Memory {
    /// The write after so many, and all others, find the lease lost.
    pub fn crashing_after(writes: u32) -> Self {
        Self {
            state: Mutex::default(),
            writes_left: AtomicU32::new(writes),
            stop: Mutex::default(),
            barriers: AtomicUsize::new(0),
            progress: Mutex::default(),
        }
    }

    /// The same database with another worker.
    pub fn survived(&self) -> Self {
        Self { state: Mutex::new(self.state().clone()), ..Self::default() }
    }

    /// From now on the guest is told to stop.
    pub fn stop_with(&self, stop: Stop) {
        *self.stop.lock().unwrap() = Some(stop);
    }

    pub fn has_crashed(&self) -> bool {
        self.writes_left.load(Ordering::SeqCst) == 0
    }

    pub fn entries(&self) -> Vec<Entry> {
        self.state().entries.clone()
    }

    pub fn checkpoint_position(&self) -> Option<u32> {
        self.state().checkpoint.as_ref().map(|checkpoint| checkpoint.position)
    }

    pub fn barriers(&self) -> usize {
        self.barriers.load(Ordering::SeqCst)
    }

    pub fn progress(&self) -> Vec<(f64, String)> {
        self.progress.lock().unwrap().clone()
    }

    /// What the commit of a failure leaves.
    pub fn cut(&self, Cut { at, notes }: Cut) {
        let mut state = self.state();
        state.entries.truncate(at as usize);
        state.entries.extend(notes);
    }

    /// What is read before an attempt: nothing that a replay will not touch.
    pub fn history(&self) -> History {
        let State { entries, checkpoint } = self.state().clone();
        let length = entries.len() as u32;
        let part = |from: u32, to: u32| (from, entries[from as usize..to as usize].to_vec());
        let segments = match &checkpoint {
            Some(Checkpoint { prelude: Some(prelude), position, .. }) => {
                vec![part(0, *prelude), part(*position, length)]
            }
            _ => vec![part(0, length)],
        };
        History { checkpoint, segments, length }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn write(&self) -> Result<MutexGuard<'_, State>, Stop> {
        let one_less = |left: u32| left.checked_sub(1);
        match self.writes_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less) {
            Ok(_) => Ok(self.state()),
            Err(_) => Err(Stop::LeaseLost),
        }
    }
}

impl Recorder for Memory {
    fn record(&self, entry: &Entry) -> Result<(), Stop> {
        self.write()?.entries.push(entry.clone());
        Ok(())
    }

    fn barrier(&self) -> Result<(), Stop> {
        self.barriers.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn clear_to_leave(&self) -> Result<(), Stop> {
        Ok(())
    }

    fn checkpoint(&self, checkpoint: Checkpoint) -> Result<(), Stop> {
        self.write()?.checkpoint = Some(checkpoint);
        Ok(())
    }

    fn progress(&self, fraction: f64, message: String) {
        self.progress.lock().unwrap().push((fraction, message));
    }

    fn stop(&self) -> Option<Stop> {
        *self.stop.lock().unwrap()
    }
}
