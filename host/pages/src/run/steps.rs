//! The steps of a run as a table, those first that need somebody where there are many.

use maud::{Markup, html};
use pawl_api::types::{Run, Step, StepStatus};
use pawl_domain::id::RunId;
use serde_json::Value;

use super::graph::urgency;
use crate::json;
use crate::look::of_step;
use crate::plugins;
use crate::rows::columns;
use crate::times::{now_ms, rough, took};
use crate::words::{count, cut, name, worker_id};

/// Steps that are shown.
const ROWS: usize = 30;

/// Letters of an error's line.
const LINE: usize = 200;

const COLUMNS: [(&str, &str); 6] =
    [("Step", ""), ("State", ""), ("Plugin", "wide"), ("Attempts", "num wide"), ("Took", "num"), ("Worker", "wide")];

pub(super) fn table(run: &Run, now: i64) -> Markup {
    let mut steps: Vec<&Step> = run.steps.iter().collect();
    let left_out = steps.len().saturating_sub(ROWS);
    if left_out > 0 {
        steps.sort_by_key(|step| urgency(step.status));
        steps.truncate(ROWS);
    }
    html! {
        table class="rows" {
            (columns(&COLUMNS))
            tbody { @for step in steps { (row(run.summary.id, step, now)) } }
        }
        @if left_out > 0 { p class="muted" { "… and " (count(left_out as u64, "step", "steps")) " more that need less." } }
    }
}

fn row(run: RunId, step: &Step, now: i64) -> Markup {
    let started_at_ms = step.started_at_ms.filter(|_| step.status != StepStatus::Blocked);
    html! {
        tr id={ "step-" (step.name) } {
            th scope="row" { a class="row" href={ "/runs/" (run) "/steps/" (step.name) } { (name(&step.name)) } }
            td { div class="stands" { (of_step(step.status).chip()) (says(step)) } }
            td class="wide" {
                @match &step.component_version {
                    Some(version) => a href=(plugins::path(&step.plugin)) { (name(&format!("{} {version}", step.plugin))) },
                    None => {
                        a href=(plugins::path(&step.plugin)) { (name(&step.plugin)) }
                        @if let Some(version) = &step.version { span class="muted" { "@" (version) } }
                    },
                }
            }
            td class="num wide" { @if step.attempts > 0 { (step.attempts) } @else { "–" } }
            td class="num" { (took(started_at_ms, step.ended_at_ms, now)) }
            td class="wide" { @if let Some(worker) = step.worker { (worker_id(worker)) } @else { "–" } }
        }
    }
}

/// Its error, how far it is, or what it waits for.
fn says(step: &Step) -> Markup {
    let bytes = step.error.as_ref().filter(|_| step.status != StepStatus::Succeeded).map(ToString::to_string);
    if let Some((error, bytes)) = step.error.as_ref().zip(bytes) {
        let line = error.get("message").and_then(Value::as_str).unwrap_or(&bytes).lines().next().unwrap_or_default();
        return html! {
            details class="error says" {
                summary { (cut(line, LINE)) }
                @match json::folded(bytes.as_bytes()) {
                    Some(folded) => (folded),
                    None => p class="muted" { "It is too large to be shown." },
                }
            }
        };
    }
    if let Some(signal) = &step.awaits {
        return html! { span class="says" { "waits for the signal " code { (signal) } } };
    }
    match (step.status, step.due_at_ms) {
        (StepStatus::Waiting, Some(due)) => {
            return html! { span class="says" { "wakes in " (rough((due - now_ms()).max(0))) } };
        }
        (StepStatus::Blocked, _) if !step.needs.is_empty() => {
            return html! { span class="says muted" { "needs " (cut(&step.needs.join(", "), 60)) } };
        }
        _ => {}
    }
    let words = step.progress_message.as_deref().unwrap_or_default();
    html! {
        @if let Some(progress) = step.progress.filter(|_| !step.status.is_ended()) {
            progress max="100" value=(percent(progress)) aria-label={ "Progress of " (step.name) } {}
            (percent(progress)) " %"
        }
        @if !words.is_empty() { span class="says" { (cut(words, LINE)) } }
    }
}

fn percent(progress: f32) -> i32 {
    (progress.clamp(0.0, 1.0) * 100.0).round() as i32
}
