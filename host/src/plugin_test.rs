//! `pawl plugin test`: executes a component outside any server, on a journal in memory. A crash takes the
//! worker away at one of the step's writes (an answer that is journaled, or a checkpoint), and another one
//! goes on with what was written before.

use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use pawl_domain::attempt::Outcome;
use pawl_domain::id::{Digest, RunId, StepId, StepNo};
use pawl_domain::namespace::Namespace;
use pawl_domain::wait::check_signal_name;
use pawl_engine::in_memory::{InMemory, NeverSent};
use pawl_engine::{Attempt, Engine, Executed, GuestThreads, Prepared, Secrets};
use serde_json::value::RawValue;

use super::busy::Busy;
use super::exit::End;
use super::input;
use super::output::{print_exactly, size};
use super::settings::Settings;

/// Components that are compiled by then need no word: those without an interpreter.
pub(super) const SOON: Duration = Duration::from_secs(2);

/// What to say of a compilation that takes longer.
pub(super) fn compiling(what: &str, size_bytes: u64) -> String {
    format!(
        "compiling {what} ({}): the first time takes a minute or two if an interpreter is part of it, as in Python and \
         JavaScript; then it is kept",
        size(size_bytes)
    )
}

/// Arguments of `pawl plugin test`.
#[derive(Debug, Args)]
pub(super) struct Test {
    /// A component (.wasm)
    file: PathBuf,
    /// JSON, @FILE, or - for standard input
    #[arg(long, value_name = "JSON|@FILE|-", default_value = "null")]
    input: String,
    /// The step's config, as a pipeline would give it
    #[arg(long, value_name = "JSON|@FILE", default_value = "null")]
    step_config: String,
    /// A secret that the step is granted, by its name; the value is that of `PAWL_SECRET_` and the name in upper case
    #[arg(long = "secret", value_name = "NAME")]
    secrets: Vec<String>,
    /// Seconds that an attempt may take
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    timeout: u64,
    /// A signal that is sent to the step before it waits for it; repeat it for more
    #[arg(long = "signal", value_name = "NAME=JSON", value_parser = signal)]
    signals: Vec<(String, String)>,
    /// Crash at the Nth write, then go on elsewhere
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    crash_at: Option<u32>,
    /// Crash at each write in turn; every time it must go on and succeed
    #[arg(long, conflicts_with = "crash_at")]
    crash_everywhere: bool,
}

/// Reads NAME=JSON.
fn signal(text: &str) -> Result<(String, String), String> {
    let (name, payload) = text.split_once('=').ok_or("write NAME=JSON, for example approved=true")?;
    check_signal_name(name).map_err(|rule| format!("the name of a signal {rule}"))?;
    let payload: &RawValue =
        serde_json::from_str(payload).map_err(|error| format!("what the signal carries is not JSON: {error}"))?;
    Ok((name.to_owned(), payload.get().to_owned()))
}

/// Executes, prints the output, and tells on standard error what it took.
pub(super) fn run(test: &Test, settings: &Settings) -> anyhow::Result<()> {
    let bench = Bench::new(test, settings)?;
    let output = match test.crash_at {
        Some(write) => match bench.crash_at(write)? {
            Crashed::At(output) => output,
            Crashed::Never => bail!("the step ended before its write number {write}: give a smaller --crash-at"),
        },
        None => bench.undisturbed()?,
    };
    if test.crash_everywhere {
        bench.crash_everywhere(&output)?;
    }
    Ok(print_exactly(&String::from_utf8_lossy(&output))?)
}

/// What became of an attempt that was to crash.
enum Crashed {
    /// It did; the output of the one that went on.
    At(Vec<u8>),
    /// It ended before.
    Never,
}

struct Bench {
    engine: Arc<Engine>,
    component: Arc<Prepared>,
    threads: GuestThreads,
    attempt: Attempt,
    signals: Vec<(String, String)>,
}

impl Bench {
    fn new(test: &Test, settings: &Settings) -> anyhow::Result<Self> {
        let file = test.file.display();
        let bytes =
            std::fs::read(&test.file).with_context(|| End::Usage(format!("can't read the component {file}")))?;
        let engine = settings.engine(1)?;
        engine.check_shape(&bytes)?;
        let busy = Busy::with(compiling(&file.to_string(), bytes.len() as u64), SOON);
        let component = engine.prepare(Digest::of(&bytes), &bytes).with_context(|| format!("{file} is no step"))?;
        drop(busy);
        // As a worker does.
        component.enforce(engine.describe(&component)?.schemas()?);
        let attempt = Attempt {
            // The same every time, so that keys and random numbers are, too.
            step: StepId {
                run: RunId::from_idempotency_key(&Namespace::default(), "pawl plugin test"),
                step: StepNo(0),
            },
            step_name: "tested".to_owned(),
            failures: 0,
            config: input::json("--step-config", &test.step_config)?.get().to_owned(),
            timeout: Duration::from_secs(test.timeout),
            input: input::json("--input", &test.input)?.get().as_bytes().to_vec(),
            secrets: Secrets::of_environment(&test.secrets),
            history: InMemory::default().history(),
            past: None,
        };
        let signals = test.signals.clone();
        Ok(Self { engine, component, threads: GuestThreads::new(1)?, attempt, signals })
    }

