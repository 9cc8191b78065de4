//! The table: CSV with a column `date` (`2010/01/31 23:00`, seconds or not) and a column `temp` (degrees
//! Fahrenheit), in any order of columns, rows in order of time. Pure.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

/// What air temperatures can be, in degrees Fahrenheit: the coldest and the hottest ever measured are
/// -128.6 and 134.1 (World Meteorological Organization).
const PLAUSIBLE: std::ops::RangeInclusive<f64> = -129.0..=135.0;

/// The temperatures of one day.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Day {
    /// For example `2010-01-31`.
    pub(crate) date: String,
    /// By hour, 24 of them; `null` where the table has none.
    pub(crate) hours: [Option<f64>; 24],
}

impl Day {
    /// How many hours the table has.
    pub(crate) fn rows(&self) -> usize {
        self.hours.iter().flatten().count()
    }
}

/// What is wrong, and where.
#[derive(Debug, PartialEq)]
pub(crate) struct Problem {
    line: usize,
    what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// Reads a whole table.
pub(crate) fn read(csv: &str) -> Result<Vec<Day>, Problem> {
    let mut lines = csv.lines().zip(1..);
    let columns = Columns::of(lines.next().map_or("", |(header, _)| header))?;
    let mut days = Vec::new();
    for (text, line) in lines.filter(|(text, _)| !text.trim().is_empty()) {
        columns.row(text).and_then(|row| append(&mut days, &row)).map_err(|what| Problem { line, what })?;
    }
    Ok(days)
}

/// Where the two columns stand.
struct Columns {
    date: usize,
    temp: usize,
}

struct Row<'a> {
    date: &'a str,
    hour: usize,
    temp: f64,
}

impl Columns {
    fn of(header: &str) -> Result<Self, Problem> {
        let find = |name: &str| {
            let place = header.split(',').position(|column| column.trim() == name);
            place.ok_or_else(|| Problem { line: 1, what: format!("the header `{header}` names no column `{name}`") })
        };
        Ok(Self { date: find("date")?, temp: find("temp")? })
    }

    fn row<'a>(&self, text: &'a str) -> Result<Row<'a>, String> {
        let cell = |column| text.split(',').nth(column).map(str::trim).ok_or_else(|| "too few columns".to_owned());
        let (time, temp) = (cell(self.date)?, cell(self.temp)?);
        let no_time = || format!("`{time}` is no time of the form 2010/01/31 23:00");
        let (date, clock) = time.split_once(' ').filter(|(date, _)| date.len() == 10).ok_or_else(no_time)?;
        let hour = clock.split(':').next().and_then(|hour| hour.parse().ok());
        let hour = hour.filter(|hour| *hour < 24).ok_or_else(no_time)?;
        let temp = temp.parse().map_err(|_| format!("`{temp}` is no temperature"))?;
        if !PLAUSIBLE.contains(&temp) {
            return Err(format!("{temp} °F was never measured on Earth"));
        }
        Ok(Row { date, hour, temp })
    }
}

/// Adds a row to its day; rows must come in order of time.
fn append(days: &mut Vec<Day>, row: &Row<'_>) -> Result<(), String> {
    let date = row.date.replace('/', "-");
    let last = days.last().map(|day| (day.date.as_str(), day.hours.iter().rposition(Option::is_some)));
    if last >= Some((&date, Some(row.hour))) {
        return Err(format!("{date}, hour {}, comes twice or too late", row.hour));
    }
    if last.is_none_or(|(last, _)| last != date) {
        days.push(Day { date, hours: [None; 24] });
    }
    if let Some(day) = days.last_mut() {
        day.hours[row.hour] = Some(row.temp);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(csv: &str) -> String {
        read(csv).unwrap_err().to_string()
    }

    #[test]
    fn both_shapes_of_the_demos_tables_are_read() {
        let seattle = read("date,temp\n2010/01/01 00:00,39.4\n2010/01/01 01:00,39.2\n").unwrap();
        let san_francisco = read("temp,date\r\n39.4,2010/01/01 00:00:00\r\n39.2,2010/01/01 01:00:00\r\n").unwrap();
        assert_eq!(seattle, san_francisco);
        assert_eq!((seattle[0].date.as_str(), seattle[0].rows()), ("2010-01-01", 2));
        assert_eq!(seattle[0].hours[..3], [Some(39.4), Some(39.2), None]);
    }

    #[test]
    fn the_real_tables_are_complete() {
        for csv in [include_str!("../../demo/data/seattle-temps.csv"), include_str!("../../demo/data/sf-temps.csv")] {
            let days = read(csv).unwrap();
            assert_eq!(days.len(), 365);
            assert_eq!(days.iter().map(Day::rows).sum::<usize>(), 8_759);
            // The hour that summer time skips.
            assert_eq!(days.iter().find(|day| day.rows() != 24).map(|day| day.date.as_str()), Some("2010-03-14"));
        }
    }

    #[test]
    fn a_bad_row_is_refused_with_its_line() {
        assert_eq!(
            problem("date,temp\n2010/01/01 00:00,39\n2010/01/01 01:00,mild"),
            "line 3: `mild` is no temperature"
        );
        assert_eq!(problem("date,temp\n2010/01/01 00:00,390"), "line 2: 390 °F was never measured on Earth");
        assert!(problem("date,temp\n1 January,39").starts_with("line 2: `1 January` is no time"));
        assert!(problem("date,temp\n2010/01/01 24:00,39").starts_with("line 2: `2010/01/01 24:00` is no time"));
        assert_eq!(problem("date,temp\n2010/01/01 00:00"), "line 2: too few columns");
        assert_eq!(problem("time,temp\n"), "line 1: the header `time,temp` names no column `date`");
    }

    #[test]
    fn rows_out_of_order_are_refused() {
        let twice = "date,temp\n2010/01/01 05:00,39\n2010/01/01 05:00,39";
        assert_eq!(problem(twice), "line 3: 2010-01-01, hour 5, comes twice or too late");
        let back = "date,temp\n2010/01/02 05:00,39\n2010/01/01 06:00,39";
        assert_eq!(problem(back), "line 3: 2010-01-01, hour 6, comes twice or too late");
    }
}
