//! What the end of a guest means for its step: a decision, without side effects. The order of the
//! questions matters and is the same as in the code:
//!
//! 1. Was it stopped from outside (lease, drain, time, a host that is down), or does it wait? Then it did nothing wrong.
//! 2. Did it leave its recorded path, or end before the path did? Then a person decides; whatever it
//!    returned, trapped on or failed with was not what it did before.
//! 3. Did it break a limit or a rule, trap, fail, or return something?

use pawl_domain::attempt::{Cause, Cut, Deferral, Divergence, Failure, Outcome};
use pawl_domain::journal::Knowledge;
use pawl_domain::limits::Limits;
use pawl_domain::replay::{Fault, Refused, Unread};
use pawl_domain::schema::{Misfit, Schema, Unfit};
use pawl_domain::wait::Wait;
use serde::de::IgnoredAny;
use serde_json::json;
use wasmtime::WasmBacktrace;

use super::guest::{Guest, Halt};
use super::host::types::{self, FailureKind};
use super::load::{LoadError, Prepared};
use super::recorder::Stop;
use super::secrets::Secrets;
use super::trap::{backtrace, trap_reason};
use super::wasi;

/// How wasmtime begins to say that a component has more instances, memories or tables than it may.
const COUNT_LIMIT: &str = "resource limit exceeded";

/// What a message of a timeout ends with: whoever has no pipeline replaces it.
pub const RAISE_TIMEOUT: &str = "raise its `timeout` in the pipeline";
const HANDED_OVER: &str = "the guest handed more to the host than the largest checkpoint or output \
                           (`limit_checkpoint`, `limit_output`)";

/// How a guest ended.
#[derive(Debug)]
pub(super) enum End {
    /// It returned.
    Returned(Result<String, types::Failure>),
    /// It trapped, was halted, or could not even start.
    Broken(wasmtime::Error),
    /// It got no instance; perhaps its own code has run for that already.
    Unborn(wasmtime::Error),
    /// The host panicked below it, with this message: no fault of the guest.
    HostPanicked(String),
    /// The input can't be handed to it.
    InputNotText,
    /// The input does not fit the component's schema; it was not called.
    InputMisfit(Misfit),
    /// While its input was checked, it was stopped or its time ended.
    CutShort,
}

/// The outcome, and what another attempt would keep of the journal after a failure.
pub(super) fn outcome_of(guest: &mut Guest, end: End, component: &Prepared) -> (Outcome, Option<Cut>) {
    let failure = match judge(guest, end, component.schemas().and_then(|schemas| schemas.output.as_ref())) {
        Ok(output) => return (Outcome::Succeeded(output.into_bytes()), None),
        Err(Verdict::Stopped(stop)) => return (stop.into(), None),
        Err(Verdict::Suspended(wait)) => return (Outcome::Suspended(wait), None),
        Err(Verdict::Diverged(mut divergence)) => {
            let digest = component.digest();
            divergence.component = Some(digest);
            divergence.recorded_by.get_or_insert(digest);
            divergence.redact(|text| guest.secrets().redact(text).into_owned());
            return (Outcome::Diverged(divergence), None);
        }
        Err(Verdict::HandedBack) => return (Outcome::HandedBack, None),
        Err(Verdict::Deferred(deferral)) => return (Outcome::Deferred(deferral), None),
        // What a retry would keep can't be known.
        Err(Verdict::Unreadable(failure)) => return (Outcome::Failed(failure), None),
        Err(Verdict::Failed(failure)) => without_secrets(failure, guest.secrets()),
    };
    // It may have ended in the middle of its replay, and is cut by all that is recorded.
    match guest.replay.read_to_end() {
        Ok(()) => {}
        Err(Fault::Unread(Unread::Damaged(what))) => return (Outcome::Failed(unreadable(what)), None),
        Err(Fault::Unread(Unread::Newer { needs, what })) => {
            return match newer(guest, needs, &what) {
                Verdict::Deferred(deferral) => (Outcome::Deferred(deferral), None),
                Verdict::Unreadable(failure) => (Outcome::Failed(failure), None),
                _ => (guest.stopped().into(), None),
            };
        }
        Err(_) => return (guest.stopped().into(), None),
    }
    // Also where the failure is final: a person's retry must not replay it.
    let cut = guest.replay.cut(failure.from_checkpoint);
    (Outcome::Failed(failure), Some(cut))
}

