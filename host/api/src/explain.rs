//! Why a run has not ended, or why it has failed, in words. Pure: what is known of the run goes in, an explanation comes out.

use pawl_domain::decision::outcome::message_of;
use pawl_domain::pipeline::Pipeline;
use pawl_store::inbox::SignalRow;
use pawl_store::live::{COUNTED_BEFORE, LiveStep};
use pawl_store::runs::{RunRow, StepRow};

use super::parked::{again, ways_out};
use super::state::step_name;
use super::types::{Because, Explanation, Reason, RunStatus, StepStatus, WayOut};

/// Rejected signals of a run among which a step's are looked for.
pub(super) const EXPLAINED_SIGNALS: u32 = 1_000;

/// Rejected signals that are named to a step.
const REJECTED: usize = 3;

/// Steps that get a reason of their own; the rest is counted.
pub(super) const EXPLAINED_STEPS: u32 = 100;

/// The signals that were rejected, if a step waits: one of them may be what it needs.
pub(super) fn name_rejected(explanation: &mut Explanation, live: &[LiveStep], rejected: &[SignalRow]) {
    for (reason, step) in explanation.reasons.iter_mut().zip(live) {
        let same = rejected.iter().filter(|signal| step.awaits.as_ref() == Some(&signal.name));
        reason.ways_out.extend(same.take(REJECTED).map(|signal| WayOut {
            command: format!("pawl run inbox return {} {}", explanation.id, signal.number),
            what: "take the signal that a step has failed by once more; `pawl run inbox get` shows it".to_owned(),
        }));
    }
}

/// `failed` are the steps by which the run fails, `why_failed` is what a person said who failed the run.
pub(super) fn explain(
    run: &RunRow,
    pipeline: &Pipeline,
    live: &[LiveStep],
    failed: &[StepRow],
    why_failed: Option<&str>,
) -> Explanation {
    // Those that live first: rejected signals are named to them by their place.
    let live = live.iter().map(|step| reason(run, pipeline, step));
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
        (count(Because::Due), "waiting for a time"),
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
        said => format!("{ended} of {total} steps have ended; {}", said.join(", ")),
    }
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

fn reason(run: &RunRow, pipeline: &Pipeline, step: &LiveStep) -> Reason {
    let name = step_name(pipeline, step.no);
    let (because, message, until_ms) = match step.status {
        StepStatus::Running => running(step),
        StepStatus::Ready if run.failing => {
            (Because::Failing, "it is not started, since a step has failed".into(), None)
        }
        StepStatus::Ready => (Because::Queue, queued(step), None),
        StepStatus::Waiting => match &step.awaits {
            Some(signal) => awaiting(run, step, signal),
            None => waiting(step),
        },
        _ => parked(step),
    };
    let worker = step.worker.filter(|_| step.status == StepStatus::Running);
    let ways_out = match because {
        Because::Person => ways_out(run.id, &name, step.error.as_deref()),
        _ => Vec::new(),
    };
    Reason { step: name, status: step.status, because, message, worker, until_ms, ways_out }
}

fn running(step: &LiveStep) -> (Because, String, Option<i64>) {
    let worker = step.worker.map_or_else(|| "a worker".to_owned(), |worker| format!("worker {worker}"));
    match step.lease_end_ms {
        Some(end_ms) if end_ms > step.now_ms => {
            let left = seconds(end_ms - step.now_ms);
            (
                Because::Lease,
                format!("{worker} executes it; its lease is good for {left}, unless it is renewed before"),
                Some(end_ms),
            )
        }
        Some(end_ms) => {
            let ago = seconds(step.now_ms - end_ms);
            let message = format!("{worker} had it, its lease ran out {ago} ago; the next live worker takes it over");
            (Because::ExpiredLease, message, None)
        }
        None => {
            (Because::ExpiredLease, format!("{worker} had it and is gone; the next live worker takes it over"), None)
        }
    }
}

