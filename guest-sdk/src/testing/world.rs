//! The world of one test life: clock, chance, inbox, targets. It outlives attempts, as the world does, and
//! keeps what happened.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::answer::{Reply, Request, Responder};
use super::host::Host;
use crate::logging;

/// A signal that was given or will be.
#[derive(Debug, Clone)]
pub(super) struct Signal {
    /// When it is there, in ns since 1970.
    pub(super) at_ns: u64,
    pub(super) name: String,
    pub(super) payload: String,
}

/// What the step meets, and what it did.
pub(super) struct World {
    pub(super) run_id: String,
    pub(super) step_name: String,
    pub(super) config: String,
    pub(super) secrets: BTreeMap<String, String>,
    began_ns: u64,
    clock_ns: u64,
    tick_ns: u64,
    seed: u64,
    inbox: Vec<Signal>,
    responders: Vec<Responder>,
    /// What was accepted under a key is answered the same under the same key: the target honours it.
    accepted: HashMap<String, Reply>,

    // What happened.
    pub(super) calls: Vec<&'static str>,
    pub(super) requests: Vec<Request>,
    pub(super) onces: Vec<String>,
    pub(super) states: Vec<Vec<u8>>,
    pub(super) logs: Vec<logging::Line>,
    pub(super) progress: Vec<(f64, String)>,
}

impl World {
    pub(super) fn new(host: &Host) -> Self {
        Self {
            run_id: host.run_id.clone(),
            step_name: host.step_name.clone(),
            config: host.config.clone(),
            secrets: host.secrets.clone(),
            began_ns: host.clock_ns,
            clock_ns: host.clock_ns,
            tick_ns: host.tick_ns,
            seed: host.seed,
            inbox: host.signals.iter().map(|(after, signal)| signal_at(host, *after, signal)).collect(),
            responders: host.rules.iter().cloned().map(Responder::new).collect(),
            accepted: HashMap::new(),
            calls: Vec::new(),
            requests: Vec::new(),
            onces: Vec::new(),
            states: Vec::new(),
            logs: Vec::new(),
            progress: Vec::new(),
        }
    }

    /// When an attempt is stopped that begins now.
    pub(super) fn deadline_ms(&self, timeout_ms: u64) -> u64 {
        (self.clock_ns / 1_000_000).saturating_add(timeout_ms)
    }

    /// How far the clock has moved.
    pub(super) fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.clock_ns - self.began_ns)
    }

    /// A reading of the clock, which may move it.
    pub(super) fn read_clock(&mut self) -> u64 {
        let now = self.clock_ns;
        self.clock_ns = now.saturating_add(self.tick_ns);
        now
    }

    pub(super) fn sleep(&mut self, duration_ms: u64) {
        self.clock_ns = self.clock_ns.saturating_add(ns(duration_ms));
    }

    /// Moves the clock to the next signal of that name, or to the end of the wait.
    pub(super) fn await_signal(&mut self, name: &str, timeout_ms: Option<u64>) -> Result<Option<String>, String> {
        let due_ns = timeout_ms.map_or(u64::MAX, |ms| self.clock_ns.saturating_add(ns(ms)));
        let candidates = self.inbox.iter().enumerate();
        let mine = candidates.filter(|(_, signal)| signal.name == name && signal.at_ns <= due_ns);
        if let Some((index, _)) = mine.min_by_key(|(_, signal)| signal.at_ns) {
            let signal = self.inbox.remove(index);
            self.clock_ns = self.clock_ns.max(signal.at_ns);
            return Ok(Some(signal.payload));
        }
        if timeout_ms.is_none() {
            return Err(format!(
                "the step waits for the signal {name:?} without a timeout, and the test gives none: add \
                 Host::signal({name:?}, …)"
            ));
        }
        self.clock_ns = due_ns;
        Ok(None)
    }

    /// A signal was consumed in an attempt that is done over: it is the first of its name again.
    pub(super) fn give_back(&mut self, name: &str, payload: &str) {
        self.inbox.insert(0, Signal { at_ns: 0, name: name.to_owned(), payload: payload.to_owned() });
    }

    /// Bytes of a stream that seed and name decide. A `once` has one of its own.
    pub(super) fn random(&self, once: Option<&str>, start: u64, len: u32) -> Vec<u8> {
        let stream = once.unwrap_or("").bytes().fold(self.seed, |hash, byte| mix(hash ^ u64::from(byte)));
        let byte = |at: u64| mix(stream.wrapping_add(mix(at / 8))).to_le_bytes()[(at % 8) as usize];
        (start..start + u64::from(len)).map(byte).collect()
    }

    /// What the target says.
    pub(super) fn answer(&mut self, request: Request) -> Result<Reply, String> {
        self.requests.push(request.clone());
        let accepted = request.key.as_ref().and_then(|key| self.accepted.get(key));
        if let Some(reply) = accepted {
            return Ok(reply.clone());
        }
        let Some(reply) = self.responders.iter().find_map(|responder| responder.answer(&request)) else {
            let Request { method, url, .. } = request;
            return Err(format!(
                "the step asks {method} {url}, and the test says nothing to that: add Host::answer({method:?}, \
                 {url:?}, …)"
            ));
        };
        if let Some(key) = request.key.filter(|_| reply.is_success()) {
            self.accepted.insert(key, reply.clone());
        }
        Ok(reply)
    }
}

fn signal_at(host: &Host, after_ms: u64, (name, payload): &(String, String)) -> Signal {
    let at_ns = host.clock_ns.saturating_add(ns(after_ms));
    Signal { at_ns, name: name.clone(), payload: payload.clone() }
}

fn ns(ms: u64) -> u64 {
    ms.saturating_mul(1_000_000)
}

/// The finalizer of splitmix64, <https://prng.di.unimi.it/splitmix64.c>.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
