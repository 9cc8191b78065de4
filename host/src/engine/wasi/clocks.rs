//! `wasi:clocks`. The wall clock is journaled, as `now` of `pawl:step/durable` is.
//!
//! The monotonic clock is the guest's own: it begins at 0, every reading takes a microsecond, and else it
//! goes on only while the guest waits for a timer. So it costs no entries, which matters, because the event
//! loop of a language reads it at every turn, also where the author asked for nothing. What it can't do is
//! to measure how long a computation or a request took.

use wasmtime::component::Resource;

use super::bindings::wasi::clocks::{monotonic_clock, wall_clock};
use super::poll::Pollable;
use crate::domain::journal::Entry;
use crate::domain::replay::Step;
use crate::engine::clock::unix_ns;
use crate::engine::guest::{Guest, Halt};

/// What the clocks tell apart, ns.
const RESOLUTION_NS: u64 = 1_000;

impl monotonic_clock::Host for Guest {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.elapsed_ns())
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(RESOLUTION_NS)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<Pollable>> {
        Ok(self.push(Pollable::Timer { at_ns: when })?)
    }

    fn subscribe_duration(&mut self, when: u64) -> wasmtime::Result<Resource<Pollable>> {
        let at_ns = self.wasi().elapsed_ns.saturating_add(when);
        Ok(self.push(Pollable::Timer { at_ns })?)
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
    /// The monotonic clock; a guest that only looks at it sees it move.
    pub(super) fn elapsed_ns(&mut self) -> u64 {
        let elapsed_ns = &mut self.wasi().elapsed_ns;
        *elapsed_ns = elapsed_ns.saturating_add(RESOLUTION_NS);
        *elapsed_ns
    }

    /// Lets the monotonic clock come to `at_ns`. The journal notes that the guest has waited: a replay does
    /// not wait again.
    pub(super) fn wait_until(&mut self, at_ns: u64) -> Result<(), Halt> {
        if self.recorder.is_some() {
            let wait_ns = at_ns.saturating_sub(self.wasi().elapsed_ns);
            self.read_wall_clock(wait_ns)?;
        }
        self.wasi().elapsed_ns = at_ns;
        Ok(())
    }

    /// A journaled reading; a new one is made after `wait_ns`.
    fn read_wall_clock(&mut self, wait_ns: u64) -> Result<u64, Halt> {
        match self.replay.now()? {
            Step::Recorded(unix_ns) => Ok(unix_ns),
            Step::Live => {
                self.wait(wait_ns)?;
                let unix_ns = unix_ns();
                self.record(&Entry::Now { unix_ns })?;
                Ok(unix_ns)
            }
        }
    }
}
