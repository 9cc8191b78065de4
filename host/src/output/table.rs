//! Tables and lists of fields. A terminal gets tables that fit it: cells are broken into lines where a row would be wider, and a
//! text that would get a narrow column stands below its row; where not even the headings fit, each row is a list of fields.
//! Elsewhere a row is one line, for whatever reads it.

use std::fmt;
use std::io::IsTerminal as _;

use rustix::termios::tcgetwinsize;

/// What a terminal has that does not say.
const USUAL_WIDTH: usize = 80;

/// Between two columns.
const GAP: &str = "  ";

/// A column is not made narrower than this, or than its heading.
const NARROWEST: usize = 8;

/// A text that would get less room than this beside the other columns stands below them.
const READABLE: usize = 36;

/// Before a text below its row.
const INDENT: &str = "    ";

/// Aligned columns under headings.
#[derive(Debug)]
pub(crate) struct Table<const COLUMNS: usize> {
    rows: Vec<[String; COLUMNS]>,
    /// The last column holds sentences.
    has_text: bool,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    /// An empty table.
    pub(crate) fn new(headings: [&str; COLUMNS]) -> Self {
        Self { rows: vec![headings.map(str::to_owned)], has_text: false }
    }

    /// The same, with sentences in the last column.
    pub(crate) fn with_text(headings: [&str; COLUMNS]) -> Self {
        Self { has_text: true, ..Self::new(headings) }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: [String; COLUMNS]) {
        // A cell is one line: what a guest wrote must not break the table.
        self.rows.push(cells.map(|cell| one_line(&cell)));
    }

    /// The table in lines of at most `width` characters, if its columns can be made as narrow.
    fn within(&self, width: usize) -> String {
        let is_below = self.has_text && self.crowds_text(width);
        let columns = if is_below { COLUMNS - 1 } else { COLUMNS };
        let room = width.saturating_sub(GAP.len() * columns.saturating_sub(1));
        let widths = self.narrowed(columns, room);
        if widths[..columns].iter().sum::<usize>() > room {
            return self.stacked(width);
        }
        let mut text = String::new();
        for row in &self.rows {
            let cells: Vec<Vec<String>> =
                row[..columns].iter().zip(widths).map(|(cell, width)| broken(cell, width)).collect();
            let height = cells.iter().map(Vec::len).max().unwrap_or(1);
            for line in 0..height {
                let parts = cells.iter().zip(widths).map(|(lines, width)| {
                    let part = lines.get(line).map_or("", String::as_str);
                    format!("{part:width$}")
                });
                text.push_str(parts.collect::<Vec<_>>().join(GAP).trim_end());
                text.push('\n');
            }
            if let Some(below) = row[columns..].first().filter(|below| !below.is_empty()) {
                for line in broken(below, width.saturating_sub(INDENT.len()).max(NARROWEST)) {
                    text.push_str(&format!("{INDENT}{line}\n"));
                }
            }
        }
        text
    }

    /// Each row as a list of fields, with an empty line between two rows.
    fn stacked(&self, width: usize) -> String {
        let Some((headings, rows)) = self.rows.split_first() else { return String::new() };
        let name_width = headings.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        let value_width = width.saturating_sub(name_width + GAP.len()).max(NARROWEST);
        let row = |row: &[String; COLUMNS]| {
            let mut text = String::new();
            for (name, value) in headings.iter().zip(row) {
                for (line, part) in broken(value, value_width).iter().enumerate() {
                    let name = if line == 0 { name.as_str() } else { "" };
                    text.push_str(format!("{name:name_width$}{GAP}{part}").trim_end());
                    text.push('\n');
                }
            }
            text
        };
        // Without rows, the headings say what there would be.
        if rows.is_empty() {
            return format!("{}\n", headings.join(GAP));
        }
        rows.iter().map(row).collect::<Vec<_>>().join("\n")
    }

