//! Why a run has not ended, or why it has failed, in words. Pure: what is known of the run goes in, an explanation comes out.

use pawl_base::duration;
use pawl_domain::decision::circuit::{journal_in, key_in, secret_in};
use pawl_domain::decision::outcome::message_of;
use pawl_domain::namespace::Namespace;
use pawl_domain::pipeline::Pipeline;
use pawl_store::inbox::SignalRow;
use pawl_store::live::{COUNTED_BEFORE, Doing, DownHost, LiveStep};
use pawl_store::logs::LoggedLine;
use pawl_store::pauses::Pause;
use pawl_store::runs::{RunRow, StepRow};

use super::parked::{again, ways_out};
use super::pauses::why_not;
use super::state::step_name;
use super::types::{Because, Explanation, Reason, RunStatus, StepStatus, WayOut};

/// Rejected signals of a run among which a step's are looked for.
pub(super) const EXPLAINED_SIGNALS: u32 = 1_000;

/// Rejected signals that are named to a step.
const REJECTED: usize = 3;

/// Steps of which the last line that they have logged is told, and characters of it.
pub(super) const LOGS_READ: usize = 5;
const LOGGED: usize = 200;

/// Steps that get a reason of their own; the rest is counted.
pub(super) const EXPLAINED_STEPS: u32 = 100;

/// The signals that were rejected. If a step waits, one of them may be what it needs; if one has failed, it may be by the newest
/// that it was given. `live` and `failed` are the steps of the reasons, in this order.
pub(super) fn name_rejected(
    explanation: &mut Explanation,
    live: &[LiveStep],
    failed: &[StepRow],
    rejected: &[SignalRow],
) {
    let run = explanation.id;
    let (waiting, broken) = explanation.reasons.split_at_mut(live.len());
    for (reason, step) in waiting.iter_mut().zip(live) {
        let same = || rejected.iter().filter(move |signal| step.awaits.as_ref() == Some(&signal.name));
        reason.message.extend(same().next_back().map(|newest| {
            let why = newest.error.as_deref().and_then(message_of).map(|why| format!(": {why}")).unwrap_or_default();
            format!(
                "; {} of that name was rejected, since a step has failed by it{why}",
                ordinal(same().count(), newest)
            )
        }));
        reason.ways_out.extend(same().take(REJECTED).map(|signal| WayOut {
            command: format!("pawl run inbox return {run} {}", signal.number),
            what: "take the signal that a step has failed by once more; `pawl run inbox get` shows it".to_owned(),
        }));
    }
    for (reason, step) in broken.iter_mut().zip(failed) {
        // It may have failed by another thing since.
        let why = |error: Option<&[u8]>| error.and_then(message_of);
        let is_cause = |signal: &&SignalRow| {
            signal.rejected_by == Some(step.no) && why(signal.error.as_deref()) == why(step.error.as_deref())
        };
        let Some(newest) = rejected.iter().rfind(is_cause) else { continue };
        let SignalRow { number, name, .. } = newest;
        reason.message.push_str(&format!(
            "; it failed by signal {number}, {name:?}, which is rejected: a retry waits for another one"
        ));
        reason.ways_out.insert(0, WayOut {
            command: format!("pawl run inbox replace {run} {number} --payload JSON"),
            what: format!("let the signal carry what the step can use, then retry; `pawl run inbox get {run} {number}` shows what it carries"),
        });
    }
}

/// Which of several signals.
fn ordinal(count: usize, newest: &SignalRow) -> String {
    match count {
        1 => format!("signal {}", newest.number),
        count => format!("the newest of {count} signals, {},", newest.number),
    }
}

/// `failed` are the steps by which the run fails, `why_failed` is what a person said who failed the run.
pub(super) fn explain(
    run: &RunRow,
    pipeline: &Pipeline,
    live: &[LiveStep],
    failed: &[StepRow],
    why_failed: Option<&str>,
    pauses: (&[Pause], &Namespace),
) -> Explanation {
    // Those that live first: rejected signals are named to them by their place.
    let live = live.iter().map(|step| reason(run, pipeline, step, pauses));
    let reasons: Vec<Reason> = live.chain(failed.iter().map(|step| failure(run, pipeline, step))).collect();
    Explanation {
        id: run.id,
        status: run.status,
        summary: summary(run, &reasons, why_failed),
        reasons,
        remarks: Vec::new(),
    }
}

