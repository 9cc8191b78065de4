//! `pawl run replay`: a step against its journal, in this process. Nothing is written and no effect leaves: where
//! the journal ends, or at an entry that somebody picks, the replay does.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use pawl_api::client::Client;
use pawl_api::replay;
use pawl_api::types::{ReplayEnd, ReplayHow, ReplayedCall, ReplayedLine, StepJournal, StepReplay};
use pawl_domain::attempt::Cause;
use pawl_engine::Secrets;
use serde_json::Value;

use super::id::run_id;
use super::show::report;
use super::step::Flagged;
use crate::exit::End;
use crate::output::{Answer, Table, fields};
use crate::settings::Settings;

/// Arguments of `pawl run replay`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The run's id, or its first digits
    #[arg(value_parser = run_id)]
    pub(super) run: String,
    /// The step
    #[arg(required = true)]
    step: Option<String>,
    #[command(flatten)]
    flagged: Flagged,
    /// Stop at this entry of the journal
    #[arg(long, value_name = "ENTRY")]
    to: Option<u32>,
    /// Replay this component (.wasm) in place of the step's
    #[arg(long, value_name = "FILE")]
    component: Option<PathBuf>,
}

/// Replays the step.
pub(super) async fn replay(arguments: Arguments, client: &Client, settings: &Settings) -> anyhow::Result<StepReplay> {
    let Arguments { run, step, flagged, to, component } = arguments;
    let step = flagged.must(step)?;
    let journal: StepJournal = client.get(&["v1", "runs", &run, "steps", &step, "journal"], &[]).await?;
    let bytes = match &component {
        Some(file) => {
            std::fs::read(file).with_context(|| End::Usage(format!("can't read the component {}", file.display())))?
        }
        None => client.get_bytes(&["v1", "components", &journal.component.to_string()]).await?,
    };
    let engine = settings.engine(1)?;
    let secrets = Secrets::of_environment(&journal.secrets);
    let replayed = tokio::task::spawn_blocking(move || replay::replay(engine, &journal, &bytes, secrets, to)).await;
    Ok(replayed.context("the replay has panicked")??)
}

impl Answer for StepReplay {
    fn ids(&self) -> Vec<String> {
        vec![self.step.clone()]
    }

    fn text(&self) -> String {
        let head = fields(&[
            ("run", self.run.to_string()),
            ("step", self.step.clone()),
            ("recorded by", self.recorded_by.to_string()),
            ("executed", self.component.to_string()),
        ]);
        let mut table = Table::new(["ENTRY", "CALL", "ANSWER"]);
        for ReplayedCall { position, call, answer } in &self.calls {
            table.row([position.map_or_else(String::new, |at| at.to_string()), call.clone(), answer.clone()]);
        }
        let remarks: String = self.remarks.iter().map(|remark| format!("\nnote: {remark}")).collect();
        format!("{head}\n{table}{}\n{}{remarks}", logged(&self.lines), end(&self.end))
    }
}

/// What it logged, if anything.
fn logged(lines: &[ReplayedLine]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let mut table = Table::with_text(["AFTER", "LEVEL", "LOGGED"]);
    for ReplayedLine { position, level, message, fields } in lines {
        let fields = fields.as_ref().map(|fields| format!(" {}", fields.get())).unwrap_or_default();
        table.row([position.to_string(), level.to_string(), format!("{message}{fields}")]);
    }
    format!("\n{table}")
}

fn end(end: &ReplayEnd) -> String {
    let (position, call) = (end.position.unwrap_or_default(), end.call.as_deref().unwrap_or_default());
    match end.how {
        ReplayHow::Stopped => format!("stopped at entry {position}, as it called {call}"),
        ReplayHow::Live => format!("reached the end of the journal at entry {position}: {call} would be new"),
        ReplayHow::Returned => format!("returned {}", end.output.as_ref().map_or("null", |output| output.get())),
        ReplayHow::Failed => format!("failed{}", end.failure.as_ref().map(failed).unwrap_or_default()),
        ReplayHow::Diverged => {
            format!("left the journal\n{}", end.divergence.as_deref().map(report).unwrap_or_default())
        }
    }
}

fn failed(failure: &Value) -> String {
    let cause: Option<Cause> = serde_json::from_value(failure["cause"].clone()).ok();
    format!("{}: {}", cause.map(Cause::means).unwrap_or_default(), failure["message"].as_str().unwrap_or_default())
}
