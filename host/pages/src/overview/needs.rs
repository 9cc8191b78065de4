//! What needs a person, the worst first: what is down, what stands still, what is paused, what nobody serves, what has died and of
//! which cause.

use maud::{Markup, html};
use pawl_api::types::{Circuit, DeadLetterGroup, Incident, IncidentKind, QueueDemand};
use pawl_domain::decision::circuit::secret_in;

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
    let circuits: &[Circuit] = known.circuits.as_ref().map_or(&[], |list| &list.circuits);
    let queues = known.demand.iter().flat_map(|demand| &demand.queues);
    let alone: Vec<&QueueDemand> = queues.filter(|queue| queue.backlog > 0 && queue.workers == 0).collect();
    let since = |queue: &QueueDemand| open.iter().find(|it| is_of_queue(it, queue)).map(|it| it.began_at_ms);
    // What the list of queues or of circuits tells as it is now, is not told a second time as it began.
    let is_told = |incident: &Incident| match incident.kind {
        IncidentKind::WorkersNone => alone.iter().any(|queue| is_of_queue(incident, queue)),
        IncidentKind::CircuitOpened => circuits.iter().any(|circuit| circuit.origin == incident.subject),
        _ => false,
    };
    let others: Vec<&Incident> = open.iter().copied().filter(|incident| !is_told(incident)).collect();
    let is_calm = groups.is_empty() && open.is_empty() && circuits.is_empty() && stuck == 0 && alone.is_empty();
    if is_calm && known.paused.is_empty() {
        return html! {
            // What could not be read may need somebody.
            @if known.unread.is_empty() {
                p class="calm" { (look::GOOD.icon()) "Nothing: all that has begun goes on by itself." }
            }
        };
    }
    html! {
        ul class="needs" {
            @for incident in others.iter().take(ROWS) { (down(incident, now)) }
            @for circuit in circuits.iter().take(ROWS) { (unreached(circuit, now)) }
            (more("/circuits", circuits.len().saturating_sub(ROWS), "circuit", "circuits"))
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
            @for queue in alone.iter().take(ROWS) { (unserved(queue, since(queue), now)) }
            @for group in groups.iter().take(ROWS) { (dead(group, now)) }
            (more("/dead-letters", groups.len().saturating_sub(ROWS), "cause", "causes"))
        }
    }
}

/// Where those are that have no row.
pub(super) fn more(path: &str, left: usize, one: &str, many: &str) -> Markup {
    html! {
        @if left > 0 {
            li {
                span {}
                p { a class="row" href=(path) { "… and " (count(left as u64, one, many)) " more" } }
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
                // Who has seen first that nobody serves a queue, helps nobody here.
                @if incident.kind != IncidentKind::WorkersNone { span class="muted" { " " (cut(&incident.detail, CAUSE)) } }
            }
            span class="since" { (ago(incident.began_at_ms, now)) }
        }
    }
}

fn is_of_queue(incident: &Incident, queue: &QueueDemand) -> bool {
    incident.kind == IncidentKind::WorkersNone && incident.subject == queue.queue
}

/// A host that is down, or a secret that workers lack, and what waits for it.
fn unreached(circuit: &Circuit, now: i64) -> Markup {
    let waits = u64::from(circuit.deferred);
    html! {
        li {
            (look::BAD.icon())
            p {
                @if let Some(secret) = secret_in(&circuit.origin) {
                    "A worker lacks the secret " a class="row" href="/circuits" { strong { (name(secret)) } }
                } @else {
                    a class="row" href="/circuits" { strong { (name(&circuit.origin)) } }
                    @if circuit.origin.contains("://") { " is down" } @else { " is lacking" }
                }
                @if waits > 0 { ": " (count(waits, "step waits", "steps wait")) }
                span class="muted" { "; " (cut(&circuit.reason, CAUSE)) }
            }
            span class="since" { (ago(circuit.since_ms, now)) }
        }
    }
}

/// Since when it is so, is known once it is an incident.
fn unserved(queue: &QueueDemand, since_ms: Option<i64>, now: i64) -> Markup {
    html! {
        li {
            (look::PARKED.icon())
            p {
                "No worker serves the queue " a class="row" href=(path_of_queue(&queue.queue)) { strong { (queue.queue) } } ", where " (count(queue.backlog, "step waits", "steps wait"))
                ": " code { "pawl worker --queues " (queue.queue) }
            }
            @if let Some(since) = since_ms { span class="since" { (ago(since, now)) } }
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

#[cfg(test)]
mod tests {
    use pawl_api::types::CircuitState;

    use super::*;

    #[test]
    fn a_queue_that_nobody_serves_is_told_with_its_remedy_from_the_first_moment_on() {
        let queue = QueueDemand { queue: "gpu".to_owned(), backlog: 4, running: 0, steps: 4, workers: 0, slots: 0 };
        let incident = Incident {
            id: 1,
            kind: IncidentKind::WorkersNone,
            subject: "gpu".to_owned(),
            detail: "seen by an API on vm".to_owned(),
            steps: None,
            began_at_ms: 0,
            ended_at_ms: None,
        };
        assert!(is_of_queue(&incident, &queue));
        let said = |since| unserved(&queue, since, 120_000).into_string();
        for since in [None, Some(0)] {
            assert!(said(since).contains("4 steps wait: <code>pawl worker --queues gpu</code>"), "{}", said(since));
        }
        assert!(said(Some(0)).contains("2 min ago") && !said(None).contains("ago"));
        assert!(!down(&incident, 1).into_string().contains("seen by"));
    }

    #[test]
    fn a_host_that_is_down_is_told_with_what_waits_for_it() {
        let circuit = |origin: &str, deferred| Circuit {
            origin: origin.to_owned(),
            state: CircuitState::Open,
            reason: "status 503".to_owned(),
            failures: 5,
            since_ms: 0,
            opened_by: None,
            retry_at_ms: 1,
            probed_by: None,
            deferred,
        };
        let said = |origin, deferred| unreached(&circuit(origin, deferred), 120_000).into_string();
        let host = said("http://pay:80", 24);
        assert!(host.contains("href=\"/circuits\"") && host.contains(" is down: 24 steps wait"), "{host}");
        assert!(host.contains("status 503") && host.contains("2 min ago"), "{host}");
        assert!(said("secret:BANK", 0).contains("A worker lacks the secret"));
    }
}
