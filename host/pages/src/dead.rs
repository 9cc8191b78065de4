//! Dead letters: steps that have failed for good or are parked, by their cause. What can be done about all of one cause is in
//! `verbs.rs`, and is done in `act.rs`.

use axum::http::Method;
use axum::response::Response;
use maud::{Markup, html};
use pawl_api::types::{DeadLetter, DeadLetterGroup, DeadLetterGroupList, DeadLetterList, DeadLetterState, Problem};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::frame::{Live, Sheet, Tab, part};
use super::look::{self, Look};
use super::query::Query;
use super::rows::columns;
use super::times::{ago, now_ms};
use super::visit::Visit;
use super::words::{cut, figure, name};

mod act;
mod target;
mod verbs;
mod versions;

pub(super) use act::act;
use target::Target;

/// The route that it asks.
const ROUTE: &str = "/v1/dead-letters";

/// Letters of a group that are listed, groups, and letters of a cause's text.
const LISTED: u32 = 40;
const GROUPS: u32 = 100;
const CAUSE: usize = 300;

pub(super) async fn show(visit: Visit, query: Query) -> Response {
    let which = query.all().find_map(|(name, value)| Which::of(name, value));
    visit.answer(match which {
        Some(which) => of(&visit, &which, None).await,
        None => groups(&visit).await,
    })
}

/// Of which letters a page is.
enum Which {
    /// Those of one cause.
    Group(String),
    /// Those of one pipeline, whatever their causes.
    Pipeline(String),
}

impl Which {
    fn of(name: &str, value: &str) -> Option<Self> {
        match name {
            _ if value.is_empty() => None,
            "group" => Some(Self::Group(value.to_owned())),
            "pipeline" => Some(Self::Pipeline(value.to_owned())),
            _ => None,
        }
    }

    /// As the API and the page's address have it.
    fn said(&self) -> (&'static str, &str) {
        match self {
            Self::Group(group) => ("group", group),
            Self::Pipeline(pipeline) => ("pipeline", pipeline),
        }
    }

    fn query(&self) -> String {
        let (name, value) = self.said();
        format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC))
    }

    fn path(&self) -> String {
        format!("/dead-letters?{}", self.query())
    }
}

async fn groups(visit: &Visit) -> Result<Sheet, Problem> {
    let list: DeadLetterGroupList = visit.read(&format!("{ROUTE}/groups?limit={GROUPS}")).await?;
    let now = now_ms();
    let main = html! {
        div class="head" { h1 { "Dead letters" } }
        p class="muted" { "Steps that have failed for good or are parked, and that nobody has looked after, by their cause." }
        div id="groups" data-live {
            @if list.groups.is_empty() {
                div class="empty" { p { (look::GOOD.icon()) " None: whatever has failed is looked after." } }
            } @else {
                table class="rows" {
                    (columns(&[("Cause", ""), ("Step", "wide"), ("Failed", "num"), ("Parked", "num"), ("Last", "num")]))
                    tbody { @for group in &list.groups { (row(group, now)) } }
                }
            }
            @if list.next.is_some() { p class="muted" { "There are more: these are the largest of the first " (GROUPS) "." } }
        }
    };
    Ok(Sheet { title: "Dead letters".to_owned(), tab: Tab::Dead, live: Live::Every(4_000), main })
}

fn row(group: &DeadLetterGroup, now: i64) -> Markup {
    let more = if group.more { "+" } else { "" };
    html! {
        tr {
            th scope="row" {
                a class="row" href=(Which::Group(group.group.clone()).path()) { (of_state(group).icon()) " " (cut(&group.cause, CAUSE)) }
            }
            td class="wide" { (name(&group.pipeline)) " / " (name(&group.step)) }
            td class="num" { (figure(group.failed.into())) (more) }
            td class="num" { (figure(group.parked.into())) (more) }
            td class="num" { (ago(group.newest_at_ms, now)) }
        }
    }
}

fn of_state(group: &DeadLetterGroup) -> Look {
    if group.failed > 0 { look::FAILED } else { look::PARKED }
}

async fn letters_of(visit: &Visit, which: &Which) -> Result<DeadLetterList, Problem> {
    visit.read(&format!("{ROUTE}?limit={LISTED}&{}", which.query())).await
}

async fn of(visit: &Visit, which: &Which, note: Option<Markup>) -> Result<Sheet, Problem> {
    let list = letters_of(visit, which).await?;
    let traps = verbs::Traps::of(visit, &list.dead_letters).await;
    let target = Target::of(visit, which, &list.dead_letters).await;
    let now = now_ms();
    let versions = match which {
        Which::Group(group) => versions::told(visit, group, &list, &target, now).await,
        Which::Pipeline(_) => html! {},
    };
    let main = html! {
        p class="crumbs" { a href="/dead-letters" { "Dead letters" } }
        @match (which, list.dead_letters.first()) {
            (Which::Pipeline(pipeline), _) => { div class="head" { h1 { "Dead letters of " (pipeline) } } },
            (Which::Group(_), Some(first)) => {
                div class="head" { h1 { (cut(&first.cause, CAUSE)) } }
                p class="muted" { (first.pipeline) " / " (first.step) ", group " code { (first.group) } }
            },
            (Which::Group(_), None) => { div class="head" { h1 { "Dead letters of a cause" } } },
        }
        (versions)
        @if let Some(note) = note { (note) }
        @if visit.may(&Method::POST, ROUTE) && !list.dead_letters.is_empty() { (verbs::verbs(which, &list.dead_letters, &traps, &target)) }
        (part("letters", "Steps", &letters(which, &list, now)))
    };
    let title = match which {
        Which::Group(_) => "Dead letters of a cause".to_owned(),
        Which::Pipeline(pipeline) => format!("Dead letters of {pipeline}"),
    };
    Ok(Sheet { title, tab: Tab::Dead, live: Live::No, main })
}

fn letters(which: &Which, list: &DeadLetterList, now: i64) -> Markup {
    let of = match which {
        Which::Group(_) => "in this group",
        Which::Pipeline(_) => "of this pipeline",
    };
    html! {
        @if list.dead_letters.is_empty() {
            div class="empty" { p { "Nothing is left " (of) " now: what fails again comes back here." } }
        } @else {
            table class="rows" {
                (columns(&[("State", ""), ("Step", ""), ("Run", "wide"), ("On", "wide"), ("Died", "num")]))
                tbody { @for letter in &list.dead_letters { (letter_row(letter, now)) } }
            }
            @if list.next.is_some() {
                p class="muted" { "The newest " (list.dead_letters.len()) " are listed; there are more." }
            }
        }
    }
}

fn letter_row(letter: &DeadLetter, now: i64) -> Markup {
    let look = if letter.state == DeadLetterState::Failed { look::FAILED } else { look::PARKED };
    html! {
        tr {
            td { (look.chip()) }
            th scope="row" {
                a class="row" href={ "/runs/" (letter.run) "/steps/" (letter.step) } { (name(&letter.step)) }
                " " span class="muted" { (name(&letter.pipeline)) }
            }
            td class="wide" { code class="id" { (letter.run) } }
            td class="wide" { @if let Some(on) = &letter.died_on { (versions::link(on)) } @else { "–" } }
            td class="num" { (ago(letter.died_at_ms, now)) }
        }
    }
}
