//! When each step did what: a bar for each, over the time of the run. What a stretch is, its height and its stroke tell
//! as its colour does.

use std::collections::BTreeMap;

use maud::{Markup, html};
use pawl_api::types::{Event, Run};

use super::spans::{self, Doing, Span};
use crate::times::duration;
use crate::words::{count, figure, name};

/// Steps that get a bar.
const ROWS: usize = 30;

/// Stretches of one step that are drawn.
const SPANS: usize = 60;

/// The width of a bar in units of its own.
const WIDTH: i64 = 1_000;

pub(super) fn draw(run: &Run, events: &[Event], now: i64) -> Markup {
    let spans = spans::of(events);
    let mut rows: Vec<(&str, &Vec<Span>)> = spans.iter().map(|(step, spans)| (*step, spans)).collect();
    rows.retain(|(_, spans)| !spans.is_empty());
    // As they began; of those that began together, as the pipeline has them.
    let places: BTreeMap<&str, usize> =
        run.steps.iter().enumerate().map(|(place, step)| (&*step.name, place)).collect();
    rows.sort_by_key(|(step, spans)| (spans[0].from_ms, places.get(step).copied()));
    let Some(begun) = rows.iter().map(|(_, spans)| spans[0].from_ms).min() else {
        return html! { p class="muted" { "Nothing has begun yet." } };
    };
    let ended = run.summary.ended_at_ms.unwrap_or(now).max(begun + 1);
    let scale = Scale { begun, ended };
    let (all, left_out) = (rows.len(), rows.len().saturating_sub(ROWS));
    html! {
        div class="gantt" {
            @for (step, spans) in rows.into_iter().take(ROWS) {
                div class="bar" {
                    a href={ "/runs/" (run.summary.id) "/steps/" (step) } { (name(step)) }
                    (bar(step, spans, &scale))
                }
            }
            div class="axis" aria-hidden="true" { @for part in 0..5 { span { (duration((ended - begun) * part / 4)) } } }
        }
        p class="legend" aria-hidden="true" {
            @for (_, class, words) in Doing::ALL {
                span { svg width="18" height="10" class="key" { (shape(class, 0, 18, None)) } (words) }
            }
        }
        @if left_out > 0 { p class="muted" { "The first " (ROWS) " of " (count(all as u64, "step", "steps")) " that have begun." } }
    }
}

struct Scale {
    begun: i64,
    ended: i64,
}

impl Scale {
    /// Where a time stands.
    fn x(&self, at_ms: i64) -> i64 {
        (at_ms.clamp(self.begun, self.ended) - self.begun) * WIDTH / (self.ended - self.begun)
    }
}

fn bar(step: &str, spans: &[Span], scale: &Scale) -> Markup {
    let shown = &spans[spans.len().saturating_sub(SPANS)..];
    let total: i64 = spans
        .iter()
        .filter(|span| span.doing == Doing::Running)
        .map(|span| span.until_ms.unwrap_or(scale.ended) - span.from_ms)
        .sum();
    let claims = spans.last().map_or(0, |span| span.claim);
    let said =
        format!("{step}: executed for {} in {}", duration(total.max(0)), count(claims.into(), "claim", "claims"));
    html! {
        svg viewBox={ "0 0 " (WIDTH) " 10" } preserveAspectRatio="none" role="img" aria-label=(said) {
            @for span in shown {
                @let (from, until) = (scale.x(span.from_ms), scale.x(span.until_ms.unwrap_or(scale.ended)));
                (shape(span.doing.told().0, from, (until - from).max(2), Some(&title(span, scale))))
            }
        }
    }
}

/// A stretch: what is executed is a full bar, the others are thinner, and each in its own way.
fn shape(class: &str, x: i64, width: i64, title: Option<&str>) -> Markup {
    let (y, height) = match class {
        "running" => (1, 8),
        "queued" => (7, 2),
        "waiting" => (4, 2),
        _ => (2, 6),
    };
    html! {
        rect class=(class) x=(x) y=(y) width=(width) height=(height) {
            @if let Some(title) = title { title { (title) } }
        }
    }
}

fn title(span: &Span, scale: &Scale) -> String {
    let took = duration((span.until_ms.unwrap_or(scale.ended) - span.from_ms).max(0));
    let after = duration((span.from_ms - scale.begun).max(0));
    let (_, words) = span.doing.told();
    let by = span.worker.map(|worker| format!(", by worker {worker}")).unwrap_or_default();
    let claim = if span.claim > 1 { format!(", claim {}", figure(span.claim.into())) } else { String::new() };
    let open = if span.until_ms.is_none() { " so far" } else { "" };
    format!("{words} for {took}{open}, from {after} on{by}{claim}")
}
