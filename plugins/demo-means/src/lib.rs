//! The long step of the demo: a city's daily means, and the hours that were unusual for their season.
//!
//! Each hour is held against the same hour of the 15 days before and after it: a bootstrap says which
//! temperatures were to be expected (`expected.rs`). That takes a quarter of a millisecond and more for each
//! of 8,759 hours, so the step saves where it is. Only what was expensive is saved; means are counted anew.
//!
//! The generator is seeded by the host for each hour, so a resumed step draws the numbers that it would
//! have drawn without the crash, and its result is the same to the last digit.

mod expected;
mod summary;

use expected::Expected;
use pawl_sdk::{Context, Failure, step};
use serde::{Deserialize, Serialize};
use summary::{DayMean, Extremes};

/// What the step before this one says.
#[derive(Deserialize)]
struct Input {
    city: String,
    report_url: String,
    rows: usize,
    days: Vec<Day>,
}

/// The temperatures of one day, by hour, in degrees Fahrenheit.
#[derive(Deserialize)]
struct Day {
    date: String,
    hours: [Option<f64>; 24],
}

#[derive(Deserialize)]
#[serde(default)]
struct Config {
    /// Resamples of the bootstrap for each hour.
    resamples: usize,
    /// Rows between two checkpoints.
    checkpoint_every: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { resamples: 2_000, checkpoint_every: 50 }
    }
}

/// What is saved.
#[derive(Default, Serialize, Deserialize)]
struct State {
    rows_done: usize,
    unusual: Unusual,
}

/// The hours outside of what was to be expected.
#[derive(Default, Serialize, Deserialize)]
struct Unusual {
    warm_hours: u32,
    cold_hours: u32,
    /// The hour farthest outside.
    most: Option<UnusualHour>,
}

#[derive(Serialize, Deserialize)]
struct UnusualHour {
    at: String,
    temp: f64,
    expected: Expected,
}

#[derive(Serialize)]
struct Output {
    city: String,
    report_url: String,
    rows: usize,
    /// Rows that did not have to be done again, because a checkpoint held them.
    rows_from_checkpoint: usize,
    mean: f64,
    #[serde(flatten)]
    extremes: Extremes,
    unusual: Unusual,
    days: Vec<DayMean>,
}

/// Daily means, and the hours that were unusual for their season.
#[step]
fn means(ctx: &mut Context, input: Input) -> Result<Output, Failure> {
    let saved: Option<State> = ctx.restore()?;
    let config: Config = ctx.config()?;
    let mut state = saved.unwrap_or_default();
    let rows_from_checkpoint = state.rows_done;
    if rows_from_checkpoint > 0 {
        ctx.info("going on from a checkpoint", &[("row", &rows_from_checkpoint)]);
    }

    let rows = rows(&input.days);
    for (day, hour, temp) in rows.iter().copied().skip(rows_from_checkpoint) {
        let neighbours = expected::neighbours(&input.days, day, hour);
        if let Some(expected) = Expected::of(&neighbours, config.resamples, ctx.random_u64()) {
            state.unusual.judge(&input.days[day].date, hour, temp, expected);
        }
        state.rows_done += 1;
        if state.rows_done.is_multiple_of(config.checkpoint_every) {
            ctx.checkpoint(&state)?;
            ctx.progress(state.rows_done as f64 / input.rows as f64, &input.days[day].date);
        }
    }

    let extremes = summary::extremes(&input.days, &rows)
        .ok_or_else(|| Failure::fatal(format!("the table of {} has no rows", input.city)))?;
    Ok(Output {
        mean: summary::round(rows.iter().map(|(_, _, temp)| temp).sum::<f64>() / rows.len() as f64),
        extremes,
        unusual: state.unusual,
        days: summary::daily_means(&input.days),
        rows: rows.len(),
        rows_from_checkpoint,
        city: input.city,
        report_url: input.report_url,
    })
}

/// All rows in order of time: index of the day, hour, temperature.
fn rows(days: &[Day]) -> Vec<(usize, usize, f64)> {
    let hours = |(day, of): (usize, &Day)| {
        of.hours.into_iter().enumerate().filter_map(move |(hour, temp)| temp.map(|temp| (day, hour, temp)))
    };
    days.iter().enumerate().flat_map(hours).collect()
}

impl Unusual {
    fn judge(&mut self, date: &str, hour: usize, temp: f64, expected: Expected) {
        let outside = expected.outside(temp);
        match outside {
            _ if outside > 0.0 => self.warm_hours += 1,
            _ if outside < 0.0 => self.cold_hours += 1,
            _ => return,
        }
        let farthest = self.most.as_ref().map_or(0.0, |most| most.expected.outside(most.temp).abs());
        if outside.abs() > farthest {
            self.most = Some(UnusualHour { at: summary::time(date, hour), temp, expected });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_outside_are_counted_and_the_farthest_is_kept() {
        let mut unusual = Unusual::default();
        for temp in [50.0, 61.0, 38.0, 62.0, 60.0] {
            unusual.judge("2010-01-01", 7, temp, Expected { low: 40.0, high: 60.0 });
        }
        assert_eq!((unusual.warm_hours, unusual.cold_hours), (2, 1));
        let most = unusual.most.unwrap();
        assert_eq!((most.at.as_str(), most.temp), ("2010-01-01 07:00", 38.0));
    }

    #[test]
    fn rows_leave_out_missing_hours() {
        let mut hours = [None; 24];
        hours[3] = Some(39.0);
        let days = [Day { date: "2010-01-01".into(), hours: [None; 24] }, Day { date: "2010-01-02".into(), hours }];
        assert_eq!(rows(&days), [(1, 3, 39.0)]);
    }
}