impl From<Stop> for Outcome {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::LeaseLost => Self::LeaseLost,
            Stop::Draining => Self::HandedBack,
        }
    }
}

enum Verdict {
    Stopped(Stop),
    Suspended(Wait),
    Diverged(Box<Divergence>),
    /// The machine can't execute it now.
    HandedBack,
    /// A host that it would call is down.
    Deferred(Deferral),
    Unreadable(Failure),
    Failed(Failure),
}

fn judge(guest: &mut Guest, end: End, schema: Option<&Schema>) -> Result<String, Verdict> {
    match end {
        End::Returned(Ok(output)) => {
            finish(guest, "return", None)?;
            if let Some(name) = guest.replay.open_once() {
                return Err(failed(Cause::Fatal, Refused::LeftOpen(name.to_owned()).to_string()));
            }
            check_output(output, schema, guest)
        }
        End::Returned(Err(failure)) => {
            // Before any of it is cut.
            let failure = redacted(failure, guest.secrets());
            finish(guest, &format!("return the failure {:?}", failure.message), None)?;
            Err(Verdict::Failed(from_guest(failure, &guest.limits)))
        }
        End::Broken(error) => Err(broken(guest, error)),
        End::Unborn(error) => Err(unborn(guest, error)),
        End::HostPanicked(message) => {
            tracing::error!(run.id = %guest.step.run, step.no = %guest.step.step, panic = %message,
                "the host failed while it executed a step");
            Err(failed(Cause::Trap, "the host failed while it executed the step; its log says more".into()))
        }
        End::InputNotText => Err(failed(Cause::Fatal, "the input is not text in UTF-8".into())),
        End::CutShort => Err(cut_short(guest)),
        End::InputMisfit(misfit) => Err(unfit(Cause::InvalidInput, "input", misfit, guest.secrets())),
    }
}

/// A guest without an instance. Its component was checked when it was pushed, and had instances since: if it is not the
/// guest's own code that has ended it, its limit, or the component, then the machine lacks something.
fn unborn(guest: &mut Guest, error: wasmtime::Error) -> Verdict {
    if error.is::<Halt>() || error.is::<wasmtime::Trap>() || error.is::<WasmBacktrace>() {
        return broken(guest, error);
    }
    let reason = trap_reason(&error);
    if let Some(refused) = guest.memory.refused() {
        return failed(Cause::Limit, format!("{refused} ({reason})"));
    }
    if reason.contains(COUNT_LIMIT) {
        return failed(Cause::Limit, format!("the component consists of too much: {reason}"));
    }
    match error.downcast::<LoadError>() {
        Ok(error) => failed(Cause::Component, error.to_string()),
        Err(_) => lacks_memory(guest, &reason),
    }
}

/// The step is given back, to whoever has what it needs: it has done nothing wrong.
fn lacks_memory(guest: &mut Guest, reason: &str) -> Verdict {
    tracing::warn!(run.id = %guest.step.run, step.no = %guest.step.step, reason,
        "this machine has no memory for a step, which is handed back");
    guest.lacks_memory = true;
    Verdict::HandedBack
}

/// A newer build has begun the step, and one must go on with it: where somebody heeds that, it waits for such a worker. Else it
/// fails with the fix; its journal stays as it is, so that the next attempt can go on.
fn newer(guest: &Guest, needs: Knowledge, what: &str) -> Verdict {
    match guest.recorder().map(|recorder| guest.sign.away(|| recorder.leaves_to_newer(needs, what))) {
        Ok(Some(deferral)) => Verdict::Deferred(deferral),
        _ => Verdict::Unreadable(Failure {
            cause: Cause::Retry,
            ..unreadable(format!("{what}: upgrade the workers, then `pawl run retry` goes on where it was"))
        }),
    }
}

