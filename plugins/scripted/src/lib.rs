//! Calls the host as its input says, one call after the other: for tests that try any calls in any order. Its output sums up
//! what it was answered, but for times, so that it is the same however often the step was interrupted. Made on the raw bindings,
//! because the SDK keeps some of these orders from happening.

use std::hint::black_box;

use pawl_sdk::raw::pawl::step::types::{Failure, FailureKind, Manifest, Retry};
use pawl_sdk::raw::pawl::step::{context, durable, http, logging};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Call {
    Now,
    /// So many bytes.
    Random(u32),
    Key(String),
    /// What was reached, and so many bytes besides.
    Checkpoint(usize),
    Begin(String),
    /// With a value of so many bytes.
    Finish(String, usize),
    Sleep(u64),
    Await(String, Option<u64>),
    /// A line of so many bytes.
    Log(usize),
    Progress(f64),
    Send {
        method: String,
        url: String,
        body: usize,
        effect: Option<String>,
    },
    Secret(String),
    Context,
    Allocate(usize),
    Trap,
    Fail {
        fatal: bool,
        from_checkpoint: bool,
    },
    /// Ends with so many bytes.
    Output(usize),
}

/// How far the step is, and the sum of what it was answered.
#[derive(Default)]
struct Reached {
    calls: u32,
    sum: u64,
    /// The sum of what was done once, which an interrupted step is told of where it begins, and others where it is finished.
    once: u64,
    /// What a `once` found done: all calls up to its end are left out.
    done: Option<String>,
}

impl Reached {
    /// What a checkpoint keeps; it may have anything behind.
    fn restored() -> Self {
        let Some(state) = durable::restore() else { return Self::default() };
        let (calls, rest) = state.split_first_chunk().expect("it was saved so");
        let (sum, rest) = rest.split_first_chunk().expect("it was saved so");
        let (once, _) = rest.split_first_chunk().expect("it was saved so");
        let (sum, once) = (u64::from_le_bytes(*sum), u64::from_le_bytes(*once));
        Self { calls: u32::from_le_bytes(*calls), sum, once, done: None }
    }

    fn save(&self, more: usize) {
        let mut state = self.calls.to_le_bytes().to_vec();
        state.extend(self.sum.to_le_bytes());
        state.extend(self.once.to_le_bytes());
        state.resize(state.len() + more, 7);
        durable::checkpoint(&state);
    }

    fn add(&mut self, answer: &[u8]) {
        self.sum = hashed(self.sum, answer);
    }

    fn add_once(&mut self, value: &[u8]) {
        self.once = self.once.wrapping_add(hashed(1, value));
    }
}

/// FNV-1a.
fn hashed(sum: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(sum, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

struct Scripted;

impl pawl_sdk::raw::Guest for Scripted {
    fn describe() -> Manifest {
        Manifest {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            description: env!("CARGO_PKG_DESCRIPTION").to_owned(),
            input_schema: None,
            output_schema: None,
            needs: vec!["http".to_owned()],
        }
    }

    fn run(input: String) -> Result<String, Failure> {
        let calls: Vec<Call> = serde_json::from_str(&input).map_err(|error| Failure {
            kind: FailureKind::Fatal,
            message: format!("the input is no list of calls: {error}"),
            details: None,
        })?;
        let mut reached = Reached::restored();
        for call in calls.into_iter().skip(reached.calls as usize) {
            reached.calls += 1;
            if let Some(done) = &reached.done {
                if matches!(&call, Call::Finish(key, _) if key == done) {
                    reached.done = None;
                }
                continue;
            }
            if let Some(output) = make(call, &mut reached)? {
                return Ok(output);
            }
        }
        Ok(format!("[{}, {}]", reached.sum, reached.once))
    }
}

/// Makes a call; returns the output if the step ends with it.
fn make(call: Call, reached: &mut Reached) -> Result<Option<String>, Failure> {
    match call {
        Call::Now => drop(black_box(durable::now())),
        Call::Random(length) => reached.add(&durable::random(length)),
        Call::Key(name) => reached.add(durable::idempotency_key(&name).as_bytes()),
        Call::Checkpoint(more) => reached.save(more),
        Call::Begin(key) => {
            let found = durable::once_begin(&key);
            found.iter().for_each(|value| reached.add_once(value));
            reached.done = found.map(|_| key);
        }
        Call::Finish(key, length) => {
            let value = vec![7; length];
            durable::once_finish(&key, &value);
            reached.add_once(&value);
        }
        Call::Sleep(duration_ms) => durable::sleep(duration_ms),
        Call::Await(name, timeout_ms) => {
            reached.add(durable::await_signal(&name, timeout_ms).unwrap_or_default().as_bytes());
        }
        Call::Log(length) => logging::log(logging::Level::Info, &"x".repeat(length), &[]),
        Call::Progress(fraction) => logging::progress(fraction, "on the way"),
        Call::Send { method, url, body, effect } => {
            let body = vec![7; body];
            let sent = http::send(&http::Request { method, url, headers: Vec::new(), body, effect, timeout_ms: None });
            match sent {
                Ok(answer) => reached.add(&answer.status.to_le_bytes()),
                Err(error) => reached.add(format!("{error:?}").as_bytes()),
            }
        }
        Call::Secret(name) => reached.add(context::secret(&name).unwrap_or_default().as_bytes()),
        Call::Context => reached.add(context::get().step_name.as_bytes()),
        Call::Allocate(size) => drop(black_box(vec![1_u8; size])),
        Call::Trap => std::process::abort(),
        Call::Fail { fatal, from_checkpoint } => {
            let kind = match fatal {
                true => FailureKind::Fatal,
                false => FailureKind::Retry(Retry { delay_ms: None, from_checkpoint }),
            };
            return Err(Failure { kind, message: "as asked".to_owned(), details: None });
        }
        Call::Output(length) => return Ok(Some(format!("{:?}", "x".repeat(length)))),
    }
    Ok(None)
}

pawl_sdk::raw::export_step!(Scripted with_types_in pawl_sdk::raw);
