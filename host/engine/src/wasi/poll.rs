//! `wasi:io/poll`: what is ready, in an order that a replay repeats.
//!
//! Everything but timers is ready at once or never: an answer over HTTP is there before the guest gets hold
//! of its future, streams are memory. A timer is a moment of the guest's own monotonic clock. If nothing is
//! ready, the guest really waits for its first timer, the clock moves there, and the journal notes it: what
//! a poll returns never depends on how long anything took.
//!
//! A wait holds the guest's thread and memory, and a guest that is resumed in the middle of one waits again
//! from its start. It ends with the attempt's deadline at the latest. For more than seconds there is `sleep`
//! of `pawl:step/durable`, which holds nothing.

use std::pin::pin;
use std::time::Duration;

use wasmtime::bail;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::p2::bindings::io::poll as asked;
use wasmtime_wasi::p2::bindings::sync::io::poll::{Host, HostPollable};
use wasmtime_wasi::runtime::poll_noop;

use crate::clock::boot_time;
use crate::guest::{Guest, Halt};

/// How often a waiting guest is asked whether it must stop.
const HALT_CHECK: Duration = Duration::from_millis(50);

impl Host for Guest {
    /// The positions of those that are ready, at least one.
    fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        self.wasi().clock.take_awaited();
        let ready = self.positions(&pollables)?;
        if !ready.is_empty() {
            return Ok(ready);
        }
        let Some(first_ns) = self.wasi().clock.take_awaited() else {
            bail!(
                "the step waits for something that can't happen: an answer to a request whose body it never finished"
            );
        };
        self.wait_until(first_ns)?;
        self.positions(&pollables)
    }
}

impl HostPollable for Guest {
    fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        // A guest that asks again and again until its timer has come sees it come.
        self.wasi().clock.read();
        self.is_ready(&pollable)
    }

    fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        self.poll(vec![pollable]).map(drop)
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        asked::HostPollable::drop(&mut self.wasi().table, pollable)
    }
}

impl Guest {
    fn positions(&mut self, pollables: &[Resource<DynPollable>]) -> wasmtime::Result<Vec<u32>> {
        let mut ready = Vec::new();
        for (position, pollable) in (0..).zip(pollables) {
            if self.is_ready(pollable)? {
                ready.push(position);
            }
        }
        Ok(ready)
    }

    /// Asks once, as `ready` of the library does, which would start an async runtime for it.
    fn is_ready(&mut self, pollable: &Resource<DynPollable>) -> wasmtime::Result<bool> {
        let pollable = Resource::new_borrow(pollable.rep());
        let answer = poll_noop(pin!(asked::HostPollable::ready(&mut self.wasi().table, pollable)));
        answer.expect("it looks at what it asks only once")
    }

    /// Waits on the guest's thread, which another guest may use meanwhile.
    pub(super) fn wait(&self, ns: u64) -> Result<(), Halt> {
        let until = boot_time().saturating_add(Duration::from_nanos(ns));
        if ns == 0 {
            return Ok(());
        }
        self.sign.away(|| {
            loop {
                let left = until.saturating_sub(boot_time());
                if left.is_zero() {
                    return Ok(());
                }
                if let Some(halt) = self.halt() {
                    return Err(halt);
                }
                std::thread::sleep(left.min(HALT_CHECK));
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use wasmtime_wasi::cli::WasiCliView as _;
    use wasmtime_wasi::p2::bindings::cli::stdout::Host as _;
    use wasmtime_wasi::p2::bindings::clocks::monotonic_clock::Host as _;
    use wasmtime_wasi::p2::bindings::sync::io::streams::HostOutputStream as _;

    use super::*;
    use crate::wasi::http::unanswered;
    use crate::wasi::tests::guest;

    /// The guest goes on holding what it polls.
    fn poll(guest: &mut Guest, pollables: &[&Resource<DynPollable>]) -> wasmtime::Result<Vec<u32>> {
        Host::poll(guest, pollables.iter().map(|pollable| Resource::new_borrow(pollable.rep())).collect())
    }

    #[test]
    fn the_clock_goes_to_the_first_timer_when_nothing_is_ready() {
        let mut guest = guest();
        let [late, early, same] =
            [9_000_000, 4_000_000, 4_000_000].map(|ns| guest.subscribe_duration(ns).expect("there is room"));
        assert_eq!(poll(&mut guest, &[&late, &early, &same]).unwrap(), [1, 2]);
        assert_eq!(poll(&mut guest, &[&late, &early]).unwrap(), [1], "a ready one does not wait for another");
        assert!(guest.now().unwrap() < 4_100_000);
        HostPollable::block(&mut guest, Resource::new_borrow(late.rep())).unwrap();
        assert!(guest.now().unwrap() > 9_000_000);
    }

    #[test]
    fn a_guest_that_only_asks_sees_its_timer_come() {
        let mut guest = guest();
        let timer = guest.subscribe_duration(10_000).unwrap();
        let ask = |guest: &mut Guest| HostPollable::ready(guest, Resource::new_borrow(timer.rep())).unwrap();
        assert_eq!((0..).take_while(|_| !ask(&mut guest)).count(), 9);
    }

    #[test]
    fn streams_are_ready_before_any_timer_and_an_unfinished_request_never_is() {
        let mut guest = guest();
        let timer = guest.subscribe_duration(1).unwrap();
        let stdout = guest.cli().get_stdout().unwrap();
        let stream = guest.wasi().table.subscribe(stdout).unwrap();
        assert_eq!(poll(&mut guest, &[&timer, &stream, &stream]).unwrap(), [1, 2]);
        let answer = unanswered(&mut guest);
        assert_eq!(poll(&mut guest, &[&answer, &timer]).unwrap(), [1]);
        let error = poll(&mut guest, &[&answer]).expect_err("it would wait forever");
        assert!(error.to_string().contains("a request whose body it never finished"), "{error}");
        assert!(poll(&mut guest, &[]).is_err());
    }
}
