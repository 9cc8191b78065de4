//! `pawl drill recovery`: the recovery runbook as one command.
//!
//! ```text
//!  start what is needed ─▶ submit ─▶ wait until a checkpoint has moved ─▶ kill -9 the worker
//!        ─▶ start a replacement ─▶ requeue ─▶ wait for the end ─▶ verify in Postgres and Redis ─▶ summary
//! ```
//!
//! A drill that fails writes its summary too, with the reason. What the drill has started is stopped when it
//! ends, also by an error or Ctrl-C.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::exit::End;
use super::output::Output;
use super::settings::{ServerFlags, Settings};
use crate::domain::pipeline_file::parse_duration_ms;

mod recovery;
mod servers;
mod summary;

use servers::Servers;
use summary::Summary;

/// Verbs of `pawl drill`.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Kill a worker in the middle of a step and check that a replacement finishes it from the checkpoint
    #[command(after_help = "Examples:\n  pawl drill recovery --artifacts-dir target/drill\n  \
                            pawl drill recovery --artifacts-dir out --use-existing --existing-coordinator \\\n    \
                            --database-url postgres://pawl@db/pawl --redis-url redis://redis/ --api-url http://api:7340")]
    Recovery(Recovery),
}

/// Arguments of `pawl drill recovery`.
#[derive(Debug, Args)]
pub(super) struct Recovery {
    /// Where the summary, the history of the run and the logs go
    #[arg(long, value_name = "DIR")]
    artifacts_dir: PathBuf,
    /// How long the task computes, for example 20s
    #[arg(long, visible_alias = "task-seconds", value_name = "TIME", default_value = "10s", value_parser = seconds)]
    task_length: Duration,
    /// The port of the API that is started [default: a free one]
    #[arg(long)]
    port: Option<u16>,
    /// Use the Postgres and Redis of --database-url and --redis-url instead of private ones
    #[arg(long, visible_alias = "use-existing")]
    skip_services: bool,
    #[command(flatten)]
    servers: ServerFlags,
    /// Use the API of --api-url, which works on the same servers, instead of starting one
    #[arg(long, requires = "skip_services")]
    existing_coordinator: bool,
    /// Stop what was started when all is done; with `false` servers and API stay for a look
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    shutdown_after: bool,
    /// Work on the queue `default`, which others may use too: its depth is then told, not checked
    #[arg(long)]
    shared_queue: bool,
    /// Where built components are (batch.wasm)
    #[arg(long, value_name = "DIR", default_value = "target/plugins")]
    plugins_dir: PathBuf,
}

/// Carries out a verb.
pub(super) async fn run(verb: Verb, settings: &Settings, output: Output) -> anyhow::Result<()> {
    let Verb::Recovery(args) = verb;
    let folder = &args.artifacts_dir;
    std::fs::create_dir_all(folder).with_context(|| End::Usage(format!("can't create {}", folder.display())))?;
    let mut servers = Servers::new(&args, settings)?;
    let mut summary = Summary::default();
    let ended = recovery::play(&args, &mut servers, &mut summary).await;
    summary.fail_with(ended.as_ref().err());
    summary.write(folder)?;
    if args.shutdown_after {
        servers.stop();
    } else {
        servers.leave_running();
    }
    output.print(&summary)?;
    eprintln!("the summary, the history of the run and the logs are in {}", folder.display());
    if summary.passed() { Ok(()) } else { Err(End::Said.into()) }
}

/// A length of time; a bare number is seconds.
fn seconds(text: &str) -> Result<Duration, String> {
    let bare: Option<u64> = text.parse().ok();
    bare.map(Duration::from_secs).map_or_else(|| parse_duration_ms(text).map(Duration::from_millis), Ok)
}
