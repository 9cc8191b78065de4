//! The bench on which `pawl plugin test` executes a step: the worker's part of its life, without a worker.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use anyhow::{Context as _, bail};
use pawl_base::tell;
use pawl_domain::attempt::{Failure, Outcome};
use pawl_domain::id::{Digest, RunId, StepId, StepNo};
use pawl_domain::namespace::Namespace;
use pawl_domain::retry::{Decision, LONGEST_WISH_MS, RetryPolicy, after_failure};
use pawl_domain::seed::Seed;
use pawl_engine::in_memory::{InMemory, NeverSent};
use pawl_engine::{Attempt, Engine, Executed, GuestThreads, Prepared, Secrets};

use super::told::{self, failed_attempt, output_of, shown, story};
use super::{SOON, Test, compiling};
use crate::busy::Busy;
use crate::input;
use crate::plugin::read_component;
use crate::settings::Settings;

/// What became of an attempt that was to crash.
pub(super) enum Crashed {
    /// It did; the output of the one that went on.
    At(Vec<u8>),
    /// It ended before.
    Never,
}

/// The attempts of a step.
struct Life {
    last: Executed,
    /// What to say of those that failed before it.
    failed: Vec<String>,
}

pub(super) struct Bench {
    engine: Arc<Engine>,
    component: Arc<Prepared>,
    threads: GuestThreads,
    attempt: Attempt,
    signals: Vec<(String, String)>,
    attempts: u32,
    is_input_given: bool,
    /// Nothing but one crash is looked at: what there is to say is said of that.
    is_one_crash: bool,
}

impl Bench {
    pub(super) fn new(test: &Test, settings: &Settings) -> anyhow::Result<Self> {
        let file = test.file.display();
        let bytes = read_component(&test.file)?;
        let engine = settings.engine(1)?;
        engine.check_shape(&bytes)?;
        let busy = Busy::with(compiling(&file.to_string(), bytes.len() as u64), SOON);
        let component = engine.prepare(Digest::of(&bytes), &bytes).with_context(|| format!("{file} is no step"))?;
        drop(busy);
        // As a worker does.
        let manifest = engine.describe(&component)?;
        component.confine(manifest.asked());
        component.enforce(manifest.schemas()?);
        let attempt = Attempt {
            // The same every time, so that keys and random numbers are, too.
            step: StepId {
                run: RunId::from_idempotency_key(&Namespace::default(), "pawl plugin test"),
                step: StepNo(0),
            },
            step_name: "tested".to_owned(),
            failures: 0,
            config: input::json("--step-config", &test.step_config)?.get().to_owned(),
            timeout: Duration::from_millis(test.timeout),
            input: input::json("--input", test.input.as_deref().unwrap_or("null"))?.get().as_bytes().to_vec(),
            secrets: Secrets::of_environment(&test.secrets),
            allow: Some([settings.default_allow(), &test.allow[..]].concat()),
            history: InMemory::default().history(),
            past: None,
        };
        Ok(Self {
            engine,
            component,
            threads: GuestThreads::new(1)?,
            attempt,
            signals: test.signals.clone(),
            attempts: test.attempts,
            is_input_given: test.input.is_some(),
            is_one_crash: test.crash_at.is_some(),
        })
    }

    /// A step that nobody has touched, and its signals. Its random bytes are the same every time, as its keys are.
    fn memory(&self, memory: InMemory) -> Arc<InMemory> {
        let memory = memory.seeded(Seed([0; 32]));
        self.signals.iter().for_each(|(name, payload)| memory.signal(name, payload.as_bytes()));
        Arc::new(memory)
    }

    pub(super) fn undisturbed(&self) -> anyhow::Result<Vec<u8>> {
        let memory = self.memory(InMemory::default());
        let life = self.live(&memory)?;
        life.failed.iter().for_each(|line| tell!("{line}"));
        tell!("{} in {:.1?}", story(&life.last, &memory), life.last.elapsed);
        tell_not_taken(&memory);
        output_of(life.last, &memory, self.attempts, self.is_input_given)
    }

