//! The signals of a run that no step has: those that wait for one, and those by which one has failed, with what can be done
//! about them.

use maud::{Markup, html};
use pawl_api::types::{Inbox, InboxSignal, RunSummary};

use crate::acts;
use crate::look::{self, Look};
use crate::rows::columns;
use crate::said;
use crate::times::ago;
use crate::visit::Visit;
use crate::words::{cut, figure, name};

/// Signals that are shown.
const SHOWN: u32 = 20;

/// Letters of an error.
const ERROR: usize = 200;

/// They wait for a step that asks for them.
const WAITS: Look = Look { class: "idle", shape: "s-ring", word: "waits" };

/// The table, if there is any; or why it can't be had.
pub(super) async fn table(visit: &Visit, run: &RunSummary, now: i64) -> Option<Markup> {
    match visit.read::<Inbox>(&format!("/v1/runs/{}/inbox?limit={SHOWN}", run.id)).await {
        Ok(inbox) => (!inbox.signals.is_empty()).then(|| drawn(visit, run, &inbox, now)),
        Err(problem) => Some(said::unread("Signals", &problem, !run.status.is_ended())),
    }
}

fn drawn(visit: &Visit, run: &RunSummary, inbox: &Inbox, now: i64) -> Markup {
    html! {
        table class="rows" {
            (columns(&[("No.", "num wide"), ("Signal", ""), ("State", ""), ("Bytes", "num wide"), ("Sent", "num"), ("What can be done", "")]))
            tbody { @for signal in &inbox.signals { (row(visit, run, signal, now)) } }
        }
        @if inbox.next.is_some() { p class="muted" { "The first " (SHOWN) "; there are more." } }
    }
}

fn row(visit: &Visit, run: &RunSummary, signal: &InboxSignal, now: i64) -> Markup {
    html! {
        tr {
            td class="num wide muted" { (signal.number) }
            th scope="row" {
                (name(&signal.name))
                @if let Some(key) = &signal.idempotency_key { " " span class="muted" { (name(key)) } }
            }
            td {
                div class="stands" {
                    @match &signal.rejected {
                        Some(rejected) => {
                            (Look { word: "rejected", ..look::FAILED }.chip())
                            span class="says" {
                                "by " (rejected.step)
                                @if let Some(message) = rejected.error.get("message").and_then(|message| message.as_str()) {
                                    ": " (cut(message, ERROR))
                                }
                            }
                        },
                        None => (WAITS.chip()),
                    }
                }
            }
            td class="num wide" { (figure(signal.size_bytes)) }
            td class="num" { (ago(signal.sent_at_ms, now)) }
            td { (acts::of_signal(visit, run.id, signal)) }
        }
    }
}
