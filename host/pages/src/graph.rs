//! Graphs of steps, as pictures: boxes in layers, joined by lines. What stands in a box is for whoever draws it: a run has
//! states to show, a pipeline has none.

use std::collections::BTreeMap;

use maud::{Markup, html};

use self::layers::{Layout, lay_out};

mod layers;

/// Sizes of a box, in pixels.
pub(super) const WIDTH: usize = 176;
pub(super) const HEIGHT: usize = 34;

const ASIDE: usize = 40;
const BELOW: usize = 12;
const EDGE: usize = 6;

/// A step that is drawn.
pub(super) struct Drawn<'a> {
    pub(super) name: &'a str,
    /// What steps are folded by, where they are too many.
    pub(super) kind: &'a str,
    /// Names of those that it needs.
    pub(super) needs: &'a [String],
}

/// The picture: `said` to those who don't see it. A box is given the steps in it, by their index, and its upper left corner.
pub(super) fn picture(steps: &[Drawn<'_>], said: &str, boxed: impl Fn(&[usize], (usize, usize)) -> Markup) -> Markup {
    let numbers: BTreeMap<&str, usize> = steps.iter().enumerate().map(|(number, step)| (step.name, number)).collect();
    let needs = |step: &Drawn<'_>| step.needs.iter().filter_map(|need| numbers.get(&**need).copied()).collect();
    let needs: Vec<Vec<usize>> = steps.iter().map(needs).collect();
    let kinds: Vec<&str> = steps.iter().map(|step| step.kind).collect();
    let layout = lay_out(&needs, &kinds);
    let (width, height) = (layout.layers * (WIDTH + ASIDE), layout.widest * (HEIGHT + BELOW) + 2 * EDGE);
    html! {
        div class="wide-picture" tabindex="0" role="group" aria-label=(said) {
            svg class="graph" width=(width) height=(height) viewBox={ "0 0 " (width) " " (height) } {
                @for (from, to) in &layout.edges { path class="line" d=(line(&layout, *from, *to)) {} }
                @for (number, node) in layout.nodes.iter().enumerate() {
                    @let (x, y) = corner(&layout, number);
                    @if node.steps.is_empty() {
                        path class="line" d={ "M" (x) " " (y + HEIGHT / 2) "h" (WIDTH) } {}
                    } @else { (boxed(&node.steps, (x, y))) }
                }
            }
        }
        @if layout.nodes.iter().any(|node| node.steps.len() > 1) {
            p class="muted" { "Folded: a box stands for all steps of one plugin side by side." }
        }
    }
}

/// The upper left corner of a box; layers stand around the middle.
fn corner(layout: &Layout, number: usize) -> (usize, usize) {
    let node = &layout.nodes[number];
    let own = layout.nodes.iter().filter(|other| other.layer == node.layer).count();
    let above = (layout.widest - own) * (HEIGHT + BELOW) / 2;
    (EDGE + node.layer * (WIDTH + ASIDE), EDGE + above + node.place * (HEIGHT + BELOW))
}

fn line(layout: &Layout, from: usize, to: usize) -> String {
    let ((x1, y1), (x2, y2)) = (corner(layout, from), corner(layout, to));
    let (x1, y1, y2) = (x1 + WIDTH, y1 + HEIGHT / 2, y2 + HEIGHT / 2);
    let bend = ASIDE / 2;
    format!("M{x1} {y1}C{} {y1} {} {y2} {x2} {y2}", x1 + bend, x2 - bend)
}