fn broken(guest: &mut Guest, error: wasmtime::Error) -> Verdict {
    let backtrace = backtrace(&error);
    let is_over = || failed(Cause::Timeout, took_too_long());
    let halt = match error.downcast::<Halt>() {
        Ok(Halt::Stop(stop)) => return Verdict::Stopped(stop),
        Ok(Halt::Suspend(wait)) => return Verdict::Suspended(wait),
        Ok(Halt::Deferred(deferral)) => return Verdict::Deferred(deferral),
        Ok(Halt::Deadline) => return is_over(),
        Ok(Halt::Unread) => {
            return match guest.halt() {
                Some(Halt::Deadline) => is_over(),
                _ => Verdict::Stopped(guest.stopped()),
            };
        }
        Ok(Halt::Unreadable(what)) => return Verdict::Unreadable(unreadable(what)),
        Ok(Halt::Newer { needs, what }) => return newer(guest, needs, &what),
        Ok(Halt::NoMemory(reason)) => return lacks_memory(guest, &reason),
        // Also in the middle of a replay: another worker may have it.
        Ok(halt @ (Halt::NoSecret { .. } | Halt::NoChance(_))) => return failed(Cause::Retry, halt.to_string()),
        // Also in the middle of a replay: an effect leaves again.
        Ok(halt @ (Halt::OutOfReach(_) | Halt::Withheld(_))) => {
            let refused = guest.secrets().redact(&halt.to_string()).into_owned();
            tracing::warn!(run.id = %guest.step.run, step.no = %guest.step.step, "{refused}");
            return failed(Cause::Refused, refused);
        }
        Ok(Halt::Diverged(mut divergence)) => {
            divergence.backtrace = backtrace.map(|frames| frames.join("\n"));
            return Verdict::Diverged(divergence);
        }
        Ok(halt) => Ok(halt),
        // What it said before the trap is more than the trap says.
        Err(error) => wasi::broken_limit(&error).ok_or_else(|| {
            let panicked = guest.panicked.take().map(|panicked| panicked.told(backtrace.as_deref()));
            panicked.unwrap_or_else(|| trap_reason(&error))
        }),
    };
    let how = halt.as_ref().map_or_else(|reason| format!("trap: {reason}"), ToString::to_string);
    if let Err(ended) = finish(guest, &how, backtrace.as_deref()) {
        return ended;
    }
    let (cause, message) = match halt {
        Ok(Halt::Limit(message)) => (Cause::Limit, message),
        Ok(other) => (Cause::Fatal, other.to_string()),
        // A guest that gets no memory usually gives up with a trap.
        Err(reason) => match guest.memory.refused() {
            Some(refused) => (Cause::Limit, format!("{refused} ({reason})")),
            None if reason.contains("fuel allocated for hostcalls") => (Cause::Limit, HANDED_OVER.to_owned()),
            None => (Cause::Trap, reason),
        },
    };
    let details = backtrace.map(|frames| json!({ "backtrace": frames }).to_string());
    Verdict::Failed(Failure { cause, message, details, delay_ms: None, from_checkpoint: false })
}

/// Whether the guest has done all that it did before.
fn finish(guest: &mut Guest, how: &str, backtrace: Option<&[String]>) -> Result<(), Verdict> {
    match guest.replay.finish(how) {
        Ok(()) => Ok(()),
        Err(Fault::Diverged(mut divergence)) => {
            divergence.backtrace = backtrace.map(|frames| frames.join("\n"));
            Err(Verdict::Diverged(divergence))
        }
        Err(Fault::Refused(refused)) => Err(failed(Cause::Fatal, refused.to_string())),
        Err(Fault::Unread(Unread::Damaged(what))) => Err(Verdict::Unreadable(unreadable(what))),
        Err(Fault::Unread(Unread::Newer { needs, what })) => Err(newer(guest, needs, &what)),
        Err(Fault::Unread(Unread::Stopped)) => Err(Verdict::Stopped(guest.stopped())),
    }
}

