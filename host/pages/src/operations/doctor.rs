//! The doctor's checklist: what does not stand as it should first, each with what to do, and where.

use axum::response::Response;
use maud::{Markup, html};
use pawl_api::types::{Check, CheckStatus, Findings, Problem};

use super::{row, sheet};
use crate::frame::{Live, Sheet, part};
use crate::look::{self, Look};
use crate::pipelines;
use crate::visit::Visit;
use crate::words::{count, prose};

/// Between two looks: each asks for all of it.
const EVERY_MS: u32 = 10_000;

pub(crate) async fn show(visit: Visit) -> Response {
    visit.answer(page(&visit).await)
}

async fn page(visit: &Visit) -> Result<Sheet, Problem> {
    let found: Findings = visit.read("/v1/doctor").await?;
    let (well, mut ill): (Vec<&Check>, Vec<&Check>) =
        found.checks.iter().partition(|check| check.status < CheckStatus::Warn);
    // The worst first, else in their order.
    ill.sort_by_key(|check| std::cmp::Reverse(check.status));
    let main = html! {
        div class="head" { h1 { "Doctor" } }
        (row(visit, "/doctor"))
        (part("ill", "What to look at", &html! {
            @if ill.is_empty() { p class="calm" { (look::GOOD.icon()) "Nothing: all that was looked at is as it should be." } }
            @else { ul class="needs" { @for check in ill { (line(check)) } } }
        }))
        (part("well", &count(well.len() as u64, "thing is well", "things are well"), &html! {
            ul class="needs" { @for check in well { (line(check)) } }
        }))
        p class="muted" {
            code { "pawl doctor" } " looks at the same, from a terminal and while no API is there, and at more: the servers themselves, "
            "disks, certificates, and the invariants of the whole database."
        }
    };
    Ok(Sheet { live: Live::Every(EVERY_MS), ..sheet("Doctor", main) })
}

fn line(check: &Check) -> Markup {
    let place = place(check);
    html! {
        li {
            (look_of(check.status).icon())
            p {
                @match &place {
                    Some((path, _)) => a class="row" href=(path) { strong { (said(check)) } },
                    None => strong { (said(check)) },
                }
                " " (check.found)
                @if let Some(fix) = &check.fix { br; span class="muted" { (prose(fix)) } }
            }
            @if let Some((_, name)) = place { span class="since" { (name) } }
        }
    }
}

fn said(check: &Check) -> String {
    let name = check.check.replace('_', " ");
    match &check.subject {
        Some(subject) => format!("{name} {subject}"),
        None => name,
    }
}

fn look_of(status: CheckStatus) -> Look {
    match status {
        CheckStatus::Ok => look::GOOD,
        CheckStatus::Unknown => Look { word: "unknown", class: "idle", shape: "s-ring" },
        CheckStatus::Warn => look::PARKED,
        CheckStatus::Fail => look::BAD,
    }
}

/// Where it is looked after, and what that is called.
fn place(check: &Check) -> Option<(String, &'static str)> {
    let (path, name) = match (&*check.check, &check.subject) {
        ("queue", Some(queue)) => return Some((super::queue::path(queue), "Queue")),
        ("queues" | "queue" | "deliveries", _) => ("/queues", "Queues"),
        ("workers" | "worker_lease" | "workers_lost" | "worker_versions" | "worker_clocks", _) => {
            ("/workers", "Workers")
        }
        ("circuits" | "secrets" | "journals", _) => ("/circuits", "Circuits"),
        ("incidents", _) => ("/incidents", "Incidents"),
        ("stuck", _) => ("/runs?status=stuck", "Stuck runs"),
        ("parked", _) => ("/dead-letters", "Dead letters"),
        ("failed", _) => ("/runs?status=failed", "Failed runs"),
        ("paused", _) => return Some(place_of_pause(check)),
        _ => return None,
    };
    Some((path.to_owned(), name))
}

/// Where what is paused goes on: the one thing that is, else those of its kind.
fn place_of_pause(check: &Check) -> (String, &'static str) {
    let subject = check.subject.as_deref().unwrap_or_default();
    let count = |what: &str| check.figures.get(what).copied().unwrap_or(0);
    if let Some(queue) = subject.strip_prefix("queue ") {
        (super::queue::path(queue), "Queue")
    } else if let Some(pipeline) = subject.strip_prefix("pipeline ").filter(|name| !name.contains('/')) {
        (pipelines::path(pipeline), "Pipeline")
    } else if count("queues") > 0 {
        ("/queues".to_owned(), "Queues")
    } else if count("pipelines") > 0 {
        ("/pipelines".to_owned(), "Pipelines")
    } else {
        ("/runs?status=paused".to_owned(), "Paused runs")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_leads_to_where_it_is_looked_after() {
        let check = |check: &str, subject: Option<&str>| Check {
            check: check.to_owned(),
            subject: subject.map(str::to_owned),
            status: CheckStatus::Warn,
            found: String::new(),
            fix: None,
            figures: Default::default(),
        };
        let path = |name, subject| place(&check(name, subject)).map(|(path, _)| path);
        assert_eq!(path("queue", Some("gpu")).as_deref(), Some("/queues/gpu"));
        assert_eq!(path("worker_lease", Some("1f2e")).as_deref(), Some("/workers"));
        assert_eq!(path("schema", None), None);
        for (subject, leads_to) in [
            (Some("queue gpu"), "/queues/gpu"),
            (Some("pipeline orders"), "/pipelines/orders"),
            (Some("pipeline team-a/orders"), "/runs?status=paused"),
            (None, "/runs?status=paused"),
        ] {
            assert_eq!(path("paused", subject).as_deref(), Some(leads_to), "{subject:?}");
        }
        let mut several = check("paused", None);
        several.figures.insert("queues".to_owned(), 2);
        assert_eq!(place(&several).map(|(path, _)| path).as_deref(), Some("/queues"));
        assert_eq!(said(&check("worker_lease", Some("1f2e"))), "worker lease 1f2e");
    }
}
