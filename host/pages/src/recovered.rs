//! How a takeover of a step is drawn, wherever it is: by its four stages, in their order, with their times from the end of the
//! lease on.

use maud::{Markup, html};
use pawl_api::types::{Recovery, RecoveryOutcome};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::look::{self, Look};
use super::times::{ago, duration};
use super::words::{count, name, run_id, worker_id};

/// Whether each record names its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// They are of one run, whose page it is.
    OneRun,
    AllRuns,
}

/// One after the other.
pub(super) fn records(all: &[Recovery], of: Of, now: i64) -> Markup {
    html! { ul class="needs" { @for recovery in all { (record(recovery, of, now)) } } }
}

fn record(recovery: &Recovery, of: Of, now: i64) -> Markup {
    let look = of_outcome(recovery.outcome);
    let step = utf8_percent_encode(&recovery.step, NON_ALPHANUMERIC);
    html! {
        li {
            (look.icon())
            div {
                p {
                    a class="row" href={ "/runs/" (recovery.run) "/steps/" (step) } { strong { (name(&recovery.step)) } }
                    @if of == Of::AllRuns {
                        " " a class="over" href={ "/runs/" (recovery.run) } { (run_id(recovery.run)) }
                    }
                    " " span class="muted" { (name(&recovery.pipeline)) ", " (look.word) ", lost with " (worker_id(recovery.worker)) }
                }
                ol class="stages" {
                    @for stage in stages(recovery) {
                        li class=(stage.class()) {
                            strong { (stage.name) }
                            span { (stage.when()) @if let Some(more) = &stage.more { ", " (more) } }
                        }
                    }
                }
            }
            span class="since" { (ago(recovery.taken_over_at_ms, now)) }
        }
    }
}

fn of_outcome(outcome: Option<RecoveryOutcome>) -> Look {
    match outcome {
        None => Look { word: "under way", class: "run", shape: "s-run" },
        Some(RecoveryOutcome::Recovered) => Look { word: "it goes on", ..look::GOOD },
        Some(RecoveryOutcome::Failed) => Look { word: "it was parked or failed since", ..look::BAD },
        Some(RecoveryOutcome::Stopped) => Look { word: "its run had failed by then", class: "idle", shape: "s-bar" },
        Some(RecoveryOutcome::Lost) => Look { word: "its replacement went, too", ..look::PARKED },
    }
}

/// One of the four.
#[derive(Debug, PartialEq, Eq)]
struct Stage {
    name: &'static str,
    /// Ms from the end of the lease on; none if it has not come to it.
    after_ms: Option<i64>,
    more: Option<String>,
}

impl Stage {
    fn class(&self) -> &'static str {
        if self.after_ms.is_some() { "done" } else { "open" }
    }

    fn when(&self) -> String {
        match self.after_ms {
            None => "not yet".to_owned(),
            Some(0) => "0 ms".to_owned(),
            Some(ms) => format!("+{}", duration(ms)),
        }
    }
}

/// Lease expired → checkpoint reload → replay → ready for dispatch.
fn stages(recovery: &Recovery) -> [Stage; 4] {
    let begun = recovery.lease_ended_at_ms.unwrap_or(recovery.taken_over_at_ms);
    let after = |at_ms: Option<i64>| at_ms.map(|at_ms| (at_ms - begun).max(0));
    let seen = (recovery.taken_over_at_ms - begun).max(0);
    let checkpoint = match recovery.checkpoint_position {
        Some(position) => format!("at entry {position}"),
        None => "none: from the start".to_owned(),
    };
    let entries = u64::from(recovery.replayed.unwrap_or(recovery.to_replay));
    [
        Stage { name: "Lease expired", after_ms: Some(0), more: Some(format!("taken over +{}", duration(seen))) },
        Stage { name: "Checkpoint reload", after_ms: after(recovery.reloaded_at_ms), more: Some(checkpoint) },
        Stage {
            name: "Replay",
            after_ms: after(recovery.replayed_at_ms),
            more: Some(count(entries, "entry", "entries")),
        },
        Stage { name: "Ready for dispatch", after_ms: after(recovery.ready_at_ms), more: None },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use pawl_domain::id::{RunId, WorkerId};

    #[test]
    fn stages_are_told_by_their_time_from_the_leases_end_and_what_has_not_come_is_open() {
        let recovery = Recovery {
            id: String::new(),
            run: RunId::new(),
            pipeline: "orders".into(),
            step: "load".into(),
            worker: WorkerId::new(),
            lease_ended_at_ms: Some(1_000),
            taken_over_at_ms: 1_080,
            checkpoint_position: Some(3),
            to_replay: 1,
            replacement: None,
            claimed_at_ms: None,
            reloaded_at_ms: Some(1_093),
            replayed_at_ms: Some(2_500),
            ready_at_ms: None,
            replayed: None,
            outcome: None,
        };
        let told = |recovery: &Recovery| stages(recovery).map(|stage| (stage.when(), stage.class()));
        let said = |words: &str, class| (words.to_owned(), class);
        assert_eq!(
            told(&recovery),
            [said("0 ms", "done"), said("+93 ms", "done"), said("+1.5 s", "done"), said("not yet", "open")]
        );
        let forgotten = Recovery { lease_ended_at_ms: None, ..recovery };
        assert_eq!(told(&forgotten)[1], said("+13 ms", "done"), "from the takeover on");
        let shown = |of| record(&forgotten, of, 2_000).into_string();
        let link = format!("href=\"/runs/{}\"", forgotten.run);
        assert!(shown(Of::AllRuns).contains(&link) && !shown(Of::OneRun).contains(&link));
        assert_eq!(of_outcome(Some(RecoveryOutcome::Lost)).class, "warn");
    }
}
