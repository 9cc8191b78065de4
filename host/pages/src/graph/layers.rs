//! Where the steps of a graph stand: in layers by what they need, in an order that crosses few lines, and folded where
//! there are too many to be looked at. Pure.

use std::collections::{BTreeMap, BTreeSet};

/// Boxes that a person takes in, and layers beside each other.
const BOXES: usize = 40;
const LAYERS: usize = 24;

/// Places that lines are led through.
const THROUGH: usize = 120;

/// One step, several that are folded into one box, or none: where a line goes through a layer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// From the left.
    pub(super) layer: usize,
    /// From the top of its layer.
    pub(super) place: usize,
    /// Which steps, by their index.
    pub(super) steps: Vec<usize>,
}

/// A graph, laid out.
#[derive(Debug, Default)]
pub(super) struct Layout {
    pub(super) nodes: Vec<Node>,
    /// From one node to another, by their index.
    pub(super) edges: BTreeSet<(usize, usize)>,
    pub(super) layers: usize,
    /// Nodes of the fullest layer.
    pub(super) widest: usize,
}

/// Lays out steps that need those of these indices; `kinds` is what steps are folded by.
pub(super) fn lay_out(needs: &[Vec<usize>], kinds: &[&str]) -> Layout {
    let layer = layers(needs);
    let count = layer.iter().max().map_or(0, |last| last + 1);
    let group = grouping(&layer, count, kinds);
    let mut nodes: Vec<Node> = Vec::new();
    let mut of_key: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    let mut of_step = Vec::with_capacity(needs.len());
    for (step, key) in group.into_iter().enumerate() {
        let node = *of_key.entry(key).or_insert_with(|| {
            nodes.push(Node { layer: key.0, place: 0, steps: Vec::new() });
            nodes.len() - 1
        });
        nodes[node].steps.push(step);
        of_step.push(node);
    }
    let pairs = needs.iter().enumerate().flat_map(|(step, needs)| needs.iter().map(move |need| (*need, step)));
    let edges = pairs.map(|(from, to)| (of_step[from], of_step[to]));
    let edges: BTreeSet<(usize, usize)> = edges.filter(|(from, to)| nodes[*from].layer < nodes[*to].layer).collect();
    let edges = through_layers(&mut nodes, edges);
    let widest = order(&mut nodes, &edges);
    let layers = nodes.iter().map(|node| node.layer + 1).max().unwrap_or(0);
    Layout { nodes, edges, layers, widest }
}

/// The layer of each step: one behind the last that it needs.
fn layers(needs: &[Vec<usize>]) -> Vec<usize> {
    let mut needed_by = vec![Vec::new(); needs.len()];
    let mut missing: Vec<usize> = needs.iter().map(Vec::len).collect();
    for (step, needs) in needs.iter().enumerate() {
        for need in needs {
            needed_by[*need].push(step);
        }
    }
    let mut layer = vec![0; needs.len()];
    let mut next: Vec<usize> = (0..needs.len()).filter(|step| missing[*step] == 0).collect();
    while let Some(step) = next.pop() {
        for follower in &needed_by[step] {
            layer[*follower] = layer[*follower].max(layer[step] + 1);
            missing[*follower] -= 1;
            if missing[*follower] == 0 {
                next.push(*follower);
            }
        }
    }
    layer
}

/// Which steps share a box, as layer and number in it: none, if all fit; else those of one kind in neighbouring layers; else all of
/// these layers.
fn grouping(layer: &[usize], layers: usize, kinds: &[&str]) -> Vec<(usize, usize)> {
    let steps = layer.len();
    if steps <= BOXES && layers <= LAYERS {
        return layer.iter().enumerate().map(|(step, layer)| (*layer, step)).collect();
    }
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    for kind in kinds {
        let next = numbers.len();
        numbers.entry(*kind).or_insert(next);
    }
    let most = layers.clamp(1, LAYERS);
    let bucket = |layer: usize| layer * most / layers.max(1);
    let by_kind: Vec<(usize, usize)> =
        layer.iter().zip(kinds).map(|(layer, kind)| (bucket(*layer), numbers[kind])).collect();
    match by_kind.iter().collect::<BTreeSet<_>>().len() {
        ..=BOXES => by_kind,
        _ => by_kind.into_iter().map(|(layer, _)| (layer, 0)).collect(),
    }
}

