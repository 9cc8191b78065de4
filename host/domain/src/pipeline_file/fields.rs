//! A table's fields and the values that several keys have: texts, names, durations, words of a list. What is none is
//! reported.

use serde_json::Value;

use super::source::{Key, Kind, Node};
use super::words::{check_name, closest, parse_duration_ms};
use super::{Report, Span};

/// Longest timeout and delay: thirty days.
const LONGEST_MS: u64 = 30 * 86_400_000;

/// A table's fields, with unknown ones reported.
pub(super) struct Fields<'a> {
    fields: &'a [(Key, Node)],
    pub(super) span: Span,
}

impl<'a> Fields<'a> {
    pub(super) fn of(node: &'a Node, what: &str, known: &[&str], report: &mut Report<'_>) -> Option<Self> {
        let Kind::Table(fields) = &node.kind else {
            let help = format!("its keys are {}", list(known));
            report.problem(&node.span, format!("{what} must be a table, it is {}", node.type_name()), help);
            return None;
        };
        for (key, _) in fields.iter().filter(|(key, _)| !known.contains(&key.name.as_str())) {
            let unused = known.iter().copied().filter(|known| fields.iter().all(|(key, _)| key.name != *known));
            let help = did_you_mean(&key.name, unused).unwrap_or_else(|| format!("its keys are {}", list(known)));
            report.problem(&key.span, format!("{what} has no key `{}`", key.name), help);
        }
        Some(Self { fields, span: node.span.clone() })
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a Node> {
        self.fields.iter().find(|(key, _)| key.name == name).map(|(_, node)| node)
    }
}

pub(super) fn text_in<'a>(node: &'a Node, what: &str, report: &mut Report<'_>) -> Option<&'a str> {
    if let Kind::Scalar(Value::String(text)) = &node.kind {
        return Some(text);
    }
    report.problem(&node.span, format!("{what} must be a string, it is {}", node.type_name()), None);
    None
}

pub(super) fn name_in(node: &Node, what: &str, report: &mut Report<'_>) -> Option<String> {
    let text = text_in(node, what, report)?;
    if let Err(rule) = check_name(text) {
        let help = "a name is a letter, then letters, digits, - and _, 64 at most".to_owned();
        report.problem(&node.span, format!("{what} {rule}"), help);
    }
    Some(text.to_owned())
}

pub(super) fn duration_in(node: &Node, key: &str, report: &mut Report<'_>) -> Option<u64> {
    if let Kind::Scalar(Value::Number(number)) = &node.kind {
        let help = format!("write {key} = \"{number}s\" or \"{number}ms\"");
        report.problem(&node.span, format!("`{key}` must be a text with a unit"), help);
        return None;
    }
    match parse_duration_ms(text_in(node, &format!("`{key}`"), report)?) {
        Ok(ms) if ms <= LONGEST_MS => Some(ms),
        Ok(_) => {
            report.problem(&node.span, format!("`{key}` is longer than 30 days"), None);
            None
        }
        Err(help) => {
            report.problem(&node.span, format!("`{key}` is not a duration"), help);
            None
        }
    }
}

pub(super) fn unknown_word(node: Option<&Node>, key: &str, text: &str, known: &[&str], report: &mut Report<'_>) {
    let span = node.map_or(0..0, |node| node.span.clone());
    report.problem(
        &span,
        format!("`{key}` must be one of {}, not \"{text}\"", list(known)),
        did_you_mean(text, known.iter().copied()),
    );
}

pub(super) fn did_you_mean<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    closest(text, known).map(|meant| format!("did you mean `{meant}`?"))
}

/// `a`, `b` and `c`.
pub(super) fn list(words: &[&str]) -> String {
    const NAMED: usize = 12;
    let quoted: Vec<String> = words.iter().take(NAMED).map(|word| format!("`{word}`")).collect();
    match (quoted.split_last(), words.len() > NAMED) {
        (None, _) => "none".to_owned(),
        (Some(_), true) => format!("{} and {} more", quoted.join(", "), words.len() - NAMED),
        (Some((last, [])), false) => last.clone(),
        (Some((last, before)), false) => format!("{} and {last}", before.join(", ")),
    }
}
