//! JSON with places. serde_json decides what is JSON; once it has accepted the text, this only walks over
//! it to note where each value stands, and to see what serde_json keeps to itself: repeated names.

use serde_json::{Number, Value};

use super::numbers::check_kept;
use super::source::{Key, Kind, Node};
use super::{Report, Span};
use crate::json::BYTE_ORDER_MARK;

/// Reads JSON, or reports why it is none.
pub(super) fn read_json(report: &mut Report<'_>) -> Option<Node> {
    let begins = if report.text.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len_utf8() } else { 0 };
    if let Err(error) = serde_json::from_str::<Value>(&report.text[begins..]) {
        let line = error.line().max(1);
        let of_line = if line == 1 { begins } else { report.lines.get(line - 1).copied().unwrap_or(0) };
        let start = of_line + error.column().saturating_sub(1);
        let message = error.to_string();
        let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
        let help = "a file is read as JSON if its name ends with .json, a request if its content-type is application/json; \
                    else as TOML";
        report.syntax(&(start..start), format!("not valid JSON: {message}"), help.to_owned());
        return None;
    }
    let mut walk = Walk { text: report.text, at: begins, repeated: Vec::new(), numbers: Vec::new() };
    let node = walk.value();
    for (span, number) in walk.numbers {
        let literal = report.text.get(span.clone()).unwrap_or_default();
        check_kept(literal, &number, &span, report);
    }
    for (first, key) in walk.repeated {
        let first = report.line(first.start);
        report.problem(&key.span, format!("`{}` is given twice", key.name), format!("the first is on line {first}"));
    }
    Some(node)
}

/// A walk over text that is known to be JSON; serde_json has bounded its depth.
struct Walk<'a> {
    text: &'a str,
    at: usize,
    repeated: Vec<(Span, Key)>,
    /// What was read as numbers, and where.
    numbers: Vec<(Span, Number)>,
}

impl Walk<'_> {
    fn value(&mut self) -> Node {
        let start = self.skip_space();
        let kind = match self.peek() {
            b'{' => self.table(),
            b'[' => self.array(),
            b'"' => Kind::Scalar(Value::String(self.string())),
            _ => self.word(),
        };
        Node { span: start..self.at, kind }
    }

    fn table(&mut self) -> Kind {
        let mut fields: Vec<(Key, Node)> = Vec::new();
        let mut seen = std::collections::HashMap::new();
        self.at += 1;
        while self.next_item(b'}') {
            let start = self.skip_space();
            let name = self.string();
            let span = start..self.at;
            self.skip_space();
            self.at += 1; // the colon
            let node = self.value();
            match seen.get(&name) {
                Some(first) => self.repeated.push((Span::clone(first), Key { name, span })),
                None => {
                    seen.insert(name.clone(), span.clone());
                    fields.push((Key { name, span }, node));
                }
            }
        }
        Kind::Table(fields)
    }

    fn array(&mut self) -> Kind {
        let mut nodes = Vec::new();
        self.at += 1;
        while self.next_item(b']') {
            nodes.push(self.value());
        }
        Kind::Array(nodes)
    }

    /// Moves to the next item of a table or list, or behind its end.
    fn next_item(&mut self, end: u8) -> bool {
        self.skip_space();
        let next = self.peek();
        if next == b',' || next == end || next == 0 {
            self.at += 1;
        }
        next != end && next != 0
    }

    fn string(&mut self) -> String {
        let start = self.at;
        self.at += 1;
        while !matches!(self.peek(), b'"' | 0) {
            self.at += if self.peek() == b'\\' { 2 } else { 1 };
        }
        self.at += 1;
        self.text.get(start..self.at).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    fn word(&mut self) -> Kind {
        let start = self.at;
        while !matches!(self.peek(), b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n' | 0) {
            self.at += 1;
        }
        let word: Value =
            self.text.get(start..self.at).and_then(|word| serde_json::from_str(word).ok()).unwrap_or_default();
        if let Value::Number(number) = &word {
            self.numbers.push((start..self.at, number.clone()));
        }
        Kind::Scalar(word)
    }

    fn skip_space(&mut self) -> usize {
        while matches!(self.peek(), b' ' | b'\t' | b'\r' | b'\n') {
            self.at += 1;
        }
        self.at
    }

    /// The byte here; 0, which JSON has nowhere, at the end.
    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }
}
