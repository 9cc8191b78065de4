//! Reads a pipeline as a user wrote it, TOML or JSON, into a checked [`Pipeline`]. Pure: which plugins
//! there are comes in as a value. Every problem is reported at once, each with its place and a way out,
//! because whoever mends a file wants to do it once.
//!
//! ```text
//!  text ──source──▶ tree with places ──check──▶ steps, needs by name ──graph──▶ Pipeline
//!         json                          words                          cycles
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::limits::Limits;
use super::pipeline::Pipeline;

mod check;
mod documents;
mod draft;
mod fields;
mod grants;
mod graph;
mod json;
mod numbers;
mod retention;
mod source;
#[cfg(test)]
mod tests;
mod words;

pub use documents::KnownSchemas;
pub use words::{check_name, check_version, closest, parse_duration_ms};

/// More problems than this are only counted.
const SHOWN_PROBLEMS: usize = 200;

/// The two ways to write a pipeline. Both have the same keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// What people write.
    Toml,
    /// What programs write.
    Json,
}

impl Format {
    /// By the ending of a file's name: `.json` is JSON, all else TOML.
    #[must_use]
    pub fn of_file(name: &str) -> Self {
        if name.ends_with(".json") { Self::Json } else { Self::Toml }
    }
}

/// The plugins that a pipeline may use, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownPlugins(pub BTreeMap<String, KnownPlugin>);

/// What a pipeline may ask of one plugin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownPlugin {
    /// All its versions.
    pub versions: BTreeSet<String>,
    /// Whether one of them is active; steps that name no version get that one.
    pub has_active: bool,
}

/// Reads a pipeline that keeps within `limits`. Without `plugins`, references to plugins are checked for
/// their form alone.
///
/// # Errors
/// Everything that is wrong, in the order of the file; never empty.
pub fn read(
    bytes: &[u8],
    format: Format,
    limits: &Limits,
    plugins: Option<&KnownPlugins>,
) -> Result<Pipeline, Vec<Problem>> {
    read_with_schemas(bytes, format, limits, plugins, &KnownSchemas::default())
}

/// The same, and the documents of the steps must go together.
///
/// # Errors
/// Everything that is wrong, in the order of the file; never empty.
pub fn read_with_schemas(
    bytes: &[u8],
    format: Format,
    limits: &Limits,
    plugins: Option<&KnownPlugins>,
    schemas: &KnownSchemas,
) -> Result<Pipeline, Vec<Problem>> {
    let mut report = match std::str::from_utf8(bytes) {
        Ok(text) => Report::new(text),
        Err(error) => return Err(vec![not_utf8(bytes, error.valid_up_to())]),
    };
    let tree = match format {
        Format::Toml => source::read_toml(&mut report),
        Format::Json => json::read_json(&mut report),
    };
    let pipeline = tree.and_then(|tree| check::check(&tree, limits, plugins, schemas, &mut report));
    match (report.finish(), pipeline) {
        (problems, Some(pipeline)) if problems.is_empty() => Ok(pipeline),
        (problems, _) => Err(problems),
    }
}

/// One thing that is wrong with a pipeline file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "FileProblem")]
pub struct Problem {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// Characters to underline, on that line.
    pub length: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)?;
        self.help.iter().try_for_each(|help| write!(f, " ({help})"))
    }
}

/// Shows problems to a person who has the file, in the way of a compiler:
///
/// ```text
/// error: step `merge` needs `laod`, which is no step of this pipeline
///  --> temperatures.toml:9:10
///   |
/// 9 | needs = ["laod", "clean"]
///   |          ^^^^^^
///   = help: did you mean `load`?
/// ```
#[must_use]
pub fn render(problems: &[Problem], file: &str, text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut shown = String::new();
    for problem in problems {
        let gutter = " ".repeat(problem.line.to_string().len());
        let line = lines.get(problem.line - 1).copied().unwrap_or("").replace('\t', " ");
        let indent = " ".repeat(problem.column - 1);
        let carets = "^".repeat(problem.length.max(1));
        shown += &format!("error: {}\n", problem.message);
        shown += &format!("{gutter}--> {file}:{}:{}\n", problem.line, problem.column);
        shown += &format!("{gutter} |\n{} | {line}\n{gutter} | {indent}{carets}\n", problem.line);
        if let Some(help) = &problem.help {
            shown += &format!("{gutter} = help: {help}\n");
        }
        shown.push('\n');
    }
    shown
}

/// What was found so far, and the text to find places in.
struct Report<'a> {
    text: &'a str,
    /// Byte offsets of the beginnings of lines.
    lines: Vec<usize>,
    found: Vec<(Span, Problem)>,
    /// Problems of the text itself. The text could not be read in full: what seems to be missing may be
    /// there, and what stands on the same lines may be read wrongly.
    broken: Vec<(Span, Problem)>,
}

/// A range of bytes of the text.
type Span = std::ops::Range<usize>;

impl<'a> Report<'a> {
    fn new(text: &'a str) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, lines, found: Vec::new(), broken: Vec::new() }
    }

    /// Something is wrong at this place.
    fn problem(&mut self, span: &Span, message: impl Into<String>, help: impl Into<Option<String>>) {
        let problem = self.at(span, message.into(), help.into());
        self.found.push((span.clone(), problem));
    }

    fn at(&self, span: &Span, message: String, help: Option<String>) -> Problem {
        let (line, column) = self.place(span.start);
        let end = self.lines.get(line).map_or(self.text.len(), |next| next - 1).min(span.end.max(span.start));
        let length = self.text.get(span.start..end).map_or(1, |marked| marked.trim_end().chars().count().max(1));
        Problem { line, column, length, message, help }
    }

    /// Something is missing: said only if the whole text could be read.
    fn absence(&mut self, span: &Span, message: impl Into<String>, help: impl Into<Option<String>>) {
        if self.broken.is_empty() {
            self.problem(span, message, help);
        }
    }

    /// The text itself is broken here.
    fn syntax(&mut self, span: &Span, message: impl Into<String>, help: impl Into<Option<String>>) {
        let problem = self.at(span, message.into(), help.into());
        self.broken.push((span.clone(), problem));
    }

    fn line(&self, offset: usize) -> usize {
        self.place(offset).0
    }

    fn place(&self, offset: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|start| *start <= offset).max(1);
        let start = self.lines[line - 1];
        let before = self.text.get(start..offset).unwrap_or("");
        (line, before.chars().count() + 1)
    }

    fn finish(mut self) -> Vec<Problem> {
        let broken_lines: BTreeSet<usize> = self.broken.iter().map(|(_, problem)| problem.line).collect();
        self.found.retain(|(_, problem)| !broken_lines.contains(&problem.line));
        self.found.append(&mut self.broken);
        self.found.sort_by_key(|(span, _)| span.start);
        let more = self.found.len().saturating_sub(SHOWN_PROBLEMS);
        let mut problems: Vec<Problem> = self.found.into_iter().map(|(_, problem)| problem).collect();
        problems.dedup();
        problems.truncate(SHOWN_PROBLEMS);
        if let (1.., Some(last)) = (more, problems.last().cloned()) {
            problems.push(Problem { message: format!("and {more} more problems"), help: None, ..last });
        }
        problems
    }
}

fn not_utf8(bytes: &[u8], valid: usize) -> Problem {
    let before = String::from_utf8_lossy(&bytes[..valid]);
    Problem {
        line: before.matches('\n').count() + 1,
        column: before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1,
        length: 1,
        message: "the file is not UTF-8 text".to_owned(),
        help: Some("save it as UTF-8".to_owned()),
    }
}
