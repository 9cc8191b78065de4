//! Web pages for people who look after runs: HTML that is made here, of what the API answers. `pawl api` and `pawl dev`
//! serve them at `/`, `docs/pages.md` shows them.
//!
//! ```text
//!  browser ─▶ the API's doors ─▶ cookie ─▶ visit ─▶ page ─┬─▶ asks the API, in this process, with the visitor's token
//!                                  │ none                 └─▶ what it says, as HTML
//!                                  └─▶ /enter
//! ```
//!
//! There is no second way to do a thing: a page reads what a route of the API answers ([`pawl_api::Inside`]), and a
//! form becomes a request to one. So role, namespace, record and deadlines are those of the API, and what somebody may
//! not do is refused there; here it is only not offered. What guests have said is text: the templates escape all that
//! is not ours.
//!
//! Templates are `maud`'s: HTML in Rust, checked by the compiler, in no file and with no step of a build of its own;
//! what is put into it is escaped, and what is not has to be said (`PreEscaped`), which stands nowhere here.

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodRouter, get, post};
use pawl_api::{Front, Inside};

mod access;
mod acts;
mod assets;
mod builds;
mod changes;
mod charts;
mod dead;
mod enter;
mod entry;
mod export;
mod first;
mod forms;
mod frame;
mod graph;
mod json;
mod look;
mod operations;
mod overview;
mod pace;
mod panel;
mod pauses;
mod pipelines;
mod places;
mod plugins;
mod poison;
mod query;
mod recovered;
mod rooms;
mod rows;
mod run;
mod runs;
mod said;
mod shaped;
mod span;
mod strict;
mod times;
mod visit;
mod whose;
mod words;

pub use entry::Entry;
use pace::Pace;
use places::Places;

/// What all pages share; cheap to clone.
#[derive(Clone)]
struct Pages {
    inside: Inside,
    /// The way in that `pawl dev` prints.
    entry: Option<Entry>,
    pace: Pace,
    places: Places,
}

/// The pages, for an API that they stand beside. With an entry, whoever has its address is let in by it, once.
#[must_use]
pub fn front(entry: Option<Entry>) -> Front {
    Front::new(move |inside| {
        router(Pages { inside, entry: entry.clone(), pace: Pace::default(), places: Places::default() })
    })
}

/// One page, or several under one path.
struct Way {
    path: &'static str,
    /// Everybody may come here; else whoever may read.
    is_open: bool,
    methods: MethodRouter<Pages>,
}

/// All of them.
fn ways() -> Vec<Way> {
    let closed = |path, methods| Way { path, is_open: false, methods };
    let open = |path, methods| Way { path, is_open: true, methods };
    vec![
        closed("/", get(overview::show).post(first::begin)),
        closed("/runs", get(runs::show).post(runs::act)),
        closed("/runs/export", get(runs::export)),
        closed("/runs/{run}", get(run::show)),
        closed("/runs/{run}/events", get(run::events)),
        closed("/runs/{run}/logs", get(run::logs)),
        closed("/runs/{run}/steps/{step}", get(run::show_step)),
        closed("/runs/{run}/steps/{step}/replay", get(run::replay)),
        closed("/runs/{run}/{act}", post(forms::act)),
        closed("/dead-letters", get(dead::show).post(dead::act)),
        closed("/pipelines", get(pipelines::list)),
        closed("/pipelines/{pipeline}", get(pipelines::show)),
        closed("/pipelines/{pipeline}/{act}", post(pipelines::act)),
        closed("/plugins", get(plugins::list)),
        closed("/plugins/{plugin}", get(plugins::show)),
        closed("/plugins/{plugin}/{act}", post(plugins::act)),
        closed("/queues", get(operations::queues::show)),
        closed("/queues/{queue}", get(operations::queue::show).post(operations::queue::act)),
        closed("/workers", get(operations::workers::show)),
        closed("/workers/{worker}", get(operations::worker::show).post(operations::worker::act)),
        closed("/circuits", get(operations::circuits::show).post(operations::circuits::act)),
        closed("/waits", get(operations::waits::show)),
        closed("/incidents", get(operations::incidents::show)),
        closed("/recoveries", get(operations::recoveries::show)),
        closed("/doctor", get(operations::doctor::show)),
        closed("/access/tokens", get(access::tokens::show).post(access::tokens::act)),
        closed("/access/audit", get(access::audit::show)),
        closed("/access/audit/export", get(access::audit::export)),
        closed("/access/secrets", get(access::secrets::show)),
        closed("/access/namespaces", get(access::namespaces::show).post(access::namespaces::act)),
        closed("/namespace", post(whose::choose)),
        open("/enter", get(enter::show).post(enter::enter)),
        open("/leave", post(enter::leave)),
        open("/assets/{file}", get(assets::show)),
    ]
}

/// Their paths, each with whether everybody may come there; the others are for whoever may read.
#[must_use]
pub fn paths() -> Vec<(&'static str, bool)> {
    ways().iter().map(|way| (way.path, way.is_open)).collect()
}

fn router(pages: Pages) -> Router {
    let added = |ways: Vec<Way>| ways.into_iter().fold(Router::new(), |all, way| all.route(way.path, way.methods));
    let (open, closed): (Vec<_>, Vec<_>) = ways().into_iter().partition(|way| way.is_open);
    let closed = added(closed).layer(from_fn_with_state(pages.clone(), visit::find));
    closed.merge(added(open)).layer(from_fn(strict::tell)).with_state(pages)
}
