//! `pawl run`: submit runs, look at them, change their course.

use clap::{Args, Subcommand};
use pawl_api::types::{
    Changed, ErasedRun, EventList, Explanation, FailRun, KeptRun, PauseRequest, Run, RunReport, RunStatus, SentSignal,
    SkipStep, StepDetail,
};

pub(super) use self::id::{complete, run_id};
pub(super) use self::step::Flagged;
use super::exit::{End, usage};
use super::input;
use super::output::{Output, print_exactly};
use super::settings::Settings;

mod id;
mod inbox;
mod list;
mod logs;
mod markdown;
mod replay;
mod report;
mod resume;
mod show;
mod sse;
mod step;
mod submit;
mod watch;

/// Verbs of `pawl run`.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Submit a run; once this has answered, it is never lost
    #[command(after_help = "Examples:\n  pawl run submit temperatures --input '{\"city\": \"seattle\"}' --wait\n  \
                            pawl run submit temperatures --input @input.json --idempotency-key order-17\n  \
                            jq .order input.json | pawl run submit temperatures --input -")]
    Submit(submit::Submit),
    /// Runs, newest first
    #[command(after_help = "Examples:\n  pawl run list --status failed --since 1h\n  \
                            pawl run list --key-prefix order-2026 -o ids\n  \
                            pawl run list --status failed --error 'connection refused'")]
    List(list::Arguments),
    /// A run with its steps, or one step with its output
    Get {
        /// The run's id, or its first digits
        #[arg(value_parser = run_id)]
        run: String,
        /// Show this step, with its output or error
        step: Option<String>,
        #[command(flatten)]
        flagged: Flagged,
    },
    /// The output of a run, byte by byte as its steps wrote it
    Output {
        /// The run's id, or its first digits
        #[arg(value_parser = run_id)]
        run: String,
    },
    /// Follow a run to its end; exit code 1 if it did not succeed
    Watch {
        /// The run's id, or its first digits
        #[arg(value_parser = run_id)]
        run: String,
    },
    /// The history of a run so far
    Events {
        /// The run's id, or its first digits
        #[arg(value_parser = run_id)]
        run: String,
        /// Only events after this number
        #[arg(long, value_name = "N", default_value_t = 0)]
        after: u32,
    },
    /// What the steps of a run have logged, or one of them
    #[command(after_help = "Examples:\n  pawl run logs RUN -f\n  pawl run logs RUN load --level warn --since 10m\n  \
                            pawl run logs RUN load -o json | jq 'select(.fields.row == \"7\")'")]
    Logs(logs::Arguments),
    /// Why a run has not ended, or why it has failed
    Explain {
        /// The run's id, or its first digits
        #[arg(value_parser = run_id)]
        run: String,
    },
    /// All that somebody who helps needs to judge a run, on one page: Markdown, or -o json
    #[command(after_help = "Example:\n  pawl run report RUN > report.md")]
    Report {
        /// The run's id, or its first digits
        #[arg(value_parser = run_id)]
        run: String,
    },
    /// Stop a run: nothing new starts, running steps are stopped; `pawl run retry` opens it again
    Cancel {
        /// The run's id, or its first digits
        #[arg(value_parser = run_id)]
        run: String,
    },
    /// Erase the key of a run that has ended: its sealed payloads are unreadable for good
    Erase {
        /// The run's id, or its first digits
        #[arg(value_parser = run_id)]
        run: String,
        /// Without it nothing is done
        #[arg(long)]
        yes: bool,
    },
    /// End a run as failed, and say why: running steps are stopped, `pawl run retry` opens it again
    Fail {
        /// The run's id, or its first digits
        #[arg(value_parser = run_id)]
        run: String,
        /// Why, for the run's history
        #[arg(long, value_name = "TEXT")]
        message: String,
    },
    /// Start nothing new of a run until it is unpaused; what runs goes on to its end, and nothing is lost
    Pause {
        /// The run's id, or its first digits
        #[arg(value_parser = run_id)]
        run: String,
        /// Why, for whoever finds it paused
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Let a run go on that is paused
    Unpause {
        /// The run's id, or its first digits
        #[arg(value_parser = run_id)]
        run: String,
    },
    /// Open the failed and parked steps of a run again, or one of them, and all that was stopped with the run
    #[command(
        after_help = "Each step goes on with the component that it has, which its run's submission or its first \
                            start has given it.\nAfter a bad version that was taken back, or mended: --latest.\n\n\
                            Examples:\n  pawl run retry RUN --latest\n  pawl run retry RUN --from load    # also of a run that has succeeded"
    )]
    Retry {
        /// The run's id, or its first digits
        #[arg(value_parser = run_id)]
        run: String,
        /// Only this step
        step: Option<String>,
        #[command(flatten)]
        flagged: Flagged,
        /// This step and all that follow it, done again from their start: their checkpoints and journals are forgotten, and
        /// their effects leave again, under other keys. The others keep their outputs
        #[arg(long, value_name = "STEP", conflicts_with_all = ["step", "flagged"])]
        from: Option<String>,
        /// On the versions that are active now
        #[arg(long)]
        latest: bool,
    },
    /// Give a step that has failed or is parked the output that it has not got: what needs it goes on with that
    #[command(after_help = "Example:\n  pawl run skip RUN load --with '{\"rows\": 0}'")]
    Skip {
        /// The run's id, or its first digits
        #[arg(value_parser = run_id)]
        run: String,
        /// The step
        #[arg(required = true)]
        step: Option<String>,
        #[command(flatten)]
        flagged: Flagged,
        /// The output: JSON, @FILE, or - for standard input
        #[arg(long, value_name = "JSON|@FILE|-")]
        with: String,
    },
    /// Keep a run, however long ago it has ended; others go when their retention has
    Keep {
        /// The run's id, or its first digits
        #[arg(value_parser = run_id)]
        run: String,
        /// Let its retention count again
        #[arg(long)]
        undo: bool,
    },
    /// Let a run go on that nobody moves, or one of its steps that is parked or sleeps
    #[command(after_help = "A step that has left its journal is parked: `pawl run explain RUN` says where.\n\
                            What is done is not executed again; a step that was begun goes on from its checkpoint.\n\
                            To forget the checkpoint, too, and begin anew: pawl run retry RUN --from STEP\n\n\
                            Examples:\n  pawl run resume RUN                                # whatever stands, as it is\n  \
                            pawl run resume RUN load --pin 3f9a0c11d2e4        # on the component that made the journal\n  \
                            pawl run resume RUN load --from-checkpoint --latest")]
    Resume(resume::Arguments),
    /// Run a step against its journal, here, without any effect: shows each call; exit code 1 if it goes another way
    #[command(after_help = "Examples:\n  pawl run replay RUN load\n  \
                            pawl run replay RUN load --to 12                   # what it had seen until entry 12\n  \
                            pawl run replay RUN load --component load.wasm     # would this one fit?")]
    Replay(replay::Arguments),
    /// Send a signal to a run; a step that waits for it goes on, or the next one that will
    #[command(after_help = "Examples:\n  pawl run signal RUN approved --payload '{\"by\": \"ana\"}'\n  \
                            pawl run signal RUN approved --idempotency-key approval-17")]
    Signal(Signal),
    /// Signals that no step has taken, and those that a step has failed by
    #[command(after_help = "A step that fails for good by a signal rejects it: a retry waits for another one.\n\n\
                            Examples:\n  pawl run inbox list RUN\n  \
                            pawl run inbox replace RUN 3 --payload '{\"by\": \"ana\"}'")]
    Inbox {
        #[command(subcommand)]
        verb: inbox::Verb,
    },
}

