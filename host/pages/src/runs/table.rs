//! Runs as rows, each a link.

use maud::{Markup, html};
use pawl_api::types::{RunStatus, RunSummary};

use crate::look;
use crate::rows::columns;
use crate::times::{ago, duration};
use crate::words::{count, name};

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

/// How many have ended, as words and as a bar. Those of a run that was stopped have all ended, whatever they did: of that one only how
/// many it has.
fn steps(run: &RunSummary) -> Markup {
    let (ended, all) = (run.step_count.saturating_sub(run.live_steps), run.step_count);
    html! {
        span class="steps" {
            @if matches!(run.status, RunStatus::Failed | RunStatus::Cancelled) { (count(all.into(), "step", "steps")) }
            @else {
                progress max=(all.max(1)) value=(ended) aria-hidden="true" {}
                (ended) "/" (all)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn steps_of_a_run_that_was_stopped_do_not_read_as_if_they_were_done() {
        let shown = |status: &str, live: u32| {
            let run: RunSummary = serde_json::from_value(json!({
                "id": "01890000-0000-7000-8000-000000000000", "pipeline": "p",
                "pipeline_digest": "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262", "status": status,
                "step_count": 3, "live_steps": live, "event_count": 1, "created_at_ms": 1, "started_at_ms": null,
                "ended_at_ms": null,
            }))
            .unwrap();
            steps(&run).into_string()
        };
        assert!(shown("running", 2).ends_with("</progress>1/3</span>"), "{}", shown("running", 2));
        assert!(shown("succeeded", 0).contains("3/3"), "{}", shown("succeeded", 0));
        for status in ["failed", "cancelled"] {
            assert_eq!(shown(status, 0), "<span class=\"steps\">3 steps</span>");
        }
    }
}
