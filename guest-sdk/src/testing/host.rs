//! What a test says of the world before it runs a step, and the door to running it.
//!
//! `world`, `life` and `crash` are made of a [`Host`], whose methods begin them: a test has one thing to talk to, so they
//! and this module name each other.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::answer::{Answer, Request, Rule};
use super::crash;
use super::life;
use super::loss::{Crash, Loss};
use super::run::Run;
use crate::context::Context;
use crate::failure::Failure;

/// A host in memory: see the [module](super) for what it does.
///
/// What is not said is this: the clock stands still at 2026-01-01 00:00 UTC, there is no config, no secret, no
/// signal and no target, and a step has one attempt of ten minutes.
#[derive(Clone)]
#[must_use = "it does nothing until it runs a step"]
pub struct Host {
    pub(super) run_id: String,
    pub(super) step_name: String,
    pub(super) config: String,
    pub(super) secrets: BTreeMap<String, String>,
    pub(super) clock_ns: u64,
    pub(super) tick_ns: u64,
    pub(super) seed: u64,
    pub(super) attempts: u32,
    pub(super) timeout_ms: u64,
    /// Milliseconds until it is there, name and payload.
    pub(super) signals: Vec<(u64, (String, String))>,
    pub(super) rules: Vec<Rule>,
    pub(super) ignored: Vec<String>,
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

impl Host {
    /// A host of which nothing has been said.
    pub fn new() -> Self {
        Self {
            run_id: "00000000-0000-7000-8000-000000000000".to_owned(),
            step_name: "tested".to_owned(),
            config: "null".to_owned(),
            secrets: BTreeMap::new(),
            clock_ns: 1_767_225_600_000_000_000,
            tick_ns: 0,
            seed: 0,
            attempts: 1,
            timeout_ms: 600_000,
            signals: Vec::new(),
            rules: Vec::new(),
            ignored: Vec::new(),
        }
    }

    /// The time at which the step begins.
    pub fn now(mut self, time: SystemTime) -> Self {
        let since_1970 = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.clock_ns = u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX);
        self
    }

    /// How far each reading moves the clock on. Then a reading that a crash has lost is another one when it
    /// is asked for again, as in the real world.
    pub fn tick(mut self, step: Duration) -> Self {
        self.tick_ns = u64::try_from(step.as_nanos()).unwrap_or(u64::MAX);
        self
    }

    /// Decides the random bytes.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The step's name in the pipeline.
    pub fn step_name(mut self, name: impl Into<String>) -> Self {
        self.step_name = name.into();
        self
    }

    /// What [`Context::run_id`] tells, in place of a made-up one.
    pub fn run_id(mut self, id: impl Into<String>) -> Self {
        self.run_id = id.into();
        self
    }

    /// The step's `config` in the pipeline.
    ///
    /// # Panics
    /// If it can't be written as JSON.
    pub fn config(mut self, config: impl Serialize) -> Self {
        self.config = json(&config);
        self
    }

    /// Grants the step a secret.
    pub fn secret(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.secrets.insert(name.into(), value.into());
        self
    }

    /// How many attempts the retry policy allows; a failure that is worth a retry begins the next one.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// How long an attempt may take. The test host stops none; it decides the deadline that the step sees.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        self
    }

    /// A signal that is there when the step begins. Signals of one name are given in their order.
    ///
    /// # Panics
    /// If the payload can't be written as JSON.
    pub fn signal(self, name: impl Into<String>, payload: impl Serialize) -> Self {
        self.signal_after(Duration::ZERO, name, payload)
    }

    /// A signal that comes so long after the begin, by the test's clock: a wait moves the clock to it, if
    /// its timeout allows.
    ///
    /// # Panics
    /// If the payload can't be written as JSON.
    pub fn signal_after(mut self, delay: Duration, name: impl Into<String>, payload: impl Serialize) -> Self {
        let after_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.signals.push((after_ms, (name.into(), json(&payload))));
        self
    }

    /// Answers requests with that method and URL, or whose URL begins with what stands before a final `*`.
    /// Said again for the same method and URL, it is the answer to the next one; the last goes on for ever.
    ///
    /// The target honours idempotency keys: what it has accepted under a key, it answers the same again.
    pub fn answer(mut self, method: &str, url: &str, answer: Answer) -> Self {
        let same = self.rules.iter_mut().find_map(|rule| match rule {
            Rule::Fixed { method: known, url: there, answers } if known == method && there == url => Some(answers),
            _ => None,
        });
        match same {
            Some(answers) => answers.push(answer),
            None => {
                let (method, url) = (method.to_owned(), url.to_owned());
                self.rules.push(Rule::Fixed { method, url, answers: vec![answer] });
            }
        }
        self
    }

    /// Answers requests by their content; `None` leaves one to what is said after. Where crashes are compared,
    /// the answer must depend on nothing else.
    pub fn answer_with(mut self, answer: impl Fn(&Request) -> Option<Answer> + 'static) -> Self {
        self.rules.push(Rule::Free(Rc::new(answer)));
        self
    }

    /// Leaves a member of the output out of what [`crash_everywhere`](Self::crash_everywhere) compares: one
    /// that tells of the crash. A JSON pointer, for example `/resumed_at`.
    pub fn ignoring(mut self, pointer: &str) -> Self {
        self.ignored.push(pointer.to_owned());
        self
    }

    /// Runs a step to its end, through its sleeps and as many attempts as it may have.
    ///
    /// # Panics
    /// If the step breaks a rule that a test must know of: a replay after a sleep, a signal or a failure that
    /// does other calls than before, a request to which the test says nothing, a wait without end.
    #[track_caller]
    #[must_use = "look at what the step did"]
    pub fn run<I, O, E>(&self, step: impl Fn(&mut Context, I) -> Result<O, E>, input: impl Serialize) -> Run<O>
    where
        I: DeserializeOwned,
        E: Into<Failure>,
    {
        life::live(self, &step, &json(&input), None).unwrap_or_else(|broken| panic!("{broken}")).run
    }

    /// The same with a worker that dies at the `call`th host call, counted from 1. What the crash takes along
    /// is said by `loss`. A call that can't crash in that way, or does not come, crashes nothing.
    ///
    /// # Panics
    /// As [`run`](Self::run) does.
    #[track_caller]
    #[must_use = "look at what the step did"]
    pub fn run_with_crash<I, O, E>(
        &self,
        call: usize,
        loss: Loss,
        step: impl Fn(&mut Context, I) -> Result<O, E>,
        input: impl Serialize,
    ) -> Run<O>
    where
        I: DeserializeOwned,
        E: Into<Failure>,
    {
        let crash = Crash { call, loss };
        life::live(self, &step, &json(&input), Some(crash)).unwrap_or_else(|broken| panic!("{broken}")).run
    }

    /// Runs a step without a crash, then once for each of its host calls and each [`Loss`] with a crash there,
    /// and holds each against the first. Returns the first.
    ///
    /// # Panics
    /// If after a crash the step ends in another way, its replay diverges, a request leaves under another key
    /// than without the crash, a key with another request, an effect is left out, or a `once` that was
    /// finished is done again. The message names the crash.
    #[track_caller]
    pub fn crash_everywhere<I, O, E>(
        &self,
        step: impl Fn(&mut Context, I) -> Result<O, E>,
        input: impl Serialize,
    ) -> Run<O>
    where
        I: DeserializeOwned,
        O: Serialize,
        E: Into<Failure>,
    {
        crash::everywhere(self, &step, &json(&input)).unwrap_or_else(|broken| panic!("{broken}"))
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("what a test gives can be written as JSON")
}
