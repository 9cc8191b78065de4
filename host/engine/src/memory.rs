//! The memory that all guests of a process together may make it hold: one budget, which each guest's memories, tables
//! and what the host keeps for it are charged to. What does not fit waits; nothing fails for it.
//!
//! ```text
//!            ├──────── held by guests ────────┤── free ──┤◀─ what the eldest may still need ─▶│
//!   eldest   takes at once, always            └─ for all others ─┘
//!   others   wait until it fits, or they are the eldest
//! ```
//!
//! A guest can't give back what it holds before it ends, so guests that wait for each other would wait for ever. So the
//! *eldest* never waits: what one guest may need is kept for it, and where that is not enough, the budget is overdrawn.
//! It ends, by its deadline at the latest; what it held is more than the next one's may lack.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use pawl_base::{lock, or_poisoned};

/// How often who waits is asked whether it must stop.
const HALT_CHECK: Duration = Duration::from_millis(50);

/// The budget of a process.
#[derive(Debug)]
pub struct Memory {
    total_bytes: usize,
    /// What is kept for the eldest guest, with what it holds.
    kept_bytes: i64,
    state: Mutex<State>,
    given_back: Condvar,
}

#[derive(Debug)]
struct State {
    /// Below 0 where the eldest has overdrawn it.
    free_bytes: i64,
    /// What each guest holds, by its age.
    held_bytes: BTreeMap<u64, i64>,
    begun: u64,
    waiting: usize,
}

impl Memory {
    /// A budget for guests that may need so much each; it holds one of them at least.
    pub(super) fn new(total_bytes: usize, guest_bytes: usize) -> Arc<Self> {
        let total_bytes = total_bytes.max(guest_bytes);
        let state = State { free_bytes: signed(total_bytes), held_bytes: BTreeMap::new(), begun: 0, waiting: 0 };
        let kept_bytes = signed(guest_bytes);
        Arc::new(Self { total_bytes, kept_bytes, state: Mutex::new(state), given_back: Condvar::new() })
    }

    /// All of it.
    #[must_use]
    pub fn total_bytes(&self) -> usize {
        self.total_bytes
    }

    /// What guests hold now.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        usize::try_from(signed(self.total_bytes) - self.state().free_bytes).unwrap_or(0)
    }

    /// Guests that wait for some.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.state().waiting
    }

    /// A guest begins: the youngest of all.
    pub(super) fn begin(self: &Arc<Self>) -> Share {
        let mut state = self.state();
        state.begun += 1;
        let age = state.begun;
        state.held_bytes.insert(age, 0);
        Share { memory: Arc::clone(self), age }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn give_back(&self, bytes: usize) {
        let mut state = self.state();
        state.free_bytes += signed(bytes);
        self.tell(&state);
    }

    fn tell(&self, state: &State) {
        if state.waiting > 0 {
            self.given_back.notify_all();
        }
    }
}

impl State {
    /// Whether the guest of this age may take so much now.
    fn may_take(&self, age: u64, bytes: i64, kept_bytes: i64) -> bool {
        match self.held_bytes.first_key_value() {
            Some((eldest, _)) if *eldest == age => true,
            Some((_, held)) => self.free_bytes - bytes >= (kept_bytes - held).max(0),
            None => true,
        }
    }
}

/// What one guest holds of the budget; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    memory: Arc<Memory>,
    age: u64,
}

impl Share {
    /// Takes so much if it fits now.
    pub(super) fn try_take(&self, bytes: usize) -> bool {
        self.take_under(&mut self.memory.state(), signed(bytes))
    }

    /// Waits until so much fits. `halt` is asked again and again whether the guest must stop.
    pub(super) fn take<Halt>(&self, bytes: usize, halt: impl Fn() -> Option<Halt>) -> Result<(), Halt> {
        let mut state = self.memory.state();
        while !self.take_under(&mut state, signed(bytes)) {
            state.waiting += 1;
            state = or_poisoned(self.memory.given_back.wait_timeout(state, HALT_CHECK)).0;
            state.waiting -= 1;
            if let Some(halt) = halt() {
                return Err(halt);
            }
        }
        Ok(())
    }

