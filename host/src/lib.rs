//! The command line: noun, then verb.
//!
//! Data goes to standard output, everything else to standard error. Errors end here: they are told once,
//! with what to do, and become an exit code ([`exit`]). Settings come from flags, then `PAWL_*`, then
//! `pawl.toml` ([`settings`]).

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

mod admin;
mod bench;
mod dev;
mod drill;
mod exit;
mod input;
mod output;
mod pipeline;
mod plugin;
pub mod plugin_build;
mod plugin_new;
mod plugin_test;
mod roles;
mod run;
mod settings;

use output::Output;
use settings::{Flags, LogFormat, Settings};

/// A durable step executor: pipelines of WebAssembly components that finish each step once.
#[derive(Debug, Parser)]
#[command(
    name = "pawl",
    version,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 ok, 1 failed, 2 usage, 3 not allowed, 4 not found, 130 interrupted.\n\
                  Settings: flags, then PAWL_* in the environment, then pawl.toml in this folder.\n\n\
                  Example:\n  pawl run submit temperatures --input '{\"city\": \"seattle\"}' --wait"
)]
struct Command {
    #[command(flatten)]
    flags: Flags,
    #[command(subcommand)]
    noun: Noun,
}

#[derive(Debug, Subcommand)]
enum Noun {
    /// Everything in one process, for development: nothing else to install, plugins reloaded on change
    #[command(
        after_help = "Examples:\n  pawl dev\n  pawl dev --plugins plugins --pipelines pipelines --data /tmp/pawl"
    )]
    Dev(dev::Dev),
    /// Serve the HTTP API until asked to stop
    Api(roles::Api),
    /// Execute steps until asked to stop
    #[command(after_help = "Secrets that a pipeline grants its steps are read from variables of the worker:\n  \
                            PAWL_SECRET_API_TOKEN for `secrets = [\"api_token\"]`")]
    Worker(roles::Worker),
    /// Bring the database's schema up to date
    Migrate(roles::Migrate),
    /// Check the invariants of the whole database
    Doctor(roles::Doctor),
    /// Components that steps execute
    Plugin {
        #[command(subcommand)]
        verb: plugin::Verb,
    },
    /// Named, versioned graphs of steps
    Pipeline {
        #[command(flatten)]
        output: Output,
        #[command(subcommand)]
        verb: pipeline::Verb,
    },
    /// Executions of pipelines
    Run {
        #[command(flatten)]
        output: Output,
        #[command(subcommand)]
        verb: run::Verb,
    },
    /// What operators look at and set going
    Admin {
        #[command(flatten)]
        output: Output,
        #[command(subcommand)]
        verb: admin::Verb,
    },
    /// Rehearsals of what operators hope never to see
    Drill {
        #[command(flatten)]
        output: Output,
        #[command(subcommand)]
        verb: drill::Verb,
    },
    /// Load generators that print one object each
    Bench {
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        flags: bench::Flags,
        #[command(subcommand)]
        verb: bench::Verb,
    },
}

/// What is logged if `PAWL_LOG` does not say: without slow statements, which are told at full length.
const INFO: &str = "info,sqlx::query=error";
const WARN: &str = "warn,sqlx::query=error";

/// The whole program.
#[must_use]
pub fn main() -> ExitCode {
    let command = Command::parse();
    let is_role = matches!(command.noun, Noun::Dev(_) | Noun::Api(_) | Noun::Worker(_));
    start_log(command.flags.log_format, if is_role { INFO } else { WARN });
    // A client needs one thread; a role has several, and decides itself what a signal means.
    let ended = if is_role {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(async_threads())
            .enable_all()
            .build()
            .map(|it| it.block_on(carry_out(command)).into())
    } else {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map(|it| it.block_on(until_interrupted(carry_out(command))))
    };
    ExitCode::from(match ended {
        Ok(Some(Ok(()))) => exit::OK,
        Ok(Some(Err(error))) => exit::report(&error),
        Ok(None) => exit::INTERRUPTED,
        Err(error) => exit::report(&error.into()),
    })
}

/// Threads for what moves bytes between the servers and the guests, which have threads of their own and need the cores:
/// more of them than half the cores only hand work to each other.
fn async_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2))
}

/// `None` on SIGINT or SIGTERM. What the command has started is stopped when it is dropped.
async fn until_interrupted<T>(command: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        ended = command => Some(ended),
        () = roles::signalled() => None,
    }
}

async fn carry_out(command: Command) -> anyhow::Result<()> {
    let settings = Settings::load(&command.flags)?;
    match command.noun {
        Noun::Dev(dev) => dev.run(&settings).await,
        Noun::Api(api) => api.run(&settings).await,
        Noun::Worker(worker) => worker.run(&settings).await,
        Noun::Migrate(migrate) => migrate.run(&settings).await,
        Noun::Doctor(doctor) => doctor.run(&settings).await,
        Noun::Plugin { verb } => plugin::run(verb, &settings).await,
        Noun::Pipeline { output, verb } => pipeline::run(verb, &settings.client()?, output).await,
        Noun::Run { output, verb } => run::run(verb, &settings.client()?, output).await,
        Noun::Admin { output, verb } => admin::run(verb, &settings.client()?, output).await,
        Noun::Drill { output, verb } => drill::run(verb, &settings, output).await,
        Noun::Bench { output, flags, verb } => bench::run(verb, flags, &settings, output).await,
    }
}

/// Log lines go to standard error; `PAWL_LOG` says which.
fn start_log(format: LogFormat, default: &str) {
    let filter = EnvFilter::builder().with_env_var("PAWL_LOG").try_from_env();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|_| EnvFilter::new(default)))
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => log.json().init(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Command::command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_is_for() {
        fn check(command: &clap::Command, path: &str) {
            for verb in command.get_subcommands() {
                let path = format!("{path} {}", verb.get_name());
                assert!(verb.get_about().is_some_and(|about| !about.to_string().is_empty()), "{path}");
                check(verb, &path);
            }
        }
        check(&Command::command(), "pawl");
    }
}