fn summary(run: &RunRow, reasons: &[Reason], why_failed: Option<&str>) -> String {
    let total = run.step_count;
    if let Some(message) = why_failed {
        return format!("a person has failed the run: {message}; `pawl run retry {}` opens it again", run.id);
    }
    if run.status == RunStatus::Cancelled {
        return format!("a person has cancelled the run; `pawl run retry {}` opens it again", run.id);
    }
    if run.status == RunStatus::Failed {
        let why = reasons.first().map(|reason| format!(" by its step `{}`: {}", reason.step, reason.message));
        return format!("the run has failed{}; `pawl run retry {}` opens it again", why.unwrap_or_default(), run.id);
    }
    if run.status.is_ended() {
        return "the run has succeeded: nothing is left to do".to_owned();
    }
    let count = |because: Because| reasons.iter().filter(|reason| reason.because == because).count();
    let parts = [
        (count(Because::Lease), "executing"),
        (count(Because::ExpiredLease), "to be taken over from a worker that is gone"),
        (count(Because::Queue), "in a queue"),
        (count(Because::Paused), "ready and paused"),
        (count(Because::Due), "waiting for a time"),
        (count(Because::Circuit), "waiting for an outside host that is down"),
        (count(Because::Secret), "waiting for a worker that has a secret"),
        (count(Because::Version), "waiting for a worker of a newer version"),
        (count(Because::Signal), "waiting for a signal"),
        (count(Because::Person), "parked until a person decides"),
        (count(Because::Failing), "not to be started, since a step has failed"),
        (count(Because::Failed), "of them by a failure"),
    ];
    let said: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    let ended = total - run.live_steps;
    match said.as_slice() {
        [] => format!("{ended} of {total} steps have ended and none can move: this is a bug, run `pawl doctor`"),
        said => format!("{ended} of {total} steps have ended; {}{}", said.join(", "), paused(run)),
    }
}

/// A pause of the run is told also where no step is ready that it stops.
fn paused(run: &RunRow) -> String {
    if run.paused_at_ms.is_none() {
        return String::new();
    }
    let why = run.pause_reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    format!("; the run is paused{why}: nothing of it starts until `pawl run unpause {}`", run.id)
}

fn failure(run: &RunRow, pipeline: &Pipeline, step: &StepRow) -> Reason {
    let name = step_name(pipeline, step.no);
    let message = step.error.as_deref().and_then(message_of).unwrap_or_else(|| "no reason is recorded".to_owned());
    let attempts = match step.failures {
        1 => String::new(),
        failures => format!(", after {failures} attempts"),
    };
    Reason {
        ways_out: again(run.id, &name),
        step: name,
        status: step.status,
        because: Because::Failed,
        message: format!("{message}{attempts}"),
        worker: None,
        until_ms: None,
    }
}

fn reason(run: &RunRow, pipeline: &Pipeline, step: &LiveStep, (pauses, namespace): (&[Pause], &Namespace)) -> Reason {
    let name = step_name(pipeline, step.no);
    let paused = why_not(run, step, pauses, namespace).filter(|_| !run.failing);
    if let Some((message, way_out)) = paused {
        let (because, ways_out) = (Because::Paused, vec![way_out]);
        return Reason { step: name, status: step.status, because, message, worker: None, until_ms: None, ways_out };
    }
    let (because, message, until_ms) = match step.status {
        StepStatus::Running => running(step),
        StepStatus::Ready if run.failing => {
            (Because::Failing, "it is not started, since a step has failed".into(), None)
        }
        StepStatus::Ready => (Because::Queue, queued(step), None),
        StepStatus::Waiting => match (&step.down, &step.awaits) {
            (Some(host), _) => deferred(step, host),
            (None, Some(signal)) => awaiting(run, step, signal),
            (None, None) => waiting(step),
        },
        _ => parked(step),
    };
    let worker = step.worker.filter(|_| step.status == StepStatus::Running);
    let ways_out = match because {
        Because::Person => ways_out(run.id, &name, step.error.as_deref()),
        Because::Circuit => step.down.iter().map(close).collect(),
        _ => Vec::new(),
    };
    Reason { step: name, status: step.status, because, message, worker, until_ms, ways_out }
}

fn running(step: &LiveStep) -> (Because, String, Option<i64>) {
    let worker = step.worker.map_or_else(|| "a worker".to_owned(), |worker| format!("worker {worker}"));
    match step.lease_end_ms {
        Some(end_ms) if end_ms > step.now_ms => {
            let left = duration(end_ms - step.now_ms);
            (
                Because::Lease,
                format!(
                    "{worker} executes it{}; its lease is good for {left}, unless it is renewed before",
                    step.doing.as_ref().map(|doing| so_far(doing, step.now_ms)).unwrap_or_default()
                ),
                Some(end_ms),
            )
        }
        Some(end_ms) => {
            let ago = duration(step.now_ms - end_ms);
            let message = format!("{worker} had it, its lease ran out {ago} ago; the next live worker takes it over");
            (Because::ExpiredLease, message, None)
        }
        None => {
            (Because::ExpiredLease, format!("{worker} had it and is gone; the next live worker takes it over"), None)
        }
    }
}

/// How long somebody is at it, in which attempt of those that the retry policy counts, and how far that is.
fn so_far(doing: &Doing, now_ms: i64) -> String {
    let since = duration((now_ms - doing.claimed_at_ms).max(0));
    let mut said = format!(", for {since} in attempt {}", doing.failures + 1);
    let progress = doing.progress.map(|progress| format!("{:.0} %", progress * 100.0));
    let words = doing.progress_message.clone().filter(|words| !words.is_empty());
    let told: Vec<String> = progress.into_iter().chain(words).collect();
    if !told.is_empty() {
        said.push_str(&format!("; it says {}", told.join(", ")));
    }
    match doing.checkpoint_position {
        Some(position) => {
            said.push_str(&format!("; its last checkpoint is at entry {position} of {}", doing.journal_length));
        }
        None if doing.journal_length > 0 => {
            said.push_str(&format!("; it has {} journal entries and no checkpoint", doing.journal_length));
        }
        None => {}
    }
    said
}