    pub(super) fn give_back(&self, bytes: usize) {
        let mut state = self.memory.state();
        if let Some(held) = state.held_bytes.get_mut(&self.age) {
            *held -= signed(bytes);
        }
        state.free_bytes += signed(bytes);
        self.memory.tell(&state);
    }

    /// Makes so much of what the guest holds outlive it; given back when what is returned is dropped.
    pub(super) fn part_with(&self, bytes: usize) -> Outlasting {
        if let Some(held) = self.memory.state().held_bytes.get_mut(&self.age) {
            *held -= signed(bytes);
        }
        Outlasting { memory: Arc::clone(&self.memory), bytes }
    }

    fn take_under(&self, state: &mut State, bytes: i64) -> bool {
        let may = state.may_take(self.age, bytes, self.memory.kept_bytes);
        if may {
            state.free_bytes -= bytes;
            *state.held_bytes.entry(self.age).or_default() += bytes;
        }
        may
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut state = self.memory.state();
        let held = state.held_bytes.remove(&self.age).unwrap_or(0);
        state.free_bytes += held;
        // Also where nothing was held: somebody else may be the eldest now.
        self.memory.tell(&state);
    }
}

/// A part of the budget that a guest has left behind with something that it handed over.
#[derive(Debug)]
pub(super) struct Outlasting {
    memory: Arc<Memory>,
    bytes: usize,
}

impl Drop for Outlasting {
    fn drop(&mut self) {
        self.memory.give_back(self.bytes);
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    fn never() -> Option<()> {
        None
    }

    #[test]
    fn what_does_not_fit_waits_until_somebody_has_ended() {
        let memory = Memory::new(100, 40);
        let (eldest, second, third) = (memory.begin(), memory.begin(), memory.begin());
        assert!(eldest.try_take(10) && second.try_take(50), "30 of 40 are kept for the eldest");
        assert!(!third.try_take(11) && third.try_take(10));
        assert!(eldest.try_take(30), "what was kept for it");
        assert_eq!((memory.held_bytes(), memory.waiting()), (100, 0));
        let (sender, done) = channel();
        std::thread::scope(|scope| {
            scope.spawn(|| sender.send(third.take(20, never)).unwrap());
            while memory.waiting() == 0 {
                std::thread::yield_now();
            }
            drop(eldest);
            done.recv().unwrap().unwrap();
        });
        drop((second, third));
        assert_eq!(memory.held_bytes(), 0);
    }

    /// Every guest needs all that a guest may need, and there is room for two and a half of them.
    #[test]
    fn guests_that_all_want_more_never_wait_for_each_other() {
        let memory = Memory::new(100, 40);
        std::thread::scope(|scope| {
            for _ in 0..16 {
                let memory = &memory;
                scope.spawn(move || {
                    let share = memory.begin();
                    for _ in 0..40 {
                        share.take(1, never).unwrap();
                        assert!(memory.held_bytes() <= 100);
                        std::thread::yield_now();
                    }
                });
            }
        });
        assert_eq!((memory.held_bytes(), memory.waiting()), (0, 0));
    }

    #[test]
    fn the_eldest_overdraws_what_others_then_lack() {
        let memory = Memory::new(100, 10);
        let (eldest, other) = (memory.begin(), memory.begin());
        assert!(other.try_take(90) && eldest.try_take(50));
        assert_eq!(memory.held_bytes(), 140);
        assert!(!other.try_take(1));
        drop(eldest);
        assert!(other.try_take(20), "it is the eldest now");
    }

    #[test]
    fn who_must_stop_does_not_wait_on() {
        let memory = Memory::new(10, 10);
        let (_eldest, other) = (memory.begin(), memory.begin());
        assert_eq!(other.take(5, || Some("stopped")), Err("stopped"));
        assert_eq!(memory.held_bytes(), 0);
    }

    #[test]
    fn what_a_guest_has_handed_over_outlives_it() {
        let memory = Memory::new(100, 10);
        let guest = memory.begin();
        assert!(guest.try_take(30));
        let handed_over = guest.part_with(20);
        drop(guest);
        assert_eq!(memory.held_bytes(), 20);
        drop(handed_over);
        assert_eq!(memory.held_bytes(), 0);
    }
}
