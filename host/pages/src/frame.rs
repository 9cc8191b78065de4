//! What is around each page: head, the way to the others, who is signed in, help for the keyboard. And the pages that
//! say what went wrong.

use axum::http::StatusCode;
use axum::response::{Html, IntoResponse as _, Response};
use maud::{DOCTYPE, Markup, html};
use pawl_api::types::Problem;

use super::assets::{ICON, SCRIPT, STYLE};
use super::look::SHAPES;
use super::visit::Visit;
use super::words::prose;
use super::{builds, rooms, whose};

/// The pages that the head leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tab {
    Overview,
    Runs,
    Dead,
    Pipelines,
    Plugins,
    /// Its pages are in [`rooms`].
    Operations,
    /// Likewise.
    Access,
}

impl Tab {
    const ALL: [(Self, &str, &str); 5] = [
        (Self::Overview, "/", "Overview"),
        (Self::Runs, "/runs", "Runs"),
        (Self::Dead, "/dead-letters", "Dead letters"),
        (Self::Pipelines, "/pipelines", "Pipelines"),
        (Self::Plugins, "/plugins", "Plugins"),
    ];
}

/// How a page that is open hears that something has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Live {
    /// It does not.
    No,
    /// It looks again after so many ms, later if many are open.
    Every(u32),
    /// The marks of a run's events tell it, by a path that has a query; it looks no more often than every so many ms.
    Events { path: String, pace_ms: u32 },
}

/// A page.
pub(super) struct Sheet {
    pub(super) title: String,
    pub(super) tab: Tab,
    pub(super) live: Live,
    pub(super) main: Markup,
}

/// A part of a page, with its name, that may change while it is looked at.
pub(super) fn part(id: &str, name: &str, content: &Markup) -> Markup {
    html! {
        section id=(id) aria-labelledby={ (id) "-title" } data-live {
            h2 id={ (id) "-title" } { (name) }
            (content)
        }
    }
}

/// The whole of it; of one that is only looked at again, what is in the middle.
pub(super) fn page(visit: &Visit, sheet: &Sheet) -> Response {
    let middle = middle(visit, sheet);
    if visit.is_part {
        return Html(middle.into_string()).into_response();
    }
    let signed_in = visit.who.name();
    let main = html! {
        header class="top" {
            a class="brand" href="/" aria-label="Pawl, overview" { (mark()) span { "Pawl" } }
            nav aria-label="Pages" {
                @for (tab, path, name) in Tab::ALL {
                    a href=(path) aria-current=[(tab == sheet.tab).then_some("page")] { (name) }
                }
                @for (tab, name) in [(Tab::Operations, "Operations"), (Tab::Access, "Access")] {
                    @if let Some(path) = rooms::first(visit, tab) {
                        a href=(path) aria-current=[(tab == sheet.tab).then_some("page")] { (name) }
                    }
                }
            }
            form class="find" action="/runs" role="search" {
                input type="search" name="id" placeholder="Find a run by id" pattern="[0-9A-Fa-f\\-]+"
                    aria-label="Find a run by the first digits of its id" autocomplete="off" spellcheck="false";
                kbd aria-hidden="true" { "/" }
            }
            (whose::switch(visit, path_of(visit, sheet.tab)))
            @if let Some(name) = signed_in {
                form class="who" method="post" action="/leave" {
                    span title={ "Signed in with the token “" (name) "”, whose role is " (visit.who.role()) } {
                        (name) " " small { (visit.who.role()) }
                    }
                    button class="quiet" { "Sign out" }
                }
            }
        }
        (middle)
        (help())
    };
    Html(document(&sheet.title, &main).into_string()).into_response()
}

/// Where a tab leads to.
fn path_of(visit: &Visit, tab: Tab) -> &'static str {
    let known = Tab::ALL.into_iter().find(|(one, ..)| *one == tab).map(|(_, path, _)| path);
    known.or_else(|| rooms::first(visit, tab)).unwrap_or("/")
}

