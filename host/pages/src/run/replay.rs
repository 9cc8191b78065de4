//! A replay of a step, up to an entry that somebody picks: what the guest asked for and was answered, what it logged, how it
//! ended. The API has it executed, read-only; here it is shown.

use axum::extract::Path;
use axum::response::Response;
use maud::{Markup, html};
use pawl_api::types::{Problem, ReplayEnd, ReplayHow, ReplayedCall, ReplayedLine, Run, StepReplay};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use url::form_urlencoded::Serializer;

use super::{divergence, journal, plain};
use crate::frame::{Live, Sheet, Tab, part};
use crate::json;
use crate::look::{self, Look};
use crate::query::Query;
use crate::rows::columns;
use crate::said;
use crate::visit::Visit;
use crate::words::{count, cut, prose};

/// Calls and lines that are shown, the last ones, and letters of a text.
const SHOWN: usize = 150;
const TEXT: usize = 400;

/// What is asked for.
struct Asked {
    to: Option<u32>,
    on: Option<String>,
}

impl Asked {
    fn of(query: &Query) -> Self {
        Self { to: query.read("to"), on: query.said("on").map(str::to_owned) }
    }

    /// The same up to another entry, as what follows a path.
    fn query(&self, to: Option<u32>) -> String {
        let mut query = Serializer::new(String::new());
        if let Some(to) = to {
            query.append_pair("to", &to.to_string());
        }
        if let Some(on) = &self.on {
            query.append_pair("on", on);
        }
        let query = query.finish();
        if query.is_empty() { query } else { format!("?{query}") }
    }
}

pub(crate) async fn replay(visit: Visit, Path((run, step)): Path<(String, String)>, query: Query) -> Response {
    visit.answer(sheet(&visit, &run, &step, &Asked::of(&query)).await)
}

async fn sheet(visit: &Visit, id: &str, name: &str, asked: &Asked) -> Result<Sheet, Problem> {
    let id = plain(id)?;
    let run: Run = visit.read(&format!("/v1/runs/{id}?steps=false")).await?;
    let page = format!("/runs/{id}/steps/{}", utf8_percent_encode(name, NON_ALPHANUMERIC));
    let replayed = visit.read::<StepReplay>(&format!("/v1{page}/replay{}", asked.query(asked.to))).await;
    let summary = &run.summary;
    let main = html! {
        p class="crumbs" {
            a href="/runs" { "Runs" } " / " a href={ "/runs/" (summary.id) } { (summary.pipeline) " " (summary.id) }
            " / " a href=(page) { (name) }
        }
        @match &replayed {
            Ok(replay) => (shown(&page, asked, replay)),
            Err(problem) => {
                div class="head" { h1 { "Replay of " (name) } (form(&page, asked, None)) }
                (said::refused(problem))
            }
        }
    };
    Ok(Sheet { title: format!("Replay of {name}"), tab: Tab::Runs, live: Live::No, main })
}

fn shown(page: &str, asked: &Asked, replay: &StepReplay) -> Markup {
    html! {
        div class="head" {
            h1 { "Replay of " (replay.step) }
            (form(page, asked, Some(replay)))
            dl class="facts" {
                div { dt { "Executed" } dd { code class="id" { (replay.component.short()) } } }
                div {
                    dt { "Recorded by" }
                    dd { @if replay.recorded_by == replay.component { "the same" } @else { code class="id" { (replay.recorded_by.short()) } } }
                }
                div { dt { "Journal" } dd { (count(replay.length.into(), "entry", "entries")) } }
                @if let Some(from) = replay.resumed_from { div { dt { "From" } dd { "the checkpoint at entry " (from) } } }
            }
        }
        section id="end" aria-label="How it ended" { (end(page, asked, replay)) }
        (part("calls", "What it saw", &calls(&replay.calls, replay.calls_left_out)))
        (part("lines", "What it logged", &lines(&replay.lines, replay.lines_left_out)))
    }
}

fn form(page: &str, asked: &Asked, replay: Option<&StepReplay>) -> Markup {
    let on = asked.on.as_deref().unwrap_or("pinned");
    html! {
        form class="filter" action={ (page) "/replay" } {
            label for="to" { "Up to entry" }
            input id="to" name="to" type="number" min="0" max=[replay.map(|replay| replay.length)] value=[asked.to] placeholder="its end";
            label class="unseen" for="on" { "On" }
            select id="on" name="on" {
                option value="" selected[on == "pinned"] { "on its own component" }
                option value="latest" selected[on == "latest"] { "on the active version" }
                @if !matches!(on, "pinned" | "latest") { option value=(on) selected { "on " (cut(on, 12)) } }
            }
            button class="button" { "Replay" }
        }
    }
}

