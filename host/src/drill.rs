//! `pawl drill`: rehearsals of what operators hope never to see; see [`pawl_rehearsal::drill`].

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use pawl_base::tell;
use pawl_domain::id::RunId;
use pawl_domain::pipeline_file::parse_duration_ms;
use pawl_rehearsal::drill::{self, Summary};

use super::exit::End;
use super::output::{Answer, Output, fields, or_dash};
use super::settings::Settings;

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
    let folder = args.artifacts_dir.clone();
    std::fs::create_dir_all(&folder).with_context(|| End::Usage(format!("can't create {}", folder.display())))?;
    let summary = drill::recovery(&args.into_drill(settings)?).await?;
    output.print(&summary)?;
    tell!("the summary, the history of the run and the logs are in {}", folder.display());
    if summary.passed() { Ok(()) } else { Err(End::Said.into()) }
}

impl Recovery {
    fn into_drill(self, settings: &Settings) -> anyhow::Result<drill::Recovery> {
        let existing_services = match self.skip_services {
            true => Some((settings.database_url()?, settings.redis()?)),
            false => None,
        };
        Ok(drill::Recovery {
            artifacts_dir: self.artifacts_dir,
            task_length: self.task_length,
            port: self.port,
            existing_services,
            existing_coordinator: self.existing_coordinator.then(|| settings.api_url()),
            api_token: settings.api_token()?,
            trust: settings.trust()?,
            shutdown_after: self.shutdown_after,
            shared_queue: self.shared_queue,
            plugins_dir: self.plugins_dir,
        })
    }
}

/// A length of time; a bare number is seconds.
fn seconds(text: &str) -> Result<Duration, String> {
    let bare: Option<u64> = text.parse().ok();
    bare.map(Duration::from_secs).map_or_else(|| parse_duration_ms(text).map(Duration::from_millis), Ok)
}

impl Answer for Summary {
    fn ids(&self) -> Vec<String> {
        self.run.iter().map(RunId::to_string).collect()
    }

    fn text(&self) -> String {
        let mut text = fields(&[
            ("run", or_dash(self.run)),
            ("status", or_dash(self.run_status.as_ref())),
            ("attempts", self.attempts.to_string()),
            ("taken over", or_dash(self.takeover_ms.map(|ms| format!("{ms} ms after the kill")))),
            ("resumed", format!("at item {} of {}", self.resumed_at, self.items)),
            ("done again", format!("{} items before the checkpoint", self.steps_executed_again)),
            ("queue", format!("{} messages, {} pending", self.queue_depth, self.pending)),
        ]);
        text.push('\n');
        for check in &self.checks {
            text.push_str(&format!("{}  {}\n", if check.ok { "ok    " } else { "FAILED" }, check.name));
        }
        if let Some(error) = &self.error {
            text.push_str(&format!("FAILED  {error}\n"));
        }
        text
    }
}
