//! The command line: noun, then verb.
//!
//! Data goes to standard output, everything else to standard error. Errors end here: they are told once,
//! with what to do, and become an exit code ([`exit`]). Settings come from flags, then `PAWL_*`, then
//! `pawl.toml`; their flags are added to the commands from one list ([`settings`]).

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

mod admin;
mod audit;
mod auto_recover;
mod backup;
mod bench;
mod busy;
mod circuits;
mod completions;
mod conventions;
mod dead_letter;
mod dev;
mod doctor;
mod drill;
mod exit;
mod here;
mod incidents;
mod input;
mod log;
mod namespace;
mod outage;
mod output;
mod pause;
mod pipeline;
mod pipeline_files;
mod plugin;
pub mod plugin_build;
mod plugin_new;
mod plugin_sign;
mod plugin_test;
mod project;
mod queue;
mod recover;
mod retention;
mod roles;
mod run;
mod secret;
mod settings;
mod token;
mod traces;
mod worker;

use output::Output;
use pawl_engine::apart::do_if_asked;
use pawl_engine::examine::Examination;
use settings::{Flags, Role, Settings};

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
    #[command(subcommand)]
    noun: Noun,
}

#[derive(Debug, Subcommand)]
enum Noun {
    /// Everything in one process, for development: nothing else to install, plugins reloaded on change
    #[command(
        after_help = "Examples:\n  pawl dev\n  pawl dev --plugins plugins --pipelines pipelines --data /tmp/pawl"
    )]
    Dev,
    /// Serve the HTTP API until asked to stop
    Api,
    /// Execute steps until asked to stop; or, with a verb, look at workers and drain one
    #[command(after_help = "Secrets that a pipeline names for its steps are read from variables of the worker:\n  \
                            PAWL_SECRET_API_TOKEN for `secrets = [\"api_token\"]`; else from the store (pawl secret)\n\n\
                            Examples:\n  pawl worker --queues default gpu\n  pawl worker list\n  \
                            pawl worker drain 2f7c9be1 --wait 2m")]
    Worker {
        #[command(subcommand)]
        verb: Option<worker::Verb>,
    },
    /// Queues: what waits in them, who reads them, how fast they drain
    Queue {
        #[command(subcommand)]
        verb: queue::Verb,
    },
    /// Whether the API is ready, or a worker at the address of its figures; exit code 1 and the reasons if it is not
    #[command(after_help = "Examples:\n  pawl ready\n  pawl ready --api-url http://127.0.0.1:7341    # a worker")]
    Ready(roles::Ready),
    /// Bring the database's schema up to date
    #[command(after_help = "Examples:\n  pawl migrate\n  pawl migrate --wait 10m    # another process does it\n  \
                            pawl migrate --admin-token ada    # prints the first token\n  \
                            pawl migrate --run-role pawl_run    # what the API and the workers are in Postgres")]
    Migrate(roles::Migrate),
    /// Write all that `pawl dev` has into one file, also while it runs
    #[command(after_help = "Runs, steps with journals and checkpoints, logs, signals, pipelines, plugins with their \
                            components: as they stood at one moment. What is in Postgres, `pg_dump` backs up.\n\n\
                            Examples:\n  pawl backup /backups/monday.pawl\n  \
                            pawl backup --force --data .pawl /backups/newest.pawl -o json")]
    Backup(backup::Backup),
    /// Give a backup back: to a folder for `pawl dev`, or to Postgres; what is not empty is refused
    #[command(
        after_help = "Steps that ran when the backup was made go on from their last checkpoints, under the same \
                            idempotency keys. Stop the old `pawl dev` before: each would do what is left.\n\n\
                            Examples:\n  pawl restore /backups/monday.pawl --data .pawl\n  \
                            pawl migrate && pawl restore monday.pawl    # with PAWL_DATABASE_URL: into Postgres"
    )]
    Restore(backup::Restore),
    /// The checklist after an incident: database, workers, queues, runs, deliveries; exit code 1 if a check fails
    #[command(
        after_help = "It asks the servers themselves, so that it works while the API does not, and changes nothing.\n\n\
                            Examples:\n  pawl doctor\n  pawl doctor --quick --since 10m -o json\n  \
                            pawl doctor --since 10s --wait 5m    # until all is well again\n  \
                            pawl doctor --data .pawl    # what `pawl dev` has, also while it runs"
    )]
    Doctor(doctor::Doctor),
    /// Runs that nobody moves, and since when; exit code 1 if there are any. Changes nothing
    #[command(
        after_help = "A run that sleeps, has its turn in a queue, or has a step that a live worker executes, is not \
                            interrupted, however long that takes.\n\nExamples:\n  pawl check-interrupted --threshold 1m\n  \
                            pawl run resume \"$(pawl check-interrupted --limit 1 -o ids)\""
    )]
    CheckInterrupted(recover::Check),
    /// Let interrupted runs go on, and sum up what came of it; exit code 1 if one does not
    #[command(after_help = "Runs in which a step has failed are only named, with what to do.\n\n\
                            Examples:\n  pawl recover --dry-run\n  pawl recover --auto-resume --threshold 30s")]
    Recover(recover::Recover),
    /// What takeovers have come to: from the end of a lease to the first new call of the replacement
    Recoveries(recover::List),
    /// Outside hosts that are down, and secrets that workers lack: attempts that need them wait, and burn nothing
    #[command(
        after_help = "Examples:\n  pawl circuits\n  pawl circuits close https://pay.example.org:443    # it is back"
    )]
    Circuits {
        #[command(flatten)]
        output: Output,
        #[command(subcommand)]
        verb: Option<circuits::Verb>,
    },
    /// What happened to the whole installation, newest first: servers away, workers that died, queues that nobody served
    #[command(after_help = "Kinds: store.away, queue.away, queue.lost, workers.none, worker.died, circuit.opened.\n\n\
                            Examples:\n  pawl incidents --since 1d\n  pawl incidents --kind worker.died -o json")]
    Incidents(incidents::List),
    /// How long runs that have ended are kept: what is due, and a run of it now
    Retention {
        #[command(flatten)]
        output: Output,
        #[command(subcommand)]
        verb: retention::Verb,
    },
    /// Settings of a role, or of the commands that are none: each value, and where it comes from
    #[command(after_help = "Examples:\n  pawl config worker\n  pawl config api --listen 0.0.0.0:7340 -o json")]
    Config {
        #[command(flatten)]
        output: Output,
        #[command(subcommand)]
        reader: Option<settings::Reader>,
    },
    /// What a shell needs to complete the commands of `pawl`
    #[command(after_help = "Examples:\n  pawl completions bash > ~/.local/share/bash-completion/completions/pawl\n  \
                            pawl completions zsh > ~/.zfunc/_pawl        # with ~/.zfunc in fpath\n  \
                            pawl completions fish > ~/.config/fish/completions/pawl.fish")]
    Completions {
        /// The shell
        shell: completions::Shell,
    },
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
    /// Steps that have failed for good or are parked: by cause, and what to do about many of them
    #[command(alias = "dlq")]
    DeadLetter {
        #[command(flatten)]
        output: Output,
        #[command(subcommand)]
        verb: dead_letter::Verb,
    },
    /// Whose names there are: pipelines, plugins, secrets, keys and runs are each namespace's own
    Namespace {
        #[command(flatten)]
        output: Output,
        #[command(subcommand)]
        verb: namespace::Verb,
    },
    /// Who may ask the API for what
    Token {
        #[command(flatten)]
        output: Output,
        #[command(subcommand)]
        verb: token::Verb,
    },
    /// Secrets that the store keeps sealed, and the steps to which they are granted
    Secret {
        #[command(flatten)]
        output: Output,
        #[command(subcommand)]
        verb: secret::Verb,
    },
    /// Who asked for which change, from where, and what came of it
    #[command(
        after_help = "Examples:\n  pawl audit --who ada --since 1d\n  pawl audit --run 019a3c41-7b5e-7d02-9c1f-5a6e3b8d2f10 -o json\n  pawl audit --all --since 25h -o json"
    )]
    Audit(audit::Audit),
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

