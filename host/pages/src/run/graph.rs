//! The graph of a run, as a picture: boxes in layers, joined by lines, each with the colour and the shape of its state.
//! Boxes lead to their steps.

use std::collections::BTreeMap;

use maud::{Markup, html};
use pawl_api::types::{Run, Step, StepStatus};

use crate::graph::{Drawn, HEIGHT, WIDTH, picture};
use crate::look::of_step;
use crate::words::{count, cut, figure};

/// Letters that a box has room for.
const LETTERS: usize = 19;

pub(super) fn draw(run: &Run) -> Markup {
    let steps: Vec<Drawn<'_>> =
        run.steps.iter().map(|step| Drawn { name: &step.name, kind: &step.plugin, needs: &step.needs }).collect();
    let all = count(run.steps.len() as u64, "step", "steps");
    let said = format!("Graph of {all}: {}", told(&run.steps.iter().collect::<Vec<_>>()));
    picture(&steps, &said, |numbers, (x, y)| {
        let steps: Vec<&Step> = numbers.iter().map(|number| &run.steps[*number]).collect();
        boxed(run, &steps, x, y)
    })
}

/// A box has the colour of the step that needs most.
fn boxed(run: &Run, steps: &[&Step], x: usize, y: usize) -> Markup {
    let Some(worst) = steps.iter().min_by_key(|step| urgency(step.status)) else { return html! {} };
    let look = of_step(worst.status);
    let is_folded = steps.len() > 1;
    let name = if is_folded {
        format!("{} ×{}", cut(&worst.plugin, 10), figure(steps.len() as u64))
    } else {
        worst.name.clone()
    };
    let title = if is_folded {
        format!("{} of {}: {}", figure(steps.len() as u64), worst.plugin, told(steps))
    } else {
        format!("{}: {}", worst.name, look.word)
    };
    html! {
        a href={ "/runs/" (run.summary.id) "/steps/" (worst.name) } class={ "node " (look.class) } {
            title { (title) }
            @if is_folded { rect x=(x + 4) y=(y + 4) width=(WIDTH) height=(HEIGHT) rx="8" {} }
            rect x=(x) y=(y) width=(WIDTH) height=(HEIGHT) rx="8" {}
            use class="i" href={ "#" (look.shape) } x=(x + 11) y=(y + 10) width="14" height="14" {}
            text x=(x + 34) y=(y + 22) { (cut(&name, LETTERS)) }
            @if is_folded { (shares(steps, x, y)) }
        }
    }
}

/// How much of a box is in which state, as a bar at its foot.
fn shares(steps: &[&Step], x: usize, y: usize) -> Markup {
    let room = WIDTH - 16;
    let mut from = x + 8;
    let parts = by_state(steps).into_iter().map(|(status, count)| {
        let width = (room * count / steps.len()).max(2);
        let part = (of_step(status).class, from, width);
        from += width;
        part
    });
    let parts: Vec<_> = parts.collect();
    html! {
        @for (class, from, width) in parts {
            rect class={ "share " (class) } x=(from) y=(y + HEIGHT - 5) width=(width) height="3" {}
        }
    }
}

/// `3 succeeded, 1 running`.
fn told(steps: &[&Step]) -> String {
    let parts: Vec<String> =
        by_state(steps).into_iter().map(|(status, count)| format!("{} {status}", figure(count as u64))).collect();
    parts.join(", ")
}

/// How many are in each state, those first that need most.
fn by_state(steps: &[&Step]) -> Vec<(StepStatus, usize)> {
    let mut counts: BTreeMap<u8, (StepStatus, usize)> = BTreeMap::new();
    for step in steps {
        counts.entry(urgency(step.status)).or_insert((step.status, 0)).1 += 1;
    }
    counts.into_values().collect()
}

/// Which states somebody looks for first.
pub(super) fn urgency(status: StepStatus) -> u8 {
    match status {
        StepStatus::Failed => 0,
        StepStatus::Parked => 1,
        StepStatus::Running => 2,
        StepStatus::Waiting => 3,
        StepStatus::Ready => 4,
        StepStatus::Blocked => 5,
        StepStatus::Cancelled => 6,
        StepStatus::Skipped => 7,
        StepStatus::Succeeded => 8,
    }
}
