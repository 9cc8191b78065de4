//! Runs as rows, each a link.

use maud::{Markup, html};
use pawl_api::types::RunSummary;

use crate::look;
use crate::rows::columns;
use crate::times::{ago, duration};
use crate::words::name;

const COLUMNS: [(&str, &str); 6] =
    [("State", ""), ("Pipeline", ""), ("Run", "wide"), ("Steps", "wide"), ("Begun", "num"), ("Took", "num")];

/// Runs as rows.
pub(crate) fn table(runs: &[RunSummary], now: i64) -> Markup {
    html! {
        table class="rows" {
            (columns(&COLUMNS))
            tbody { @for run in runs { tr { (cells(run, now)) } } }
        }
    }
}

/// The same, each with a box by which it is picked.
pub(super) fn to_pick(runs: &[RunSummary], now: i64) -> Markup {
    let columns_with_box: Vec<(&str, &str)> = [("Pick", "")].into_iter().chain(COLUMNS).collect();
    html! {
        table class="rows" {
            (columns(&columns_with_box))
            tbody {
                @for run in runs {
                    tr {
                        td { input class="over" type="checkbox" name="run" value=(run.id) aria-label={ "Pick " (run.pipeline) " " (run.id) }; }
                        (cells(run, now))
                    }
                }
            }
        }
    }
}

fn cells(run: &RunSummary, now: i64) -> Markup {
    let until = run.ended_at_ms.unwrap_or(now);
    html! {
        td { (look::of_run(run).chip()) }
        th scope="row" {
            a class="row" href={ "/runs/" (run.id) } { (name(&run.pipeline)) }
            @if let Some(key) = &run.idempotency_key { " " span class="muted" { (name(key)) } }
        }
        td class="wide" { code class="id" { (run.id) } }
        td class="wide" { (steps(run)) }
        td class="num" { (ago(run.created_at_ms, now)) }
        td class="num" {
            @if let Some(started) = run.started_at_ms { (duration((until - started).max(0))) } @else { "–" }
        }
    }
}

/// How many have ended, as words and as a bar.
fn steps(run: &RunSummary) -> Markup {
    let (ended, all) = (run.step_count.saturating_sub(run.live_steps), run.step_count);
    html! {
        span class="steps" {
            progress max=(all.max(1)) value=(ended) aria-hidden="true" {}
            (ended) "/" (all)
        }
    }
}
