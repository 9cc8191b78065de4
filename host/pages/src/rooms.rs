//! Pages that share a tab: a second row under the head leads from one to the other. Each tells what one route of the API answers,
//! and is offered to those whom that route is for.

use axum::http::Method;
use maud::{Markup, html};

use super::frame::Tab;
use super::visit::Visit;

/// One of them.
struct Room {
    tab: Tab,
    path: &'static str,
    name: &'static str,
    /// The API's, which it asks first.
    route: &'static str,
}

const fn operations(path: &'static str, name: &'static str, route: &'static str) -> Room {
    Room { tab: Tab::Operations, path, name, route }
}

const fn access(path: &'static str, name: &'static str, route: &'static str) -> Room {
    Room { tab: Tab::Access, path, name, route }
}

const ROOMS: [Room; 11] = [
    operations("/queues", "Queues", "/v1/queues"),
    operations("/workers", "Workers", "/v1/workers"),
    operations("/circuits", "Circuits", "/v1/circuits"),
    operations("/waits", "Waits", "/v1/waits"),
    operations("/incidents", "Incidents", "/v1/incidents"),
    operations("/recoveries", "Recoveries", "/v1/recoveries"),
    operations("/doctor", "Doctor", "/v1/doctor"),
    access("/access/tokens", "Tokens", "/v1/tokens"),
    access("/access/audit", "Changes", "/v1/audit"),
    access("/access/secrets", "Secrets", "/v1/secrets"),
    access("/access/namespaces", "Namespaces", "/v1/namespaces"),
];

fn of(visit: &Visit, tab: Tab) -> impl Iterator<Item = &'static Room> {
    ROOMS.iter().filter(move |room| room.tab == tab && visit.may(&Method::GET, room.route))
}

/// Where a tab leads to, if the visitor may see anything there.
pub(super) fn first(visit: &Visit, tab: Tab) -> Option<&'static str> {
    of(visit, tab).map(|room| room.path).next()
}

/// The way from one to the others.
pub(super) fn row(visit: &Visit, tab: Tab, here: &str) -> Markup {
    let label = if tab == Tab::Access { "Of access" } else { "Of operations" };
    html! {
        nav class="tabs" aria-label=(label) {
            @for room in of(visit, tab) {
                a href=(room.path) aria-current=[(room.path == here).then_some("page")] { (room.name) }
            }
        }
    }
}
