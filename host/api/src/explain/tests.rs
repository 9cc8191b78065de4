//! What explanations say.

use pawl_domain::id::{RunId, StepNo, WorkerId};
use pawl_domain::limits::Limits;
use pawl_domain::pipeline::Priority;
use pawl_domain::pipeline_file::{Format, read};

use super::*;

fn run(status: RunStatus, live_steps: u32) -> RunRow {
    RunRow { id: RunId(uuid::Uuid::nil()), step_count: 3, live_steps, ..RunRow::example(status) }
}

fn nothing_paused() -> (&'static [Pause], &'static Namespace) {
    static HERE: std::sync::LazyLock<Namespace> = std::sync::LazyLock::new(Namespace::default);
    (&[], &*HERE)
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
        down: None,
        doing: None,
        now_ms: 10_000,
    }
}

fn doing(failures: u32, checkpoint_position: Option<u32>) -> Doing {
    Doing {
        failures,
        claimed_at_ms: 6_500,
        journal_length: 150,
        checkpoint_position,
        progress: Some(0.4),
        progress_message: Some("row 4".into()),
    }
}

fn down(retry_at_ms: i64) -> DownHost {
    let (origin, reason) = ("http://pay:80".into(), "it answered 503".into());
    DownHost { origin, reason, opened_at_ms: 3_000, retry_at_ms }
}

fn explained(step: LiveStep) -> (Because, String) {
    let text = b"name = \"p\"\n[[step]]\nname = \"load\"\nplugin = \"p\"\n";
    let pipeline = read(text, Format::Toml, &Limits::default(), None).unwrap();
    let explanation = explain(&run(RunStatus::Running, 1), &pipeline, &[step], &[], None, nothing_paused());
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
            LiveStep { doing: Some(doing(1, Some(120))), ..step(StepStatus::Running) },
            Because::Lease,
            format!("worker {nil} executes it, for 3.5 s in attempt 2; it says 40 %, row 4; its last checkpoint is at entry 120 of 150; its lease is good for 4.0 s, unless it is renewed before"),
        ),
        (
            LiveStep {
                doing: Some(Doing { progress: None, progress_message: None, ..doing(0, None) }),
                ..step(StepStatus::Running)
            },
            Because::Lease,
            format!("worker {nil} executes it, for 3.5 s in attempt 1; it has 150 journal entries and no checkpoint; its lease is good for 4.0 s, unless it is renewed before"),
        ),
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
            LiveStep { down: Some(down(12_500)), ..step(StepStatus::Waiting) },
            Because::Circuit,
            "http://pay:80 has been down for 7.0 s (it answered 503): it is probed in 2.5 s, and the step goes on when it answers".into(),
        ),
        (
            LiveStep { down: Some(down(10_000)), ..step(StepStatus::Waiting) },
            Because::Circuit,
            "http://pay:80 has been down for 7.0 s (it answered 503): it is being probed, and the step goes on when it answers".into(),
        ),
        (
            LiveStep {
                down: Some(DownHost { origin: "secret:token".into(), reason: "no value here".into(), ..down(12_500) }),
                ..step(StepStatus::Waiting)
            },
            Because::Secret,
            "it waits for a worker that has the secret `token`, which the first that was asked for it, 7.0 s ago, had not (no value here): then it goes on by itself".into(),
        ),
        (
            LiveStep {
                down: Some(DownHost { origin: "journal:1.15".into(), reason: "it is newer".into(), ..down(12_500) }),
                ..step(StepStatus::Waiting)
            },
            Because::Version,
            "it waits for a worker of a newer version of Pawl, as the first that was asked, 7.0 s ago, was not (it is newer): upgrade the workers, then it goes on by itself".into(),
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
    let say = |run: &RunRow, live: &[LiveStep]| explain(run, &pipeline, live, &[], None, nothing_paused()).summary;
    assert_eq!(
        say(&run(RunStatus::Running, 2), &[step(StepStatus::Running), step(StepStatus::Ready)]),
        "1 of 3 steps have ended; 1 executing, 1 in a queue"
    );
    assert_eq!(say(&run(RunStatus::Succeeded, 0), &[]), "the run has succeeded: nothing is left to do");
    assert!(say(&run(RunStatus::Running, 2), &[]).contains("this is a bug"));
    let failed = explain(&run(RunStatus::Failed, 0), &pipeline, &[], &[], Some("bad data"), nothing_paused()).summary;
    assert!(failed.starts_with("a person has failed the run: bad data; `pawl run retry "), "{failed}");
}