    /// A step that nobody has touched, and its signals.
    fn memory(&self, memory: InMemory) -> Arc<InMemory> {
        self.signals.iter().for_each(|(name, payload)| memory.signal(name, payload.as_bytes()));
        Arc::new(memory)
    }

    fn undisturbed(&self) -> anyhow::Result<Vec<u8>> {
        let memory = self.memory(InMemory::default());
        let executed = self.execute(&memory)?;
        eprintln!("{} in {:.1?}", story(&executed, &memory), executed.elapsed);
        output_of(executed)
    }

    fn crash_at(&self, write: u32) -> anyhow::Result<Crashed> {
        let memory = self.memory(InMemory::crashing_after(write - 1));
        let executed = self.execute(&memory)?;
        if executed.outcome != Outcome::LeaseLost {
            return Ok(Crashed::Never);
        }
        let survived = Arc::new(memory.survived());
        let resumed = self.execute(&survived)?;
        eprintln!("crashed at write {write}; {}", story(&resumed, &survived));
        output_of(resumed).map(Crashed::At)
    }

    /// What the world answers after the crash is new, so an output that depends on it may be another one.
    fn crash_everywhere(&self, expected: &[u8]) -> anyhow::Result<()> {
        let mut others = 0;
        for write in 1.. {
            match self.crash_at(write).with_context(|| format!("after a crash at write {write}"))? {
                Crashed::At(output) => others += u32::from(output != expected),
                Crashed::Never => {
                    eprintln!("{} crashes: it went on after each; {others} outputs were other ones", write - 1);
                    break;
                }
            }
        }
        Ok(())
    }

    /// Attempts until one does not end in a wait. Nobody waits here: see [`InMemory::suspend`].
    fn execute(&self, memory: &Arc<InMemory>) -> anyhow::Result<Executed> {
        loop {
            let executed = self.attempt(memory)?;
            let Outcome::Suspended(wait) = &executed.outcome else { return Ok(executed) };
            match memory.suspend(wait) {
                Ok(Ok(())) => {}
                Ok(Err(NeverSent(name))) => {
                    bail!("the step waits for the signal {name:?}: give it with --signal {name}=JSON")
                }
                Err(stop) => return Ok(Executed { outcome: stop.into(), ..executed }),
            }
        }
    }

    /// Executes on a guest thread, as a worker does.
    fn attempt(&self, memory: &Arc<InMemory>) -> anyhow::Result<Executed> {
        let (done, executed) = mpsc::channel();
        let (engine, component, memory) = (Arc::clone(&self.engine), Arc::clone(&self.component), Arc::clone(memory));
        let attempt = Attempt { history: memory.history(), ..self.attempt.clone() };
        self.threads.submit(Box::new(move || {
            let _ = done.send(engine.execute(&component, attempt, memory));
        }));
        executed.recv().context("the guest's thread has ended")
    }
}

/// What a person wants to know of an attempt.
fn story(executed: &Executed, memory: &InMemory) -> String {
    let from = match executed.resumed_from {
        Some(position) => format!("went on from the checkpoint at {position}"),
        None => "began at the start".to_owned(),
    };
    let checkpoint = memory.checkpoint_position().map_or_else(String::new, |at| format!(", checkpoint at {at}"));
    let (replayed, entries) = (executed.replayed, memory.entries().len());
    format!("{from}, {replayed} answers replayed, {entries} in the journal{checkpoint}")
}

/// Details of a failure: what a trap came through as a list, all else as it is.
fn told(details: &str) -> String {
    #[derive(serde::Deserialize)]
    struct Trap {
        backtrace: Vec<String>,
    }
    match serde_json::from_str::<Trap>(details) {
        Ok(Trap { backtrace }) => backtrace.iter().map(|frame| format!("    {frame}")).collect::<Vec<_>>().join("\n"),
        Err(_) => details.to_owned(),
    }
}

fn output_of(executed: Executed) -> anyhow::Result<Vec<u8>> {
    match executed.outcome {
        Outcome::Succeeded(output) => Ok(output),
        Outcome::Failed(failure) => {
            let details = failure.details.as_deref().map(|details| format!("\n{}", told(details))).unwrap_or_default();
            bail!("the step failed ({:?}): {}{details}", failure.cause, failure.message)
        }
        Outcome::Diverged(divergence) => bail!(
            "the replay diverged at journal position {}: expected {}, the step called {}",
            divergence.position,
            divergence.expected.as_deref().unwrap_or("nothing more"),
            divergence.actual
        ),
        Outcome::Suspended(_) | Outcome::HandedBack | Outcome::LeaseLost => bail!("the attempt was stopped"),
    }
}
