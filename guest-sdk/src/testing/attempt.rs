//! One attempt of a step on the test host: what each host call does. The journal answers what was asked
//! before; what is new is asked of the test's world and recorded, with a barrier before anything leaves.

use super::answer::{self, Reply, Request};
use super::journal::{Call, Checkpoint, Entry, Facts, Sent, Told};
use super::loss::{Crash, Loss};
use super::replay::{EffectStep, Fault, OnceStep, Replay};
use super::world::World;
use crate::host::{HttpRequest, Info, Level};
use crate::logging;

/// Random bytes that one call may ask for.
const RANDOM_BYTES: u32 = 64 << 10;

/// What an attempt works on.
pub(super) struct Attempt {
    pub(super) replay: Replay,
    pub(super) world: World,
    pub(super) facts: Facts,
    /// What surely outlives a crash.
    pub(super) durable: Durable,
    /// The last checkpoint, and the one before it, in the order in which they were handed over.
    pub(super) checkpoints: [Option<Checkpoint>; 2],
    pub(super) crash: Option<Crash>,
    /// Why the step was left in the middle of its code.
    pub(super) ending: Option<Ending>,
}

/// As of the last barrier.
#[derive(Default)]
pub(super) struct Durable {
    pub(super) entries: usize,
    pub(super) checkpoints: [Option<Checkpoint>; 2],
}

/// Why a call does not return.
#[derive(Debug)]
pub(super) enum Ending {
    /// The worker dies here, as the test wants it.
    Crashed(Crash),
    /// It waits; when it goes on, the journal holds what it waited for.
    Suspended,
    Faulted(Fault),
    /// A limit or something that the test does not provide.
    Stuck(String),
}

impl From<Fault> for Ending {
    fn from(fault: Fault) -> Self {
        Self::Faulted(fault)
    }
}

type Asked<T> = Result<T, Ending>;

impl Attempt {
    /// Every call begins here.
    pub(super) fn enter(&mut self, call: &'static str) -> Asked<()> {
        self.world.calls.push(call);
        // A step that panics is logged on its way out; it can't crash a second time.
        match self.crash_now().filter(|_| !std::thread::panicking()) {
            Some(crash) if crash.loss != Loss::Answer => Err(Ending::Crashed(crash)),
            _ => Ok(()),
        }
    }

    fn crash_now(&self) -> Option<Crash> {
        self.crash.filter(|crash| crash.call == self.world.calls.len())
    }

    pub(super) fn info(&mut self) -> Asked<Info> {
        let Facts { attempt, deadline_ms } = self.replay.facts(self.facts);
        let world = &self.world;
        Ok(Info {
            run_id: world.run_id.clone(),
            step_name: world.step_name.clone(),
            attempt,
            config: world.config.clone(),
            deadline_ms,
        })
    }

    pub(super) fn secret(&mut self, name: &str) -> Asked<Option<String>> {
        Ok(self.world.secrets.get(name).cloned())
    }

    pub(super) fn checkpoint(&mut self, state: &[u8]) -> Asked<()> {
        if let Some(checkpoint) = self.replay.checkpoint(state.to_vec())? {
            self.world.states.push(state.to_vec());
            self.checkpoints = [self.checkpoints[1].take(), Some(checkpoint)];
        }
        Ok(())
    }

    pub(super) fn restore(&mut self) -> Asked<Option<Vec<u8>>> {
        Ok(self.replay.restore()?)
    }

    pub(super) fn once_begin(&mut self, name: &str) -> Asked<Option<Vec<u8>>> {
        match self.replay.once_begin(name)? {
            OnceStep::Finished(value) => return Ok(Some(value)),
            OnceStep::Reopened => {}
            OnceStep::Live => {
                self.replay.record(Entry::Answered(Call::OnceBegin(name.to_owned()), Told::Nothing));
            }
        }
        self.barrier();
        Ok(None)
    }

    pub(super) fn once_finish(&mut self, name: &str, value: &[u8]) -> Asked<()> {
        self.replay.once_finish(name, value)?;
        self.world.onces.push(name.to_owned());
        self.barrier();
        Ok(())
    }

