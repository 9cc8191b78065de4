//! What a pipeline says of how long its runs are kept: one word or duration for all of them, or a table by outcome.

use serde_json::Value;

use super::Report;
use super::fields::{Fields, text_in};
use super::source::{Kind, Node};
use crate::retention::{KEEP, Retention, Term};

const KEYS: &[&str] = &["succeeded", "failed", "cancelled"];

pub(super) fn retention_in(node: &Node, report: &mut Report<'_>) -> Retention {
    if !matches!(node.kind, Kind::Table(_)) {
        return term_in(node, "retention", report).map_or_else(Retention::default, Retention::of_all);
    }
    let Some(fields) = Fields::of(node, "`retention`", KEYS, report) else { return Retention::default() };
    let mut term = |key: &str| fields.get(key).and_then(|node| term_in(node, key, report));
    Retention { succeeded: term("succeeded"), failed: term("failed"), cancelled: term("cancelled") }
}

fn term_in(node: &Node, key: &str, report: &mut Report<'_>) -> Option<Term> {
    if let Kind::Scalar(Value::Number(number)) = &node.kind {
        let help = format!("write {key} = \"{number}d\", or \"{KEEP}\" for what is never deleted");
        report.problem(&node.span, format!("`{key}` must be a text with a unit"), help);
        return None;
    }
    let term = text_in(node, &format!("`{key}`"), report)?.parse::<Term>();
    term.map_err(|help| report.problem(&node.span, format!("`{key}` is no time that runs are kept"), help)).ok()
}
