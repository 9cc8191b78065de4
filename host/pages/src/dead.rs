//! Dead letters: steps that have failed for good or are parked, by their cause. What is done about all of one cause is in
//! `act.rs`.

use axum::http::Method;
use axum::response::Response;
use maud::{Markup, html};
use pawl_api::types::{
    DeadLetter, DeadLetterGroup, DeadLetterGroupList, DeadLetterList, DeadLetterState, Problem, StepDetail,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::frame::{Live, Sheet, Tab, part};
use super::look::{self, Look};
use super::plugins;
use super::query::Query;
use super::rows::columns;
use super::times::{ago, now_ms};
use super::visit::Visit;
use super::words::{cut, figure, name};

mod act;
mod versions;

pub(super) use act::act;

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

async fn of(visit: &Visit, which: &Which, note: Option<Markup>) -> Result<Sheet, Problem> {
    let list: DeadLetterList = visit.read(&format!("{ROUTE}?limit={LISTED}&{}", which.query())).await?;
    let left = left_journal(visit, &list.dead_letters).await;
    let now = now_ms();
    let versions = match which {
        Which::Group(_) => versions::told(visit, &list.dead_letters, now).await,
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
            (Which::Group(_), None) => { div class="head" { h1 { "Nothing is left of this" } } },
        }
        (versions)
        @if let Some(note) = note { (note) }
        @if visit.may(&Method::POST, ROUTE) && !list.dead_letters.is_empty() { (verbs(which, &list.dead_letters, left.as_ref())) }
        (part("letters", "Steps", &letters(&list, now)))
    };
    let title = match which {
        Which::Group(_) => "Dead letters of a cause".to_owned(),
        Which::Pipeline(pipeline) => format!("Dead letters of {pipeline}"),
    };
    Ok(Sheet { title, tab: Tab::Dead, live: Live::No, main })
}

fn letters(list: &DeadLetterList, now: i64) -> Markup {
    html! {
        @if list.dead_letters.is_empty() {
            div class="empty" { p { (look::GOOD.icon()) " Somebody has looked after all of it." } }
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

/// How a divergence's cause begins.
const LEFT: &str = "the replay left the journal";

/// Steps that have left their journals, so that they would leave them again on the component that they have.
struct Left {
    /// The plugin of the first of them, if it could be read.
    plugin: Option<String>,
}

async fn left_journal(visit: &Visit, letters: &[DeadLetter]) -> Option<Left> {
    let letter = letters.iter().find(|letter| has_left(letter))?;
    let step = utf8_percent_encode(&letter.step, NON_ALPHANUMERIC);
    let detail = visit.read::<StepDetail>(&format!("/v1/runs/{}/steps/{step}", letter.run)).await;
    Some(Left { plugin: detail.ok().map(|detail| detail.step.plugin) })
}

fn has_left(letter: &DeadLetter) -> bool {
    letter.state == DeadLetterState::Parked && letter.cause.starts_with(LEFT)
}

/// What comes of each choice of versions.
fn on_which(left: &Left) -> Markup {
    html! {
        p class="muted" {
            "What has left its journal leaves it again on the version that it has, and is parked again. On the active one it goes on if "
            "that makes the calls that are recorded: "
            @if let Some(plugin) = &left.plugin { "roll " a href=(plugins::path(plugin)) { (name(plugin)) } } @else { "roll its plugin" }
            " back first, if a newer version is active. Or let a step go on by itself, on the version that recorded its journal, from its page."
        }
    }
}

/// A verb, what its button says, and what it does.
const VERBS: [(&str, &str, &str); 5] = [
    ("retry", "Retry all", "Opens their runs again: each goes on from its last checkpoint."),
    ("resume", "Resume all", "Lets those that are parked go on."),
    ("skip", "Skip all", "Gives each the output that it has not got; those who need it go on with that."),
    ("fail", "Fail all", "Ends the runs of those that are parked as failed."),
    ("purge", "Look after all", "Says that those which have failed are looked after. Their runs stay as they are."),
];

fn verbs(which: &Which, letters: &[DeadLetter], left: Option<&Left>) -> Markup {
    let (of, value) = which.said();
    // Of a pipeline there may be other causes among them.
    let is_latest = left.is_some() && matches!(which, Which::Group(_));
    let has = |state: DeadLetterState| letters.iter().any(|letter| letter.state == state);
    let is_for = |word: &str| match word {
        "resume" | "fail" => has(DeadLetterState::Parked),
        "purge" => has(DeadLetterState::Failed),
        _ => true,
    };
    html! {
        div class="acts" {
            @for (word, label, what) in VERBS.into_iter().filter(|verb| is_for(verb.0)) {
                details class="act" name="act" {
                    summary class={ "button " (if word == "retry" { "primary" } else { "" }) } { (label) "…" }
                    form class="panel" method="post" action="/dead-letters" {
                        p { (what) " It is counted first." }
                        input type="hidden" name=(of) value=(value);
                        input type="hidden" name="verb" value=(word);
                        @if matches!(word, "retry" | "resume") {
                            label class="check" {
                                input type="checkbox" name="latest" value="true" checked[is_latest]; " on the versions that are active now"
                            }
                            @if let Some(left) = left { (on_which(left)) }
                        }
                        @if word == "skip" { label { "Output, as JSON" textarea name="output" rows="3" { "null" } } }
                        @if word == "fail" { label { "Reason" input name="message" required maxlength="1000"; } }
                        button class="button primary" { "Count" }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use pawl_domain::attempt::Divergence;
    use serde_json::json;

    use super::*;

    fn letter(state: &str, cause: &str) -> DeadLetter {
        serde_json::from_value(json!({
            "run": "01890000-0000-7000-8000-000000000000", "step": "s", "pipeline": "p", "state": state, "cause": cause,
            "group": "g", "died_at_ms": 1,
        }))
        .unwrap()
    }

    #[test]
    fn what_has_left_its_journal_is_known_by_its_cause() {
        let divergence = Divergence {
            position: 4,
            expected: None,
            actual: "durable.now()".into(),
            difference: None,
            component: None,
            recorded_by: None,
            backtrace: None,
            restored: None,
        };
        assert!(has_left(&letter("parked", &divergence.message())));
        assert!(!has_left(&letter("failed", &divergence.message())), "a person has failed it");
        assert!(!has_left(&letter("parked", "its worker process died # times in a row")));
    }

    #[test]
    fn a_group_that_would_only_be_parked_again_is_offered_the_active_version_and_told_why() {
        let letters = [letter("parked", LEFT)];
        let left = Left { plugin: Some("fx".into()) };
        let shown = |which: &Which, left: Option<&Left>| verbs(which, &letters, left).into_string();
        let group = Which::Group("g".into());
        let told = shown(&group, Some(&left));
        assert_eq!((told.matches(" checked").count(), told.matches("href=\"/plugins/fx\"").count()), (2, 2), "{told}");
        let mixed = shown(&Which::Pipeline("p".into()), Some(&left));
        assert!(!mixed.contains(" checked") && mixed.contains("is parked again"), "{mixed}");
        assert!(!shown(&group, None).contains("parked again"));
        assert!(shown(&group, Some(&Left { plugin: None })).contains("roll its plugin back first"));
    }
}
