//! The tree that both formats are read into: JSON's values, each with its place in the text.

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::numbers::check_kept;
use super::{Report, Span};
use crate::json::BYTE_ORDER_MARK;

/// A value and where it stands.
pub(super) struct Node {
    pub(super) span: Span,
    pub(super) kind: Kind,
}

pub(super) enum Kind {
    /// `null`, a boolean, a number or a string.
    Scalar(Value),
    Array(Vec<Node>),
    /// In the order of the file.
    Table(Vec<(Key, Node)>),
}

/// The name of a field and where it stands.
pub(super) struct Key {
    pub(super) name: String,
    pub(super) span: Span,
}

impl Node {
    /// What it is, for messages.
    pub(super) fn type_name(&self) -> &'static str {
        match &self.kind {
            Kind::Scalar(Value::Null) => "null",
            Kind::Scalar(Value::Bool(_)) => "a boolean",
            Kind::Scalar(Value::Number(_)) => "a number",
            Kind::Scalar(_) => "a string",
            Kind::Array(_) => "a list",
            Kind::Table(_) => "a table",
        }
    }

    /// The value without its places.
    pub(super) fn to_json(&self) -> Value {
        match &self.kind {
            Kind::Scalar(value) => value.clone(),
            Kind::Array(nodes) => nodes.iter().map(Node::to_json).collect(),
            Kind::Table(fields) => fields.iter().map(|(key, node)| (key.name.clone(), node.to_json())).collect(),
        }
    }
}

/// Reads TOML. What can't be read is reported; the rest is returned.
pub(super) fn read_toml(report: &mut Report<'_>) -> Option<Node> {
    let (table, errors) = DeTable::parse_recoverable(report.text);
    if let (false, Some((span, what))) = (errors.is_empty(), another_format(report.text)) {
        let help = "write it in TOML; or in JSON, in a file whose name ends with .json".to_owned();
        report.syntax(&span, format!("not valid TOML: this looks like {what}"), help);
        return None;
    }
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let message = error.message().lines().collect::<Vec<_>>().join(", ");
        report.syntax(&span, format!("not valid TOML: {message}"), toml_help(&message));
    }
    Some(Node { span: 0..report.text.len().min(1), kind: read_table(table.get_ref(), report) })
}

/// What somebody may have written who thought of another tool's files: by the first line that says something.
fn another_format(text: &str) -> Option<(Span, &'static str)> {
    let says = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let line = text.trim_start_matches(BYTE_ORDER_MARK).lines().find(says)?;
    let (start, word) = (line.as_ptr().addr() - text.as_ptr().addr(), line.trim());
    let key = word.split(':').next().unwrap_or_default();
    let is_key = |key: &str| !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || "-_ \"'".contains(c));
    let what = match word {
        _ if word.starts_with('{') => "JSON",
        "---" => "YAML",
        _ if key.len() < word.len() && is_key(key) => "YAML",
        _ => return None,
    };
    Some((start..start + line.len(), what))
}

fn toml_help(message: &str) -> Option<String> {
    if message.contains("duplicate key") {
        Some("keep one of the two; a new step begins with `[[step]]`".to_owned())
    } else if message.contains("must be quoted") || message.contains("invalid boolean") {
        Some("write text in quotes, for example \"30s\"".to_owned())
    } else {
        None
    }
}

fn read_table(table: &DeTable<'_>, report: &mut Report<'_>) -> Kind {
    let mut fields: Vec<(Key, Node)> = table
        .iter()
        .map(|(key, value)| (Key { name: key.get_ref().to_string(), span: key.span() }, read_value(value, report)))
        .collect();
    fields.sort_by_key(|(key, _)| key.span.start);
    Kind::Table(fields)
}

fn read_value(value: &Spanned<DeValue<'_>>, report: &mut Report<'_>) -> Node {
    let span = value.span();
    let kind = match value.get_ref() {
        DeValue::String(text) => Kind::Scalar(text.to_string().into()),
        DeValue::Boolean(truth) => Kind::Scalar((*truth).into()),
        DeValue::Datetime(time) => Kind::Scalar(time.to_string().into()),
        DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) => Kind::Scalar(number.into()),
            Err(_) => {
                report.problem(&span, format!("{} does not fit into 64 bits", integer.as_str()), None);
                Kind::Scalar(0.into())
            }
        },
        DeValue::Float(float) => match float.as_str().parse().ok().and_then(serde_json::Number::from_f64) {
            Some(number) => {
                check_kept(float.as_str(), &number, &span, report);
                Kind::Scalar(Value::Number(number))
            }
            None => {
                let help = "JSON, which steps are given, has neither infinity nor nan: use a string or leave it out";
                report.problem(&span, format!("{} is no JSON number", float.as_str()), help.to_owned());
                Kind::Scalar(Value::Null)
            }
        },
        DeValue::Array(values) => Kind::Array(values.iter().map(|value| read_value(value, report)).collect()),
        DeValue::Table(table) => read_table(table, report),
    };
    Node { span, kind }
}