    /// Whether the other columns leave too little room for what the last one says.
    fn crowds_text(&self, width: usize) -> bool {
        let longest = self.longest();
        let (wanted, others) = longest.split_last().map_or((0, 0), |(last, others)| (*last, others.iter().sum()));
        let taken = others + GAP.len() * COLUMNS.saturating_sub(1);
        let room = width.saturating_sub(taken);
        room < wanted && room < READABLE
    }

    /// Characters of the longest cell in each column.
    fn longest(&self) -> [usize; COLUMNS] {
        let count = |row: &[String; COLUMNS], column: usize| row[column].chars().count();
        std::array::from_fn(|column| self.rows.iter().map(|row| count(row, column)).max().unwrap_or(0))
    }

    /// The widths of the first `columns`: the widest gives way until all fit.
    fn narrowed(&self, columns: usize, width: usize) -> [usize; COLUMNS] {
        let mut widths = self.longest();
        let least: [usize; COLUMNS] = std::array::from_fn(|column| self.rows[0][column].chars().count().max(NARROWEST));
        while widths[..columns].iter().sum::<usize>() > width {
            let widest =
                (0..columns).filter(|column| widths[*column] > least[*column]).max_by_key(|column| widths[*column]);
            let Some(widest) = widest else { break };
            widths[widest] -= 1;
        }
        widths
    }
}

impl<const COLUMNS: usize> fmt::Display for Table<COLUMNS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.within(width()))
    }
}

/// Characters of a line where the output goes.
fn width() -> usize {
    let stdout = std::io::stdout();
    if !stdout.is_terminal() {
        return usize::MAX;
    }
    let seen = tcgetwinsize(&stdout).ok().map(|size| usize::from(size.ws_col));
    columns(std::env::var("COLUMNS").ok().as_deref(), seen)
}

/// Who sets the variable means it: shells that keep it for themselves hand it to no program. A terminal of which nothing is
/// known has none.
fn columns(said: Option<&str>, seen: Option<usize>) -> usize {
    let said = said.and_then(|columns| columns.trim().parse().ok());
    [said, seen].into_iter().flatten().find(|columns| *columns > 0).unwrap_or(USUAL_WIDTH)
}

/// A text in lines of at most `width` characters, between words where there are some.
fn broken(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut room = width;
    for word in text.split_inclusive(' ') {
        let length = word.trim_end().chars().count();
        if length > room && room < width && length <= width {
            lines.push(String::new());
            room = width;
        }
        for character in word.chars() {
            if room == 0 {
                if character == ' ' {
                    continue;
                }
                lines.push(String::new());
                room = width;
            }
            lines.last_mut().expect("there is one").push(character);
            room -= 1;
        }
    }
    lines.iter_mut().for_each(|line| line.truncate(line.trim_end().len()));
    lines
}

/// Text on one line.
pub(crate) fn one_line(text: &str) -> String {
    text.replace(|c: char| c.is_control(), " ")
}

