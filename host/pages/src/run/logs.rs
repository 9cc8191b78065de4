//! What the steps of a run have logged, the last lines of it, followed as it goes on.

use axum::extract::Path;
use axum::response::Response;
use maud::{Markup, html};
use pawl_api::types::{LogLevel, LogLine, LogList, Problem, Run};

use super::{Part, head, plain};
use crate::frame::{Live, Sheet, Tab};
use crate::query::Query;
use crate::rows::columns;
use crate::times::{at, now_ms};
use crate::visit::Visit;
use crate::words::{cut, name};

/// Lines that are shown.
const LINES: usize = 150;

/// Letters of one.
const LINE: usize = 2_000;

pub(crate) async fn logs(visit: Visit, Path(run): Path<String>, query: Query) -> Response {
    visit.answer(sheet(&visit, &run, query.read("level")).await)
}

async fn sheet(visit: &Visit, id: &str, level: Option<LogLevel>) -> Result<Sheet, Problem> {
    let id = plain(id)?;
    let run: Run = visit.read(&format!("/v1/runs/{id}?steps=false")).await?;
    let of_level = level.map(|level| format!("&level={level}")).unwrap_or_default();
    let list: LogList = visit.read(&format!("/v1/runs/{id}/logs?tail={LINES}{of_level}")).await?;
    let main = html! {
        (head(&run.summary, Part::Logs, now_ms()))
        form class="filter" {
            label for="level" { "At least" }
            select id="level" name="level" {
                @for known in LogLevel::ALL { option selected[level == Some(known)] { (known) } }
            }
            button class="button" { "Show" }
            a class="quiet" href={ "/v1/runs/" (id) "/logs?limit=10000" (of_level) }
                download={ "run-" (id) "-logs.json" } { "Download" }
        }
        section id="lines" aria-label="Log" data-live { (lines(&list.lines, LINES)) }
    };
    let live = if list.ended { Live::No } else { Live::Every(1_000) };
    Ok(Sheet { title: format!("Logs of {}", run.summary.pipeline), tab: Tab::Runs, live, main })
}

/// Lines as rows; so many were asked for.
pub(super) fn lines(lines: &[LogLine], asked: usize) -> Markup {
    if lines.is_empty() {
        return html! { p class="muted" { "Nothing of that kind is logged." } };
    }
    html! {
        @if lines.len() >= asked { p class="muted" { "The last " (asked) " lines." } }
        table class="rows log" {
            (columns(&[("At", ""), ("Level", ""), ("Step", ""), ("Line", "")]))
            tbody {
                @for line in lines {
                    tr {
                        td class="muted" { (at(line.at_ms)) }
                        td class=(line.level.as_str()) { (line.level) }
                        td { (name(&line.step)) }
                        td class="line" { (cut(&line.message, LINE)) }
                    }
                }
            }
        }
    }
}