impl Noun {
    /// Whose settings it reads.
    fn reader(&self) -> Role {
        match self {
            Self::Dev => Role::Dev,
            Self::Api => Role::Api,
            Self::Worker { verb: None } => Role::Worker,
            Self::Config { reader: Some(reader), .. } => reader.role(),
            // They go by the folders of `pawl dev`.
            Self::Plugin { verb } if verb.is_about_sources() => Role::Dev,
            _ => Role::Client,
        }
    }
}

/// What the program does if an API has started it for a piece of work of its own.
fn work_if_asked() -> Option<ExitCode> {
    do_if_asked::<Examination>().or_else(pawl_api::replay::replay_if_asked)
}

/// The whole program.
#[must_use]
pub fn main() -> ExitCode {
    if let Some(ended) = work_if_asked() {
        return ended;
    }
    log::tell_panics();
    let matches = match command_line().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => return ExitCode::from(exit::not_understood(&conventions::with_nouns(error, &command_line()))),
    };
    let noun = Command::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()).noun;
    let settings = match Settings::load(noun.reader(), &Flags::of(&matches)).map_err(Into::into).and_then(log::start) {
        Ok(settings) => settings,
        Err(error) => return ExitCode::from(exit::report(&error)),
    };
    let is_role = matches!(noun, Noun::Dev | Noun::Api | Noun::Worker { verb: None });
    // A client needs one thread; a role has several, and decides itself what a signal means.
    let ended = if is_role {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(async_threads())
            .thread_stack_size(pawl_domain::schema::STACK_BYTES)
            .enable_all()
            .build()
            .map(|it| it.block_on(carry_out(noun, &settings)).into())
    } else {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map(|it| {
            let ended = it.block_on(until_interrupted(carry_out(noun, &settings)));
            // What computes on another thread, a guest for instance, is not waited for: it ends with the process.
            it.shutdown_background();
            ended
        })
    };
    ExitCode::from(match ended {
        Ok(Some(Ok(()))) => exit::OK,
        Ok(Some(Err(error))) => exit::report(&error),
        Ok(None) => exit::INTERRUPTED,
        Err(error) => exit::report(&error.into()),
    })
}

