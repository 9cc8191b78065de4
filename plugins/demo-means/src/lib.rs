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
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use summary::{DayMean, Extremes};

/// What the step before this one says.
#[derive(Deserialize, JsonSchema)]
struct Input {
    city: String,
    report_url: String,
    days: Vec<Day>,
}

/// The temperatures of one day, by hour, in degrees Fahrenheit.
#[derive(Deserialize, JsonSchema)]
struct Day {
    date: String,
    hours: [Option<f64>; 24],
}

#[derive(Deserialize, JsonSchema)]
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
#[step(config = Config)]
fn means(ctx: &mut Context, input: Input) -> Result<Output, Failure> {
    let config: Config = ctx.config()?;
    let rows = rows(&input.days);
    let mut each = ctx.each(&rows, Unusual::default()).save_every(config.checkpoint_every);
    while let Some((&(day, hour, temp), unusual)) = each.next(ctx)? {
        let Day { date, .. } = &input.days[day];
        let neighbours = expected::neighbours(&input.days, day, hour);
        if let Some(expected) = Expected::of(&neighbours, config.resamples, ctx.random_u64()) {
            unusual.judge(date, hour, temp, expected);
        }
        if each.done().is_multiple_of(24) {
            ctx.progress(each.done() as f64 / rows.len() as f64, date);
        }
    }
    let rows_from_checkpoint = each.resumed_at();

    let extremes = summary::extremes(&input.days, &rows)
        .ok_or_else(|| Failure::fatal(format!("the table of {} has no rows", input.city)))?;
    Ok(Output {
        mean: summary::round(rows.iter().map(|(_, _, temp)| temp).sum::<f64>() / rows.len() as f64),
        extremes,
        unusual: each.into_state(),
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
    use pawl_sdk::testing::{Host, json};

    use super::*;

    #[test]
    fn a_crash_anywhere_changes_nothing_but_the_rows_that_a_checkpoint_held() {
        let day = |n: u32| json!({ "date": format!("2010-01-0{n}"), "hours": vec![f64::from(40 + n % 4 * 7); 24] });
        let input = json!({ "city": "North", "report_url": "", "days": [day(1), day(2), day(3)] });
        let host = Host::new().config(json!({ "resamples": 20, "checkpoint_every": 10 }));
        let run = host.ignoring("/rows_from_checkpoint").crash_everywhere(means, input);
        assert_eq!((run.output().rows, run.checkpoints(), run.output().rows_from_checkpoint), (72, 7, 0));
        assert!(run.output().unusual.most.is_some());
    }

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
