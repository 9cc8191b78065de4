//! The graph of a run, as a picture: boxes in layers, joined by lines, each with the colour and the shape of its state.
//! Boxes lead to their steps.

use std::collections::BTreeMap;

use maud::{Markup, html};
use pawl_api::types::{Run, Step, StepStatus};

use super::layers::{Layout, Node, lay_out};
use crate::look::of_step;
use crate::words::{count, cut, figure};

/// Sizes, in pixels.
const WIDTH: usize = 176;
const HEIGHT: usize = 34;
const ASIDE: usize = 40;
const BELOW: usize = 12;
const EDGE: usize = 6;

/// Letters that a box has room for.
const LETTERS: usize = 19;

pub(super) fn draw(run: &Run) -> Markup {
    let numbers: BTreeMap<&str, usize> =
        run.steps.iter().enumerate().map(|(number, step)| (&*step.name, number)).collect();
    let needs = |step: &Step| step.needs.iter().filter_map(|need| numbers.get(&**need).copied()).collect();
    let needs: Vec<Vec<usize>> = run.steps.iter().map(needs).collect();
    let kinds: Vec<&str> = run.steps.iter().map(|step| &*step.plugin).collect();
    let layout = lay_out(&needs, &kinds);
    let (width, height) = (layout.layers * (WIDTH + ASIDE), layout.widest * (HEIGHT + BELOW) + 2 * EDGE);
    let steps = count(run.steps.len() as u64, "step", "steps");
    let said = format!("Graph of {steps}: {}", told(&run.steps.iter().collect::<Vec<_>>()));
    html! {
        div class="wide-picture" tabindex="0" role="group" aria-label=(said) {
            svg class="graph" width=(width) height=(height) viewBox={ "0 0 " (width) " " (height) } {
                @for (from, to) in &layout.edges { path class="line" d=(line(&layout, *from, *to)) {} }
                @for node in &layout.nodes { (boxed(run, &layout, node)) }
            }
        }
        @if layout.nodes.iter().any(|node| node.steps.len() > 1) {
            p class="muted" {
                "Folded: a box stands for all steps of one plugin side by side, in the colour of the one that needs most."
            }
        }
    }
}

/// The upper left corner of a box; layers stand around the middle.
fn corner(layout: &Layout, node: &Node) -> (usize, usize) {
    let own = layout.nodes.iter().filter(|other| other.layer == node.layer).count();
    let above = (layout.widest - own) * (HEIGHT + BELOW) / 2;
    (EDGE + node.layer * (WIDTH + ASIDE), EDGE + above + node.place * (HEIGHT + BELOW))
}

fn line(layout: &Layout, from: usize, to: usize) -> String {
    let ((x1, y1), (x2, y2)) = (corner(layout, &layout.nodes[from]), corner(layout, &layout.nodes[to]));
    let (x1, y1, y2) = (x1 + WIDTH, y1 + HEIGHT / 2, y2 + HEIGHT / 2);
    let bend = ASIDE / 2;
    format!("M{x1} {y1}C{} {y1} {} {y2} {x2} {y2}", x1 + bend, x2 - bend)
}

fn boxed(run: &Run, layout: &Layout, node: &Node) -> Markup {
    let steps: Vec<&Step> = node.steps.iter().map(|step| &run.steps[*step]).collect();
    let (x, y) = corner(layout, node);
    let Some(worst) = steps.iter().min_by_key(|step| urgency(step.status)) else {
        return html! { path class="line" d={ "M" (x) " " (y + HEIGHT / 2) "h" (WIDTH) } {} };
    };
    let look = of_step(worst.status);
    let is_folded = steps.len() > 1;
    let name = if is_folded {
        format!("{} ×{}", cut(&worst.plugin, 10), figure(steps.len() as u64))
    } else {
        worst.name.clone()
    };
    let title = if is_folded {
        format!("{} of {}: {}", figure(steps.len() as u64), worst.plugin, told(&steps))
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
            @if is_folded { (shares(&steps, x, y)) }
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
