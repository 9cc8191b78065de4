//! `pawl run replay`: a step against its journal, in this process. Nothing is written and no effect leaves: where
//! the journal ends, the replay does.

use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use pawl_api::client::Client;
use pawl_api::types::StepJournal;
use pawl_domain::attempt::{Divergence, Failure, Outcome};
use pawl_domain::id::{Digest, RunId};
use pawl_domain::journal::History;
use pawl_domain::replay::{Told, tell};
use pawl_engine::read_only::ReadOnly;
use pawl_engine::{Attempt, Engine, Executed, GuestThreads, Secrets};
use serde::Serialize;
use serde_json::value::RawValue;

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
    /// Replay this component (.wasm) in place of the step's
    #[arg(long, value_name = "FILE")]
    component: Option<PathBuf>,
}

/// What a replay has shown.
#[derive(Debug, Serialize)]
pub(super) struct Replayed {
    run: RunId,
    step: String,
    /// The component that was executed.
    component: Digest,
    /// The component that made the journal.
    recorded_by: Digest,
    calls: Vec<ReplayedCall>,
    end: Ending,
}

/// An entry of the journal that the step has gone through.
#[derive(Debug, Serialize)]
struct ReplayedCall {
    /// None for `restore`, which is no entry.
    position: Option<u32>,
    call: String,
    answer: String,
}

/// How the replay ended.
#[derive(Debug, Serialize)]
#[serde(tag = "how", rename_all = "snake_case")]
enum Ending {
    /// At the end of the journal, with a call that is not in it.
    Live { position: u32, call: String },
    /// With an output.
    Returned { output: Box<RawValue> },
    /// With a failure.
    Failed { failure: Failure },
    /// The step left the journal.
    Diverged { divergence: Box<Divergence> },
}

impl Replayed {
    /// Whether the journal holds what this component does.
    pub(super) fn fits(&self) -> bool {
        matches!(self.end, Ending::Live { .. } | Ending::Returned { .. })
    }
}

/// Replays the step.
pub(super) async fn replay(arguments: Arguments, client: &Client, settings: &Settings) -> anyhow::Result<Replayed> {
    let Arguments { run, step, flagged, component } = arguments;
    let step = flagged.must(step)?;
    let journal: StepJournal = client.get(&["v1", "runs", &run, "steps", &step, "journal"], &[]).await?;
    let bytes = match &component {
        Some(file) => {
            std::fs::read(file).with_context(|| End::Usage(format!("can't read the component {}", file.display())))?
        }
        None => client.get_bytes(&["v1", "components", &journal.component.to_string()]).await?,
    };
    let engine = settings.engine(1)?;
    tokio::task::spawn_blocking(move || replay_here(engine, &journal, &bytes))
        .await
        .context("the replay has panicked")?
}

fn replay_here(engine: Arc<Engine>, journal: &StepJournal, bytes: &[u8]) -> anyhow::Result<Replayed> {
    let history = journal.history().context("the journal can't be read: this `pawl` is older than the API")?;
    let component = Digest::of(bytes);
    let recorder = Arc::new(ReadOnly::default());
    let attempt = Attempt {
        step: journal.id,
        step_name: journal.step.clone(),
        failures: journal.failures,
        config: journal.config.get().to_owned(),
        secrets: Secrets::of_environment(&journal.secrets),
        allow: None,
        timeout: Duration::from_millis(journal.timeout_ms),
        input: journal.input.get().as_bytes().to_vec(),
        history: history.clone(),
        past: None,
    };
    let executed = execute(engine, component, bytes, attempt, &recorder)?;
    let (position, resumed_from) = (executed.position, executed.resumed_from);
    let end = match executed.outcome {
        Outcome::Succeeded(output) => Ending::Returned { output: RawValue::from_string(String::from_utf8(output)?)? },
        Outcome::Failed(failure) => Ending::Failed { failure },
        Outcome::Diverged(divergence) => Ending::Diverged { divergence },
        Outcome::Suspended(wait) => Ending::Live { position: journal.length, call: tell(&wait.entry(), None).call },
        Outcome::HandedBack | Outcome::Deferred(_) | Outcome::LeaseLost => {
            let call = recorder.live().unwrap_or("a call that is not recorded").to_owned();
            Ending::Live { position: journal.length, call }
        }
    };
    Ok(Replayed {
        run: journal.id.run,
        step: journal.step.clone(),
        component,
        recorded_by: journal.recorded_by,
        calls: calls(&history, position, resumed_from),
        end,
    })
}

/// Executes on a guest thread, as a worker does.
fn execute(
    engine: Arc<Engine>,
    component: Digest,
    bytes: &[u8],
    attempt: Attempt,
    recorder: &Arc<ReadOnly>,
) -> anyhow::Result<Executed> {
    let prepared = engine.prepare(component, bytes).context("the component is no step")?;
    let threads = GuestThreads::new(1)?;
    let (done, executed) = mpsc::channel();
    let recorder = Arc::clone(recorder);
    threads.submit(Box::new(move || {
        let _ = done.send(engine.execute(&prepared, attempt, recorder));
    }));
    executed.recv().context("the guest's thread has ended")
}

/// The entries that were gone through, up to `position`, and the jump to the checkpoint.
fn calls(history: &History, position: u32, resumed_from: Option<u32>) -> Vec<ReplayedCall> {
    let prelude = history.checkpoint.as_ref().and_then(|checkpoint| checkpoint.prelude).unwrap_or(0);
    let entries = history.segments.iter().flat_map(|(first, entries)| (*first..).zip(entries));
    let told = |(at, entry)| {
        let signal = history.signals.iter().find(|(given, _)| *given == at).map(|(_, payload)| payload.as_slice());
        let Told { call, answer } = tell(entry, signal);
        ReplayedCall { position: Some(at), call, answer }
    };
    let Some(resumed_from) = resumed_from else {
        return entries.filter(|(at, _)| *at < position).map(told).collect();
    };
    let restored = ReplayedCall {
        position: None,
        call: "durable.restore()".to_owned(),
        answer: format!("the checkpoint at entry {resumed_from}"),
    };
    let before = entries.clone().filter(|(at, _)| *at < prelude).map(told);
    let after = entries.filter(|(at, _)| (resumed_from..position).contains(at)).map(told);
    before.chain([restored]).chain(after).collect()
}

impl Answer for Replayed {
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
        let end = match &self.end {
            Ending::Live { position, call } => {
                format!("reached the end of the journal at entry {position}: {call} would be new")
            }
            Ending::Returned { output } => format!("returned {}", output.get()),
            Ending::Failed { failure } => format!("failed{}: {}", failure.cause.means(), failure.message),
            Ending::Diverged { divergence } => format!("left the journal\n{}", report(divergence)),
        };
        format!("{head}\n{table}\n{end}")
    }
}
