//! The steps of a pipeline, each with how long it takes: a strip on a scale that all share, on which each part as long is ten times
//! as much or a tenth, so that steps of milliseconds and of hours are seen side by side.

use std::collections::HashMap;

use maud::{Markup, html};
use pawl_api::types::{PipelineDetail, PipelineStep, PipelineTimes, Spread, StepTimes};

use crate::plugins;
use crate::rows::columns;
use crate::times::duration;
use crate::words::{count, figure, name};

/// Steps that are shown.
const ROWS: usize = 30;

/// The width of a strip in units of its own, and its height.
const WIDTH: f64 = 1_000.0;

const COLUMNS: [(&str, &str); 6] =
    [("Step", ""), ("Plugin", "wide"), ("Queue", "wide"), ("Took", "spread"), ("Median", "num"), ("95 %", "num wide")];

pub(super) fn table(pipeline: &PipelineDetail, times: &PipelineTimes) -> Markup {
    let of: HashMap<&str, &StepTimes> = times.steps.iter().map(|step| (&*step.name, step)).collect();
    let scale = Scale::of(times);
    let mut steps: Vec<(&PipelineStep, Option<&StepTimes>)> =
        pipeline.steps.iter().map(|step| (step, of.get(&*step.name).copied())).collect();
    let left_out = steps.len().saturating_sub(ROWS);
    if left_out > 0 {
        steps.sort_by_key(|(_, times)| std::cmp::Reverse(times.and_then(|it| Some(median(it.took.as_ref()?)))));
        steps.truncate(ROWS);
    }
    html! {
        p class="muted" { (told(times)) }
        table class="rows" {
            (columns(&COLUMNS))
            tbody {
                @if let Some(took) = &times.took {
                    tr { th scope="row" { "a run, as a whole" } td class="wide" {} td class="wide" {} (cells(Some(took), 0, &scale)) }
                }
                @for (step, times) in steps { (row(step, times, &scale)) }
            }
        }
        @if left_out > 0 { p class="muted" { "The " (ROWS) " that take longest of " (count(pipeline.steps.len() as u64, "step", "steps")) "." } }
    }
}

/// Of what the strips are made.
fn told(times: &PipelineTimes) -> String {
    let runs = count(times.runs.into(), "run", "runs");
    match (times.runs, times.more) {
        (0, _) => "How long steps take is told when runs have ended.".to_owned(),
        (_, true) => format!("Times are from a step's first claim to its end, in {runs}: the newest that have ended."),
        (_, false) => format!("Times are from a step's first claim to its end, in {runs}: all that have ended."),
    }
}

fn row(step: &PipelineStep, times: Option<&StepTimes>, scale: &Scale) -> Markup {
    html! {
        tr id={ "step-" (step.name) } {
            th scope="row" { (name(&step.name)) }
            td class="wide" {
                a href=(plugins::path(&step.plugin)) { (name(&step.plugin)) }
                @if let Some(version) = &step.version { span class="muted" { "@" (version) } }
            }
            td class="wide" { (name(&step.queue)) }
            (cells(times.and_then(|it| it.took.as_ref()), times.map_or(0, |it| it.failed), scale))
        }
    }
}

fn cells(took: Option<&Spread>, failed: u32, scale: &Scale) -> Markup {
    html! {
        td class="spread" {
            @if let Some(took) = took { (strip(took, scale)) }
            @if failed > 0 { span class="muted" { "failed " (figure(failed.into())) "×" } }
        }
        td class="num" { @if let Some(took) = took { (duration(median(took))) } @else { "–" } }
        td class="num wide" { @if let Some(took) = took { (duration(at(took, 19))) } @else { "–" } }
    }
}