/// Outputs go into the database and into other steps' inputs as they are, so they must be JSON. A tree is built
/// only where there is a schema that they must fit.
fn check_output(output: String, schema: Option<&Schema>, guest: &Guest) -> Result<String, Verdict> {
    let (size, limit) = (output.len(), guest.limits.output_bytes);
    if size > limit {
        return Err(failed(
            Cause::Limit,
            format!("an output may have {limit} bytes (`limit_output`), this one has {size}"),
        ));
    }
    if let Err(error) = serde_json::from_str::<IgnoredAny>(&output) {
        return Err(failed(Cause::InvalidOutput, format!("the output is not JSON: {error}")));
    }
    match schema.map_or(Ok(()), |schema| schema.check_while(output.as_bytes(), guest.is_wanted())) {
        Ok(()) => Ok(output),
        Err(Unfit::Misfit(misfit)) => Err(unfit(Cause::InvalidOutput, "output", misfit, guest.secrets())),
        Err(Unfit::Unwanted) => Err(cut_short(guest)),
    }
}

fn took_too_long() -> String {
    format!("the attempt took longer than the step may: {RAISE_TIMEOUT}")
}

/// The host was at work for the guest when it was stopped or its time ended.
fn cut_short(guest: &Guest) -> Verdict {
    match guest.halt() {
        Some(Halt::Stop(stop)) => Verdict::Stopped(stop),
        _ => failed(Cause::Timeout, format!("{} (the check of its documents is part of that)", took_too_long())),
    }
}

/// A document that does not fit its schema: one line for a person, all of them in the details.
fn unfit(cause: Cause, what: &str, misfit: Misfit, secrets: &Secrets) -> Verdict {
    let misfits: Vec<_> = misfit.0.iter().map(|line| secrets.redact(line)).collect();
    let first = misfits.first().map_or("$", AsRef::as_ref);
    let more = if misfits.len() > 1 { " (and more, see the details)" } else { "" };
    let message = format!("the {what} does not fit the component's schema: {first}{more}");
    let details = (misfits.len() > 1).then(|| json!({ "misfits": misfits }).to_string());
    Verdict::Failed(Failure { cause, message, details, delay_ms: None, from_checkpoint: false })
}

/// Whatever has led to it, people read it.
fn without_secrets(failure: Failure, secrets: &Secrets) -> Failure {
    let redact = |text: String| secrets.redact(&text).into_owned();
    Failure { message: redact(failure.message), details: failure.details.map(redact), ..failure }
}

fn redacted(failure: types::Failure, secrets: &Secrets) -> types::Failure {
    let redact = |text: String| secrets.redact(&text).into_owned();
    types::Failure { message: redact(failure.message), details: failure.details.map(redact), ..failure }
}

fn from_guest(failure: types::Failure, limits: &Limits) -> Failure {
    let types::Failure { kind, mut message, details } = failure;
    message.truncate(message.floor_char_boundary(limits.log_line_bytes));
    let details = details.map(|details| match serde_json::from_str::<IgnoredAny>(&details) {
        _ if details.len() > limits.entry_bytes => json!("left out: larger than a journal entry may be").to_string(),
        Ok(_) => details,
        // Text is better than nothing.
        Err(_) => json!(details).to_string(),
    });
    match kind {
        FailureKind::Fatal => Failure { cause: Cause::Fatal, message, details, delay_ms: None, from_checkpoint: false },
        FailureKind::Retry(types::Retry { delay_ms, from_checkpoint }) => {
            Failure { cause: Cause::Retry, message, details, delay_ms, from_checkpoint }
        }
    }
}

fn unreadable(message: String) -> Failure {
    Failure { cause: Cause::Component, message, details: None, delay_ms: None, from_checkpoint: false }
}

fn failed(cause: Cause, message: String) -> Verdict {
    Verdict::Failed(Failure { cause, message, details: None, delay_ms: None, from_checkpoint: false })
}
