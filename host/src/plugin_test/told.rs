//! What `pawl plugin test` says: of attempts, of signals, and of failures. What an engine's message names of a pipeline is
//! said as the flag that stands for it here.

use anyhow::bail;
use pawl_base::duration;
use pawl_domain::attempt::{Cause, Failure, Outcome};
use pawl_domain::pipeline_file::closest;
use pawl_domain::secret::variable_of;
use pawl_engine::in_memory::InMemory;
use pawl_engine::{Executed, RAISE_TIMEOUT};

/// So much of an output is shown in a line of the story.
const SHOWN: usize = 300;

/// An output's beginning.
pub(super) fn shown(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let beginning: String = text.chars().take(SHOWN).collect();
    let more = if beginning.len() < text.len() { "…" } else { "" };
    format!("{beginning}{more}")
}

/// What a person wants to know of an attempt.
pub(super) fn story(executed: &Executed, memory: &InMemory) -> String {
    let attempt = match memory.failures() {
        0 => String::new(),
        failures => format!("attempt {} ", failures + 1),
    };
    let from = match executed.resumed_from {
        Some(position) => format!("went on from the checkpoint at {position}"),
        None => "began at the start".to_owned(),
    };
    let checkpoint = memory.checkpoint_position().map_or_else(String::new, |at| format!(", checkpoint at {at}"));
    let (replayed, entries) = (executed.replayed, memory.entries().len());
    format!("{attempt}{from}, {replayed} answers replayed, {entries} in the journal{checkpoint}")
}

/// Details of a failure: what a trap came through as a list, all else as it is.
fn told(details: &str) -> String {
    #[derive(serde::Deserialize)]
    struct Trap {
        backtrace: Vec<String>,
    }
    match serde_json::from_str::<Trap>(details) {
        Ok(Trap { backtrace }) => backtrace.iter().map(|frame| format!("    {frame}")).collect::<Vec<_>>().join("\n"),
        Err(_) => details.to_owned(),
    }
}

/// An attempt after which another one comes.
pub(super) fn failed_attempt(failure: &Failure, attempt: u32, attempts: u32) -> String {
    let wish = failure.delay_ms.map(|ms| {
        let wish = duration(i64::try_from(ms).unwrap_or(i64::MAX));
        format!(" (it asks for {wish} before the next one, which nobody waits for here)")
    });
    let message = here(&failure.message);
    format!("attempt {attempt} of {attempts} failed, and is tried again: {message}{}", wish.unwrap_or_default())
}

/// The step waits for a signal that was not given.
pub(super) fn never_sent(name: &str, memory: &InMemory) -> String {
    let given = memory.not_taken();
    let instead = match given.is_empty() {
        true => String::new(),
        false => format!("; what --signal gives it is not that, and is not taken: {}", quoted(&given)),
    };
    format!("the step waits for the signal {name:?}: give it with --signal {name}=JSON{instead}")
}

/// Signals that were given in vain.
pub(super) fn not_taken(memory: &InMemory) -> Option<String> {
    let (left, awaited) = (memory.not_taken(), memory.awaited());
    if left.is_empty() {
        return None;
    }
    let what = if left.len() == 1 { "a signal was" } else { "signals were" };
    let waited = match awaited.as_slice() {
        [] => "the step has waited for none".to_owned(),
        awaited => format!("the step has waited for {}", quoted(awaited)),
    };
    let meant = left.iter().find_map(|name| closest(name, awaited.iter().map(String::as_str)).filter(|it| it != name));
    let meant = meant.map(|meant| format!("; did you mean {meant:?}?")).unwrap_or_default();
    Some(format!("{what} given with --signal and not taken, {}: {waited}{meant}", quoted(&left)))
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}

/// A message with the flags of this command for what a pipeline would say.
fn here(message: &str) -> String {
    message.replace(RAISE_TIMEOUT, "give it longer with --timeout (in a pipeline: `timeout`)")
}

/// Which flag stands here for what a pipeline gives a step, as the SDK's messages name that.
fn flag_for(message: &str) -> String {
    if message.starts_with("the config does not fit") {
        return "\nthe config is that of --step-config".to_owned();
    }
    let secret = message.strip_prefix("the secret `").and_then(|rest| rest.split_once("` is not granted"));
    secret
        .map(|(name, _)| format!("\nhere, --secret {name} grants it, with its value in {}", variable_of(name)))
        .unwrap_or_default()
}

pub(super) fn output_of(
    executed: Executed,
    memory: &InMemory,
    attempts: u32,
    is_input_given: bool,
) -> anyhow::Result<Vec<u8>> {
    match executed.outcome {
        Outcome::Succeeded(output) => Ok(output),
        Outcome::Failed(failure) => {
            let details = failure.details.as_deref().map(|details| format!("\n{}", told(details))).unwrap_or_default();
            let why = match failure.cause {
                Cause::InvalidInput if !is_input_given => "no --input was given, and so it is null: ",
                _ => "",
            };
            let flag = flag_for(&failure.message);
            let next = match (failure.cause.is_retryable(), attempts) {
                (true, 1) => "\n--attempts 2 shows what the next attempt does".to_owned(),
                (true, _) => format!("\nthat was attempt {} of {attempts}", memory.failures() + 1),
                (false, _) => String::new(),
            };
            bail!("the step failed{}: {why}{}{details}{flag}{next}", failure.cause.means(), here(&failure.message))
        }
        Outcome::Diverged(divergence) => bail!(
            "the replay diverged at journal position {}: expected {}, the step called {}",
            divergence.position,
            divergence.expected.as_deref().unwrap_or("nothing more"),
            divergence.actual
        ),
        Outcome::Suspended(_) | Outcome::HandedBack | Outcome::Deferred(_) | Outcome::LeaseLost => {
            bail!("the attempt was stopped")
        }
    }
}
