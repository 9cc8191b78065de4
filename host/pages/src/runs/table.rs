//! Runs as rows, each a link.

use maud::{Markup, html};
use pawl_api::types::{RunStatus, RunSummary};

use crate::look;
use crate::rows::columns;
use crate::times::{ago, duration};
use crate::words::{count, name, short};

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
                        td { input class="over" type="checkbox" name="run" value=(run.id) aria-label={ "Pick " (run.pipeline) " " (short(run.id)) }; }
                        (cells(run, now))
                    }
                }
            }
        }
    }
}

fn cells(run: &RunSummary, now: i64) -> Markup {
    html! {
        td { (look::of_run(run).chip()) }
        th scope="row" {
            a class="row" href={ "/runs/" (run.id) } { (name(&run.pipeline)) }
            @if let Some(key) = &run.idempotency_key { " " span class="muted" { (name(key)) } }
        }
        td class="wide" { code class="id" { (run.id) } }
        td class="wide" { (steps(run)) }
        td class="num" { (ago(run.created_at_ms, now)) }
        td class="num" { (took(run, now)) }
    }
}

/// From its first claim on. A run whose begin and end were written in one transaction has one time for both: what is known of it is
/// how long it took from its submission.
pub(crate) fn took(run: &RunSummary, now: i64) -> String {
    let Some(started) = run.started_at_ms else { return "–".to_owned() };
    let from = if run.ended_at_ms == Some(started) { run.created_at_ms } else { started };
    match run.ended_at_ms.unwrap_or(now) - from {
        ..1 => "< 1 ms".to_owned(),
        ms => duration(ms),
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
    fn no_run_takes_no_time() {
        let said = |started: Option<i64>, ended: Option<i64>| {
            let run: RunSummary = serde_json::from_value(json!({
                "id": "01890000-0000-7000-8000-000000000000", "pipeline": "p",
                "pipeline_digest": "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
                "status": "succeeded", "step_count": 1, "live_steps": 0, "event_count": 1, "created_at_ms": 100,
                "started_at_ms": started, "ended_at_ms": ended,
            }))
            .unwrap();
            took(&run, 2_000)
        };
        assert_eq!(said(None, None), "–");
        assert_eq!(said(Some(200), Some(500)), "300 ms");
        assert_eq!(said(Some(500), None), "1.5 s", "it goes on");
        assert_eq!(said(Some(140), Some(140)), "40 ms", "from its submission on: both were written at once");
        assert_eq!(said(Some(100), Some(100)), "< 1 ms");
    }

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