/// Names with values, one per line, aligned. Further lines of a value are indented: none looks like a field.
pub(crate) fn fields(fields: &[(&str, String)]) -> String {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 2;
    let indented = |value: &str| value.lines().collect::<Vec<_>>().join("\n    ");
    fields.iter().map(|(name, value)| format!("{name:width$}{}\n", indented(value))).collect()
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
    fn a_table_fits_a_terminal_and_loses_nothing() {
        let mut table = Table::new(["RUN", "STATUS", "NOTE"]);
        let note = "its worker process died 5 times in a row while executing this step, without progress in between";
        table.row(["0199b2c4-6e1f-7c3a-9d52-7f0a1b2c3d4e".into(), "parked".into(), note.into()]);
        let fitted = table.within(80);
        assert!(fitted.lines().all(|line| line.chars().count() <= 80), "{fitted}");
        let column = |from: usize| -> Vec<String> {
            fitted.lines().skip(1).map(|line| line.chars().skip(from).collect::<String>().trim().to_owned()).collect()
        };
        let at = fitted.lines().next().and_then(|heading| heading.find("NOTE")).expect("its heading");
        assert_eq!(column(at).join(" ").trim(), note);
        assert_eq!(table.within(usize::MAX).lines().count(), 2, "a row is a line where there is room");
    }

    #[test]
    fn a_table_of_many_columns_is_a_list_of_fields_where_the_headings_do_not_fit() {
        let mut table =
            Table::new(["RUN", "LEASE ENDED", "TAKEN OVER", "REPLACEMENT", "RELOADED", "REPLAYED", "OUTCOME"]);
        for run in ["0199b2c4-6e1f", "0199b2c4-6e20"] {
            let cells =
                [run, "12.0 s ago", "+500 ms", "2f7c9be1", "+510 ms", "-", "gave up, since the worker died once more"];
            table.row(cells.map(str::to_owned));
        }
        let fitted = table.within(40);
        assert!(fitted.lines().all(|line| line.chars().count() <= 40), "{fitted}");
        assert!(fitted.starts_with("RUN          0199b2c4-6e1f\nLEASE ENDED  12.0 s ago\n"), "{fitted}");
        assert!(
            fitted.contains("OUTCOME      gave up, since the worker\n             died once more\n\nRUN  "),
            "{fitted}"
        );
        assert_eq!(table.within(80).lines().next().map(|line| line.contains("LEASE ENDED  TAKEN OVER")), Some(true));
    }

    #[test]
    fn a_text_without_room_beside_the_columns_stands_below_its_row() {
        let mut table =
            Table::with_text(["STEP", "STATUS", "PLUGIN", "ATTEMPTS", "TOOK", "CHECKPOINT", "WORKER", "NOTE"]);
        let note = "the step panicked in src/lib.rs:27:9: a price may not be negative, and this one is -3 for `pencil`";
        let cells = ["weigh", "failed", "weigh", "3 (3 failed)", "1.2 s", "at entry 12", "-"].map(str::to_owned);
        let [a, b, c, d, e, f, g] = cells;
        table.row([a, b, c, d, e, f, g, note.into()]);
        let fitted = table.within(80);
        let lines: Vec<&str> = fitted.lines().collect();
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{fitted}");
        assert!(lines[2].starts_with("weigh  failed") && lines[2].contains("at entry 12"), "{fitted}");
        let below: Vec<&str> = lines[3..].iter().filter_map(|line| line.strip_prefix(INDENT)).collect();
        assert_eq!(below.join(" "), note, "{fitted}");
        assert_eq!((lines[1], lines.len()), ("    NOTE", 5), "{fitted}");
        assert_eq!(table.within(usize::MAX).lines().count(), 2, "where there is room, a row is a line");
    }

    #[test]
    fn a_terminal_is_as_wide_as_it_is_unless_somebody_says_other() {
        assert_eq!(columns(None, Some(132)), 132);
        assert_eq!(columns(Some("60"), Some(132)), 60);
        for nothing in [Some("0"), Some(""), Some("wide"), None] {
            assert_eq!(columns(nothing, Some(132)), 132, "{nothing:?}");
            assert_eq!(columns(nothing, Some(0)), USUAL_WIDTH, "{nothing:?}");
            assert_eq!(columns(nothing, None), USUAL_WIDTH, "{nothing:?}");
        }
    }

    #[test]
    fn a_word_that_is_longer_than_its_column_is_broken() {
        assert_eq!(broken("abcdefgh ij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(broken("to be or not", 5), ["to be", "or", "not"]);
        assert_eq!(broken("", 4), [""]);
    }

    #[test]
    fn a_value_of_several_lines_makes_no_field() {
        let told = fields(&[("note", "one\nstatus  succeeded".into()), ("took", "1 s".into())]);
        assert_eq!(told, "note  one\n    status  succeeded\ntook  1 s\n");
    }
}