    pub(super) fn crash_at(&self, write: u32) -> anyhow::Result<Crashed> {
        let memory = self.memory(InMemory::crashing_after(write - 1));
        if self.live(&memory)?.last.outcome != Outcome::LeaseLost {
            return Ok(Crashed::Never);
        }
        let survived = Arc::new(memory.survived());
        let Life { last: resumed, failed } = self.live(&survived)?;
        tell!("crashed at write {write}; {}", story(&resumed, &survived));
        if self.is_one_crash {
            failed.iter().for_each(|line| tell!("{line}"));
            tell_not_taken(&survived);
        }
        output_of(resumed, &survived, self.attempts, self.is_input_given).map(Crashed::At)
    }

    /// What the world answers after the crash is new, so an output that depends on it may be another one.
    pub(super) fn crash_everywhere(&self, expected: &[u8]) -> anyhow::Result<()> {
        let mut others = Vec::new();
        for write in 1.. {
            match self.crash_at(write).with_context(|| format!("after a crash at write {write}"))? {
                Crashed::At(output) if output != expected => others.push((write, output)),
                Crashed::At(_) => {}
                Crashed::Never => {
                    tell!("{} crashes: it went on after each; {} outputs were other ones", write - 1, others.len());
                    break;
                }
            }
        }
        if let Some((write, other)) = others.first() {
            tell!("after the crash at write {write}: {}\nwithout a crash: {}", shown(other), shown(expected));
            tell!("that is right only where the output tells of the attempt, or of what the world answers anew");
        }
        Ok(())
    }

    /// Attempts until one ends for good. Nobody waits here, neither for what the step waits for (see [`InMemory::suspend`]) nor
    /// between attempts.
    fn live(&self, memory: &Arc<InMemory>) -> anyhow::Result<Life> {
        let mut failed = Vec::new();
        loop {
            let executed = self.attempt(memory)?;
            let written = match &executed.outcome {
                Outcome::Suspended(wait) => match memory.suspend(wait) {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(NeverSent(name))) => bail!("{}", told::never_sent(&name, memory)),
                    Err(stop) => Err(stop),
                },
                Outcome::Failed(failure) if self.is_tried_again(failure, memory) => {
                    let line = failed_attempt(failure, memory.failures() + 1, self.attempts);
                    let written = memory.retry(executed.cut.clone());
                    failed.extend(written.is_ok().then_some(line));
                    written
                }
                _ => return Ok(Life { last: executed, failed }),
            };
            if let Err(stop) = written {
                return Ok(Life { last: Executed { outcome: stop.into(), ..executed }, failed });
            }
        }
    }

    /// As a worker decides it.
    fn is_tried_again(&self, failure: &Failure, memory: &InMemory) -> bool {
        let policy = RetryPolicy { max_attempts: self.attempts, ..RetryPolicy::default() };
        let decision = after_failure(&policy, memory.failures(), failure, 0.0, LONGEST_WISH_MS);
        matches!(decision, Decision::RetryAfter(_))
    }

    /// Executes on a guest thread, as a worker does.
    fn attempt(&self, memory: &Arc<InMemory>) -> anyhow::Result<Executed> {
        let (done, executed) = mpsc::channel();
        let (engine, component, memory) = (Arc::clone(&self.engine), Arc::clone(&self.component), Arc::clone(memory));
        let attempt = Attempt { history: memory.history(), failures: memory.failures(), ..self.attempt.clone() };
        self.threads.submit(Box::new(move || {
            let _ = done.send(engine.execute(&component, attempt, memory));
        }));
        executed.recv().context("the guest's thread has ended")
    }
}

fn tell_not_taken(memory: &InMemory) {
    if let Some(said) = told::not_taken(memory) {
        tell!("note: {said}");
    }
}