/// How it ended, in a sentence, with the way to the entries before and after.
fn end(page: &str, asked: &Asked, replay: &StepReplay) -> Markup {
    let end = &replay.end;
    let look = of_end(end.how);
    let call = html! { code { (cut(end.call.as_deref().unwrap_or_default(), TEXT)) } };
    let at = end.position.unwrap_or_default();
    let to = |to: u32| format!("{page}/replay{}", asked.query(Some(to)));
    html! {
        div class={ "state " (look.class) } {
            p class="lead" {
                (look.icon())
                @match end.how {
                    ReplayHow::Stopped => { "Stopped at entry " (at) ", as it called " (call) },
                    ReplayHow::Live => { "Reached the end of the journal at entry " (at) ": " (call) " would be new" },
                    ReplayHow::Returned => "Returned an output",
                    ReplayHow::Failed => { "Failed: " (failed(end)) },
                    ReplayHow::Diverged => "Left its journal: it calls something else than is recorded",
                }
            }
            @for remark in &replay.remarks { p class="muted" { (prose(remark)) } }
            @if let Some(divergence) = &end.divergence { (divergence::drawn(divergence)) }
            @if let Some(output) = &end.output { (document(output.get())) }
            @if let Some(failure) = &end.failure { (document(&failure.to_string())) }
            p class="muted" { "Nothing of the step has moved: a replay writes nothing, and nothing leaves." }
            @if let Some(position) = asked.to {
                nav class="pager" aria-label="Entries" {
                    @if position > replay.resumed_from.unwrap_or(0) {
                        a class="button" rel="prev" href=(to(position - 1)) { "← Entry " (position - 1) }
                    }
                    @if position < replay.length {
                        a class="button" rel="next" href=(to(position + 1)) { "Entry " (position + 1) " →" }
                    }
                }
            }
        }
    }
}

fn of_end(how: ReplayHow) -> Look {
    match how {
        ReplayHow::Stopped => look::PAUSED,
        ReplayHow::Live | ReplayHow::Returned => look::GOOD,
        ReplayHow::Failed => look::FAILED,
        ReplayHow::Diverged => look::PARKED,
    }
}

fn failed(end: &ReplayEnd) -> String {
    let message = end.failure.as_ref().and_then(|failure| failure.get("message")).and_then(Value::as_str);
    cut(message.unwrap_or_default(), TEXT)
}

fn document(text: &str) -> Markup {
    json::folded(text.as_bytes()).unwrap_or_else(|| html! { p class="muted" { "It is too large to be shown." } })
}

fn calls(calls: &[ReplayedCall], left_out: u32) -> Markup {
    let shown = &calls[calls.len().saturating_sub(SHOWN)..];
    let left_out = left_out as usize + calls.len() - shown.len();
    html! {
        @if shown.is_empty() { p class="muted" { "Nothing: it has made no call that the journal answers." } }
        @else {
            @if left_out > 0 { p class="muted" { (count(left_out as u64, "call", "calls")) " before these." } }
            table class="rows log" {
                (columns(&[("At", "num"), ("Call", ""), ("Answer", "")]))
                tbody {
                    @for call in shown {
                        tr {
                            td class="num muted" { @if let Some(at) = call.position { (at) } }
                            td { (cut(&call.call, TEXT)) }
                            td class="line" { (cut(&journal::answer(&call.call, &call.answer), TEXT)) }
                        }
                    }
                }
            }
        }
    }
}

fn lines(lines: &[ReplayedLine], left_out: u32) -> Markup {
    let shown = &lines[lines.len().saturating_sub(SHOWN)..];
    let left_out = left_out as usize + lines.len() - shown.len();
    html! {
        @if shown.is_empty() { p class="muted" { "Nothing." } }
        @else {
            @if left_out > 0 { p class="muted" { (count(left_out as u64, "line", "lines")) " before these." } }
            table class="rows log" {
                (columns(&[("At", "num"), ("Level", ""), ("Line", "")]))
                tbody {
                    @for line in shown {
                        tr {
                            td class="num muted" { (line.position) }
                            td class=(line.level.as_str()) { (line.level) }
                            td class="line" {
                                (cut(&line.message, TEXT))
                                @if let Some(fields) = &line.fields { " " span class="muted" { (cut(fields.get(), TEXT)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_goes_on_to_the_next_entry() {
        let asked = Asked::of(&Query::of("to=12&on=latest&other=1"));
        assert_eq!((asked.to, asked.query(Some(13))), (Some(12), "?to=13&on=latest".to_owned()));
        let whole = Asked::of(&Query::of("to=&on="));
        assert_eq!((whole.to, whole.query(whole.to)), (None, String::new()));
    }
}
