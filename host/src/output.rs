//! The one place that writes to standard output: an answer as a table, as JSON or as ids.
//!
//! Everything else (progress, hints, errors, logs) goes to standard error, so that output can be piped.

use std::fmt;
use std::io::{self, Write as _};

use clap::{Args, ValueEnum};
use serde::Serialize;

/// The flag that all commands with an answer have.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Output {
    /// How to print the answer: for people, for programs (as in the HTTP API), for scripts
    #[arg(
        short = 'o',
        long = "output",
        value_name = "FORMAT",
        global = true,
        default_value = "table",
        env = "PAWL_OUTPUT"
    )]
    format: Format,
}

/// The formats of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    // No doc comments: in help they would take nine lines in every command.
    Table,
    Json,
    Ids,
}

/// What a command answers with.
pub(super) trait Answer: Serialize {
    /// Ids or names, in order.
    fn ids(&self) -> Vec<String>;
    /// For people.
    fn text(&self) -> String;
}

impl Output {
    /// For answers that are printed piece by piece.
    pub(super) fn format(self) -> Format {
        self.format
    }

    /// Prints an answer.
    pub(super) fn print(self, answer: &impl Answer) -> io::Result<()> {
        match self.format {
            Format::Table => print(&answer.text()),
            Format::Json => print(&serde_json::to_string_pretty(answer)?),
            Format::Ids => print(&answer.ids().join("\n")),
        }
    }
}

/// Prints text as it is, with a line end if it has none. Empty text prints nothing.
pub(super) fn print(text: &str) -> io::Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        stdout.write_all(b"\n")?;
    }
    stdout.flush()
}

/// Aligned columns under headings.
#[derive(Debug)]
pub(super) struct Table<const COLUMNS: usize> {
    rows: Vec<[String; COLUMNS]>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    /// An empty table.
    pub(super) fn new(headings: [&str; COLUMNS]) -> Self {
        Self { rows: vec![headings.map(str::to_owned)] }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: [String; COLUMNS]) {
        self.rows.push(cells);
    }
}

impl<const COLUMNS: usize> fmt::Display for Table<COLUMNS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths: [usize; COLUMNS] =
            std::array::from_fn(|column| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(widths) {
                // A cell is one line: what a guest wrote must not break the table.
                let cell = cell.replace(|c: char| c.is_control(), " ");
                line.push_str(&format!("{cell:width$}  "));
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Names with values, one per line, aligned.
pub(super) fn fields(fields: &[(&str, String)]) -> String {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 2;
    fields.iter().map(|(name, value)| format!("{name:width$}{value}\n")).collect()
}

/// A dash where there is nothing.
pub(super) fn or_dash(value: Option<impl fmt::Display>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// A length of time, for people: `950 ms`, `4.2 s`, `3 min 20 s`, `5 h 2 min`.
pub(super) fn duration(ms: i64) -> String {
    match ms {
        ..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
        _ => format!("{} h {} min", ms / 3_600_000, ms % 3_600_000 / 60_000),
    }
}

/// How long ago a time in ms since 1970 was.
pub(super) fn ago(at_ms: i64) -> String {
    format!("{} ago", duration((now_ms() - at_ms).max(0)))
}

/// Now, in ms since 1970.
pub(super) fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Bytes, for people.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        ..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{} KiB", bytes / 1_024),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

/// The end of an id that names it well enough for people: the beginning of an id tells only when it was made.
pub(super) fn short(id: impl fmt::Display) -> String {
    let text = id.to_string();
    text[text.len().saturating_sub(8)..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_a_cell_stays_on_its_line() {
        let mut table = Table::new(["NAME", "NOTE"]);
        table.row(["a-long-name".into(), "one\ntwo".into()]);
        table.row(["b".into(), String::new()]);
        assert_eq!(table.to_string(), "NAME         NOTE\na-long-name  one two\nb\n");
    }

    #[test]
    fn times_are_told_in_fitting_units() {
        let told: Vec<String> = [950, 4_250, 200_000, 18_120_000].map(duration).into();
        assert_eq!(told, ["950 ms", "4.2 s", "3 min 20 s", "5 h 2 min"]);
    }
}