fn failed_step() -> StepRow {
    StepRow {
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
    }
}

fn rejected(number: u32, name: &str, by: i32) -> SignalRow {
    SignalRow {
        number,
        name: name.into(),
        key: None,
        size_bytes: 4,
        sent_at_ms: 0,
        state: pawl_domain::decision::SignalState::Rejected,
        rejected_by: Some(StepNo(by)),
        error: Some(br#"{"cause":"fatal","message":"`by` is missing"}"#.to_vec()),
    }
}

#[test]
fn a_signal_that_was_rejected_is_told_to_the_step_that_waits_and_to_the_one_that_failed_by_it() {
    let text = b"name = \"p\"\n[[step]]\nname = \"load\"\nplugin = \"p\"\n";
    let pipeline = read(text, Format::Toml, &Limits::default(), None).unwrap();
    let told = |live: &[LiveStep], failed: &[StepRow]| {
        let mut explanation = explain(&run(RunStatus::Running, 1), &pipeline, live, failed, None, nothing_paused());
        let signals = [rejected(3, "approved", 0), rejected(4, "approved", 0), rejected(5, "paid", 7)];
        name_rejected(&mut explanation, live, failed, &signals);
        explanation.reasons.into_iter().next().unwrap()
    };
    let waits = LiveStep { awaits: Some("approved".into()), due_at_ms: None, ..step(StepStatus::Waiting) };
    let reason = told(&[waits], &[]);
    let says =
        "; the newest of 2 signals, 4, of that name was rejected, since a step has failed by it: `by` is missing";
    assert!(reason.message.ends_with(says), "{}", reason.message);
    assert!(reason.ways_out[0].command.starts_with("pawl run inbox return "), "{:?}", reason.ways_out);

    let by_signal = StepRow { error: rejected(4, "approved", 0).error, ..failed_step() };
    let reason = told(&[], &[failed_step()]);
    assert!(!reason.message.contains("signal"), "it has failed by another thing since: {}", reason.message);
    let reason = told(&[], &[by_signal]);
    let says = "; it failed by signal 4, \"approved\", which is rejected: a retry waits for another one";
    assert!(reason.message.ends_with(says), "{}", reason.message);
    let command = &reason.ways_out[0].command;
    assert!(command.starts_with("pawl run inbox replace ") && command.ends_with(" 4 --payload JSON"), "{command}");
}

#[test]
fn a_run_that_has_failed_says_by_what_and_how_it_is_opened_again() {
    let pipeline =
        read(b"name = \"p\"\n[[step]]\nname = \"load\"\nplugin = \"p\"\n", Format::Toml, &Limits::default(), None)
            .unwrap();
    let failed = failed_step();
    let run = run(RunStatus::Failed, 0);
    let explanation = explain(&run, &pipeline, &[], &[failed], None, nothing_paused());
    let id = run.id;
    assert_eq!(
        explanation.summary,
        format!(
            "the run has failed by its step `load`: no [2J answer, after 3 attempts; `pawl run retry {id}` opens it again"
        )
    );
    let reason = &explanation.reasons[0];
    assert_eq!((reason.because, reason.status), (Because::Failed, StepStatus::Failed));
    assert_eq!(reason.ways_out[0].command, format!("pawl run retry {id} load"));
}