/// From the least to the greatest a line; half of all within the box, with the median as its mark; 95 of 100 before the stroke.
fn strip(took: &Spread, scale: &Scale) -> Markup {
    let x = |part: usize| scale.x(at(took, part));
    let (low, high) = (x(5), x(15));
    let said = format!(
        "{}: from {} to {}, half of them within {}, 95 of 100 within {}",
        count(took.count.into(), "time", "times"),
        duration(at(took, 0)),
        duration(at(took, 20)),
        duration(median(took)),
        duration(at(took, 19)),
    );
    html! {
        svg class="strip" viewBox={ "0 0 " (WIDTH) " 16" } preserveAspectRatio="none" role="img" aria-label=(said) {
            title { (said) }
            rect class="whole" x=(x(0)) y="7" width=((x(20) - x(0)).max(2)) height="2" {}
            rect class="half" x=(low) y="3" width=((high - low).max(4)) height="10" {}
            rect class="mark" x=(x(10)) y="1" width="5" height="14" {}
            rect class="whole" x=(x(19)) y="4" width="3" height="8" {}
        }
    }
}

fn at(took: &Spread, part: usize) -> i64 {
    took.parts_ms.get(part).or_else(|| took.parts_ms.last()).map_or(0, |ms| i64::try_from(*ms).unwrap_or(i64::MAX))
}

fn median(took: &Spread) -> i64 {
    at(took, 10)
}

/// Where a time stands between the least and the greatest of all.
struct Scale {
    least: f64,
    greatest: f64,
}

impl Scale {
    fn of(times: &PipelineTimes) -> Self {
        let all = || times.steps.iter().filter_map(|step| step.took.as_ref()).chain(&times.took);
        let least = all().map(|took| at(took, 0)).min().unwrap_or(0);
        let greatest = all().map(|took| at(took, 20)).max().unwrap_or(0);
        Self { least: log(least), greatest: log(greatest) }
    }

    fn x(&self, ms: i64) -> i64 {
        let room = (self.greatest - self.least).max(f64::EPSILON);
        ((log(ms) - self.least) / room * (WIDTH - 10.0)).clamp(0.0, WIDTH - 10.0).round() as i64
    }
}

fn log(ms: i64) -> f64 {
    (ms.max(1) as f64).log10()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(parts_ms: Vec<u64>) -> Spread {
        Spread { count: 21, parts_ms }
    }

    fn times(all: &[Vec<u64>]) -> PipelineTimes {
        let step = |parts: &Vec<u64>| StepTimes { name: "s".into(), failed: 0, took: Some(spread(parts.clone())) };
        PipelineTimes { runs: 3, more: false, took: None, steps: all.iter().map(step).collect() }
    }

    #[test]
    fn what_takes_ten_times_as_long_stands_as_far_from_what_takes_a_tenth() {
        let scale = Scale::of(&times(&[vec![1; 21], vec![10_000; 21]]));
        assert_eq!([0, 1, 10, 100, 1_000, 10_000].map(|ms| scale.x(ms)), [0, 0, 248, 495, 743, 990]);
        assert_eq!(scale.x(i64::MAX), 990, "nothing is outside");
        let one = Scale::of(&times(&[vec![7; 21]]));
        assert_eq!(one.x(7), 0);
        assert_eq!(Scale::of(&times(&[])).x(5), 990);
    }

    #[test]
    fn a_strip_says_what_it_shows_whatever_it_is_made_of() {
        let parts: Vec<u64> = (0..21).map(|part| part * 100).collect();
        let scale = Scale::of(&times(std::slice::from_ref(&parts)));
        let said = strip(&spread(parts), &scale).into_string();
        assert!(
            said.contains("21 times: from 0 ms to 2.0 s, half of them within 1.0 s, 95 of 100 within 1.9 s"),
            "{said}"
        );
        let odd = strip(&spread(Vec::new()), &scale).into_string();
        assert!(odd.contains("from 0 ms to 0 ms"), "{odd}");
    }

    #[test]
    fn of_how_many_runs_it_is_made_is_said() {
        let with = |runs, more| told(&PipelineTimes { runs, more, took: None, steps: vec![] });
        assert!(with(0, false).contains("when runs have ended"));
        assert!(with(1, false).ends_with("in 1 run: all that have ended."));
        assert!(with(1_000, true).ends_with("in 1,000 runs: the newest that have ended."));
    }
}
