//! Takeovers of a run's steps, with how long each stage of the way back has taken.

use maud::{Markup, html};
use pawl_api::types::{Recovery, RecoveryList, RecoveryOutcome, RunSummary};

use crate::look::{self, Look};
use crate::rows::columns;
use crate::times::{ago, duration};
use crate::visit::Visit;
use crate::words::{count, name, worker_id};

/// Records that are shown, the last ones.
const SHOWN: u32 = 10;

/// The table, if there is any.
pub(super) async fn table(visit: &Visit, run: &RunSummary, now: i64) -> Option<Markup> {
    let list: RecoveryList = visit.read(&format!("/v1/recoveries?run={}&limit={SHOWN}", run.id)).await.ok()?;
    (!list.recoveries.is_empty()).then(|| drawn(&list, now))
}

const COLUMNS: [(&str, &str); 8] = [
    ("Step", ""),
    ("Outcome", ""),
    ("Lost with", "wide"),
    ("Seen", "num"),
    ("Claimed", "num"),
    ("Checkpoint", "num wide"),
    ("Replayed", "num"),
    ("Goes on", "num"),
];

fn drawn(list: &RecoveryList, now: i64) -> Markup {
    html! {
        table class="rows" {
            (columns(&COLUMNS))
            tbody { @for recovery in &list.recoveries { (row(recovery, now)) } }
        }
        p class="muted" { "Each stage with what it took after the one before, from the end of the lease to the first new call." }
        @if list.next.is_some() { p class="muted" { "The last " (SHOWN) "; there are more." } }
    }
}

fn row(recovery: &Recovery, now: i64) -> Markup {
    let [seen, claimed, reloaded, replayed, ready] = stages(recovery);
    let told = |ms: Option<i64>| ms.map_or_else(|| "–".to_owned(), duration);
    html! {
        tr {
            th scope="row" { (name(&recovery.step)) }
            td { div class="stands" { (of_outcome(recovery.outcome).chip()) span class="muted" { (ago(recovery.taken_over_at_ms, now)) } } }
            td class="wide" { (worker_id(recovery.worker)) }
            td class="num" { (told(seen)) }
            td class="num" { (told(claimed)) }
            td class="num wide" { (told(reloaded)) }
            td class="num" title=(count(recovery.replayed.unwrap_or(0).into(), "entry", "entries")) { (told(replayed)) }
            td class="num" { (told(ready)) }
        }
    }
}

/// What each stage has taken after the last one before it that is known: until the takeover, the claim, the checkpoint, the end
/// of the replay, the first new call.
fn stages(recovery: &Recovery) -> [Option<i64>; 5] {
    let mut before = recovery.lease_ended_at_ms;
    [
        Some(recovery.taken_over_at_ms),
        recovery.claimed_at_ms,
        recovery.reloaded_at_ms,
        recovery.replayed_at_ms,
        recovery.ready_at_ms,
    ]
    .map(|at| {
        let took = at.zip(before).map(|(at, before)| (at - before).max(0));
        before = at.or(before);
        took
    })
}

fn of_outcome(outcome: Option<RecoveryOutcome>) -> Look {
    let (look, word) = match outcome {
        None => (Look { class: "run", shape: "s-run", word: "" }, "on its way"),
        Some(RecoveryOutcome::Recovered) => (look::GOOD, "recovered"),
        Some(RecoveryOutcome::Failed) => (look::FAILED, "failed"),
        Some(RecoveryOutcome::Stopped) => (Look { class: "idle", shape: "s-bar", word: "" }, "stopped"),
        Some(RecoveryOutcome::Lost) => (look::PARKED, "lost again"),
    };
    Look { word, ..look }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01890000-0000-7000-8000-000000000000";

    #[test]
    fn a_stage_takes_what_has_passed_since_the_last_one_that_is_known() {
        let recovery = Recovery {
            id: String::new(),
            run: ID.parse().unwrap(),
            pipeline: "load".into(),
            step: "parse".into(),
            worker: ID.parse().unwrap(),
            lease_ended_at_ms: Some(100),
            taken_over_at_ms: 110,
            checkpoint_position: None,
            to_replay: 3,
            replacement: None,
            claimed_at_ms: Some(130),
            reloaded_at_ms: None,
            replayed_at_ms: Some(160),
            ready_at_ms: None,
            replayed: Some(3),
            outcome: None,
        };
        assert_eq!(stages(&recovery), [Some(10), Some(20), None, Some(30), None]);
        let forgotten = Recovery { lease_ended_at_ms: None, ..recovery };
        assert_eq!(stages(&forgotten)[..2], [None, Some(20)]);
    }
}