/// All commands, with the flags of their settings.
fn command_line() -> clap::Command {
    conventions::everywhere(settings::add_flags(Command::command()))
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

async fn carry_out(noun: Noun, settings: &Settings) -> anyhow::Result<()> {
    pawl_metrics::switch(settings.keeps_metrics());
    match noun {
        Noun::Dev => dev::run(settings).await,
        Noun::Api => roles::api(settings).await,
        Noun::Worker { verb: None } => roles::worker(settings).await,
        Noun::Worker { verb: Some(verb) } => worker::run(verb, &settings.client()?).await,
        Noun::Queue { verb } => queue::run(verb, &settings.client()?).await,
        Noun::Ready(ready) => ready.run(&settings.client()?).await,
        Noun::Migrate(migrate) => migrate.run(settings).await,
        Noun::Backup(backup) => backup.run(settings).await,
        Noun::Restore(restore) => restore.run(settings).await,
        Noun::Doctor(doctor) => doctor.run(settings).await,
        Noun::CheckInterrupted(check) => check.run(&settings.client()?).await,
        Noun::Recover(recover) => recover.run(&settings.client()?).await,
        Noun::Recoveries(list) => list.run(&settings.client()?).await,
        Noun::Incidents(list) => list.run(&settings.client()?).await,
        Noun::Circuits { output, verb } => circuits::run(verb, &settings.client()?, output).await,
        Noun::Retention { output, verb } => retention::run(verb, &settings.client()?, output).await,
        Noun::Config { output, .. } => Ok(output.print(&settings.show())?),
        Noun::Completions { shell } => completions::print_for(shell, command_line()),
        Noun::Plugin { verb } => plugin::run(verb, settings).await,
        Noun::Pipeline { output, verb } => pipeline::run(verb, settings, output).await,
        Noun::Run { output, verb } => run::run(verb, settings, output).await,
        Noun::DeadLetter { output, verb } => dead_letter::run(verb, &settings.client()?, output).await,
        Noun::Namespace { output, verb } => namespace::run(verb, &settings.client()?, output).await,
        Noun::Token { output, verb } => token::run(verb, &settings.client()?, output).await,
        Noun::Secret { output, verb } => secret::run(verb, settings, output).await,
        Noun::Audit(audit) => audit.run(&settings.client()?).await,
        Noun::Admin { output, verb } => admin::run(verb, &settings.client()?, output).await,
        Noun::Drill { output, verb } => drill::run(verb, settings, output).await,
        Noun::Bench { output, flags, verb } => bench::run(verb, flags, settings, output).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command_line().debug_assert();
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
