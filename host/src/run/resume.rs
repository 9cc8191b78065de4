//! `pawl run resume`: a run that nobody moves goes on, and the ways out of a parked step.

use anyhow::bail;
use clap::Args;
use pawl_api::client::Client;
use pawl_api::types::{Changed, ResumeStep, Run, StepStatus};

use super::id::run_id;
use super::step::Flagged;
use crate::exit::End;

/// Arguments of `pawl run resume`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The run's id, or its first digits
    #[arg(value_parser = run_id)]
    pub(super) run: String,
    /// The step; the one that is parked, if there is only one; if there is none, all that nobody moves
    step: Option<String>,
    #[command(flatten)]
    flagged: Flagged,
    /// On this component; the first digits of its digest are enough
    #[arg(long, value_name = "DIGEST", conflicts_with = "latest")]
    pin: Option<String>,
    /// On the active version of its plugin
    #[arg(long)]
    latest: bool,
    /// Forget what it did after its last checkpoint, or all of it if there is none, and go on from there. Effects
    /// since then are done again: those with a name under the same key, those without one perhaps under another.
    /// Results of `once` stay. What the step asks before it asks for its checkpoint must still be the same.
    /// A checkpoint that is no good itself goes with `pawl run retry RUN --from STEP`
    #[arg(long)]
    from_checkpoint: bool,
}

/// Lets the step go on.
pub(super) async fn resume(arguments: Arguments, client: &Client) -> anyhow::Result<Changed> {
    let Arguments { run, step, flagged, pin, latest, from_checkpoint } = arguments;
    let step = match flagged.or(step) {
        Some(step) => Some(step),
        None => parked(&run, client).await?,
    };
    let Some(step) = step else {
        if pin.is_some() || latest || from_checkpoint {
            bail!(End::Usage(format!("no step of run {run} is parked: name the step that is to go on so")));
        }
        return Ok(client.post_empty(&["v1", "runs", &run, "resume"]).await?);
    };
    let on = pin.unwrap_or_else(|| if latest { "latest" } else { "pinned" }.to_owned());
    let path = ["v1", "runs", &run, "steps", &step, "resume"];
    Ok(client.post(&path, &ResumeStep { on, from_checkpoint }).await?)
}

/// The only step of the run that is parked, if one is.
async fn parked(run: &str, client: &Client) -> anyhow::Result<Option<String>> {
    let found: Run = client.get(&["v1", "runs", run], &[]).await?;
    let parked = found.steps.into_iter().filter(|step| step.status == StepStatus::Parked);
    let parked: Vec<String> = parked.map(|step| step.name).collect();
    match parked.as_slice() {
        [step] => Ok(Some(step.clone())),
        [] => Ok(None),
        several => bail!(End::Usage(format!("several steps are parked, name one of them: {}", several.join(", ")))),
    }
}
