//! What happened when, for a reader: times since the submission, one line an event.

use std::fmt::Write as _;

use pawl_api::types::{Event, EventKind};

use crate::interruption::Interruption;

/// The run's history, with the kill where it happened.
pub(crate) fn timeline(events: &[Event], interruption: &Interruption) -> String {
    let began = events.first().map_or(0, |event| event.at_ms);
    let seconds = |at_ms: i64| (at_ms - began) as f64 / 1_000.0;
    let mut lines: Vec<(i64, String)> = events
        .iter()
        .filter(|event| !event.is(EventKind::StepReady))
        .map(|event| (event.at_ms, line(event, interruption)))
        .collect();
    let place = lines.partition_point(|(at_ms, _)| *at_ms <= interruption.killed_ms);
    lines.insert(place, (interruption.killed_ms, "kill -9".to_owned()));
    let mut text = String::new();
    for (at_ms, line) in lines {
        let _ = writeln!(text, "  {:>6.2} s  {}", seconds(at_ms), line.trim_end());
    }
    text.trim_end().to_owned()
}

fn line(event: &Event, interruption: &Interruption) -> String {
    let step = event.step.as_deref().unwrap_or("");
    let saved = interruption.saved_rows.get(step).filter(|_| event.is(EventKind::StepResumed));
    let from = saved.map(|rows| format!("from row {rows}")).unwrap_or_default();
    format!("{:<20} {step:<16} {from}", event.kind)
}