impl Verb {
    /// The run that it is about, as it was given.
    fn run_mut(&mut self) -> Option<&mut String> {
        match self {
            Self::Submit(_) => None,
            // A place that has more to it than a run was told by the page before.
            Self::List(list) => list.before.as_mut().filter(|before| !before.contains('/')),
            Self::Get { run, .. }
            | Self::Output { run }
            | Self::Watch { run }
            | Self::Events { run, .. }
            | Self::Explain { run }
            | Self::Report { run }
            | Self::Cancel { run }
            | Self::Erase { run, .. }
            | Self::Fail { run, .. }
            | Self::Pause { run, .. }
            | Self::Unpause { run }
            | Self::Keep { run, .. }
            | Self::Skip { run, .. }
            | Self::Retry { run, .. } => Some(run),
            Self::Logs(arguments) => Some(&mut arguments.run),
            Self::Resume(arguments) => Some(&mut arguments.run),
            Self::Replay(arguments) => Some(&mut arguments.run),
            Self::Signal(signal) => Some(&mut signal.run),
            Self::Inbox { verb } => Some(verb.run_mut()),
        }
    }
}

/// Arguments of `pawl run signal`.
#[derive(Debug, Args)]
pub(super) struct Signal {
    /// The run's id, or its first digits
    #[arg(value_parser = run_id)]
    run: String,
    /// The signal's name
    name: String,
    /// What stands where other commands would take it
    #[arg(hide = true)]
    stray: Option<String>,
    /// What it carries: JSON, @FILE, or - for standard input
    #[arg(long, value_name = "JSON|@FILE|-", default_value = "null")]
    payload: String,
    /// Makes it safe to send again: the same key is the same signal
    #[arg(long, value_name = "KEY", value_parser = input::idempotency_key)]
    idempotency_key: Option<String>,
}

