//! What a command answers, on standard output: as a table, as JSON or as ids.
//!
//! Everything else (progress, hints, errors, logs) goes to standard error, so that output can be piped. What guests and
//! others wrote is shown so that no terminal obeys it ([`pawl_base::terminal`]).

use std::fmt;
use std::io;

use clap::{Args, ValueEnum};
use pawl_base::tell;
use serde::Serialize;

pub(super) use pawl_base::terminal::{print, print_exactly, print_json};
pub(super) use pawl_base::{counted, duration, short, size};
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
        env = "PAWL_OUTPUT",
        // As help tells of all other variables.
        hide_env_values = true
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
            Format::Json => print_json(&serde_json::to_string_pretty(answer)?),
            Format::Ids => print(&answer.ids().join("\n")),
        }
    }
}

/// Says that an answer is not all that there is, and how to get the rest: the flag for the next page, with its value.
pub(super) fn there_are_more(flag: &str, next: impl fmt::Display) {
    tell!("there are more: add {flag} {next} for the next page, or raise --limit");
}

/// A dash where there is nothing.
pub(super) fn or_dash(value: Option<impl fmt::Display>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
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

/// A number of steps, for people.
pub(super) fn steps(count: u64) -> String {
    counted(count, "step")
}

/// A number of journal entries, for people.
pub(super) fn entries(count: impl Into<u64>) -> String {
    match count.into() {
        1 => "1 entry".to_owned(),
        count => format!("{count} entries"),
    }
}

/// Digits of an id that are shown at the least: they name a millisecond, and `pawl run get` takes them.
const SHORT_ID: usize = 13;

/// How many digits tell these ids apart, and most others: the first ones say when a run was submitted.
pub(super) fn distinct(ids: &[String]) -> usize {
    let mut sorted: Vec<&String> = ids.iter().collect();
    sorted.sort();
    sorted.dedup();
    let shared =
        |pair: &[&String]| pair[0].bytes().zip(pair[1].bytes()).take_while(|(one, other)| one == other).count();
    sorted.windows(2).map(|pair| shared(pair) + 1).max().unwrap_or(0).max(SHORT_ID)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_as_short_as_they_are_told_apart_by_and_one_may_come_twice() {
        let ids = |ends: &[&str]| ends.iter().map(|end| format!("0199b2c4-6e1f-7c3a-9d52-{end}")).collect::<Vec<_>>();
        assert_eq!(distinct(&[]), SHORT_ID);
        assert_eq!(distinct(&ids(&["7f0a1b2c3d4e", "7f0a1b2c3d4e"])), SHORT_ID);
        assert_eq!(distinct(&ids(&["7f0a1b2c3d4e", "7f1a1b2c3d4e", "7f0a1b2c3d4e"])), 27);
    }

    #[test]
    fn a_time_has_its_date() {
        assert_eq!(utc(0), "1970-01-01 00:00:00.000");
        assert_eq!(utc(1_709_164_799_999), "2024-02-28 23:59:59.999");
        assert_eq!(utc(1_709_164_800_000), "2024-02-29 00:00:00.000");
        assert_eq!(utc(1_795_910_399_125), "2026-11-28 23:59:59.125");
        assert_eq!(utc(-1), "1969-12-31 23:59:59.999");
    }
}
