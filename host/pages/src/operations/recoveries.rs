//! Recoveries: each takeover of a step by its four stages, in their order, with their times from the end of the lease on.

use axum::response::Response;
use maud::{Markup, html};
use pawl_api::types::{Problem, Recovery, RecoveryList, RecoveryOutcome};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use url::form_urlencoded::Serializer;

use super::{row, sheet};
use crate::frame::Sheet;
use crate::look::{self, Look};
use crate::query::Query;
use crate::times::{ago, duration, now_ms};
use crate::visit::Visit;
use crate::words::{count, name};

/// Records on a page.
const PAGE: u32 = 30;

pub(crate) async fn show(visit: Visit, query: Query) -> Response {
    visit.answer(page(&visit, query.said("before")).await)
}

async fn page(visit: &Visit, before: Option<&str>) -> Result<Sheet, Problem> {
    let before_this = |before: &str| Serializer::new(String::new()).append_pair("before", before).finish();
    let asked = before.map(|before| format!("&{}", before_this(before))).unwrap_or_default();
    let list: RecoveryList = visit.read(&format!("/v1/recoveries?limit={PAGE}{asked}")).await?;
    let now = now_ms();
    let main = html! {
        div class="head" { h1 { "Recoveries" } }
        (row(visit, "/recoveries"))
        p class="muted" {
            "Steps whose worker was lost, and how each went on. Runs that nobody moves are in the list of "
            a href="/runs?status=stuck" { "stuck runs" } "."
        }
        div id="recoveries" data-live { (records(&list.recoveries, now)) }
        nav class="pager" aria-label="Pages of the list" {
            @if before.is_some() { a class="button" href="/recoveries" { "← Newest" } }
            @if let Some(next) = &list.next {
                a class="button" rel="next" href={ "/recoveries?" (before_this(next)) } { "Older →" }
            }
        }
    };
    Ok(sheet("Recoveries", main))
}

fn records(all: &[Recovery], now: i64) -> Markup {
    html! {
        @if all.is_empty() {
            div class="empty" { p { (look::GOOD.icon()) " No worker was lost while it had a step in hand." } }
        } @else {
            ul class="needs" { @for recovery in all { (record(recovery, now)) } }
        }
    }
}

fn record(recovery: &Recovery, now: i64) -> Markup {
    let look = of_outcome(recovery.outcome);
    let step = utf8_percent_encode(&recovery.step, NON_ALPHANUMERIC);
    html! {
        li {
            (look.icon())
            div {
                p {
                    a class="row" href={ "/runs/" (recovery.run) "/steps/" (step) } { strong { (name(&recovery.step)) } }
                    " " span class="muted" { (name(&recovery.pipeline)) ", " (look.word) }
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
        Some(RecoveryOutcome::Failed) => Look { word: "it came to nothing new: parked or failed", ..look::BAD },
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
        assert_eq!(of_outcome(Some(RecoveryOutcome::Lost)).class, "warn");
    }
}