fn middle(visit: &Visit, sheet: &Sheet) -> Markup {
    let pace = |wished_ms| visit.pages.pace.of(wished_ms, visit.begun.elapsed());
    let (every, events, pace) = match &sheet.live {
        Live::No => (None, None, None),
        Live::Every(ms) => (Some(pace(*ms)), None, None),
        Live::Events { path, pace_ms } => {
            let pace = pace(*pace_ms);
            // Ages go on where nothing happens.
            (Some(pace.max(10_000)), Some(format!("{path}&marks_every_ms={pace}")), Some(pace))
        }
    };
    // Where something is built, each page tells it.
    let every = if visit.around.builds.is_some() {
        Some(every.unwrap_or(builds::EVERY_MS).min(builds::EVERY_MS))
    } else {
        every
    };
    html! {
        main id="main" tabindex="-1" data-every=[every] data-events=[events] data-pace=[pace] {
            @if let Some(list) = &visit.around.builds { (builds::note(list)) }
            (sheet.main)
        }
    }
}

/// A page for whoever is not signed in.
pub(super) fn bare(title: &str, main: &Markup, status: StatusCode) -> Response {
    let main = html! {
        header class="top" { a class="brand" href="/" aria-label="Pawl, overview" { (mark()) span { "Pawl" } } }
        main id="main" tabindex="-1" { (main) }
    };
    (status, Html(document(title, &main).into_string())).into_response()
}

/// Says what the API has refused, or could not do, in its words.
pub(super) fn trouble(visit: Option<&Visit>, problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let main = html! {
        div class="enter" {
            p class="code" { (problem.status) }
            h1 { (problem.title) }
            p { (prose(&problem.detail)) }
            @if let Some(namespace) = visit.and_then(|visit| visit.who.meant()) {
                p class="muted" { "These pages are about the namespace “" (namespace) "”." }
            }
            p { a class="button" href="/" { "Overview" } " " a class="button" href="/runs" { "Runs" } }
        }
    };
    let Some(visit) = visit else { return bare(&problem.title, &main, status) };
    let live = if problem.status == 503 { Live::Every(2_000) } else { Live::No };
    let sheet = Sheet { title: problem.title.clone(), tab: Tab::Overview, live, main };
    (status, page(visit, &sheet)).into_response()
}

/// Leads on to a path of ours, as from a page of ours: a browser then sends the session along.
pub(super) fn step_over(to: &str) -> Response {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { "Pawl" }
                link rel="icon" href=(ICON.path);
                meta http-equiv="refresh" content={ "0;url=" (to) };
            }
            body { p { a href=(to) { "Go on" } } }
        }
    };
    Html(page.into_string()).into_response()
}

fn document(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · Pawl" }
                link rel="icon" href=(ICON.path) type="image/svg+xml";
                link rel="stylesheet" href=(STYLE.path);
                script defer src=(SCRIPT.path) {}
            }
            body {
                a class="skip" href="#main" { "Skip to content" }
                (SHAPES.sprite())
                (body)
                div id="said" class="unseen" role="status" aria-live="polite" {}
            }
        }
    }
}

/// A tooth of a wheel, and the pawl that keeps it from going back.
fn mark() -> Markup {
    html! {
        svg class="mark" viewBox="0 0 24 24" aria-hidden="true" {
            path d="M3 20a9 9 0 0 1 14-11l-1 4 4-1a9 9 0 0 1 1 8z" {}
            path d="M13 2l9 5-3 3z" {}
        }
    }
}

fn help() -> Markup {
    let keys = [
        ("/", "find a run"),
        ("j k", "next row, row before"),
        ("Enter", "open it"),
        ("g o", "overview"),
        ("g r", "runs"),
        ("g d", "dead letters"),
        ("g p", "pipelines"),
        ("g l", "plugins"),
        ("g q", "queues"),
        ("?", "this help"),
        ("Esc", "close, leave a field"),
    ];
    html! {
        dialog id="help" aria-labelledby="help-title" {
            h2 id="help-title" { "Keyboard" }
            dl { @for (key, what) in keys { dt { kbd { (key) } } dd { (what) } } }
            form method="dialog" { button class="button" { "Close" } }
        }
    }
}
