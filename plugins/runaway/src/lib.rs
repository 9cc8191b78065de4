//! Breaks every limit that a step can break, one at a time: proves that the step alone pays for it. Made on
//! the raw bindings, because the SDK's types would stand in the way of some of these.

use std::hint::black_box;

use pawl_sdk::raw::pawl::step::types::{Failure, FailureKind, Manifest};
use pawl_sdk::raw::pawl::step::{durable, http, logging};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    /// Loops for ever.
    Loop,
    /// Takes memory for ever.
    Allocate,
    /// Takes memory of this many bytes at once, and writes to all of it.
    Touch(usize),
    /// Calls itself for ever.
    Recurse,
    /// Executes an instruction that can't be.
    Trap,
    /// Panics.
    Panic,
    /// Returns JSON of this many bytes.
    Output(usize),
    /// Returns something that is no JSON.
    InvalidJson,
    /// Saves a checkpoint of this many bytes.
    Checkpoint(usize),
    /// Saves a checkpoint inside a `once`.
    CheckpointInOnce,
    /// Records a value of this many bytes.
    Entry(usize),
    /// Records `count` values of `bytes` bytes; saves a checkpoint after each `checkpoint_every`.
    Entries { count: usize, bytes: usize, checkpoint_every: usize },
    /// Fetches what is there so many times, saves a checkpoint if it is to, and lets a moment pass.
    Fetch { url: String, times: usize, checkpoint: bool },
    /// Reads the clock this many times.
    Journal(u32),
    /// Writes this many log lines of 1 KiB.
    Log(u32),
    /// Writes one log line of this many bytes.
    LogLine(usize),
}

#[derive(Deserialize)]
struct Input {
    mode: Mode,
}

struct Runaway;

impl pawl_sdk::raw::Guest for Runaway {
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
        let Input { mode } = serde_json::from_str(&input).map_err(|error| Failure {
            kind: FailureKind::Fatal,
            message: format!("the input names no known mode: {error}"),
            details: None,
        })?;
        Ok(run_away(mode))
    }
}

fn run_away(mode: Mode) -> String {
    match mode {
        Mode::Loop => loop {
            black_box(());
        },
        Mode::Allocate => {
            let mut taken = Vec::new();
            loop {
                taken.push(black_box(vec![1_u8; 1 << 20]));
            }
        }
        Mode::Touch(size) => drop(black_box(vec![1_u8; size])),
        Mode::Recurse => return recurse(1).to_string(),
        Mode::Trap => std::process::abort(),
        Mode::Panic => panic!("as asked"),
        Mode::Output(size) => return format!("{:?}", "x".repeat(size.saturating_sub(2))),
        Mode::InvalidJson => return "{\"half\": ".to_owned(),
        Mode::Checkpoint(size) => durable::checkpoint(&vec![7; size]),
        Mode::CheckpointInOnce => {
            durable::once_begin("all");
            durable::checkpoint(b"half of it");
        }
        Mode::Entry(size) => {
            durable::once_begin("all");
            durable::once_finish("all", &vec![7; size]);
        }
        Mode::Entries { count, bytes, checkpoint_every } => {
            let value = vec![7; bytes];
            for index in 1..=count {
                let key = index.to_string();
                durable::once_begin(&key);
                durable::once_finish(&key, &value);
                if index % checkpoint_every == 0 {
                    durable::checkpoint(b"so far");
                }
            }
        }
        Mode::Fetch { url, times, checkpoint } => {
            if durable::restore().is_none() {
                (0..times).for_each(|_| fetch(&url));
                if checkpoint {
                    durable::checkpoint(b"fetched");
                }
            }
            durable::sleep(1);
        }
        Mode::Journal(entries) => (0..entries).for_each(|_| {
            durable::now();
        }),
        Mode::Log(lines) => {
            let line = "x".repeat(1 << 10);
            (0..lines).for_each(|_| logging::log(logging::Level::Info, &line, &[]));
        }
        Mode::LogLine(size) => logging::log(logging::Level::Info, &"x".repeat(size), &[]),
    }
    "null".to_owned()
}

fn fetch(url: &str) {
    let (method, url, headers) = ("GET".to_owned(), url.to_owned(), Vec::new());
    let request = http::Request { method, url, headers, body: Vec::new(), effect: None, timeout_ms: None };
    http::send(&request).expect("it answers");
}

#[expect(unconditional_recursion, reason = "that is its job")]
fn recurse(depth: u64) -> u64 {
    black_box(recurse(black_box(depth) + 1)) + depth
}

pawl_sdk::raw::export_step!(Runaway with_types_in pawl_sdk::raw);