/// What a step that is executed has last logged, to follow on how far it is.
pub(super) fn last_logged(last: &LoggedLine, now_ms: i64) -> String {
    let since = duration((now_ms - last.line.at_ms).max(0));
    let line = last.line.message.lines().next().unwrap_or_default();
    let words: String = line.chars().take(LOGGED).collect();
    let cut = if words.len() < line.len() { "…" } else { "" };
    format!("; it last logged {since} ago: {words}{cut}")
}

fn queued(step: &LiveStep) -> String {
    let queue = &step.queue;
    let since = step.ready_at_ms.map_or(0, |ready_at_ms| step.now_ms - ready_at_ms);
    if step.queue_workers == 0 {
        return format!(
            "it has been ready for {} and no live worker serves the queue `{queue}`: start one with `pawl worker --queues {queue}`",
            duration(since)
        );
    }
    let workers = match step.queue_workers {
        1 => "one worker serves".to_owned(),
        count => format!("{count} workers serve"),
    };
    let before = match step.ready_before {
        COUNTED_BEFORE.. => format!("{COUNTED_BEFORE} steps or more"),
        1 => "one step".to_owned(),
        count => format!("{count} steps"),
    };
    format!(
        "it has been ready for {} in the queue `{queue}` ({}), {before} of that priority became ready before it, {workers} the queue",
        duration(since),
        step.priority.as_str(),
    )
}

fn waiting(step: &LiveStep) -> (Because, String, Option<i64>) {
    let left_ms = step.due_at_ms.map_or(0, |due_at_ms| due_at_ms - step.now_ms);
    let wakes =
        if left_ms > 0 { format!("it wakes in {}", duration(left_ms)) } else { "it is due and wakes now".into() };
    let why = error_message(step).map(|why| format!(" after a failure: {why}")).unwrap_or_default();
    (Because::Due, format!("{wakes}{why}"), step.due_at_ms)
}

/// No attempt is used up by that.
fn deferred(step: &LiveStep, host: &DownHost) -> (Because, String, Option<i64>) {
    let since = duration((step.now_ms - host.opened_at_ms).max(0));
    let next = match host.retry_at_ms - step.now_ms {
        left_ms @ 1.. => format!("it is probed in {}", duration(left_ms)),
        _ => "it is being probed".to_owned(),
    };
    let DownHost { origin, reason, .. } = host;
    if let Some(secret) = secret_in(origin) {
        let message = format!(
            "it waits for a worker that has the secret `{secret}`, which the first that was asked for it, {since} ago, had not \
             ({reason}): then it goes on by itself"
        );
        return (Because::Secret, message, Some(host.retry_at_ms));
    }
    if let Some(key) = key_in(origin) {
        let message = format!(
            "its run's payloads are sealed under the master key {key}, which the first worker that came to it, {since} ago, had not \
             ({reason}): then it goes on by itself"
        );
        return (Because::Secret, message, Some(host.retry_at_ms));
    }
    if journal_in(origin).is_some() {
        let message = format!(
            "it waits for a worker of a newer version of Pawl, as the first that was asked, {since} ago, was not ({reason}): upgrade \
             the workers, then it goes on by itself"
        );
        return (Because::Version, message, Some(host.retry_at_ms));
    }
    let message =
        format!("{origin} has been down for {since} ({reason}): {next}, and the step goes on when it answers");
    (Because::Circuit, message, Some(host.retry_at_ms))
}

fn close(host: &DownHost) -> WayOut {
    let what = "call it again at once, if it is known to be back".to_owned();
    WayOut { command: format!("pawl circuits close {}", host.origin), what }
}

fn awaiting(run: &RunRow, step: &LiveStep, signal: &str) -> (Because, String, Option<i64>) {
    let until = match step.due_at_ms.map(|due_at_ms| due_at_ms - step.now_ms) {
        None => String::new(),
        Some(left_ms) if left_ms > 0 => format!(" for {} more", duration(left_ms)),
        Some(_) => ", its time is over and it wakes now".to_owned(),
    };
    let message = format!(
        "it waits for the signal {signal:?}{until}; send it with `pawl run signal {} '{}' --payload JSON`",
        run.id,
        signal.replace('\'', "'\\''")
    );
    (Because::Signal, message, step.due_at_ms)
}

fn parked(step: &LiveStep) -> (Because, String, Option<i64>) {
    let why = error_message(step).unwrap_or_else(|| "no reason is recorded".to_owned());
    (Because::Person, format!("it is parked: {why}"), None)
}

/// The line for people in a recorded error.
fn error_message(step: &LiveStep) -> Option<String> {
    message_of(step.error.as_deref()?)
}

#[cfg(test)]
mod tests;
