//! What needs a person, the worst first: what is down, what stands still, what is paused, what nobody serves, what has died and of
//! which cause.

use maud::{Markup, html};
use pawl_api::types::{DeadLetterGroup, Incident, IncidentKind, QueueDemand};

use super::Known;
use crate::look;
use crate::operations::incidents::words;
use crate::operations::queue::path as path_of_queue;
use crate::times::ago;
use crate::words::{count, cut, figure, name};

/// Rows of one kind.
const ROWS: usize = 6;

/// Letters of a cause.
const CAUSE: usize = 140;

pub(super) fn list(known: &Known, now: i64) -> Markup {
    let groups: &[DeadLetterGroup] = known.groups.as_ref().map_or(&[], |list| &list.groups);
    let incidents = known.incidents.iter().flat_map(|list| &list.incidents);
    let open: Vec<&Incident> = incidents.filter(|incident| incident.ended_at_ms.is_none()).collect();
    let stuck = known.stuck.as_ref().map_or(0, |list| list.runs.len());
    let is_told = |queue: &str| open.iter().any(|it| it.kind == IncidentKind::WorkersNone && it.subject == queue);
    let queues = known.demand.iter().flat_map(|demand| &demand.queues);
    let alone: Vec<&QueueDemand> =
        queues.filter(|queue| queue.backlog > 0 && queue.workers == 0 && !is_told(&queue.queue)).collect();
    if groups.is_empty() && open.is_empty() && stuck == 0 && alone.is_empty() && known.paused.is_empty() {
        return html! {
            // What could not be read may need somebody.
            @if known.unread.is_empty() {
                p class="calm" { (look::GOOD.icon()) "Nothing: all that has begun goes on by itself." }
            }
        };
    }
    html! {
        ul class="needs" {
            @for incident in open.iter().take(ROWS) { (down(incident, now)) }
            @if stuck > 0 {
                li {
                    (look::PARKED.icon())
                    p {
                        a class="row" href="/runs?status=stuck" {
                            (count(stuck as u64, "run stands still", "runs stand still"))
                        }
                        span class="muted" { ": nobody moves what has begun" }
                    }
                }
            }
            (known.paused.rows(now))
            @for queue in alone.iter().take(ROWS) { (unserved(queue)) }
            @for group in groups.iter().take(ROWS) { (dead(group, now)) }
            @if groups.len() > ROWS {
                li {
                    span {}
                    p {
                        a class="row" href="/dead-letters" {
                            "… and " (count((groups.len() - ROWS) as u64, "cause", "causes")) " more"
                        }
                    }
                }
            }
        }
    }
}

fn down(incident: &Incident, now: i64) -> Markup {
    html! {
        li {
            (look::BAD.icon())
            p {
                a class="row" href="/incidents" { strong { (words(incident.kind)) } } " " (name(&incident.subject))
                span class="muted" { " " (cut(&incident.detail, CAUSE)) }
            }
            span class="since" { (ago(incident.began_at_ms, now)) }
        }
    }
}

fn unserved(queue: &QueueDemand) -> Markup {
    html! {
        li {
            (look::PARKED.icon())
            p {
                "No worker serves the queue " a class="row" href=(path_of_queue(&queue.queue)) { strong { (queue.queue) } } ", where " (count(queue.backlog, "step waits", "steps wait"))
                ": " code { "pawl worker --queues " (queue.queue) }
            }
        }
    }
}

/// Steps that died of one cause.
fn dead(group: &DeadLetterGroup, now: i64) -> Markup {
    let (look, state) = if group.failed > 0 { (look::BAD, "failed") } else { (look::PARKED, "parked") };
    let many = u64::from(group.failed + group.parked);
    let more = if group.more { "+" } else { "" };
    html! {
        li {
            (look.icon())
            p {
                a class="row" href={ "/dead-letters?group=" (group.group) } {
                    strong { (group.pipeline) " / " (group.step) }
                }
                " " span title=(group.cause) { (cut(&group.cause, CAUSE)) }
            }
            span class="since" { strong { (figure(many)) (more) } " " (state) ", " (ago(group.newest_at_ms, now)) }
        }
    }
}
