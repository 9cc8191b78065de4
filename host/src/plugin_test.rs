//! `pawl plugin test`: executes a component outside any server, on a journal in memory. A crash takes the
//! worker away at one of the step's writes (an answer that is journaled, a checkpoint, or the end of an attempt that is tried
//! again), and another one goes on with what was written before.
//!
//! Where a message names what stands in a pipeline, the author of a plugin alone has none: it names the flag ([`told`]).

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use pawl_domain::pipeline_file::parse_duration_ms;
use pawl_domain::reach::Grant;
use pawl_domain::secret::{check_secret_name, variable_of};
use pawl_domain::wait::check_signal_name;
use serde_json::value::RawValue;

use super::exit::usage;
use super::output::{print_exactly, size};
use super::settings::Settings;
use bench::{Bench, Crashed};

mod bench;
mod told;

/// Components that are compiled by then need no word: those without an interpreter.
pub(super) const SOON: Duration = Duration::from_secs(2);

/// A component of this size has an interpreter in it, as those of Python and JavaScript have; few others are as large.
const INTERPRETER_BYTES: u64 = 4 << 20;

/// What to say of a compilation that takes longer.
pub(super) fn compiling(what: &str, size_bytes: u64) -> String {
    let once = match size_bytes {
        ..INTERPRETER_BYTES => "this is done once, then it is kept",
        _ => "the first time takes a minute or two, since an interpreter is part of it; then it is kept",
    };
    format!("compiling {what} ({}): {once}", size(size_bytes))
}

/// Arguments of `pawl plugin test`.
#[derive(Debug, Args)]
pub(super) struct Test {
    /// A component (.wasm)
    file: PathBuf,
    /// JSON, @FILE, or - for standard input [default: null]
    #[arg(long, value_name = "JSON|@FILE|-")]
    input: Option<String>,
    /// The step's config, as a pipeline would give it
    #[arg(long, value_name = "JSON|@FILE", default_value = "null")]
    step_config: String,
    /// A secret that the step is granted, by its name; the value is that of `PAWL_SECRET_` and the name in upper case
    #[arg(long = "secret", value_name = "NAME", value_parser = secret)]
    secrets: Vec<String>,
    /// Attempts that the step has, at most: one that fails and may be tried again is followed by the next, at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    attempts: u32,
    /// What the step may reach beside what is public and this machine, as a pipeline would give it, such as `https://billing.internal`
    #[arg(long = "allow", value_name = "GRANT")]
    allow: Vec<Grant>,
    /// How long an attempt may take
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = time_or_seconds)]
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

/// A length of time; a number alone is one of seconds, as older scripts say it.
fn time_or_seconds(text: &str) -> Result<u64, String> {
    let is_number = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    if is_number { parse_duration_ms(&format!("{text}s")) } else { parse_duration_ms(text) }
}

/// A secret's name.
fn secret(text: &str) -> Result<String, String> {
    check_secret_name(text).map_err(|rule| format!("the name of a secret {rule}"))?;
    Ok(text.to_owned())
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
    for variable in test.secrets.iter().map(|name| variable_of(name)) {
        if std::env::var_os(&variable).is_none() {
            return Err(usage(format!("a secret has no value: {variable} is not set, which --secret takes it from")));
        }
    }
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
