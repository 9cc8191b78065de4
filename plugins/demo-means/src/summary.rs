//! What anyone can check with a spreadsheet: means and extremes. Pure.

use serde::Serialize;

use crate::Day;

/// One day's mean, in degrees Fahrenheit; not rounded, because the next step goes on computing with it.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct DayMean {
    date: String,
    mean: f64,
}

/// The first of the hottest and of the coldest hours.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Extremes {
    hottest: Hour,
    coldest: Hour,
}

#[derive(Debug, PartialEq, Serialize)]
struct Hour {
    at: String,
    temp: f64,
}

/// The means of all days that have an hour.
pub(crate) fn daily_means(days: &[Day]) -> Vec<DayMean> {
    let mean = |day: &Day| {
        let (count, sum) = day.hours.iter().flatten().fold((0_u32, 0.0), |(count, sum), temp| (count + 1, sum + temp));
        (count > 0).then(|| DayMean { date: day.date.clone(), mean: sum / f64::from(count) })
    };
    days.iter().filter_map(mean).collect()
}

/// `None` without rows.
pub(crate) fn extremes(days: &[Day], rows: &[(usize, usize, f64)]) -> Option<Extremes> {
    let first = rows.first()?;
    let (mut hottest, mut coldest) = (first, first);
    for row in rows {
        if row.2 > hottest.2 {
            hottest = row;
        }
        if row.2 < coldest.2 {
            coldest = row;
        }
    }
    let hour = |row: &(usize, usize, f64)| Hour { at: time(&days[row.0].date, row.1), temp: row.2 };
    Some(Extremes { hottest: hour(hottest), coldest: hour(coldest) })
}

/// For example `2010-07-28 16:00`.
pub(crate) fn time(date: &str, hour: usize) -> String {
    format!("{date} {hour:02}:00")
}

/// To two decimals.
pub(crate) fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_and_extremes_are_those_of_the_rows() {
        let mut hours = [None; 24];
        (hours[0], hours[1], hours[5]) = (Some(40.0), Some(50.0), Some(45.0));
        let days = [Day { date: "2010-01-01".into(), hours }];
        assert_eq!(daily_means(&days), [DayMean { date: "2010-01-01".into(), mean: 45.0 }]);
        let extremes = extremes(&days, &crate::rows(&days)).unwrap();
        assert_eq!(extremes.hottest, Hour { at: "2010-01-01 01:00".into(), temp: 50.0 });
        assert_eq!(extremes.coldest, Hour { at: "2010-01-01 00:00".into(), temp: 40.0 });
    }
}
