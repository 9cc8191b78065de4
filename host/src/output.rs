//! The one place that writes to standard output: an answer as a table, as JSON or as ids.
//!
//! Everything else (progress, hints, errors, logs) goes to standard error, so that output can be piped. What guests and
//! others wrote is shown so that no terminal obeys it ([`harmless`]).

use std::borrow::Cow;
use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};

use clap::{Args, ValueEnum};
use serde::Serialize;

pub(super) use table::{Table, fields, one_line};

mod table;

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
            Format::Json => print_exactly(&serde_json::to_string_pretty(answer)?),
            Format::Ids => print(&answer.ids().join("\n")),
        }
    }
}

/// Prints text for people, with a line end if it has none. Empty text prints nothing.
pub(super) fn print(text: &str) -> io::Result<()> {
    write(&harmless(text))
}

/// Prints text that others will read, byte by byte; a terminal is shown it as people are.
pub(super) fn print_exactly(text: &str) -> io::Result<()> {
    if io::stdout().is_terminal() { print(text) } else { write(text) }
}

/// Text in which no terminal finds anything to obey: what controls one, or turns the direction of the text, stands in it as
/// its escape. Ends of lines stay.
pub(super) fn harmless(text: &str) -> Cow<'_, str> {
    if !text.contains(commands) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match commands(character) {
            true => shown.extend(character.escape_unicode()),
            false => shown.push(character),
        }
    }
    Cow::Owned(shown)
}

fn commands(character: char) -> bool {
    let turns = matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || character.is_control() && !matches!(character, '\n' | '\t')
}

fn write(text: &str) -> io::Result<()> {
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

/// A time in ms since 1970, for people: the date and the time of day in UTC, for example `2026-11-28 23:59:59.125`.
pub(super) fn utc(at_ms: i64) -> String {
    let (days, ms) = (at_ms.div_euclid(86_400_000), at_ms.rem_euclid(86_400_000));
    // Days of the Gregorian calendar: <https://howardhinnant.github.io/date_algorithms.html#civil_from_days>.
    let day = days + 719_468;
    let (era, of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let (of_month, month) = (of_year - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = year + era * 400 + i64::from(month <= 2);
    let (seconds, ms) = (ms / 1_000, ms % 1_000);
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{of_month:02} {hours:02}:{minutes:02}:{seconds:02}.{ms:03}")
}

/// Bytes, for people.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        ..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{} KiB", bytes / 1_024),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        _ => format!("{:.1} GiB", bytes as f64 / 1_073_741_824.0),
    }
}

/// The end of an id that names it well enough for people: the beginning of an id tells only when it was made.
pub(super) fn short(id: impl fmt::Display) -> String {
    let text = id.to_string();
    text[text.floor_char_boundary(text.len().saturating_sub(8))..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_terminal_obeys_what_is_shown() {
        let guests = "\u{1b}[2Jgone\r\u{9b}31m\u{202e}txt\nnext\tcell";
        assert_eq!(harmless(guests), "\\u{1b}[2Jgone\\u{d}\\u{9b}31m\\u{202e}txt\nnext\tcell");
        assert!(matches!(harmless("plain é\n"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_time_has_its_date() {
        assert_eq!(utc(0), "1970-01-01 00:00:00.000");
        assert_eq!(utc(1_709_164_799_999), "2024-02-28 23:59:59.999");
        assert_eq!(utc(1_709_164_800_000), "2024-02-29 00:00:00.000");
        assert_eq!(utc(1_795_910_399_125), "2026-11-28 23:59:59.125");
        assert_eq!(utc(-1), "1969-12-31 23:59:59.999");
    }

    #[test]
    fn times_are_told_in_fitting_units() {
        let told: Vec<String> = [950, 4_250, 200_000, 18_120_000].map(duration).into();
        assert_eq!(told, ["950 ms", "4.2 s", "3 min 20 s", "5 h 2 min"]);
    }
}
