//! `wasi:clocks`. The wall clock is journaled, as `now` of `pawl:step/durable` is.
//!
//! The monotonic clock is the guest's own: it begins at 0, every reading takes a microsecond, and else it
//! goes on only while the guest waits for a timer. So it costs no entries, which matters, because the event
//! loop of a language reads it at every turn, also where the author asked for nothing. A checkpoint takes it along, in a
//! note behind it. What it can't do is to measure how long a computation or a request took.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;

use pawl_base::lock;

use pawl_domain::replay::Step;
use wasmtime::component::Resource;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

use crate::guest::{Guest, Halt};

/// What the clocks tell apart, ns.
const RESOLUTION_NS: u64 = 1_000;

/// A guest's monotonic clock, which its timers look at.
#[derive(Debug, Default)]
pub(super) struct Clock(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    elapsed_ns: u64,
    /// The first moment that a timer has asked for and that has not come.
    awaited_ns: Option<u64>,
}

impl Clock {
    /// A guest that only looks at its clock sees it move.
    pub(super) fn read(&self) -> u64 {
        let mut state = self.state();
        state.elapsed_ns = state.elapsed_ns.saturating_add(RESOLUTION_NS);
        state.elapsed_ns
    }

    fn elapsed_ns(&self) -> u64 {
        self.state().elapsed_ns
    }

    fn go_to(&self, at_ns: u64) {
        self.state().elapsed_ns = at_ns;
    }

    /// Whether a moment has come; if not, it is remembered as one that is awaited.
    fn has_come(&self, at_ns: u64) -> bool {
        let mut state = self.state();
        if at_ns <= state.elapsed_ns {
            return true;
        }
        let first_ns = state.awaited_ns.map_or(at_ns, |other_ns| other_ns.min(at_ns));
        state.awaited_ns = Some(first_ns);
        false
    }

    /// The first moment that was awaited since this was last asked.
    pub(super) fn take_awaited(&self) -> Option<u64> {
        self.state().awaited_ns.take()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }
}

/// A moment of the monotonic clock.
struct Timer {
    clock: Arc<Clock>,
    at_ns: u64,
}

#[async_trait]
impl Pollable for Timer {
    /// Nobody wakes who waits for it: the guest's `poll` moves the clock and asks again.
    async fn ready(&mut self) {
        poll_fn(|_| if self.clock.has_come(self.at_ns) { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

impl monotonic_clock::Host for Guest {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.wasi().clock.read())
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(RESOLUTION_NS)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let clock = Arc::clone(&self.wasi().clock);
        let timer = self.push(Timer { clock, at_ns: when })?;
        subscribe(&mut self.wasi().table, timer)
    }

    fn subscribe_duration(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let at_ns = self.wasi().clock.elapsed_ns().saturating_add(when);
        self.subscribe_instant(at_ns)
    }
}

impl wall_clock::Host for Guest {
    /// A guest that describes itself sees a clock that stands at 1970.
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(datetime(if self.recorder.is_some() { self.read_wall_clock(0)? } else { 0 }))
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(datetime(RESOLUTION_NS))
    }
}

fn datetime(ns: u64) -> wall_clock::Datetime {
    let nanoseconds = u32::try_from(ns % 1_000_000_000).expect("a remainder is smaller than its divisor");
    wall_clock::Datetime { seconds: ns / 1_000_000_000, nanoseconds }
}

impl Guest {
    /// What the monotonic clock shows, if the guest has ever looked at it.
    pub(crate) fn monotonic_ns(&self) -> Option<u64> {
        let elapsed_ns = self.wasi.as_ref()?.clock.elapsed_ns();
        (elapsed_ns > 0).then_some(elapsed_ns)
    }

    /// Lets it show at least so much: a guest that goes on from a checkpoint compares with what it read before.
    pub(crate) fn advance_monotonic(&mut self, at_ns: u64) {
        let clock = &self.wasi().clock;
        clock.go_to(clock.elapsed_ns().max(at_ns));
    }

    /// A sleep of the step is over: it took this long at least. A guest that has never looked at its clock has none.
    pub(crate) fn pass_monotonic(&mut self, slept_ns: u64) {
        if let Some(elapsed_ns) = self.monotonic_ns() {
            self.advance_monotonic(elapsed_ns.saturating_add(slept_ns));
        }
    }

    /// Lets the monotonic clock come to `at_ns`. The journal notes that the guest has waited: a replay does
    /// not wait again.
    pub(super) fn wait_until(&mut self, at_ns: u64) -> Result<(), Halt> {
        if self.recorder.is_some() {
            let wait_ns = at_ns.saturating_sub(self.wasi().clock.elapsed_ns());
            self.read_wall_clock(wait_ns)?;
        }
        self.wasi().clock.go_to(at_ns);
        Ok(())
    }

    /// A journaled reading; a new one is made after `wait_ns`.
    fn read_wall_clock(&mut self, wait_ns: u64) -> Result<u64, Halt> {
        match self.replay.now()? {
            Step::Recorded(unix_ns) => {
                self.has_replayed();
                Ok(unix_ns)
            }
            Step::Live => {
                self.wait(wait_ns)?;
                self.read_clock()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Durable;
    use crate::in_memory::InMemory;
    use crate::wasi::tests::guest;
    use pawl_domain::replay::Replay;

    #[test]
    fn the_first_of_the_awaited_moments_is_remembered_until_somebody_asks() {
        let clock = Clock::default();
        assert!(clock.has_come(0) && clock.take_awaited().is_none());
        assert!(!clock.has_come(7_000) && !clock.has_come(5_000) && !clock.has_come(u64::MAX));
        assert_eq!((clock.take_awaited(), clock.take_awaited()), (Some(5_000), None));
        clock.go_to(5_000);
        assert!(clock.has_come(5_000) && !clock.has_come(5_001));
        assert_eq!((clock.read(), clock.elapsed_ns()), (6_000, 6_000));
    }

    #[test]
    fn a_guest_that_goes_on_from_its_checkpoint_finds_its_clock_where_it_was() {
        let memory = Arc::new(InMemory::default());
        let mut first = Guest { recorder: Some(memory.clone()), ..guest() };
        first.restore().unwrap();
        monotonic_clock::Host::now(&mut first).unwrap();
        first.wait_until(5_000_000).unwrap();
        Durable::checkpoint(&mut first, b"saved".to_vec()).unwrap();
        let before = monotonic_clock::Host::now(&mut first).unwrap();
        let replay = Replay::new(first.step, memory.history());
        let mut resumed = Guest { recorder: Some(memory), replay, ..guest() };
        assert_eq!(resumed.restore().unwrap().as_deref(), Some(&b"saved"[..]));
        assert_eq!(monotonic_clock::Host::now(&mut resumed).unwrap(), before);
    }
}