/// Leads lines that pass layers through a place of their own in each, so that they go around boxes; those of one node together.
fn through_layers(nodes: &mut Vec<Node>, edges: BTreeSet<(usize, usize)>) -> BTreeSet<(usize, usize)> {
    let mut furthest: BTreeMap<usize, usize> = BTreeMap::new();
    for (from, to) in &edges {
        let last = furthest.entry(*from).or_default();
        *last = nodes[*to].layer.max(*last);
    }
    if furthest.iter().map(|(from, last)| last - nodes[*from].layer - 1).sum::<usize>() > THROUGH {
        return edges;
    }
    let mut through: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    let mut led = BTreeSet::new();
    for (from, to) in edges {
        let mut last = from;
        for layer in nodes[from].layer + 1..nodes[to].layer {
            let next = *through.entry((from, layer)).or_insert_with(|| {
                nodes.push(Node { layer, place: 0, steps: Vec::new() });
                nodes.len() - 1
            });
            led.insert((last, next));
            last = next;
        }
        led.insert((last, to));
    }
    led
}

/// Places nodes near those that they are joined to, some times to and fro. Returns how many the fullest layer has.
fn order(nodes: &mut [Node], edges: &BTreeSet<(usize, usize)>) -> usize {
    let mut layers: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (node, Node { layer, .. }) in nodes.iter().enumerate() {
        layers.entry(*layer).or_default().push(node);
    }
    let mut joined = vec![Vec::new(); nodes.len()];
    for (from, to) in edges {
        joined[*from].push(*to);
        joined[*to].push(*from);
    }
    let place_all = |nodes: &mut [Node], layer: &[usize]| {
        for (place, node) in layer.iter().enumerate() {
            nodes[*node].place = place;
        }
    };
    layers.values().for_each(|layer| place_all(nodes, layer));
    for sweep in 0..4 {
        let order: Vec<usize> =
            if sweep % 2 == 0 { layers.keys().copied().collect() } else { layers.keys().rev().copied().collect() };
        for number in order {
            let Some(layer) = layers.get_mut(&number) else { continue };
            let middle = |node: &usize| {
                let beside = joined[*node].iter().filter(|other| (nodes[**other].layer < number) == (sweep % 2 == 0));
                let (sum, count) = beside.fold((0, 0), |(sum, count), other| (sum + nodes[*other].place, count + 1));
                (sum * 1_000).checked_div(count).unwrap_or(nodes[*node].place * 1_000)
            };
            layer.sort_by_cached_key(middle);
            place_all(nodes, layer);
        }
    }
    layers.values().map(Vec::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(layout: &Layout) -> Vec<(usize, usize, usize)> {
        layout.nodes.iter().map(|node| (node.layer, node.place, node.steps.len())).collect()
    }

    #[test]
    fn a_step_stands_behind_what_it_needs_however_they_are_listed() {
        // 3 ─▶ 0 ─▶ 1, 3 ─▶ 2, 1 and 2 ─▶ 4
        let needs = [vec![3], vec![0], vec![3], vec![], vec![1, 2]];
        let layout = lay_out(&needs, &["p"; 5]);
        let boxes = layout.nodes.iter().filter(|node| !node.steps.is_empty());
        assert_eq!(boxes.map(|node| node.layer).collect::<Vec<_>>(), [1, 2, 1, 0, 3]);
        // From 2 to 4 the line passes the layer of 1.
        assert_eq!((layout.layers, layout.widest, layout.nodes.len(), layout.edges.len()), (4, 2, 6, 6));
    }

    #[test]
    fn lines_do_not_cross_that_need_not() {
        // 0, 1, 2 ─▶ 5, 4, 3
        let needs = [vec![], vec![], vec![], vec![2], vec![1], vec![0]];
        let places: Vec<usize> = lay_out(&needs, &["p"; 6]).nodes.iter().map(|node| node.place).collect();
        assert_eq!(places[3..], [places[2], places[1], places[0]]);
    }

    #[test]
    fn ten_thousand_steps_are_folded_into_what_a_person_takes_in() {
        let fan: Vec<Vec<usize>> = (0..10_000).map(|step| if step == 0 { vec![] } else { vec![0] }).collect();
        let kinds: Vec<&str> = (0..10_000).map(|step| if step == 0 { "split" } else { "work" }).collect();
        assert_eq!(at(&lay_out(&fan, &kinds)), [(0, 0, 1), (1, 0, 9_999)]);

        let chain: Vec<Vec<usize>> = (0..10_000_usize).map(|step| step.checked_sub(1).into_iter().collect()).collect();
        let layout = lay_out(&chain, &vec!["work"; 10_000]);
        assert!(layout.layers == LAYERS && layout.nodes.len() == LAYERS, "{:?}", at(&layout));
        assert_eq!(layout.nodes.iter().map(|node| node.steps.len()).sum::<usize>(), 10_000);

        let names: Vec<String> = (0..10_000).map(|step| format!("p{}", step % 500)).collect();
        let kinds: Vec<&str> = names.iter().map(String::as_str).collect();
        assert!(lay_out(&fan, &kinds).nodes.len() <= BOXES);
        assert_eq!(lay_out(&[], &[]).layers, 0);
    }
}