fn queued(step: &LiveStep) -> String {
    let queue = &step.queue;
    let since = step.ready_at_ms.map_or(0, |ready_at_ms| step.now_ms - ready_at_ms);
    if step.queue_workers == 0 {
        return format!(
            "it has been ready for {} and no live worker serves the queue `{queue}`: start one with `pawl worker --queues {queue}`",
            seconds(since)
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
        seconds(since),
        step.priority.as_str(),
    )
}

fn waiting(step: &LiveStep) -> (Because, String, Option<i64>) {
    let left_ms = step.due_at_ms.map_or(0, |due_at_ms| due_at_ms - step.now_ms);
    let wakes =
        if left_ms > 0 { format!("it wakes in {}", seconds(left_ms)) } else { "it is due and wakes now".into() };
    let why = error_message(step).map(|why| format!(" after a failure: {why}")).unwrap_or_default();
    (Because::Due, format!("{wakes}{why}"), step.due_at_ms)
}

fn awaiting(run: &RunRow, step: &LiveStep, signal: &str) -> (Because, String, Option<i64>) {
    let until = match step.due_at_ms.map(|due_at_ms| due_at_ms - step.now_ms) {
        None => String::new(),
        Some(left_ms) if left_ms > 0 => format!(" for {} more", seconds(left_ms)),
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

fn seconds(ms: i64) -> String {
    format!("{}.{} s", ms / 1_000, ms % 1_000 / 100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pawl_domain::id::{Digest, RunId, StepNo, WorkerId};
    use pawl_domain::limits::Limits;
    use pawl_domain::pipeline::Priority;
    use pawl_domain::pipeline_file::{Format, read};

    fn run(status: RunStatus, live_steps: u32) -> RunRow {
        RunRow {
            id: RunId(uuid::Uuid::nil()),
            pipeline: "p".into(),
            pipeline_digest: Digest::of(b""),
            status,
            step_count: 3,
            live_steps,
            failing: false,
            parked: false,
            kept: false,
            event_count: 1,
            idempotency_key: None,
            created_at_ms: 0,
            started_at_ms: None,
            ended_at_ms: None,
        }
    }

    fn step(status: StepStatus) -> LiveStep {
        LiveStep {
            no: StepNo(0),
            status,
            worker: Some(WorkerId(uuid::Uuid::nil())),
            lease_end_ms: Some(14_000),
            due_at_ms: Some(12_500),
            awaits: None,
            ready_at_ms: Some(9_000),
            queue: "heavy".into(),
            priority: Priority::Normal,
            queue_workers: 2,
            ready_before: 7,
            error: None,
            now_ms: 10_000,
        }
    }

    fn explained(step: LiveStep) -> (Because, String) {
        let text = b"name = \"p\"\n[[step]]\nname = \"load\"\nplugin = \"p\"\n";
        let pipeline = read(text, Format::Toml, &Limits::default(), None).unwrap();
        let explanation = explain(&run(RunStatus::Running, 1), &pipeline, &[step], &[], None);
        let reason = explanation.reasons.into_iter().next().unwrap();
        assert_eq!(reason.step, "load");
        (reason.because, reason.message)
    }

    #[test]
    fn every_state_that_can_last_has_a_reason() {
        let nil = uuid::Uuid::nil();
        for (step, because, message) in [
            (step(StepStatus::Running), Because::Lease, format!("worker {nil} executes it; its lease is good for 4.0 s, unless it is renewed before")),
            (
                LiveStep { lease_end_ms: Some(8_000), ..step(StepStatus::Running) },
                Because::ExpiredLease,
                format!("worker {nil} had it, its lease ran out 2.0 s ago; the next live worker takes it over"),
            ),
            (
                LiveStep { lease_end_ms: None, ..step(StepStatus::Running) },
                Because::ExpiredLease,
                format!("worker {nil} had it and is gone; the next live worker takes it over"),
            ),
            (
                step(StepStatus::Ready),
                Because::Queue,
                "it has been ready for 1.0 s in the queue `heavy` (normal), 7 steps of that priority became ready before it, 2 workers serve the queue".into(),
            ),
            (
                LiveStep { ready_before: COUNTED_BEFORE, ..step(StepStatus::Ready) },
                Because::Queue,
                "it has been ready for 1.0 s in the queue `heavy` (normal), 1000 steps or more of that priority became ready before it, 2 workers serve the queue".into(),
            ),
            (
                LiveStep { queue_workers: 0, ..step(StepStatus::Ready) },
                Because::Queue,
                "it has been ready for 1.0 s and no live worker serves the queue `heavy`: start one with `pawl worker --queues heavy`".into(),
            ),
            (
                LiveStep { error: Some(br#"{"cause":"retry","message":"503"}"#.to_vec()), ..step(StepStatus::Waiting) },
                Because::Due,
                "it wakes in 2.5 s after a failure: 503".into(),
            ),
            (
                LiveStep { awaits: Some("approved".into()), due_at_ms: None, ..step(StepStatus::Waiting) },
                Because::Signal,
                format!("it waits for the signal \"approved\"; send it with `pawl run signal {nil} 'approved' --payload JSON`"),
            ),
            (
                LiveStep { awaits: Some("it's".into()), ..step(StepStatus::Waiting) },
                Because::Signal,
                format!("it waits for the signal \"it's\" for 2.5 s more; send it with `pawl run signal {nil} 'it'\\''s' --payload JSON`"),
            ),
            (
                LiveStep {
                    error: Some(br#"{"position":4,"message":"the replay left the journal at entry 4"}"#.to_vec()),
                    ..step(StepStatus::Parked)
                },
                Because::Person,
                "it is parked: the replay left the journal at entry 4".into(),
            ),
        ] {
            assert_eq!(explained(step), (because, message));
        }
    }

    #[test]
    fn the_summary_counts_and_an_unexplained_run_is_called_a_bug() {
        let pipeline =
            read(b"name = \"p\"\n[[step]]\nname = \"load\"\nplugin = \"p\"\n", Format::Toml, &Limits::default(), None)
                .unwrap();
        let say = |run: &RunRow, live: &[LiveStep]| explain(run, &pipeline, live, &[], None).summary;
        assert_eq!(
            say(&run(RunStatus::Running, 2), &[step(StepStatus::Running), step(StepStatus::Ready)]),
            "1 of 3 steps have ended; 1 executing, 1 in a queue"
        );
        assert_eq!(say(&run(RunStatus::Succeeded, 0), &[]), "the run has succeeded: nothing is left to do");
        assert!(say(&run(RunStatus::Running, 2), &[]).contains("this is a bug"));
        let failed = explain(&run(RunStatus::Failed, 0), &pipeline, &[], &[], Some("bad data")).summary;
        assert!(failed.starts_with("a person has failed the run: bad data; `pawl run retry "), "{failed}");
    }

    #[test]
    fn a_run_that_has_failed_says_by_what_and_how_it_is_opened_again() {
        let pipeline =
            read(b"name = \"p\"\n[[step]]\nname = \"load\"\nplugin = \"p\"\n", Format::Toml, &Limits::default(), None)
                .unwrap();
        let failed = StepRow {
            no: StepNo(0),
            status: StepStatus::Failed,
            component: None,
            attempts: 4,
            failures: 3,
            crashes: 0,
            fence: 4,
            worker: None,
            journal_length: 0,
            checkpoint_position: None,
            progress: None,
            progress_message: None,
            error: Some(br#"{"cause":"retry","message":"no\u001b[2J answer"}"#.to_vec()),
            ready_at_ms: None,
            due_at_ms: None,
            awaits: None,
            claimed_at_ms: None,
            started_at_ms: None,
            ended_at_ms: None,
        };
        let run = run(RunStatus::Failed, 0);
        let explanation = explain(&run, &pipeline, &[], &[failed], None);
        let id = run.id;
        assert_eq!(
            explanation.summary,
            format!(
                "the run has failed by its step `load`: no [2J answer, after 3 attempts; `pawl run retry {id}` opens it again"
            )
        );
        let reason = &explanation.reasons[0];
        assert_eq!((reason.because, reason.status), (Because::Failed, StepStatus::Failed));
        assert_eq!(reason.ways_out[0].command, format!("pawl run retry {id} --step load"));
    }
}
