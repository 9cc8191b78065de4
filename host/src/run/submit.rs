//! `pawl run submit`: hands a run in, and waits for its end if that is wanted.

use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;
use pawl_api::types::{Run, RunStatus, RunSummary, Step, StepStatus, SubmitRun};
use pawl_base::tell;
use serde::Serialize;
use serde_json::value::RawValue;

use super::show;
use crate::exit::{End, usage};
use crate::input;
use crate::outage::Outage;
use crate::output::{Output, one_line};
use crate::pipeline_files;
use crate::settings::Settings;

/// How long one request waits for the end of a run. In between it is looked whether somebody must decide something.
const WAIT: Duration = Duration::from_secs(5);

/// Steps that are named to who waits, and after what time the same is said again.
const STEPS_NAMED: usize = 3;
const SAID_AGAIN: Duration = Duration::from_secs(30);

/// Arguments of `pawl run submit`.
#[derive(Debug, Args)]
pub(crate) struct Submit {
    /// The pipeline's name
    pipeline: String,
    /// What stands where other commands would take it
    #[arg(hide = true)]
    stray: Option<String>,
    /// JSON, @FILE, or - for standard input [default: null]
    #[arg(long, value_name = "JSON|@FILE|-")]
    input: Option<String>,
    /// Makes it safe to submit again: the same key is the same run
    #[arg(long, value_name = "KEY", value_parser = input::idempotency_key)]
    idempotency_key: Option<String>,
    /// Wait for the end, over restarts of the API, and show the run; exit code 1 if it did not succeed, or waits for a person
    #[arg(long)]
    wait: bool,
}

pub(super) async fn submit(submit: Submit, settings: &Settings, output: Output) -> anyhow::Result<()> {
    // What is given in a wrong way is told at once, whether the API is there or not.
    if let Some(stray) = &submit.stray {
        return Err(usage(format!("the input has a flag: pawl run submit {} --input '{stray}'", submit.pipeline)));
    }
    by_name(&submit.pipeline)?;
    let body = SubmitRun {
        pipeline: submit.pipeline,
        input: input::json("--input", submit.input.as_deref().unwrap_or("null"))?,
    };
    let client = &settings.reach().await?;
    let key = submit.idempotency_key.as_deref();
    let mut is_told = false;
    let submitted = loop {
        match client.submit(&body, key).await {
            // The API has waited before it said so.
            Err(error) if error.is_being_built() => {
                if !std::mem::replace(&mut is_told, true) {
                    tell!("{error}; this is done until it is there (Ctrl-C stops)");
                }
            }
            Err(error) if submit.input.is_none() && error.is_of_input() => {
                return Err(anyhow::Error::from(error).context("no --input was given, and so it is null"));
            }
            submitted => break submitted?,
        }
    };
    if !submit.wait {
        return Ok(output.print(&submitted)?);
    }
    submitted.remarks.iter().for_each(|remark| tell!("note: {remark}"));
    let when = if submitted.created { "was submitted" } else { "was submitted before, with this key" };
    tell!("run {} {when}; waiting for its end (Ctrl-C stops waiting, not the run)", submitted.id);
    let id = submitted.id.to_string();
    is_told = false;
    // It was answered a moment ago: if it can't be reached now, it is being started again.
    let mut outage = Outage::default();
    let mut standing = Standing::default();
    let run = loop {
        let asked = async || client.get_waiting::<Run>(&["v1", "runs", &id], WAIT).await;
        let found = outage.outlast(asked).await?;
        if found.summary.status.is_ended() || found.summary.parked {
            break found;
        }
        if found.summary.paused.is_some() && !std::mem::replace(&mut is_told, true) {
            tell!("note: the run is paused, and waits; `pawl run explain {id}` says since when, and why");
        }
        standing.tell(&found);
    };
    if run.summary.status != RunStatus::Succeeded {
        output.print(&run)?;
        if run.summary.parked {
            tell!("the run goes no further by itself: `pawl run explain {id}` says why, and what can be done");
        }
        return Err(End::Said.into());
    }
    let result = outage.outlast(async || client.get(&["v1", "runs", &id, "output"], &[]).await).await?;
    Ok(output.print(&Succeeded { run, output: result })?)
}

/// A pipeline is named; who names its file is told which name stands in it.
fn by_name(pipeline: &str) -> anyhow::Result<()> {
    let file = Path::new(pipeline);
    if pipeline_files::is_one(file) && file.is_file() {
        let name = pipeline_files::name_in(file).unwrap_or_else(|| "NAME".to_owned());
        return Err(usage(format!(
            "{pipeline} is a file, and a run is of a pipeline by its name: pawl run submit {name}"
        )));
    }
    Ok(())
}

/// What is news of a step: where it stands, in which attempt, and how far it says it is.
type News = (String, StepStatus, u32, Option<String>);

/// What was last said of a run that is waited for, and when.
#[derive(Debug, Default)]
struct Standing {
    said: Option<(Vec<News>, Instant)>,
}

impl Standing {
    /// Says where the run stands if that has changed, or was said long ago.
    fn tell(&mut self, run: &Run) {
        let live = run.steps.iter().filter(|step| !step.status.is_ended() && step.status != StepStatus::Blocked);
        let news = |step: &Step| (step.name.clone(), step.status, step.attempts, show::progress(step));
        let seen: Vec<News> = live.clone().map(news).collect();
        let is_news = self.said.as_ref().is_none_or(|(before, at)| *before != seen || at.elapsed() >= SAID_AGAIN);
        if is_news {
            let told: Vec<String> = live.take(STEPS_NAMED).map(standing).collect();
            let more =
                if seen.len() > STEPS_NAMED { format!("; {} more", seen.len() - STEPS_NAMED) } else { String::new() };
            let Run { summary: RunSummary { step_count, live_steps, .. }, .. } = run;
            let ended = step_count.saturating_sub(*live_steps);
            let told = format!("{ended} of {step_count} steps have ended; {}{more}", told.join("; "));
            tell!("{}", told.trim_end_matches("; "));
            self.said = Some((seen, Instant::now()));
        }
    }
}

/// A step that has not ended, in a few words.
fn standing(step: &Step) -> String {
    let (name, attempts) = (&step.name, show::attempts(step));
    let note = one_line(&show::note(step));
    let note = if note.is_empty() { note } else { format!(": {note}") };
    match step.status {
        StepStatus::Running => format!("{name} runs, {}, attempt {attempts}{note}", show::step_took(step)),
        status => format!("{name} is {status}{note}"),
    }
}

/// A run that was waited for, with what it has put out.
#[derive(Debug, Serialize)]
pub(super) struct Succeeded {
    #[serde(flatten)]
    pub(super) run: Run,
    pub(super) output: Box<RawValue>,
}
