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

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use wasmtime::bail;
use wasmtime::component::Resource;

use super::bindings::wasi::io::poll::{Host, HostPollable};
use super::http::exchange::Exchange;
use crate::engine::clock::boot_time;
use crate::engine::guest::{Guest, Halt};

/// How often a waiting guest is asked whether it must stop.
const HALT_CHECK: Duration = Duration::from_millis(50);

/// What a guest may wait for.
#[derive(Debug, Clone)]
pub enum Pollable {
    /// A stream, or a future that has its value.
    Ready,
    /// A moment.
    Timer {
        /// On the monotonic clock.
        at_ns: u64,
    },
    /// An answer over HTTP: there as soon as the guest has finished the request.
    Answer(Arc<Mutex<Exchange>>),
}

impl Host for Guest {
    fn poll(&mut self, pollables: Vec<Resource<Pollable>>) -> wasmtime::Result<Vec<u32>> {
        let mut asked = Vec::with_capacity(pollables.len());
        for pollable in &pollables {
            asked.push(self.held(pollable)?.clone());
        }
        self.poll_all(&asked)
    }
}

impl HostPollable for Guest {
    fn ready(&mut self, pollable: Resource<Pollable>) -> wasmtime::Result<bool> {
        let pollable = self.held(&pollable)?.clone();
        let now_ns = self.elapsed_ns();
        Ok(pollable.is_ready(now_ns))
    }

    fn block(&mut self, pollable: Resource<Pollable>) -> wasmtime::Result<()> {
        let pollable = self.held(&pollable)?.clone();
        self.poll_all(&[pollable]).map(drop)
    }

    fn drop(&mut self, pollable: Resource<Pollable>) -> wasmtime::Result<()> {
        self.take(pollable).map(drop)
    }
}

impl Pollable {
    fn is_ready(&self, now_ns: u64) -> bool {
        match self {
            Self::Ready => true,
            Self::Timer { at_ns } => *at_ns <= now_ns,
            Self::Answer(exchange) => exchange.lock().unwrap_or_else(PoisonError::into_inner).is_answered(),
        }
    }

    fn at_ns(&self) -> Option<u64> {
        match self {
            Self::Timer { at_ns } => Some(*at_ns),
            _ => None,
        }
    }
}

impl Guest {
    /// The positions of those that are ready, at least one.
    fn poll_all(&mut self, pollables: &[Pollable]) -> wasmtime::Result<Vec<u32>> {
        let ready = positions(pollables, self.wasi().elapsed_ns);
        if !ready.is_empty() {
            return Ok(ready);
        }
        let Some(first_ns) = pollables.iter().filter_map(Pollable::at_ns).min() else {
            bail!(
                "the step waits for something that can't happen: an answer to a request whose body it never finished"
            );
        };
        self.wait_until(first_ns)?;
        Ok(positions(pollables, first_ns))
    }

    /// Waits on the guest's thread, which another guest may use meanwhile.
    pub(super) fn wait(&self, ns: u64) -> Result<(), Halt> {
        let until = boot_time().saturating_add(Duration::from_nanos(ns));
        if ns == 0 {
            return Ok(());
        }
        self.pulse.away(|| {
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

fn positions(pollables: &[Pollable], now_ns: u64) -> Vec<u32> {
    (0..).zip(pollables).filter(|(_, pollable)| pollable.is_ready(now_ns)).map(|(position, _)| position).collect()
}