    pub(super) fn now_ns(&mut self) -> Asked<u64> {
        if let Some(Told::Time(unix_ns)) = self.replay.next(&Call::Now)? {
            return Ok(unix_ns);
        }
        let unix_ns = self.world.read_clock();
        self.replay.record(Entry::Answered(Call::Now, Told::Time(unix_ns)));
        Ok(unix_ns)
    }

    pub(super) fn random(&mut self, len: u32) -> Asked<Vec<u8>> {
        if len > RANDOM_BYTES {
            return Err(Ending::Stuck(format!("random gives at most {RANDOM_BYTES} bytes a call, not {len}")));
        }
        let (once, start) = self.replay.random(len);
        Ok(self.world.random(once, start, len))
    }

    pub(super) fn idempotency_key(&mut self, name: &str) -> Asked<String> {
        Ok(self.replay.key(name))
    }

    /// The clock of the test jumps to the end of the sleep; the step does begin again.
    pub(super) fn sleep(&mut self, duration_ms: u64) -> Asked<()> {
        let call = Call::Sleep { duration_ms };
        if self.replay.wait(&call)?.is_some() {
            return Ok(());
        }
        self.world.sleep(duration_ms);
        self.suspend(call, Told::Nothing)
    }

    pub(super) fn await_signal(&mut self, name: &str, timeout_ms: Option<u64>) -> Asked<Option<String>> {
        let call = Call::AwaitSignal { name: name.to_owned(), timeout_ms };
        if let Some(Told::Signal(payload)) = self.replay.wait(&call)? {
            return Ok(payload);
        }
        let payload = self.world.await_signal(name, timeout_ms).map_err(Ending::Stuck)?;
        self.suspend(call, Told::Signal(payload))
    }

    fn suspend<T>(&mut self, call: Call, told: Told) -> Asked<T> {
        self.replay.record(Entry::Answered(call, told));
        self.barrier();
        Err(Ending::Suspended)
    }

    pub(super) fn send(&mut self, request: &HttpRequest) -> Asked<Reply> {
        if let Err(why) = answer::check(request) {
            return Ok(Reply::Invalid(why));
        }
        let sent = Sent { method: request.method.clone(), url: request.url.clone(), body: request.body.clone() };
        if answer::is_safe(&sent.method) {
            let call = Call::Fetch(sent);
            if let Some(Told::Http(reply)) = self.replay.next(&call)? {
                return Ok(reply);
            }
            return self.ask_world(request, None, call);
        }
        let key = match self.replay.effect(request.effect.as_deref(), &sent)? {
            EffectStep::Recorded(Told::Http(reply)) => return Ok(reply),
            EffectStep::Recorded(_) => unreachable!("an effect is answered with a reply"),
            EffectStep::Resend(key) => key,
            EffectStep::Live(key) => {
                self.replay.record(Entry::Answered(Call::Effect(key.clone(), sent), Told::Nothing));
                key
            }
        };
        self.barrier();
        self.ask_world(request, Some(key.clone()), Call::Answer(key))
    }

    /// The one way out.
    fn ask_world(&mut self, request: &HttpRequest, key: Option<String>, call: Call) -> Asked<Reply> {
        let HttpRequest { method, url, headers, body, .. } = request.clone();
        let reply = self.world.answer(Request { method, url, headers, body, key }).map_err(Ending::Stuck)?;
        if let Some(crash) = self.crash_now() {
            return Err(Ending::Crashed(crash));
        }
        self.replay.record(Entry::Answered(call, Told::Http(reply.clone())));
        Ok(reply)
    }

    pub(super) fn log(&mut self, level: Level, message: &str, fields: &[(String, String)]) -> Asked<()> {
        if self.replay.is_live() {
            let (message, fields) = (message.to_owned(), fields.to_vec());
            self.world.logs.push(logging::Line { level: level.into(), message, fields });
        }
        Ok(())
    }

    pub(super) fn progress(&mut self, fraction: f64, message: &str) -> Asked<()> {
        if self.replay.is_live() && !fraction.is_nan() {
            self.world.progress.push((fraction.clamp(0.0, 1.0), message.to_owned()));
        }
        Ok(())
    }

    /// All that was handed over is durable from now on.
    pub(super) fn barrier(&mut self) {
        self.durable = Durable { entries: self.replay.journal.len(), checkpoints: self.checkpoints.clone() };
    }
}
