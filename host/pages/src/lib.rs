//! Web pages for people who look after runs: HTML that is made here, of what the API answers. `pawl api` and `pawl dev` serve them
//! at `/`, `docs/pages.md` shows them.
//!
//! ```text
//!  browser ─▶ the API's doors ─▶ cookie ─▶ visit ─▶ page ─┬─▶ asks the API, in this process, with the visitor's token
//!                                  │ none                 └─▶ what it says, as HTML
//!                                  └─▶ /enter
//! ```
//!
//! There is no second way to do a thing: a page reads what a route of the API answers ([`pawl_api::Inside`]), and a form becomes a
//! request to one. So role, namespace, record and deadlines are those of the API, and what somebody may not do is refused there;
//! here it is only not offered. What guests have said is text: the templates escape all that is not ours.
//!
//! Templates are `maud`'s: HTML in Rust, checked by the compiler, in no file and with no step of a build of its own; what is put
//! into it is escaped, and what is not has to be said (`PreEscaped`), which stands nowhere here.

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodRouter, get, post};
use pawl_api::{Front, Inside};

mod acts;
mod assets;
mod charts;
mod enter;
mod entry;
mod forms;
mod frame;
mod json;
mod look;
mod overview;
mod rows;
mod run;
mod runs;
mod strict;
mod times;
mod visit;
mod words;

pub use entry::Entry;

/// What all pages share; cheap to clone.
#[derive(Clone)]
struct Pages {
    inside: Inside,
    /// The way in that `pawl dev` prints.
    entry: Option<Entry>,
}

/// The pages, for an API that they stand beside. With an entry, whoever has its address is let in by it, once.
#[must_use]
pub fn front(entry: Option<Entry>) -> Front {
    Front::new(move |inside| router(Pages { inside, entry: entry.clone() }))
}

/// Paths of pages, each with whether it is for everybody: the others want a visitor who may read.
pub const PATHS: [(&str, bool); 9] = [
    ("/", false),
    ("/runs", false),
    ("/runs/{run}", false),
    ("/runs/{run}/events", false),
    ("/runs/{run}/logs", false),
    ("/runs/{run}/{act}", false),
    ("/enter", true),
    ("/leave", true),
    ("/assets/{file}", true),
];

fn route(path: &str) -> MethodRouter<Pages> {
    match path {
        "/" => get(overview::show),
        "/runs" => get(runs::show),
        "/runs/{run}" => get(run::show),
        "/runs/{run}/events" => get(run::events),
        "/runs/{run}/logs" => get(run::logs),
        "/runs/{run}/{act}" => post(forms::act),
        "/enter" => get(enter::show).post(enter::enter),
        "/leave" => post(enter::leave),
        _ => get(assets::show),
    }
}

fn router(pages: Pages) -> Router {
    let of = |is_open: bool| {
        let paths = PATHS.iter().filter(move |(_, open)| *open == is_open);
        paths.fold(Router::new(), |all, (path, _)| all.route(path, route(path)))
    };
    let closed = of(false).layer(from_fn_with_state(pages.clone(), visit::find));
    closed.merge(of(true)).layer(from_fn(strict::tell)).with_state(pages)
}