/// Carries out a verb.
pub(super) async fn run(mut verb: Verb, settings: &Settings, output: Output) -> anyhow::Result<()> {
    let client = &settings.client()?;
    if let Some(run) = verb.run_mut() {
        complete(run, client).await?;
    }
    match verb {
        Verb::Submit(submit) => submit::submit(submit, settings, output).await?,
        Verb::List(list) => list::list(&list, client, output).await?,
        Verb::Get { run, step, flagged } => match flagged.or(step) {
            None => output.print(&client.get::<Run>(&["v1", "runs", &run], &[]).await?)?,
            Some(step) => {
                output.print(&client.get::<StepDetail>(&["v1", "runs", &run, "steps", &step], &[]).await?)?;
            }
        },
        Verb::Output { run } => {
            let bytes = client.get_bytes(&["v1", "runs", &run, "output"]).await?;
            print_exactly(&String::from_utf8_lossy(&bytes))?;
        }
        Verb::Watch { run } => match watch::follow(client, &run, output).await? {
            RunStatus::Succeeded => {}
            _ => return Err(End::Said.into()),
        },
        Verb::Events { run, after } => {
            let after = after.to_string();
            let path = ["v1", "runs", &run, "events"];
            output.print(&client.get::<EventList>(&path, &[("after", &after)]).await?)?;
        }
        Verb::Logs(arguments) => logs::run(&arguments, client, output).await?,
        Verb::Explain { run } => {
            output.print(&client.get::<Explanation>(&["v1", "runs", &run, "explain"], &[]).await?)?;
        }
        Verb::Report { run } => {
            output.print(&client.get::<RunReport>(&["v1", "runs", &run, "report"], &[]).await?)?;
        }
        Verb::Erase { run, yes: false } => {
            return Err(usage(format!(
                "the payloads of run {run} would be unreadable for good: add --yes, if that is meant"
            )));
        }
        Verb::Erase { run, yes: true } => {
            output.print(&client.delete::<ErasedRun>(&["v1", "runs", &run, "key"]).await?)?;
        }
        Verb::Cancel { run } => {
            output.print(&client.post_empty::<Changed>(&["v1", "runs", &run, "cancel"]).await?)?;
        }
        Verb::Fail { run, message } => {
            output.print(&client.post::<Changed>(&["v1", "runs", &run, "fail"], &FailRun { message }).await?)?;
        }
        Verb::Pause { run, reason } => {
            let path = ["v1", "runs", &run, "pause"];
            output.print(&client.post::<Changed>(&path, &PauseRequest { reason }).await?)?;
        }
        Verb::Unpause { run } => {
            output.print(&client.post_empty::<Changed>(&["v1", "runs", &run, "unpause"]).await?)?;
        }
        Verb::Retry { run, step, flagged, from, latest } => {
            let step = flagged.or(step);
            let path = match &step {
                None => vec!["v1", "runs", &run, "retry"],
                Some(step) => vec!["v1", "runs", &run, "steps", step, "retry"],
            };
            let on = if latest { "latest" } else { "pinned" };
            let mut query = vec![("on", on)];
            query.extend(from.as_deref().map(|from| ("from", from)));
            output.print(&client.post_asking::<Changed>(&path, &query).await?)?;
        }
        Verb::Skip { run, step, flagged, with } => {
            let step = flagged.must(step)?;
            let body = SkipStep { output: input::json("--with", &with)? };
            output.print(&client.post::<Changed>(&["v1", "runs", &run, "steps", &step, "skip"], &body).await?)?;
        }
        Verb::Keep { run, undo } => {
            let path = ["v1", "runs", &run, "keep"];
            let kept: KeptRun = if undo { client.delete(&path).await? } else { client.put(&path, &()).await? };
            output.print(&kept)?;
        }
        Verb::Signal(Signal { stray: Some(stray), run, name, .. }) => {
            let say = format!("what the signal carries has a flag: pawl run signal {run} {name} --payload '{stray}'");
            return Err(usage(say));
        }
        Verb::Signal(signal) => {
            let payload = input::json("--payload", &signal.payload)?;
            let path = ["v1", "runs", &signal.run, "signals", &signal.name];
            let key = signal.idempotency_key.as_deref();
            output.print(&client.post_keyed::<SentSignal>(&path, &payload, key).await?)?;
        }
        Verb::Inbox { verb } => inbox::run(verb, client, output).await?,
        Verb::Replay(arguments) => {
            let replayed = replay::replay(arguments, client, settings).await?;
            output.print(&replayed)?;
            if !replayed.fits() {
                return Err(End::Said.into());
            }
        }
        Verb::Resume(arguments) => output.print(&resume::resume(arguments, client).await?)?,
    }
    Ok(())
}
