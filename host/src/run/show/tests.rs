//! What a step is said to do, to have done and to have cost.

use super::*;

/// A step of a run that has begun, with what differs from the usual one.
fn step(status: &str, more: serde_json::Value) -> Step {
    let mut usual = serde_json::json!({
        "name": "load", "status": status, "plugin": "load", "component": null, "needs": [], "queue": "default",
        "priority": "normal", "attempts": 1, "failures": 0, "crashes": 0, "fence": 1, "worker": null, "journal_length": 0,
        "checkpoint_position": null, "progress": null, "progress_message": null, "error": null, "ready_at_ms": null,
        "due_at_ms": null, "claimed_at_ms": null, "started_at_ms": 0, "ended_at_ms": null
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        usual[name] = value.clone();
    }
    serde_json::from_value(usual).expect("a step")
}

#[test]
fn a_note_says_why_a_step_stands_and_nothing_of_what_it_stood_by_before() {
    let error = serde_json::json!({"message": "503"});
    let soon = now_ms() + 90_500;
    for (status, more, expected) in [
        ("failed", serde_json::json!({"error": error}), "503"),
        ("parked", serde_json::json!({"error": error}), "503"),
        ("waiting", serde_json::json!({"error": error, "due_at_ms": soon}), "wakes in 1 min 30 s after: 503"),
        ("waiting", serde_json::json!({"due_at_ms": soon}), "wakes in 1 min 30 s"),
        ("waiting", serde_json::json!({"error": error, "awaits": "go"}), "waits for the signal \"go\""),
        ("running", serde_json::json!({"error": error}), ""),
        ("running", serde_json::json!({"error": error, "progress": 0.4, "progress_message": "row 4"}), "40 % row 4"),
        ("running", serde_json::json!({"progress_message": "row 4"}), "row 4"),
        ("ready", serde_json::json!({"error": error}), ""),
        ("succeeded", serde_json::json!({"error": error}), ""),
        ("skipped", serde_json::json!({"error": error}), ""),
    ] {
        assert_eq!(note(&step(status, more.clone())), expected, "{status} {more}");
    }
}

#[test]
fn attempts_are_those_that_the_retry_policy_counts_and_a_persons_output_is_none() {
    let of = |status: &str, attempts: u32, failures: u32, crashes: u32| {
        let error = (failures > 0).then(|| serde_json::json!({"message": "503"}));
        let counts =
            serde_json::json!({"attempts": attempts, "failures": failures, "crashes": crashes, "error": error});
        super::attempts(&step(status, counts))
    };
    for (status, counts, expected) in [
        ("running", (1, 0, 0), "1"),
        ("running", (3, 1, 1), "2 (1 failed, 1 crashed)"),
        ("waiting", (1, 1, 0), "1 (1 failed)"),
        ("failed", (3, 3, 0), "3 (3 failed)"),
        ("skipped", (3, 3, 0), "3 (3 failed)"),
        ("skipped", (5, 0, 5), "1 (5 crashed)"),
        ("succeeded", (2, 1, 0), "2 (1 failed)"),
    ] {
        assert_eq!(of(status, counts.0, counts.1, counts.2), expected, "{status}");
    }
    let never = step("blocked", serde_json::json!({"attempts": 0, "started_at_ms": null}));
    assert_eq!(super::attempts(&never), "0");
}

#[test]
fn a_step_that_waits_is_not_said_to_take_time() {
    let now_ms = now_ms();
    let at = |ago_ms: i64| now_ms - ago_ms;
    for (status, more, expected) in [
        ("succeeded", serde_json::json!({"started_at_ms": 1_000, "ended_at_ms": 3_500}), "2.5 s"),
        (
            "running",
            serde_json::json!({"started_at_ms": at(7_200_000), "claimed_at_ms": at(90_500)}),
            "1 min 30 s so far",
        ),
        ("running", serde_json::json!({"started_at_ms": null, "claimed_at_ms": at(90_500)}), "1 min 30 s so far"),
        ("waiting", serde_json::json!({"started_at_ms": at(90_500)}), "began 1 min 30 s ago"),
        ("parked", serde_json::json!({"started_at_ms": at(90_500)}), "began 1 min 30 s ago"),
        ("ready", serde_json::json!({"started_at_ms": null}), "-"),
    ] {
        assert_eq!(step_took(&step(status, more.clone())), expected, "{status} {more}");
    }
}

#[test]
fn times_of_a_history_are_exact_at_first_and_readable_later() {
    assert_eq!(
        [0, 1_234, 59_999, 60_000, 90_061_000].map(|ms| since(5, ms + 5)),
        ["+0.000 s", "+1.234 s", "+59.999 s", "+1 min", "+1 d 1 h"]
    );
}
