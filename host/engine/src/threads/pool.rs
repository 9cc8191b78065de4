//! Which guest thread is woken, and for which job.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::time::Duration;

use pawl_base::{lock, or_poisoned};

use super::Job;

/// How long a job waits for its turn before one more thread is woken for it.
const TURN: Duration = Duration::from_millis(5);

/// What the threads share.
pub(super) struct Pool {
    state: Mutex<State>,
    /// One for each thread.
    woken: Vec<Condvar>,
    cores: usize,
}

pub(super) struct State {
    pub(super) jobs: VecDeque<Job>,
    /// Threads that sleep; the last to fall asleep is the first to be woken: its memory is warm.
    pub(super) idle: Vec<usize>,
    /// Threads that were woken and have not seen it yet.
    called: Vec<bool>,
    /// Threads that are awake and do not wait for the host.
    running: usize,
    /// Jobs begun; if it stands still, a job that waits gets a turn.
    begun: u64,
    pub(super) is_closed: bool,
}

impl Pool {
    pub(super) fn new(count: usize) -> Self {
        let state = State {
            jobs: VecDeque::new(),
            idle: (0..count).rev().collect(),
            called: vec![false; count],
            running: 0,
            begun: 0,
            is_closed: false,
        };
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { state: Mutex::new(state), woken: (0..count).map(|_| Condvar::new()).collect(), cores }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics under the lock: jobs run outside of it.
        lock(&self.state)
    }

    pub(super) fn wake(&self, state: &mut State, number: usize) {
        state.called[number] = true;
        state.running += 1;
        self.woken[number].notify_one();
    }

    fn wake_one(&self, state: &mut State) {
        if !state.jobs.is_empty()
            && let Some(number) = state.idle.pop()
        {
            self.wake(state, number);
        }
    }

    pub(super) fn wake_within_cores(&self, state: &mut State) {
        if state.running < self.cores {
            self.wake_one(state);
        }
    }

    /// The next job for a thread that is awake; sleeps while there is none. `None`: the pool has ended.
    pub(super) fn next(&self, number: usize) -> Option<Job> {
        let mut state = self.state();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                state.begun += 1;
                return Some(job);
            }
            state.running -= 1;
            if state.is_closed {
                return None;
            }
            state.idle.push(number);
            state = self.sleep(state, number);
        }
    }

    /// Sleeps until woken.
    pub(super) fn sleep<'a>(&'a self, mut state: MutexGuard<'a, State>, number: usize) -> MutexGuard<'a, State> {
        while !state.called[number] {
            state = or_poisoned(self.woken[number].wait(state));
        }
        state.called[number] = false;
        state
    }
}

/// Wakes one more thread whenever jobs wait and none was begun during a turn: those that run compute for
/// long.
pub(super) fn give_turns(pool: &Weak<Pool>) {
    let mut begun = 0;
    loop {
        std::thread::sleep(TURN);
        let Some(pool) = pool.upgrade() else { return };
        let mut state = pool.state();
        if state.is_closed {
            return;
        }
        if state.begun == begun {
            pool.wake_one(&mut state);
        }
        begun = state.begun;
    }
}

/// A thread that is awake, but not on a core; also while a panic passes.
pub(super) struct Away(Arc<Pool>);

impl Away {
    pub(super) fn begin(pool: Arc<Pool>) -> Self {
        let mut state = pool.state();
        state.running -= 1;
        pool.wake_within_cores(&mut state);
        drop(state);
        Self(pool)
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        self.0.state().running += 1;
    }
}
